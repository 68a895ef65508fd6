/** The regular files of a tree, by and by, and how they begin. Follows no symlink. */
import { closeSync, openSync, readSync } from "node:fs";
import { lstat, readdir } from "node:fs/promises";
import { join } from "node:path";
import { asDiskError, READ_SAFELY, withDiskErrors } from "./files.js";

/** Paths from the root, those of a folder together; in no particular order. A root that is a file is the path "". @throws DISK */
export async function* filesByFolder(root: string): AsyncGenerator<readonly string[], void> {
  if ((await withDiskErrors(root, () => lstat(root))).isFile()) {
    yield [""];
    return;
  }
  const waiting = [""];
  for (let folder = waiting.pop(); folder !== undefined; folder = waiting.pop()) {
    const path = join(root, folder);
    const files: string[] = [];
    for (const entry of await withDiskErrors(path, () => readdir(path, { withFileTypes: true }))) {
      const name = folder === "" ? entry.name : `${folder}/${entry.name}`;
      if (entry.isDirectory()) waiting.push(name);
      else if (entry.isFile()) files.push(name);
    }
    yield files;
  }
}

/** Reads at most `buffer`'s size into it, and gives that part of it. For very many files: does not wait. @throws DISK */
export function readHeadSync(path: string, buffer: Buffer): Buffer {
  try {
    const file = openSync(path, READ_SAFELY);
    try {
      return buffer.subarray(0, readSync(file, buffer, 0, buffer.length, 0));
    } finally {
      closeSync(file);
    }
  } catch (error) {
    throw asDiskError(error, path);
  }
}
