/** Which paths belong to which kind (docs/format.md, "Which paths, and their kinds"): pack writes it, V6 compares it. */
import type { Path } from "../generated/types.js";
import { closure } from "../nix/closure.js";
import type { Kind, Seed } from "./needs.js";

/** In the order of the document. */
export const KINDS: readonly Kind[] = ["derivation", "evaluation", "fixed", "flake", "input", "output"];

/** The set of paths of each kind, absent ones too. */
export function kindSets(
  byPath: ReadonlyMap<string, Path>,
  seeds: readonly Seed[],
): Map<Kind, ReadonlySet<string>> {
  const sets = new Map<Kind, ReadonlySet<string>>();
  for (const kind of KINDS) {
    const paths = seeds.filter((seed) => seed.kind === kind).map(({ path }) => path);
    sets.set(kind, kind === "flake" ? new Set(paths) : new Set(closure(byPath, paths)));
  }
  return sets;
}
