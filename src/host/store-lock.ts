/** One run at a time in one store: restores, and a rebuild in its scratch store. The lock lies in the store's state. */
import { mkdir, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { errorCode, withDiskErrors } from "./files.js";
import { withLock } from "./lock.js";
import type { TargetStore } from "./store.js";

/** @throws AirgapError LOCKED, DISK, NO_SPACE */
export async function withStoreLock<T>({ stateDir }: TargetStore, action: () => Promise<T>): Promise<T> {
  const folder = join(stateDir, "nix-airgap");
  await withDiskErrors(folder, () => mkdir(folder, { recursive: true }));
  return withLock(join(folder, "store.lock"), async () => {
    await dropEmptySchema(join(stateDir, "db/schema"));
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
