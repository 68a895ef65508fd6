/** Attacks on names, by whoever holds the right key: store paths that do not follow from what they hold. */
import type { Path } from "../../src/generated/types.js";
import { formatContentAddress } from "../../src/nix/content-address.js";
import { hashOf, parseSri } from "../../src/nix/hash.js";
import { writeNar } from "../../src/nix/nar-writer.js";
import { makeSourcePath } from "../../src/nix/store-path.js";
import { file, tree } from "../support/release.js";
import { type Attack, attacks } from "./attack.js";
import { forged, input } from "./forged.js";
import type { Victim } from "./victim.js";

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

/** Another NAR of the same kind: the same tree with one file more, or a text with one line more. */
function alter(victim: Victim, path: Path): void {
  victim.setNar(path, writeNar(tree({ evil: "evil\n" })));
}

function textOfDrv(victim: Victim, path: Path): string {
  const nar = victim.nar(path).toString("latin1");
  return nar.slice(nar.indexOf("Derive("), nar.lastIndexOf("])") + 2);
}
