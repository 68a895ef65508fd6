/**
 * Attacks by whoever holds the right key, and by bad media: names that do not follow from contents, closures that are not
 * exact, blobs and NARs that are not what the document says. Everything else is made to fit.
 */
import { execFileSync } from "node:child_process";
import { blobName } from "../../src/bundle/layout.js";
import type { Path } from "../../src/generated/types.js";
import { formatContentAddress } from "../../src/nix/content-address.js";
import { formatSri, hashOf, parseSri } from "../../src/nix/hash.js";
import { writeNar } from "../../src/nix/nar-writer.js";
import { makeSourcePath } from "../../src/nix/store-path.js";
import { file, tree } from "../support/release.js";
import { type Attack, attacks, type Means } from "./attack.js";
import type { Victim } from "./victim.js";

/** Signed by the packer's key, after a change of the document and its NARs. */
const forged =
  (change: (victim: Victim, means: Means) => void) =>
  (victim: Victim, means: Means): void => {
    change(victim, means);
    victim.signPaths(means.packer);
    victim.forge(means.packer);
  };

/** Another NAR of the same kind: the same tree with one file more, or a text with one line more. */
function alter(victim: Victim, path: Path): void {
  victim.setNar(path, writeNar(tree({ evil: "evil\n" })));
}

/** A path that is right in itself. */
function sourceFrom(victim: Victim, name: string): Path {
  const nar = writeNar(file("evil\n"));
  const path = structuredClone(victim.path(/^notice\.txt$/));
  const hash = hashOf("sha256", nar);
  path.storePath = makeSourcePath(hash, name);
  path.ca = formatContentAddress({ kind: "fixed", method: "nar", hash });
  Object.assign(path, { kinds: ["output"], cause: null });
  victim.addNar(path, nar);
  return path;
}

const input = (victim: Victim) =>
  victim.document.paths.find(({ storePath }) => storePath === victim.document.inputs[0]!.storePath)!;

export const CLOSURE: readonly Attack[] = attacks(
  "6 extraneous or missing",
  [
    "a path that no root needs",
    11,
    "PATH_UNNEEDED",
    forged((victim) => victim.document.paths.push(sourceFrom(victim, "evil"))),
  ],
  [
    "a path that no root needs, called a build input",
    11,
    "PATH_UNNEEDED",
    forged((victim) => victim.document.paths.push({ ...sourceFrom(victim, "evil"), kinds: ["input"] })),
  ],
  [
    "a path that no root needs, as a reference of an output",
    11,
    "REFERENCE_NOT_FOUND",
    forged((victim) => {
      const evil = sourceFrom(victim, "evil");
      victim.document.paths.push(evil);
      const output = victim.path(/^acme-pump-1\.4\.0$/);
      output.references = [...output.references, evil.storePath].sort();
    }),
  ],
  [
    "a path called an import from derivation, of which there is none",
    11,
    "EVALUATION_UNEXPLAINED",
    forged((victim) => {
      victim.document.paths.push({
        ...sourceFrom(victim, "evil"),
        kinds: ["evaluation"],
        cause: "import-from-derivation",
      });
    }),
  ],
  [
    "the output of the root gone",
    13,
    "TIER_INCOMPLETE",
    forged((v) => v.drop(v.path(/^acme-pump-1\.4\.0$/))),
  ],
  [
    "an output that another refers to gone",
    13,
    "TIER_INCOMPLETE",
    forged((v) => v.drop(v.path(/^libpump$/))),
  ],
  ["a build input gone", 13, "TIER_INCOMPLETE", forged((v) => v.drop(v.path(/^codegen$/)))],
  ["a fetched source gone", 13, "TIER_INCOMPLETE", forged((v) => v.drop(v.path(/^payload\.bin$/)))],
  ["an input of the lock gone", 13, "INPUT_MISSING", forged((v) => v.drop(input(v)))],
  [
    "the top flake gone",
    13,
    "TIER_INCOMPLETE",
    forged((v) =>
      v.drop(v.document.paths.find(({ storePath }) => storePath === v.document.flake.storePath)!),
    ),
  ],
  ["a derivation gone", 13, "DERIVATION_MISSING", forged((v) => v.drop(v.path(/^codegen\.drv$/)))],
  [
    "the derivation of the root gone",
    13,
    "DERIVATION_MISSING",
    forged((v) => v.drop(v.path(/^acme-pump-1\.4\.0\.drv$/))),
  ],
  [
    "an input of the lock not listed",
    13,
    ["INPUT_MISSING"],
    forged((v) => {
      v.document.inputs.shift();
    }),
  ],
  [
    "an input listed that the lock lacks",
    11,
    "INPUT_UNLISTED",
    forged((v) => v.document.inputs.push({ ...v.document.inputs[0]!, node: "zzz" })),
  ],
  [
    "an output of a root not listed",
    11,
    "ROOT_OUTPUTS",
    forged((v) => {
      const root = v.document.roots.find(({ outputs }) => outputs.length === 1)!;
      root.outputs = [{ name: "dev", path: root.outputs[0]!.path }];
    }),
  ],
  [
    "a lower tier than its contents",
    11,
    ["PATH_KINDS", "PATH_UNNEEDED"],
    forged((v) => {
      v.document.tier = "runtime";
    }),
  ],
  [
    "a higher tier than its contents",
    11,
    ["PATH_KINDS", "TIER_INCOMPLETE"],
    (victim, { other, packer }) => {
      replaceAll(victim, other);
      victim.document.tier = "source";
      victim.forge(packer);
    },
  ],
  [
    "false reasons for a path",
    11,
    "PATH_KINDS",
    forged((v) => {
      v.path(/^codegen$/).kinds = ["output"];
    }),
  ],
);

export const NAMES: readonly Attack[] = attacks(
  "28 names that lie",
  ["other content under a source's name", 11, "CA_CONTENT", forged((v) => alter(v, v.path(/^names\.txt$/)))],
  [
    "other content, and a content address that fits it",
    11,
    "CA_PATH",
    forged((v) => {
      const path = v.path(/^names\.txt$/);
      alter(v, path);
      path.ca = formatContentAddress({ kind: "fixed", method: "nar", hash: parseSri(path.narHash) });
    }),
  ],
  [
    "other content, and no content address",
    11,
    ["EVALUATION_UNEXPLAINED"],
    forged((v) => {
      const path = v.path(/^names\.txt$/);
      alter(v, path);
      path.ca = null;
    }),
  ],
  [
    "a .drv of other content, and no content address",
    11,
    ["CA_PATH", "DRV_PATH", "OUTPUT_PATH"],
    forged((v) => {
      const path = v.path(/^codegen\.drv$/);
      v.setNar(path, writeNar(file(textOfDrv(v, path).replace('"/bin/sh"', '"/bin/zh"'))));
      path.ca = null;
    }),
  ],
  [
    "a .drv of other content",
    11,
    ["CA_CONTENT", "DRV_PATH", "OUTPUT_PATH"],
    forged((v) => {
      const path = v.path(/^stamp\.drv$/);
      v.setNar(path, writeNar(file(textOfDrv(v, path).replace('"/bin/sh"', '"/bin/zh"'))));
    }),
  ],
  [
    "a flake input replaced under its own store path",
    11,
    ["CA_CONTENT", "INPUT_NAR_HASH"],
    forged((v) => alter(v, input(v))),
  ],
  [
    "a flake input replaced, with its content address gone",
    11,
    ["CA_PATH", "INPUT_NAR_HASH"],
    forged((v) => {
      const path = input(v);
      alter(v, path);
      path.ca = null;
    }),
  ],
  [
    "a flake input replaced, its new hash in the document's list",
    11,
    ["CA_CONTENT", "INPUT_NAR_HASH"],
    forged((v) => {
      const path = input(v);
      alter(v, path);
      v.document.inputs[0]!.narHash = path.narHash;
    }),
  ],
  [
    "a flake input replaced by a path of another name",
    11,
    ["INPUT_NAR_HASH"],
    forged((v) => {
      const old = input(v);
      const nar = writeNar(tree({ evil: "evil\n" }));
      const hash = hashOf("sha256", nar);
      const path: Path = { ...structuredClone(old), storePath: makeSourcePath(hash, "source") };
      path.ca = formatContentAddress({ kind: "fixed", method: "nar", hash });
      v.drop(old);
      v.addNar(path, nar);
      v.document.paths.push(path);
      Object.assign(v.document.inputs[0]!, { storePath: path.storePath, narHash: path.narHash });
    }),
  ],
  [
    "the top flake replaced",
    11,
    ["CA_CONTENT", "FLAKE_NAR_HASH", "LOCK_DIFFERS"],
    forged((v) =>
      alter(v, v.document.paths.find(({ storePath }) => storePath === v.document.flake.storePath)!),
    ),
  ],
  [
    "another lock in the document than in the flake",
    11,
    ["LOCK_DIFFERS"],
    forged((v) => {
      v.document.flake.lock = v.document.flake.lock!.replace("\n", "\n\n");
    }),
  ],
  [
    "a fixed output that is not what its derivation says",
    11,
    "CA_CONTENT",
    forged((v) => v.setNar(v.path(/^licence\.txt$/), writeNar(file("evil\n")))),
  ],
  [
    "a fixed output that is not what its derivation says, with a content address that fits",
    11,
    ["CA_PATH", "FIXED_OUTPUT_HASH"],
    forged((v) => {
      const path = v.path(/^licence\.txt$/);
      v.setNar(path, writeNar(file("evil\n")));
      path.ca = formatContentAddress({ kind: "fixed", method: "flat", hash: hashOf("sha1", "evil\n") });
    }),
  ],
  [
    "a fixed output without its content address",
    11,
    ["FIXED_OUTPUT_HASH"],
    forged((v) => {
      v.path(/^vendored$/).ca = null;
    }),
  ],
  [
    "a content address of another method",
    11,
    ["CA_PATH"],
    forged((v) => {
      const path = v.path(/^names\.txt$/);
      path.ca = path.ca!.replace("fixed:r:", "fixed:");
    }),
  ],
  [
    "an input-addressed output called content-addressed",
    11,
    ["CA_PATH"],
    forged((v) => {
      const path = v.path(/^codegen$/);
      path.ca = formatContentAddress({ kind: "fixed", method: "nar", hash: parseSri(path.narHash) });
    }),
  ],
  [
    "an output under another path than its derivation gives",
    11,
    ["OUTPUT_UNPROVEN", "TIER_INCOMPLETE"],
    forged((v) => {
      const path = v.path(/^codegen$/);
      path.storePath = path.storePath.replace(/store\/.{32}/, `store/${"1".repeat(32)}`);
      path.deriver = null;
    }),
  ],
  [
    "a root whose output is another's",
    11,
    ["PATH_KINDS", "PATH_UNNEEDED", "ROOT_OUTPUTS"],
    forged((v) => {
      const root = v.document.roots.find(({ purpose }) => purpose === "output")!;
      root.outputs[0]!.path = v.path(/^codegen$/).storePath;
    }),
  ],
  [
    "a root of another system",
    11,
    "ROOT_OUTPUTS",
    forged((v) => {
      for (const root of v.document.roots) root.system = "riscv64-linux";
      v.document.systems = ["riscv64-linux"];
    }),
  ],
  [
    "a deriver that builds something else",
    11,
    "DERIVER_OUTPUT",
    forged((v) => {
      v.path(/^codegen$/).deriver = v.path(/^stamp\.drv$/).storePath;
    }),
  ],
  [
    "a reference left out",
    11,
    ["PATH_KINDS", "REFERENCE_UNDECLARED"],
    forged((v) => {
      const path = v.path(/^acme-pump-1\.4\.0$/);
      path.references = path.references.filter((reference) => !reference.endsWith("-stamp"));
    }),
  ],
  [
    "a reference that the bytes do not hold",
    11,
    ["PATH_KINDS", "REFERENCE_NOT_FOUND"],
    forged((v) => {
      const path = v.path(/^stamp$/);
      path.references = [v.path(/^codegen$/).storePath];
    }),
  ],
  [
    "a reference of a .drv left out",
    11,
    ["CA_PATH", "DRV_REFERENCES", "PATH_KINDS"],
    forged((v) => {
      const path = v.path(/^libpump\.drv$/);
      path.references = [];
    }),
  ],
  [
    "a signature by the trusted key that does not hold",
    12,
    "PATH_SIGNATURE",
    (v, { packer }) => {
      const [one, two] = [v.path(/^stamp$/), v.path(/^codegen$/)];
      one.signatures = two.signatures;
      v.forge(packer);
    },
  ],
);

export const BLOBS: readonly Attack[] = [
  ...attacks(
    "25 decompression",
    [
      "a second frame",
      11,
      "ZSTD_TRAILING",
      forged((v) => appendToBlob(v, execFileSync("zstd", ["-c"], { input: "more" }))),
    ],
    [
      "an empty second frame",
      11,
      "ZSTD_TRAILING",
      forged((v) => appendToBlob(v, execFileSync("zstd", ["-c"], { input: "" }))),
    ],
    [
      "a skippable frame after",
      11,
      "ZSTD_TRAILING",
      forged((v) => appendToBlob(v, Buffer.from("502a4d180400000065766c21", "hex"))),
    ],
    ["bytes after the frame", 11, "ZSTD_TRAILING", forged((v) => appendToBlob(v, Buffer.from("evil")))],
    [
      "a skippable frame before",
      11,
      "ZSTD_INVALID",
      forged((v) => {
        const path = v.path(/^stamp$/);
        v.setBlob(
          path,
          Buffer.concat([Buffer.from("502a4d180400000065766c21", "hex"), v.get(blobName(path.blob))]),
        );
      }),
    ],
    [
      "a window over 128 MiB",
      11,
      "ZSTD_WINDOW",
      forged((v) => {
        const path = v.path(/^stamp$/);
        // Magic, a descriptor without a content size, the window's exponent: 2^(10 + 18).
        const bytes = Buffer.from(v.get(blobName(path.blob)));
        v.setBlob(
          path,
          Buffer.concat([bytes.subarray(0, 4), Buffer.from([0x00, 18 << 3]), bytes.subarray(6)]),
        );
      }),
    ],
    [
      "a frame cut short",
      11,
      "ZSTD_INVALID",
      forged((v) => {
        const path = v.path(/^stamp$/);
        v.setBlob(path, v.get(blobName(path.blob)).subarray(0, -3));
      }),
    ],
    [
      "no zstd at all",
      11,
      "ZSTD_INVALID",
      forged((v) => {
        const path = v.path(/^stamp$/);
        v.setBlob(path, v.nar(path));
      }),
    ],
    [
      "gzip",
      11,
      "ZSTD_INVALID",
      forged((v) => {
        const path = v.path(/^stamp$/);
        v.setBlob(path, execFileSync("gzip", ["-n"], { input: v.nar(path) }));
      }),
    ],
    [
      "more than the document says",
      11,
      "NAR_SIZE",
      forged((v) => {
        v.path(/^stamp$/).narSize -= 1;
      }),
    ],
    [
      "less than the document says",
      11,
      "NAR_SIZE",
      forged((v) => {
        v.path(/^stamp$/).narSize += 8;
      }),
    ],
    [
      "another NAR than the document says",
      11,
      "NAR_HASH",
      forged((v) => {
        v.path(/^stamp$/).narHash = formatSri(hashOf("sha256", "evil"));
      }),
    ],
  ),
  ...attacks(
    "26 sizes",
    [
      "a blob grown",
      11,
      "BLOB_SIZE",
      (v) => {
        const name = blobName(v.path(/^stamp$/).blob);
        v.files.set(name, Buffer.concat([v.get(name), Buffer.alloc(1)]));
      },
    ],
    [
      "a blob cut",
      11,
      "BLOB_SIZE",
      (v) => {
        const name = blobName(v.path(/^stamp$/).blob);
        v.files.set(name, v.get(name).subarray(0, -1));
      },
    ],
    ["an empty blob", 11, "BLOB_SIZE", (v) => v.files.set(blobName(v.path(/^stamp$/).blob), Buffer.alloc(0))],
    ["a blob gone", 13, "BLOB_MISSING", (v) => v.files.delete(blobName(v.path(/^stamp$/).blob))],
    [
      "a document over its cap",
      10,
      "FILE_TOO_LARGE",
      (v) => v.files.set("bundle.json", Buffer.alloc(2 ** 26 + 1)),
    ],
    [
      "an index over its cap",
      10,
      "FILE_TOO_LARGE",
      (v) => v.files.set("index.json", Buffer.alloc(2 ** 20 + 1)),
    ],
  ),
  ...attacks(
    "27 NARs",
    [
      "trailing bytes",
      10,
      "NAR_TRAILING",
      forged((v) => v.setNar(v.path(/^stamp$/), Buffer.concat([v.nar(v.path(/^stamp$/)), Buffer.alloc(8)]))),
    ],
    [
      "an unknown field",
      10,
      "NAR_FIELD",
      forged((v) => {
        const nar = v
          .nar(v.path(/^stamp$/))
          .toString("latin1")
          .replace("contents", "contentz");
        v.setNar(v.path(/^stamp$/), Buffer.from(nar, "latin1"));
      }),
    ],
  ),
];

function appendToBlob(victim: Victim, bytes: Uint8Array): void {
  const path = victim.path(/^stamp$/);
  victim.setBlob(path, Buffer.concat([victim.get(blobName(path.blob)), bytes]));
}

function textOfDrv(victim: Victim, path: Path): string {
  const nar = victim.nar(path).toString("latin1");
  return nar.slice(nar.indexOf("Derive("), nar.lastIndexOf("])") + 2);
}

function replaceAll(victim: Victim, other: Victim): void {
  victim.files.clear();
  for (const [name, bytes] of other.files) victim.files.set(name, bytes);
  Object.assign(victim.document, structuredClone(other.document));
}
