/** One run at a time in one store: restores, and a rebuild in its scratch store. The lock lies in the store's state. */
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { withDiskErrors } from "./files.js";
import { withLock } from "./lock.js";
import type { TargetStore } from "./store.js";

/** @throws AirgapError LOCKED, DISK, NO_SPACE */
export async function withStoreLock<T>({ stateDir }: TargetStore, action: () => Promise<T>): Promise<T> {
  const folder = join(stateDir, "nix-airgap");
  await withDiskErrors(folder, () => mkdir(folder, { recursive: true }));
  return withLock(join(folder, "store.lock"), action);
}
