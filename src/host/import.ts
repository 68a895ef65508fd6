/** Brings store paths through a gate into a store, in batches. Which ones, in which order, is decided by the caller. */
import type { Gate } from "./gate.js";
import { type CopyEvent, copy, type NixContext } from "./nix/index.js";

/**
 * `storePaths`: in dependency order. Paths that are valid already are left as they are. `onEvent` hears how it goes.
 *
 * @throws AirgapError NIX_FAILED where Nix refuses one; what `Gate.stage` throws
 */
export async function importPaths(
  nix: NixContext,
  gate: Gate,
  storePaths: readonly string[],
  { store, onEvent }: { readonly store: string; readonly onEvent: (event: CopyEvent) => void },
): Promise<void> {
  const importing = { ...nix, options: { ...nix.options, "trusted-public-keys": gate.publicKey } };
  for (const round of importRounds(storePaths, gate)) {
    for (const batch of gate.batches(round)) {
      await gate.stage(batch, (blob, bytes) => onEvent({ type: "staged", blob, bytes }));
      await copy(importing, batch, { from: gate.url, to: store, onEvent });
    }
  }
}

/**
 * Nix 2.8 cannot take .drv files and other paths in one call, so they go in turns: first what refers to no .drv, then
 * .drv files, then what refers to those, and so on; seldom more than two rounds.
 */
export function importRounds(
  storePaths: readonly string[],
  { referencesOf }: Pick<Gate, "referencesOf">,
): string[][] {
  const rounds: string[][] = [];
  const roundOf = new Map<string, number>();
  for (const path of storePaths) {
    const parity = path.endsWith(".drv") ? 1 : 0;
    let round = parity;
    for (const reference of referencesOf(path)) {
      // A reference of the other kind is in a round of the other parity, so one more is ours again.
      const before = reference === path ? undefined : roundOf.get(reference);
      if (before !== undefined) round = Math.max(round, before % 2 === parity ? before : before + 1);
    }
    roundOf.set(path, round);
    while (rounds.length <= round) rounds.push([]);
    rounds[round]!.push(path);
  }
  return rounds.filter((paths) => paths.length > 0);
}
