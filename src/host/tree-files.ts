/** The regular files of a tree, by and by, and how they begin. Follows no symlink. */
import { closeSync, openSync, readSync } from "node:fs";
import { lstat, readdir } from "node:fs/promises";
import { asDiskError, READ_SAFELY, withDiskErrors } from "./files.js";

/**
 * Paths from the root, those of a folder together; in no particular order. Names are bytes: a path is a latin1 string, one
 * character a byte, for `fileInTree`. A root that is a file is the path "". @throws DISK
 */
export async function* filesByFolder(root: string): AsyncGenerator<readonly string[], void> {
  if ((await withDiskErrors(root, () => lstat(root))).isFile()) {
    yield [""];
    return;
  }
  const waiting = [""];
  for (let folder = waiting.pop(); folder !== undefined; folder = waiting.pop()) {
    const path = fileInTree(root, folder);
    const files: string[] = [];
    const entries = await withDiskErrors(path.toString(), () =>
      readdir(path, { withFileTypes: true, encoding: "buffer" }),
    );
    for (const entry of entries) {
      const own = entry.name.toString("latin1");
      const name = folder === "" ? own : `${folder}/${own}`;
      if (entry.isDirectory()) waiting.push(name);
      else if (entry.isFile()) files.push(name);
    }
    yield files;
  }
}

/** The path of a file of a tree, in bytes. */
export function fileInTree(root: string, path: string): Buffer {
  if (path === "") return Buffer.from(root);
  return Buffer.concat([Buffer.from(`${root}/`), Buffer.from(path, "latin1")]);
}

/** Reads at most `buffer`'s size into it, and gives that part of it. For very many files: does not wait. @throws DISK */
export function readHeadSync(path: Buffer, buffer: Buffer): Buffer {
  try {
    const file = openSync(path, READ_SAFELY);
    try {
      return buffer.subarray(0, readSync(file, buffer, 0, buffer.length, 0));
    } finally {
      closeSync(file);
    }
  } catch (error) {
    throw asDiskError(error, path.toString());
  }
}
