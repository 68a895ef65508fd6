/** Everything on this machine that the tier may need: derivations read and parsed, outputs made real, path infos. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { PackedDerivations } from "../../bundle/packed.js";
import { AirgapError, type Finding } from "../../errors.js";
import type { Root, Tier } from "../../generated/types.js";
import * as nix from "../../host/nix/index.js";
import { failedDerivations, foreignSystem, isHashMismatch } from "../../host/nix/words.js";
import { type Derivation, parseDerivation } from "../../nix/derivation.js";
import { derivationReferences } from "../../nix/derivation-hash.js";
import { formatHex, formatNix32, formatSri, hashOf } from "../../nix/hash.js";
import { writeNar } from "../../nix/nar-writer.js";
import type { Progress } from "../phase-clock.js";

export interface DerivationFiles {
  readonly derivations: PackedDerivations;
  /** Path infos of the .drv files, from their bytes. */
  readonly infos: ReadonlyMap<string, nix.PathInfo>;
  readonly findings: readonly Finding[];
}

/** Reads the derivations that `roots` depend on, from the store on disk. */
export async function readDerivations(
  roots: Iterable<string>,
  realStoreDir: string,
): Promise<DerivationFiles> {
  const byPath = new Map<string, Derivation>();
  const infos = new Map<string, nix.PathInfo>();
  const findings: Finding[] = [];
  // A Set's iteration also visits what is added while it runs.
  const seen = new Set(roots);
  for (const drvPath of seen) {
    const file = join(realStoreDir, drvPath.slice("/nix/store/".length));
    const bytes = await readFile(file).catch((error: NodeJS.ErrnoException) => {
      throw new AirgapError("DISK", { subject: file, actual: error.message }, { cause: error });
    });
    const derivation = parseDerivation(bytes, drvPath);
    const unknown = whatIsUnknown(derivation);
    if (unknown !== null) findings.push({ code: "DERIVATION_FLOATING", subject: drvPath, actual: unknown });
    byPath.set(drvPath, derivation);
    infos.set(drvPath, derivationInfo(drvPath, bytes, derivation));
    for (const input of derivation.inputDrvs.keys()) seen.add(input);
    // A builder may get a derivation to read, not what it makes.
    for (const source of derivation.inputSrcs) if (source.endsWith(".drv")) seen.add(source);
  }
  return { derivations: new PackedDerivations(byPath), infos, findings };
}

/** Why a bundle cannot carry it: its outputs' names follow from nothing that is known before they are built. */
function whatIsUnknown({ kind, outputs }: Derivation): string | null {
  if (kind !== "fixed" && kind !== "input-addressed") return `a derivation that is ${kind}`;
  for (const output of outputs.values()) {
    if (output.kind !== "fixed" || output.method === "flat" || output.method === "nar") continue;
    return `an output hashed as ${output.method}, of an experimental feature of Nix`;
  }
  return null;
}

function derivationInfo(storePath: string, bytes: Buffer, derivation: Derivation): nix.PathInfo {
  const nar = writeNar({ kind: "regular", executable: false, contents: bytes });
  return {
    storePath,
    narHash: formatSri(hashOf("sha256", nar)),
    narSize: nar.length,
    references: derivationReferences(derivation),
    deriver: null,
    ca: `text:${formatNix32(hashOf("sha256", bytes))}`,
    signatures: [],
  };
}

/** What must be valid in this machine's store for the tier; each as Nix's `DRV!output`. */
export function tierTargets(
  tier: Tier,
  rootDrvs: readonly string[],
  derivations: PackedDerivations,
): string[] {
  const targets = new Set<string>();
  if (tier !== "runtime") {
    for (const drvPath of rootDrvs) {
      for (const [input, outputs] of derivations.byPath.get(drvPath)?.inputDrvs ?? []) {
        for (const output of outputs) targets.add(`${input}!${output}`);
      }
    }
  }
  if (tier === "source") {
    for (const [drvPath, derivation] of derivations.byPath)
      if (derivation.kind === "fixed") targets.add(drvPath);
  }
  return [...targets].sort();
}

/** The paths that roots and tier ask for by themselves, apart from .drv files; their closures come along. */
export function tierPaths(tier: Tier, roots: readonly Root[], derivations: PackedDerivations): string[] {
  const paths = roots.flatMap((root) => root.outputs.map(({ path }) => path));
  if (tier === "runtime") return paths;
  for (const { inputSrcs } of derivations.byPath.values())
    paths.push(...inputSrcs.filter((path) => !path.endsWith(".drv")));
  for (const { drvPath } of roots)
    paths.push(...derivations.inputsOf(drvPath).filter((path) => !path.endsWith(".drv")));
  if (tier === "build") return paths;
  const fixed = [...derivations.outputs].filter(([, { output }]) => output.kind === "fixed");
  return [...paths, ...fixed.map(([path]) => path)];
}

/**
 * Builds or fetches what is not there. What can no longer be had is found in one go: a finding for each fixed output
 * with its URL and hash, else Nix's own words.
 */
export async function makeReal(
  context: nix.NixContext,
  targets: readonly string[],
  derivations: PackedDerivations,
  progress: Progress,
): Promise<Finding[]> {
  let built = 0;
  const onEvent = (event: nix.NixLogEvent): void => {
    if (event.type === "started") progress({ items: built, detail: event.subject });
    if (event.type === "finished" && event.kind !== "fetch")
      progress({ items: ++built, detail: event.subject });
  };
  const outcome = await nix.realise(context, [...new Set(targets)], { keepGoing: true, onEvent });
  if (outcome.ok) return [];
  const foreign = foreignSystem(outcome.message);
  // Nix may end with the first derivation that it cannot even begin, so that nothing is known of the others.
  if (foreign !== null) {
    const { system, drvPath } = foreign;
    return [{ code: "SYSTEM_UNAVAILABLE", subject: system, actual: outcome.message, neededBy: [drvPath] }];
  }
  const failed = failedDerivations(outcome.message);
  for (const target of targets) if (derivations.byPath.get(target)?.kind === "fixed") failed.add(target);
  // It was there, but is not what the flake says.
  const others = [...failed].filter(
    (drvPath) =>
      derivations.byPath.get(drvPath)?.kind !== "fixed" || isHashMismatch(outcome.message, drvPath),
  );
  for (const drvPath of others) failed.delete(drvPath);
  const sources = [...failed].sort().flatMap((drvPath) => fixedOutput(drvPath, derivations));
  const valid = new Set(
    (
      await nix.pathInfo(
        context,
        sources.map(({ path }) => path),
      )
    ).map((info) => info.storePath),
  );
  const lost = sources.filter(({ path }) => !valid.has(path)).map(({ finding }) => finding);
  if (lost.length > 0 && others.length === 0) return lost;
  return [
    ...lost,
    { code: "BUILD_FAILED", subject: others.join(", ") || targets.join(", "), actual: outcome.message },
  ];
}

function fixedOutput(
  drvPath: string,
  derivations: PackedDerivations,
): { readonly path: string; readonly finding: Finding }[] {
  const derivation = derivations.byPath.get(drvPath);
  const output = derivation?.outputs.get("out");
  if (derivation === undefined || output?.kind !== "fixed") return [];
  const { algorithm } = output.hash;
  const expected = algorithm === "sha256" ? formatSri(output.hash) : `${algorithm}:${formatHex(output.hash)}`;
  const actual = derivation.env.get("url") ?? derivation.env.get("urls") ?? "no URL in the derivation";
  return [{ path: output.path, finding: { code: "SOURCE_UNAVAILABLE", subject: drvPath, expected, actual } }];
}
