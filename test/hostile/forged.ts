/** What attacks by whoever holds the right key have in common: everything is made to fit, and signed. */
import type { Means } from "./attack.js";
import type { Victim } from "./victim.js";

/** Signed by the packer's key, after a change of the document and its NARs. */
export const forged =
  (change: (victim: Victim, means: Means) => void) =>
  (victim: Victim, means: Means): void => {
    change(victim, means);
    victim.signPaths(means.packer);
    victim.forge(means.packer);
  };

/** The path of the first input of the lock. */
export const input = (victim: Victim) =>
  victim.document.paths.find(({ storePath }) => storePath === victim.document.inputs[0]!.storePath)!;
