/**
 * What software is made of, as a graph of any size: deep, most of it resting on little, and the same every time. What a
 * unit is, a derivation made by hand or one for the real Nix, is for others.
 */
import { Random } from "../random.js";

export interface Unit {
  readonly name: string;
  /** Units that it is built with, by their place in the graph: all of them earlier. */
  readonly inputs: readonly number[];
  /** Those among them that its output refers to. */
  readonly references: readonly number[];
  /** The fixed source that it is made from. */
  readonly source: string | null;
  readonly hasPatch: boolean;
}

export interface Graph {
  readonly units: readonly Unit[];
  /** Units that no other needs: whoever refers to them leads to all. */
  readonly top: readonly number[];
}

export interface GraphSize {
  readonly units: number;
  readonly sources: number;
  readonly patches: number;
}

/** Length of the longest chain at the least, where there are as many units. */
const DEPTH = 300;
const MAX_INPUTS = 8;

/** Chains side by side, of `DEPTH` units each; and from each unit a few edges more, most of them to the first units. */
export function softwareGraph({ units: count, sources, patches }: GraphSize): Graph {
  const random = new Random(1);
  const chains = Math.max(1, Math.round(count / DEPTH));
  const units: Unit[] = [];
  for (let i = 0; i < count; i++) {
    const inputs = new Set<number>();
    if (i >= chains) inputs.add(i - chains);
    // Few inputs are the rule, and some units are used by nearly all.
    const more = i === 0 ? 0 : random.below(1 + random.below(MAX_INPUTS));
    for (let n = 0; n < more; n++) inputs.add(Math.floor(i * (random.below(1000) / 1000) ** 3));
    const sorted = [...inputs].sort((a, b) => a - b);
    units.push({
      name: `unit-${String(i).padStart(5, "0")}`,
      inputs: sorted,
      references: sorted.filter((input) => input === i - chains || random.oneIn(2)),
      source: isShare(i, sources, count) ? `source-${String(i).padStart(5, "0")}` : null,
      hasPatch: isShare(i, patches, count),
    });
  }
  return { units, top: units.map((_, i) => i).slice(-chains) };
}

/** True for `share` of the numbers below `count`, evenly spread. */
function isShare(i: number, share: number, count: number): boolean {
  return Math.floor(((i + 1) * share) / count) > Math.floor((i * share) / count);
}
