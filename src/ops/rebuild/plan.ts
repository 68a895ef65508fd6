/** Decides what a rebuild starts from and what it builds. Pure: from a verified bundle's document and derivations. */
import type { PackedDerivations } from "../../bundle/packed.js";
import type { BundleDocument, Path, Root } from "../../generated/types.js";
import { dependencyOrder } from "../../nix/closure.js";
import type { Derivation } from "../../nix/derivation.js";

export type RebuildTier = "build" | "source";

/** That of derivations that Nix itself makes, on any machine. */
const BUILTIN = "builtin";

export interface RebuildPlan {
  readonly from: RebuildTier;
  /** The derivations to build, by path, inputs first. Fixed-output ones are never built: their sources are far away. */
  readonly build: ReadonlyMap<string, Derivation>;
  /** Their outputs: path to derivation. None of these may be in the scratch store unless it was built there. */
  readonly outputs: ReadonlyMap<string, string>;
  /** What the scratch store gets from the bundle, in dependency order. */
  readonly imports: readonly Path[];
}

/** The kinds of paths that each tier promises for building. */
const IMPORTED_KINDS: Readonly<Record<RebuildTier, readonly Path["kinds"][number][]>> = {
  build: ["derivation", "input"],
  source: ["derivation", "fixed"],
};

/**
 * From `build`: the roots' derivations, of direct inputs. From `source`: everything that leads to them, up to
 * fixed-output derivations, whose outputs are the sources.
 */
export function planRebuild(
  document: BundleDocument,
  packed: PackedDerivations,
  from: RebuildTier,
): RebuildPlan {
  const build = derivationsToBuild(document, packed, from);
  const outputs = new Map<string, string>();
  for (const [drvPath, derivation] of build) {
    for (const output of derivation.outputs.values()) if ("path" in output) outputs.set(output.path, drvPath);
  }
  const kinds = new Set(IMPORTED_KINDS[from]);
  const byPath = new Map(document.paths.map((path) => [path.storePath, path]));
  const wanted = document.paths
    .filter((path) => path.kinds.some((kind) => kinds.has(kind)) && !outputs.has(path.storePath))
    .map(({ storePath }) => storePath);
  return { from, build, outputs, imports: dependencyOrder(byPath, wanted).map((path) => byPath.get(path)!) };
}

/** The document without roots of other systems; `systems` absent: all of it. */
export function limitRoots(
  document: BundleDocument,
  systems: readonly string[] | undefined,
): { readonly limited: BundleDocument; readonly leftOut: readonly Root[] } {
  const isLeft = ({ system }: Root) => systems !== undefined && !systems.includes(system);
  const { roots } = document;
  return {
    limited: { ...document, roots: roots.filter((root) => !isLeft(root)) },
    leftOut: roots.filter(isLeft),
  };
}

/** Derivations of the plan for systems that this machine does not build for, by system. */
export function foreignDerivations({ build }: RebuildPlan, own: ReadonlySet<string>): Map<string, string[]> {
  const foreign = new Map<string, string[]>();
  for (const [drvPath, { system }] of build) {
    if (system === BUILTIN || own.has(system)) continue;
    foreign.set(system, [...(foreign.get(system) ?? []), drvPath]);
  }
  return foreign;
}

function derivationsToBuild(
  { roots }: BundleDocument,
  packed: PackedDerivations,
  from: RebuildTier,
): Map<string, Derivation> {
  const found = new Map<string, Derivation>();
  const waiting = roots.map(({ drvPath }) => drvPath);
  for (let drvPath = waiting.pop(); drvPath !== undefined; drvPath = waiting.pop()) {
    const derivation = packed.byPath.get(drvPath);
    if (found.has(drvPath) || derivation === undefined || derivation.kind === "fixed") continue;
    found.set(drvPath, derivation);
    if (from === "source") waiting.push(...derivation.inputDrvs.keys());
  }
  const graph = new Map(
    [...found].map(([path, { inputDrvs }]) => [path, { references: [...inputDrvs.keys()] }]),
  );
  return new Map(dependencyOrder(graph).map((drvPath) => [drvPath, found.get(drvPath)!]));
}

/**
 * What can be imported now: paths whose references are all there, or come along. `there`: valid in the scratch store. An
 * input may refer to another root's output, which must be built before.
 */
export function importable(waiting: readonly Path[], there: ReadonlySet<string>): Path[] {
  const ready = new Set<string>();
  // In dependency order, so that one pass is enough.
  return waiting.filter(({ storePath, references }) => {
    const isReady = references.every((path) => path === storePath || there.has(path) || ready.has(path));
    if (isReady) ready.add(storePath);
    return isReady;
  });
}

/** Which derivations can be built now: all that they use is there, or is an output of another that can. */
export function buildable(
  plan: RebuildPlan,
  packed: PackedDerivations,
  there: ReadonlySet<string>,
): string[] {
  const ready = new Set<string>();
  // Inputs first, so that one pass is enough.
  return [...plan.build.keys()].filter((drvPath) => {
    const isReady = packed.inputsOf(drvPath).every((path) => {
      const builtBy = plan.outputs.get(path);
      return there.has(path) || (builtBy !== undefined && ready.has(builtBy));
    });
    if (isReady) ready.add(drvPath);
    return isReady;
  });
}
