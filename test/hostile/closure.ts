/** Attacks on what is in the bundle, by whoever holds the right key: more than the roots need, or less. */
import type { Path } from "../../src/generated/types.js";
import { formatContentAddress } from "../../src/nix/content-address.js";
import { hashOf } from "../../src/nix/hash.js";
import { writeNar } from "../../src/nix/nar-writer.js";
import { makeSourcePath } from "../../src/nix/store-path.js";
import { file } from "../support/release.js";
import { type Attack, attacks } from "./attack.js";
import { forged, input } from "./forged.js";
import type { Victim } from "./victim.js";

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
    "a system of which there is no root",
    10,
    "DOCUMENT_VALUE",
    forged((v) => v.document.systems.push("zz-linux")),
  ],
  [
    "an excuse for a derivation that is not in the bundle",
    13,
    "DERIVATION_MISSING",
    forged((v) => {
      const drvPath = `/nix/store/${"0".repeat(32)}-firmware.drv`;
      v.document.knownIrreproducible = [{ drvPath, reason: "the time" }];
    }),
  ],
  [
    "an import from derivation that is called fetched",
    11,
    "EVALUATION_UNEXPLAINED",
    forged((v) => {
      v.path(/^parameters\.nix$/).cause = "fetched";
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

function replaceAll(victim: Victim, other: Victim): void {
  victim.files.clear();
  for (const [name, bytes] of other.files) victim.files.set(name, bytes);
  Object.assign(victim.document, structuredClone(other.document));
}
