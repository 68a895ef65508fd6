/** A release made by hand with as many store paths as one asks for, of the shape that real software has. */
import { createHash } from "node:crypto";
import type { Path } from "../../../src/generated/types.js";
import { parseSri } from "../../../src/nix/hash.js";
import type { NarNode } from "../../../src/nix/nar-writer.js";
import { fingerprint } from "../../../src/nix/narinfo.js";
import { signFingerprint } from "../../../src/nix/signature.js";
import { draftDocument, file, type Release, Store, SYSTEM, seal, tree } from "../release.js";
import { packerKey } from "../write-release.js";
import { frameOf } from "./frame.js";
import { softwareGraph } from "./graph.js";

/** Contents are log-uniform between these, in bytes, so that a path has about 6 KB. */
const SMALLEST = 64;
const LARGEST = 32 * 1024;

/** Of tier source: half as many fixed sources as derivations that build something, whose outputs are all needed. */
export function makeSyntheticRelease(paths: number): Pick<Release, "document" | "blobs" | "derivations"> {
  const size = sizesOf(paths);
  const { units, top } = softwareGraph(size);
  const store = new Store(frameOf);
  const stock = store.source("source", tree({ "default.nix": "{ }\n" }));
  const flake = store.flake("synthetic", { stock });
  const builder = store.source("builder.sh", file("echo built\n"));

  const built = new Map<number, { readonly drvPath: string; readonly out: string }>();
  const place = (unit: number) => built.get(unit)!;
  for (const [i, { name, inputs, references, source, hasPatch }] of units.entries()) {
    const srcs = [builder];
    if (hasPatch) srcs.push(store.source(`${name}.patch`, contents(`${name}.patch`)));
    const drvs = inputs.map((input) => place(input).drvPath);
    if (source !== null) drvs.push(store.fixed(source, "flat", "sha256", contents(source)).drvPath);
    const used = references.map((reference) => place(reference).out);
    built.set(i, derive(store, name, { srcs, drvs, used, node: package_(name, used) }));
  }
  const leaves = top.map((unit) => place(unit));
  const used = leaves.map(({ out }) => out);
  const drvs = leaves.map(({ drvPath }) => drvPath);
  const root = derive(store, "synthetic", { srcs: [builder], drvs, used, node: package_("synthetic", used) });

  const document = draftDocument({
    flake,
    inputs: [{ narHash: store.get(stock).narHash, node: "stock", parent: null, storePath: stock }],
    product: "synthetic",
    roots: [
      {
        attr: `packages.${SYSTEM}.default`,
        drvPath: root.drvPath,
        outputs: [{ name: "out", path: root.out }],
        purpose: "output",
        system: SYSTEM,
      },
    ],
    tier: "source",
  });
  document.paths = store.pathsNeededBy(document).map(signed);
  seal(document);
  return { document, blobs: store.blobs, derivations: store.derivations };
}

/** As pack does with every path. */
function signed(path: Path): Path {
  const narHash = parseSri(path.narHash);
  return { ...path, signatures: [signFingerprint(fingerprint({ ...path, narHash }), packerKey)] };
}

/** Flake, input, builder; the root and each unit with derivation and output, a source for every other one; patches fill up. */
function sizesOf(paths: number): { units: number; sources: number; patches: number } {
  const units = Math.floor((paths - 5) / 3.1);
  const sources = Math.floor(units / 2);
  return { units, sources, patches: paths - 5 - 2 * units - 2 * sources };
}

interface Recipe {
  readonly srcs: readonly string[];
  readonly drvs: readonly string[];
  /** What the output refers to. */
  readonly used: readonly string[];
  readonly node: NarNode;
}

function derive(store: Store, name: string, { srcs, drvs, used, node }: Recipe) {
  const { drvPath, outputs } = store.derive(name, {
    srcs,
    inputs: Object.fromEntries(drvs.map((drv) => [drv, ["out"]])),
    outputs: { out: () => node },
    references: { out: () => used },
  });
  return { drvPath, out: outputs["out"]! };
}

function package_(name: string, used: readonly string[]): NarNode {
  return tree({
    bin: tree({ [name]: { ...contents(name), executable: true } }),
    share: tree({
      doc: tree({ [`${name}.txt`]: `About ${name}.\n` }),
      uses: used.map((path) => `${path}\n`).join(""),
    }),
  });
}

/** Text of a size and a beginning of its own. */
function contents(name: string): NarNode & { readonly kind: "regular" } {
  const draw = createHash("sha256").update(name).digest();
  const share = draw.readUInt32LE(0) / 2 ** 32;
  const size = Math.round(SMALLEST * (LARGEST / SMALLEST) ** share);
  const start = draw.readUInt16LE(4);
  const text = Buffer.concat([Buffer.from(`${name}\n`), TEXT.subarray(start, start + size)]);
  return { kind: "regular", executable: false, contents: text };
}

/** Hex digits, in which no store path is found. */
const TEXT = Buffer.from(
  Array.from({ length: 2048 }, (_, i) => createHash("sha256").update(String(i)).digest("hex")).join("\n"),
);
