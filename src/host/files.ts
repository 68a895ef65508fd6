/**
 * Files on disk as this program writes and removes them: durable, all or nothing, with errors that name the path.
 * What is in them, and where they belong, is for callers.
 */
import { constants, lstatSync, readdirSync, rmdirSync, unlinkSync } from "node:fs";
import {
  chmod,
  copyFile,
  cp,
  link,
  lstat,
  mkdtemp,
  open,
  readdir,
  rename,
  rm,
  stat,
  statfs,
} from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, dirname, join, resolve } from "node:path";
import { setImmediate } from "node:timers/promises";
import { AirgapError, fail } from "../errors.js";
import { hasEnded, markIn, ownName } from "./owner.js";

/** For opening what others may have changed since it was looked at: no symlink is followed, no FIFO waited for. */
export const READ_SAFELY = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;

/** Writes a whole file under a temporary name beside it, syncs, and renames. @throws DISK, NO_SPACE */
export async function writeFileAtomic(
  path: string,
  content: Uint8Array | string,
  mode = 0o644,
): Promise<void> {
  await replaceFile(path, async (partial) => {
    const file = await open(partial, "wx", mode);
    try {
      await file.writeFile(content);
      await file.sync();
    } finally {
      await file.close();
    }
  });
}

/** Copies a regular file, all or nothing, and syncs it. An existing `to` is replaced. @throws DISK, NO_SPACE */
export async function copyFileAtomic(from: string, to: string): Promise<void> {
  await replaceFile(to, async (partial) => {
    await copyFile(from, partial, constants.COPYFILE_EXCL | constants.COPYFILE_FICLONE);
    await syncFile(partial);
  });
}

/** Moves a regular file, also to another file system. An existing `to` is replaced. @throws DISK, NO_SPACE */
export async function moveFile(from: string, to: string): Promise<void> {
  try {
    await rename(from, to);
  } catch (error) {
    if (errorCode(error) !== "EXDEV") throw asDiskError(error, to);
    await copyFileAtomic(from, to);
    await withDiskErrors(from, () => rm(from));
    return;
  }
  await syncDirectory(dirname(to));
}

/** Moves a file or a tree, also to another file system; `to` must not exist. @throws DISK, NO_SPACE */
export async function moveTree(from: string, to: string): Promise<void> {
  await withDiskErrors(to, async () => {
    try {
      await rename(from, to);
    } catch (error) {
      if (errorCode(error) !== "EXDEV") throw error;
      await cp(from, to, { recursive: true, errorOnExist: true, force: false, verbatimSymlinks: true });
      await removeTree(from);
    }
  });
}

/** Gives a file that is whole its final name, without ever replacing another. @throws OUT_EXISTS, DISK, NO_SPACE */
export async function publishFile(partial: string, path: string): Promise<void> {
  await withDiskErrors(path, async () => {
    try {
      await link(partial, path);
      await rm(partial);
    } catch (error) {
      const code = errorCode(error);
      if (code === "EEXIST") fail("OUT_EXISTS", { subject: path });
      // A file system without hard links: between the two another run could come.
      if (code !== "EPERM" && code !== "ENOTSUP" && code !== "ENOSYS") throw error;
      if (await exists(path)) fail("OUT_EXISTS", { subject: path });
      await rename(partial, path);
    }
  });
}

/** As publishFile, for a folder that is whole: between look and rename another run could come. @throws OUT_EXISTS, DISK, NO_SPACE */
export async function publishFolder(partial: string, path: string): Promise<void> {
  if (await exists(path)) fail("OUT_EXISTS", { subject: path });
  await withDiskErrors(path, () => rename(partial, path));
}

/** A whole file, where there is none of that name. @throws OUT_EXISTS, DISK, NO_SPACE */
export async function writeNewFile(path: string, content: Uint8Array | string): Promise<void> {
  if (await exists(path)) fail("OUT_EXISTS", { subject: path });
  await writeFileAtomic(path, content);
}

/** `.<name>.partial-<whose>`: how every file or folder is called until all of it is written. */
export function partialName(path: string): string {
  return join(dirname(path), ownName(partialPrefix(path)));
}

function partialPrefix(path: string): string {
  return `.${basename(path)}.partial-`;
}

/** Removes what killed runs left of `path` while they wrote it. */
export function removePartials(path: string): Promise<void> {
  return removeAbandoned(dirname(path), partialPrefix(path));
}

/** Makes what was written to a file survive a power cut. @throws DISK, NO_SPACE */
export function syncFile(path: string): Promise<void> {
  return withDiskErrors(path, async () => {
    const file = await open(path, "r");
    try {
      await file.sync();
    } finally {
      await file.close();
    }
  });
}

/** Makes the names in a directory survive a power cut, where the file system can. @throws DISK, NO_SPACE */
export async function syncDirectory(path: string): Promise<void> {
  try {
    await syncFile(path);
  } catch (error) {
    // Some file systems (FUSE, SMB) have no fsync for directories.
    if (!(error instanceof AirgapError && ["EINVAL", "ENOTSUP"].includes(errorCode(error.cause))))
      throw error;
  }
}

/**
 * A whole small file: at most `cap` + 1 bytes of it, by which the caller sees that it is too large. Null where there is
 * none. @throws DISK, also for what is no regular file
 */
export async function readSmallFile(path: string, cap: number): Promise<Buffer | null> {
  try {
    return await withDiskErrors(path, async () => {
      const file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
      try {
        const stats = await file.stat();
        if (!stats.isFile()) throw new AirgapError("DISK", { subject: path, actual: "not a regular file" });
        const bytes = Buffer.alloc(Math.min(stats.size, cap) + 1);
        const { bytesRead } = await file.read(bytes, 0, bytes.length, 0);
        return bytes.subarray(0, bytesRead);
      } finally {
        await file.close();
      }
    });
  } catch (error) {
    const isMissing = error instanceof AirgapError && ["ENOENT", "ENOTDIR"].includes(errorCode(error.cause));
    if (isMissing) return null;
    throw error;
  }
}

/** Bytes of a regular file. @throws DISK */
export async function fileSize(path: string): Promise<number> {
  const stats = await withDiskErrors(path, () => stat(path));
  if (stats.isFile()) return stats.size;
  throw new AirgapError("DISK", { subject: path, actual: "not a regular file" });
}

/** A new empty folder that only we can enter, in `parent` or the system's place for such. @throws DISK, NO_SPACE */
export function makeTempDir(prefix: string, parent = tmpdir()): Promise<string> {
  return withDiskErrors(parent, () => mkdtemp(join(parent, prefix)));
}

/** What statfs(2) says of FAT. exFAT, 0x2011bab0, has larger files and folders. */
const FAT_TYPE = 0x4d44;

export interface FileSystem {
  /** Tells it from others. */
  readonly device: number;
  /** What an ordinary user may still write. */
  readonly freeBytes: number;
  /** Files that may still be made; null where there is no such limit. */
  readonly freeFiles: number | null;
  /** FAT: files end at 4 GiB, folders at 65,536 entries, and names have no case. */
  readonly isFat: boolean;
}

/** The file system that holds `path`, or will hold it. @throws DISK */
export async function fileSystemOf(path: string): Promise<FileSystem> {
  for (let existing = resolve(path); ; existing = dirname(existing)) {
    try {
      const { bavail, bsize, files, ffree, type } = await statfs(existing);
      const { dev } = await stat(existing);
      return {
        device: dev,
        freeBytes: bavail * bsize,
        freeFiles: files === 0 ? null : ffree,
        isFat: type === FAT_TYPE,
      };
    } catch (error) {
      if (errorCode(error) !== "ENOENT" || existing === dirname(existing)) throw asDiskError(error, path);
    }
  }
}

/** Room that something will take. */
export interface Need {
  readonly path: string;
  readonly bytes: number;
  /** At least so many files and folders. */
  readonly files?: number;
  /** How to choose another place: "give --out on another disk". */
  readonly elsewhere: string;
}

/** Refuses to begin what cannot end. Needs on one file system add up. @throws NO_SPACE, DISK */
export async function requireSpace(...needs: readonly Need[]): Promise<void> {
  const disks = new Map<number, { fileSystem: FileSystem; needs: Need[] }>();
  for (const need of needs) {
    if (need.bytes <= 0) continue;
    const fileSystem = await fileSystemOf(need.path);
    const disk = disks.get(fileSystem.device) ?? { fileSystem, needs: [] };
    disk.needs.push(need);
    disks.set(fileSystem.device, disk);
  }
  for (const { fileSystem, needs } of disks.values()) {
    const { freeBytes, freeFiles } = fileSystem;
    const bytes = Math.ceil(needs.reduce((sum, need) => sum + need.bytes, 0));
    const files = needs.reduce((sum, need) => sum + (need.files ?? 0), 0);
    if (bytes > freeBytes) refuseSpace(needs, "bytes", { needed: bytes, free: freeBytes });
    if (freeFiles !== null && files > freeFiles) {
      refuseSpace(needs, "files", { needed: files, free: freeFiles });
    }
  }
}

function refuseSpace(
  needs: readonly Need[],
  unit: string,
  { needed, free }: { needed: number; free: number },
): never {
  const [largest] = [...needs].sort((a, b) => b.bytes - a.bytes);
  const { path, elsewhere } = largest!;
  throw new AirgapError("NO_SPACE", {
    subject: path,
    expected: `room for ${needed} ${unit}`,
    actual: `${free} ${unit} free`,
    hint: `Free ${needed - free} ${unit} on the disk of ${path}, or ${elsewhere}; then run the command again.`,
  });
}

/** Bytes that a file or tree takes on its disk; 0 where there is none. Follows no symlink. @throws DISK */
export function sizeOnDisk(path: string): Promise<number> {
  return withDiskErrors(path, async () => {
    const stats = lstatSync(path, { throwIfNoEntry: false });
    if (stats === undefined) return 0;
    let bytes = stats.blocks * 512;
    if (stats.isDirectory())
      for (const name of await readdir(path)) bytes += await sizeOnDisk(join(path, name));
    return bytes;
  });
}

/**
 * Removes a file or a whole tree, names of any bytes and read-only folders (those of a store) included. Follows no
 * symlink. What does not exist is no error. @throws DISK
 */
export async function removeTree(path: string): Promise<void> {
  await withDiskErrors(path, async () => {
    const root = Buffer.from(path);
    const stats = lstatSync(root, { throwIfNoEntry: false });
    if (stats === undefined) return;
    if (stats.isDirectory()) await removeDirectory(root);
    else unlinkSync(root);
  });
}

async function removeDirectory(path: Buffer): Promise<void> {
  await chmod(path, 0o700).catch((error) => {
    // Not ours, but perhaps open to us all the same.
    if (errorCode(error) !== "EPERM") throw error;
  });
  // Synchronous within a folder, which is far quicker; in between others may run.
  await setImmediate();
  for (const entry of readdirSync(path, { encoding: "buffer", withFileTypes: true })) {
    // @types/node says string, whatever the encoding.
    const name: unknown = entry.name;
    const child = Buffer.concat([path, Buffer.from("/"), name as Buffer]);
    if (entry.isDirectory()) await removeDirectory(child);
    else unlinkSync(child);
  }
  rmdirSync(path);
}

/**
 * Removes files and folders of ours whose names begin with `prefix` and end as `ownName` ends them, where the process
 * they belonged to is gone. What cannot be seen or removed stays for another time: it is in nobody's way.
 */
export async function removeAbandoned(folder: string, prefix: string): Promise<void> {
  const names = await orNothing(withDiskErrors(folder, () => readdir(folder)));
  for (const name of names ?? []) {
    const mark = name.startsWith(prefix) ? markIn(name) : null;
    if (mark === null || !hasEnded(mark)) continue;
    const path = join(folder, name);
    // In a folder that is open to all, others may have made names like ours.
    if (lstatSync(path, { throwIfNoEntry: false })?.uid !== process.geteuid?.()) continue;
    await orNothing(removeTree(path));
  }
}

async function orNothing<T>(action: Promise<T>): Promise<T | undefined> {
  try {
    return await action;
  } catch (error) {
    if (error instanceof AirgapError && error.code === "DISK") return undefined;
    throw error;
  }
}

/** Runs `action`, with what the system refuses as a typed error that names `path`. @throws DISK, NO_SPACE */
export async function withDiskErrors<T>(path: string, action: () => Promise<T>): Promise<T> {
  try {
    return await action();
  } catch (error) {
    throw asDiskError(error, path);
  }
}

/** An error of the system as DISK or NO_SPACE; any other as it is. */
export function asDiskError(error: unknown, path: string): unknown {
  const code = errorCode(error);
  if (error instanceof AirgapError || code === "" || !(error instanceof Error && "syscall" in error))
    return error;
  const kind = code === "ENOSPC" || code === "EDQUOT" ? "NO_SPACE" : "DISK";
  return new AirgapError(kind, { subject: path, actual: REASONS.get(code) ?? code }, { cause: error });
}

const REASONS = new Map([
  ["ENOSPC", "no space left"],
  ["EDQUOT", "the quota is used up"],
  ["EACCES", "no permission"],
  ["EPERM", "not permitted"],
  ["EROFS", "a read-only file system"],
  ["EIO", "the device cannot read or write it"],
  ["ENOENT", "no such file or directory"],
  ["ELOOP", "a symbolic link"],
  ["EFBIG", "too large for this file system"],
  ["ENOTDIR", "not a directory"],
  ["EMFILE", "too many open files"],
]);

/** The `code` of a system error, such as "ENOENT", else "". */
export function errorCode(error: unknown): string {
  return error instanceof Error && "code" in error && typeof error.code === "string" ? error.code : "";
}

async function replaceFile(path: string, write: (partial: string) => Promise<void>): Promise<void> {
  const partial = partialName(path);
  await withDiskErrors(path, async () => {
    await removePartials(path);
    try {
      await write(partial);
      await rename(partial, path);
    } catch (error) {
      await rm(partial, { force: true });
      throw error;
    }
  });
  await syncDirectory(dirname(path));
}

/** Whether anything is at `path`; follows no symlink. @throws DISK */
export function exists(path: string): Promise<boolean> {
  return withDiskErrors(path, () =>
    lstat(path).then(
      () => true,
      (error) => {
        if (errorCode(error) === "ENOENT") return false;
        throw error;
      },
    ),
  );
}
