/** What bundle files need of a disk: durable small files, and errors of the system with a code. Paths are callers'. */
import { open, rename, rm } from "node:fs/promises";
import { dirname } from "node:path";
import { AirgapError } from "../errors.js";

/** Runs `action`; what the system refuses becomes DISK or NO_SPACE about `subject`. */
export async function onDisk<T>(subject: string, action: () => Promise<T>): Promise<T> {
  try {
    return await action();
  } catch (error) {
    throw asDiskError(subject, error);
  }
}

/** As `onDisk`, for what does not wait. */
export function onDiskSync<T>(subject: string, action: () => T): T {
  try {
    return action();
  } catch (error) {
    throw asDiskError(subject, error);
  }
}

/** An error of the system as DISK or NO_SPACE; any other error as it is. */
export function asDiskError(subject: string, cause: unknown): unknown {
  const actual = errorCode(cause);
  if (actual === undefined || cause instanceof AirgapError) return cause;
  const full = actual === "ENOSPC" || actual === "EDQUOT" || actual === "EFBIG";
  return new AirgapError(full ? "NO_SPACE" : "DISK", { subject, actual }, { cause });
}

/** `ENOENT` and the like, of an error that the system gave. */
export function errorCode(error: unknown): string | undefined {
  return error instanceof Error && "code" in error && typeof error.code === "string" ? error.code : undefined;
}

/** Writes a file under the name `temporary` on the same file system, syncs it, and renames it to `path`. */
export async function replaceFile(path: string, bytes: Uint8Array, temporary: string): Promise<void> {
  try {
    await writeSynced(temporary, bytes);
    await onDisk(path, () => rename(temporary, path));
  } catch (error) {
    await onDisk(temporary, () => rm(temporary, { force: true }));
    throw error;
  }
  await syncPath(dirname(path));
}

/** Writes a file that survives a power cut once its name does. */
export async function writeSynced(path: string, bytes: Uint8Array): Promise<void> {
  await onDisk(path, async () => {
    const file = await open(path, "w", 0o644);
    try {
      await file.writeFile(bytes);
      await file.sync();
    } finally {
      await file.close();
    }
  });
}

/** Makes a file, or the names in a folder, survive a power cut, where the file system can. */
export async function syncPath(path: string): Promise<void> {
  await onDisk(path, async () => {
    const file = await open(path);
    try {
      await file.sync();
    } catch (error) {
      // Some file systems (FUSE, SMB) have no fsync for folders.
      const code = errorCode(error);
      if (code !== "EINVAL" && code !== "ENOTSUP") throw error;
    } finally {
      await file.close();
    }
  });
}
