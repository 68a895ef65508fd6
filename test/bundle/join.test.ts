import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { joinDocuments, type Part } from "../../src/bundle/join.js";
import type { BundleDocument } from "../../src/generated/types.js";
import { makeParts, ROOTS, type RootName } from "../support/parts.js";

const parts = { runtime: makeParts("runtime"), build: makeParts("build"), source: makeParts("source") };

function partOf(label: string, document: BundleDocument, tier: keyof typeof parts = "source"): Part {
  const has = new Set(document.paths.map(({ storePath }) => storePath));
  const derivations = new Map([...parts[tier].derivations].filter(([path]) => has.has(path)));
  return { label, document, derivations };
}

/** A part with something changed. */
function changed(
  label: string,
  roots: readonly RootName[],
  change: (document: BundleDocument) => void,
): Part {
  const document = structuredClone(parts.source.documentOf(roots));
  change(document);
  return partOf(label, document);
}

const codes = (...given: Part[]) => joinDocuments(given).findings.map(({ code, subject }) => [code, subject]);

it("parts, in any order and however they overlap, give what one pack of all their roots gives", () => {
  const someRoots = fc.uniqueArray(fc.constantFrom(...ROOTS), { minLength: 1 });
  fc.assert(
    fc.property(
      fc.constantFrom("runtime" as const, "build" as const, "source" as const),
      fc.array(someRoots, { minLength: 1, maxLength: 4 }),
      (tier, sets) => {
        const given = sets.map((roots, i) => partOf(`part-${i}`, parts[tier].documentOf(roots), tier));
        const { document, findings } = joinDocuments(given);
        expect(findings).toEqual([]);
        expect(document).toEqual(parts[tier].documentOf(sets.flat()));
      },
    ),
    { numRuns: 60 },
  );
});

describe("bundles of another release", () => {
  it.each([
    ["release", (document: BundleDocument) => Object.assign(document, { release: "2.0.0" })],
    ["sequence", (document: BundleDocument) => Object.assign(document, { sequence: 1 })],
    ["tier", (document: BundleDocument) => Object.assign(document, { tier: "build" })],
    [
      "flake.narHash",
      ({ flake }: BundleDocument) => Object.assign(flake, { narHash: `sha256-${"A".repeat(43)}=` }),
    ],
  ])("are refused by their %s, both named", (field, change) => {
    const one = partOf("one", parts.source.documentOf(["a"]));
    const { document, findings } = joinDocuments([one, changed("two", ["b"], change)]);
    expect(document).toBeNull();
    expect(findings.map(({ code, subject }) => [code, subject])).toEqual([["BUNDLES_DIFFER", field]]);
    expect(`${findings[0]?.expected} ${findings[0]?.actual}`).toMatch(
      /in one\b.*in two\b|in two\b.*in one\b/s,
    );
  });

  it("differ in where the flake came from, and may", () => {
    const two = changed("two", ["b"], ({ flake }) => {
      flake.ref = "refs/heads/main";
      flake.url = null;
    });
    const one = partOf("one", parts.source.documentOf(["a"]));
    expect(codes(one, two)).toEqual([]);
    expect(joinDocuments([one, two])).toEqual(joinDocuments([two, one]));
  });
});

describe("what contradicts itself is named", () => {
  const one = () => partOf("one", parts.source.documentOf(["a"]));

  it("a path of other content", () => {
    const { storePath } = one().document.paths.find((path) => path.storePath.endsWith("-payload.bin"))!;
    const two = changed("two", ["b"], ({ paths }) => {
      paths.find((path) => path.storePath === storePath)!.narHash = `sha256-${"A".repeat(43)}=`;
    });
    expect(codes(one(), two)).toEqual([["BUNDLES_CONFLICT", storePath]]);
  });

  it("an attribute that leads to another derivation", () => {
    const two = changed("two", ["b"], ({ roots }) =>
      Object.assign(roots[1]!, { attr: one().document.roots[0]!.attr }),
    );
    expect(codes(one(), two)).toEqual([["BUNDLES_CONFLICT", `root ${one().document.roots[0]!.attr}`]]);
  });

  it("a document of one name with other bytes, and another reason for one derivation", () => {
    const doc = (sha256: string) => ({
      mediaType: "text/plain",
      name: "sbom.json",
      sha256: sha256.repeat(64),
      size: 1,
    });
    const [drvPath] = one().document.roots.map((root) => root.drvPath) as [string];
    const withDoc = (label: string, digit: string) =>
      changed(label, ["a"], (document) => {
        document.docs = [doc(digit)];
        document.knownIrreproducible = [{ drvPath, reason: label }];
      });
    expect(codes(withDoc("one", "1"), withDoc("two", "2"))).toEqual([
      ["BUNDLES_CONFLICT", "docs/sbom.json"],
      ["BUNDLES_CONFLICT", `knownIrreproducible ${drvPath}`],
    ]);
  });
});

it("of two compressions of one NAR the smaller is taken, signatures of both are kept, the newest tools are named", () => {
  const other = changed("two", ["a"], (document) => {
    document.tools = { nix: "2.26.3", nixAirgap: "0.1.0" };
    for (const path of document.paths) {
      path.blob = "f".repeat(64);
      path.blobSize += 1;
      path.signatures = ["x:signature"];
    }
  });
  const { document } = joinDocuments([other, partOf("one", parts.source.documentOf(["a"]))]);
  const expected = parts.source.documentOf(["a"]);
  expect(document?.paths.map(({ blob }) => blob)).toEqual(expected.paths.map(({ blob }) => blob));
  expect(document?.totals).toEqual(expected.totals);
  expect(document?.paths.every(({ signatures }) => signatures.includes("x:signature"))).toBe(true);
  expect(document?.tools.nix).toBe("2.26.3");
});
