import { describe, expect, it } from "vitest";
import { changesBetween } from "../../src/evidence/changes.js";
import type { BundleDocument, Path } from "../../src/generated/types.js";
import { OUT_PATH, sampleDocument, samplePath } from "../support/document.js";

const before = sampleDocument();
const NOTHING = { inputs: [], roots: [], packages: [], documents: [], paths: { added: 0, removed: 0 } };

function changed(change: (document: BundleDocument) => unknown): BundleDocument {
  const copy = structuredClone(before);
  change(copy);
  return copy;
}
const changes = (change: (document: BundleDocument) => unknown) => changesBetween(before, changed(change));

/** A path of this name; another letter, another hash. */
function path(name: string, letter = "5"): Path {
  return samplePath({ storePath: `/nix/store/${letter.repeat(32)}-${name}` });
}
/** A document with these paths alone. */
const having = (...names: readonly string[]) => changed((d) => (d.paths = names.map((name) => path(name))));
const packages = (from: readonly string[], to: readonly string[]) =>
  changesBetween(having(...from), having(...to)).packages;

describe("between two releases", () => {
  it("nothing changed where the documents are the same, whatever they are called", () => {
    expect(changesBetween(before, before)).toEqual(NOTHING);
    expect(
      changes((d) => Object.assign(d, { release: "1.5.0", sequence: 6, created: "2026-02-01T00:00:00Z" })),
    ).toEqual(NOTHING);
  });

  it("the other way round is the reverse", () => {
    const after = changed((d) => {
      d.flake.rev = "1".repeat(40);
      d.docs = [];
      d.paths.push(path("hello-2.12"));
    });
    const there = changesBetween(before, after);
    const back = changesBetween(after, before);
    for (const what of ["inputs", "roots", "packages", "documents"] as const) {
      expect(back[what]).toEqual(
        there[what].map(({ name, before, after }) => ({ name, before: after, after: before })),
      );
    }
    expect([there.paths, back.paths]).toEqual([
      { added: 1, removed: 0 },
      { added: 0, removed: 1 },
    ]);
  });
});

describe("an input", () => {
  const input = before.inputs[0]!;

  it("changed, came or went", () => {
    expect(changes((d) => (d.inputs[0]!.narHash = "sha256-x")).inputs).toEqual([
      { name: "motor", before: input.narHash, after: "sha256-x" },
    ]);
    expect(changes((d) => (d.inputs = [])).inputs).toEqual([
      { name: "motor", before: input.narHash, after: null },
    ]);
    expect(changes((d) => d.inputs.push({ ...input, node: "board" })).inputs).toEqual([
      { name: "board", before: null, after: input.narHash },
    ]);
  });

  it("that lies in another's tree is named by that", () => {
    expect(changes((d) => Object.assign(d.inputs[0]!, { narHash: null, parent: "board" })).inputs).toEqual([
      { name: "motor", before: input.narHash, after: "in board" },
    ]);
  });

  it("is also the flake itself, by its commit or what it holds", () => {
    const commit = "0".repeat(40);
    expect(changes((d) => (d.flake.rev = "1".repeat(40))).inputs).toEqual([
      { name: "(the flake itself)", before: commit, after: "1".repeat(40) },
    ]);
    expect(changes((d) => (d.flake.rev = null)).inputs).toEqual([
      { name: "(the flake itself)", before: commit, after: before.flake.narHash },
    ]);
  });
});

describe("a root", () => {
  const [root] = before.roots;

  it("changed, came or went, by its attribute and its outputs", () => {
    const other = `/nix/store/${"6".repeat(32)}-pump`;
    expect(changes((d) => (d.roots[0]!.outputs[0]!.path = other)).roots).toEqual([
      { name: "packages.x86_64-linux.default", before: OUT_PATH, after: other },
    ]);
    expect(changes((d) => (d.roots = [])).roots).toEqual([
      { name: "packages.x86_64-linux.default", before: OUT_PATH, after: null },
    ]);
    expect(changes((d) => d.roots.push({ ...root!, attr: "packages.x86_64-linux.a" })).roots).toEqual([
      { name: "packages.x86_64-linux.a", before: null, after: OUT_PATH },
    ]);
  });

  it("with several outputs shows each", () => {
    const doc = { name: "doc", path: `/nix/store/${"6".repeat(32)}-pump-doc` };
    expect(changes((d) => d.roots[0]!.outputs.push(doc)).roots[0]!.after).toBe(`${OUT_PATH} ${doc.path}`);
  });

  it("that is there for another purpose is none", () => {
    expect(changes((d) => d.roots.push({ ...root!, attr: "x", purpose: "evaluation" })).roots).toEqual([]);
  });
});

describe("a package", () => {
  it("changed its version, came or went", () => {
    expect(packages(["hello-2.12", "zlib-1.3"], ["hello-2.13", "curl-8.1"])).toEqual([
      { name: "curl", before: null, after: "8.1" },
      { name: "hello", before: "2.12", after: "2.13" },
      { name: "zlib", before: "1.3", after: null },
    ]);
  });

  it("is the same where only its hash changed; then a path came and another went", () => {
    const from = changed((d) => (d.paths = [path("hello-2.12", "5")]));
    const to = changed((d) => (d.paths = [path("hello-2.12", "6")]));
    expect(changesBetween(from, to)).toEqual({ ...NOTHING, paths: { added: 1, removed: 1 } });
  });

  it("in several versions shows each once, sorted", () => {
    expect(packages(["gcc-13.1"], ["gcc-13.1", "gcc-12.3", "gcc-13.1"])).toEqual([
      { name: "gcc", before: "13.1", after: "12.3, 13.1" },
    ]);
  });

  it.each([
    ["python3-3.12.4", "python3", "3.12.4"],
    ["python3.12-requests-2.31", "python3.12-requests", "2.31"],
    ["font-awesome-6.4", "font-awesome", "6.4"],
    ["x264-0-unstable-2023", "x264", "0-unstable-2023"],
    ["ghc-8-bin", "ghc", "8-bin"],
    ["name--1", "name", "-1"],
    ["lib_2-.5", "lib_2", ".5"],
  ])("is split as builtins.parseDrvName splits it: %s", (full, name, version) => {
    expect(packages([], [full])).toEqual([{ name, before: null, after: version }]);
  });

  it.each([["source"], ["font-awesome"], ["hello-2.12.drv"], ["hello-2.12.tar.gz.drv"], ["name-"]])(
    "is none without a version, or as a derivation: %s",
    (full) => {
      expect(packages([], [full])).toEqual([]);
    },
  );
});

describe("a document", () => {
  it("changed, came or went, by its hash", () => {
    const sha256 = "d".repeat(64);
    const other = "e".repeat(64);
    expect(changes((d) => (d.docs[0]!.sha256 = other)).documents).toEqual([
      { name: "notice.txt", before: sha256, after: other },
    ]);
    expect(changes((d) => (d.docs[0]!.name = "a.txt")).documents).toEqual([
      { name: "a.txt", before: null, after: sha256 },
      { name: "notice.txt", before: sha256, after: null },
    ]);
  });
});
