/** Brings store paths through a gate into a store, several batches side by side. Which ones is decided by the caller. */
import pLimit from "p-limit";
import type { Gate } from "./gate.js";
import { ImportSchedule, isOfSmall } from "./import-schedule.js";
import { inLanes, type Task } from "./lanes.js";
import { type CopyEvent, copy, type NixContext, openStore } from "./nix/index.js";

export interface ImportOptions {
  /** As `nix --store` takes it. */
  readonly store: string;
  /** How many Nixes at a time, at most; the batch after theirs is being staged meanwhile. */
  readonly lanes: number;
  /** Hears how it goes, in which lane. */
  readonly onEvent: (event: CopyEvent, lane: number) => void;
  /** Hears which paths the store has now. */
  readonly onImported?: (storePaths: readonly string[]) => void;
}

/**
 * `storePaths`: in dependency order; what else they refer to is there. Paths that are valid already are left as they are.
 *
 * @throws AirgapError NIX_FAILED where Nix refuses one; what `Gate.stage` throws
 */
export async function importPaths(
  nix: NixContext,
  gate: Gate,
  storePaths: readonly string[],
  { store, lanes, onEvent, onImported }: ImportOptions,
): Promise<void> {
  const options = { ...nix.options, "trusted-public-keys": gate.publicKey };
  const schedule = new ImportSchedule(gate.schedulePaths(storePaths));
  const [copying, writing] = [pLimit(lanes), pLimit(1)];
  const next = (): Task | null => {
    const batch = schedule.begin();
    if (batch === null) return null;
    const names = batch.map(({ storePath }) => storePath);
    return async (lane, signal) => {
      await gate.stage(names, (blob, bytes) => onEvent({ type: "staged", blob, bytes }, lane));
      const copyBatch = () =>
        copying(() =>
          copy({ ...nix, options, signal }, names, {
            from: gate.url,
            to: store,
            recursive: false,
            onEvent: (event) => onEvent(event, lane),
          }),
        );
      await (isOfSmall(batch) ? writing(copyBatch) : copyBatch());
      await gate.unstage(names);
      schedule.end(batch);
      onImported?.(names);
    };
  };
  // Two Nixes that make the same store hinder each other.
  await openStore(nix, store);
  await inLanes(lanes + 1, nix.signal, next);
}
