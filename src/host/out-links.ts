/** Short symlinks to store paths in a folder, for people (`--out-link`). They are no GC roots. */
import { lstat, mkdir, readlink, rename, rm, rmdir, symlink } from "node:fs/promises";
import { join } from "node:path";
import { fail } from "../errors.js";
import { errorCode, partialName, removePartials, withDiskErrors } from "./files.js";

/** Refuses, before anything is done, names that are taken by something other than a symlink. @throws AirgapError OUT_EXISTS, DISK */
export async function checkOutLinks(dir: string, names: Iterable<string>): Promise<void> {
  for (const name of names) {
    const path = join(dir, name);
    const stats = await withDiskErrors(path, () =>
      lstat(path).catch((error: unknown) => {
        if (errorCode(error) === "ENOENT") return undefined;
        throw error;
      }),
    );
    if (stats !== undefined && !stats.isSymbolicLink()) {
      fail("OUT_EXISTS", { subject: path, expected: "a symlink, or nothing" });
    }
  }
}

/** Makes the folder and, by name, symlinks to `targets`; older symlinks are replaced. @throws AirgapError DISK, NO_SPACE */
export async function writeOutLinks(dir: string, targets: ReadonlyMap<string, string>): Promise<void> {
  await withDiskErrors(dir, () => mkdir(dir, { recursive: true }));
  for (const [name, target] of targets) await replaceSymlink(join(dir, name), target);
}

/** A symlink where there is one, or nothing: in one step. @throws AirgapError DISK, NO_SPACE */
export async function replaceSymlink(path: string, target: string): Promise<void> {
  const partial = partialName(path);
  await removePartials(path);
  await withDiskErrors(path, async () => {
    try {
      await symlink(target, partial);
      await rename(partial, path);
    } catch (error) {
      await rm(partial, { force: true });
      throw error;
    }
  });
}

/** Removes those of the folder's symlinks that lead to these targets, and the folder once it is empty. @throws AirgapError DISK */
export async function removeOutLinks(dir: string, targets: ReadonlyMap<string, string>): Promise<void> {
  for (const [name, target] of targets) {
    const path = join(dir, name);
    await withDiskErrors(path, async () => {
      if ((await ifThere(readlink(path))) === target) await rm(path);
    });
  }
  await withDiskErrors(dir, () => ifThere(rmdir(dir)));
}

/** Undefined for what is not there, is no symlink, or still has something in it. */
async function ifThere<T>(action: Promise<T>): Promise<T | undefined> {
  try {
    return await action;
  } catch (error) {
    if (["ENOENT", "ENOTDIR", "EINVAL", "ENOTEMPTY"].includes(errorCode(error))) return undefined;
    throw error;
  }
}
