/** One run at a time in one store: restores, and a rebuild in its scratch store. The lock lies in the store's state; of who may not write
 * there, in their own: their daemon looks after everybody's imports. */
import { mkdir, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { errorCode, withDiskErrors } from "./files.js";
import { withLock } from "./lock.js";
import type { TargetStore } from "./store.js";

/** @throws AirgapError LOCKED, DISK, NO_SPACE */
export async function withStoreLock<T>(
  { stateDir, keptDir, roots }: TargetStore,
  action: () => Promise<T>,
): Promise<T> {
  await withDiskErrors(keptDir, () => mkdir(keptDir, { recursive: true }));
  return withLock(join(keptDir, "store.lock"), async () => {
    if (roots === "direct") await dropEmptySchema(join(stateDir, "db/schema"));
    return action();
  });
}

/**
 * Nix writes this file in place when it makes or upgrades a database. Killed just then, it leaves it empty, and calls the
 * store corrupt ever after; without the file it completes the database, and keeps all that is in it.
 */
async function dropEmptySchema(path: string): Promise<void> {
  await withDiskErrors(path, async () => {
    const stats = await stat(path).catch((error: unknown) => {
      if (errorCode(error) === "ENOENT") return undefined;
      throw error;
    });
    if (stats?.isFile() && stats.size === 0) await rm(path);
  });
}
