/** The regular files of a tree, by and by, and how they begin. Follows no symlink. */
import { open, readdir } from "node:fs/promises";
import { join } from "node:path";
import { READ_SAFELY, withDiskErrors } from "./files.js";

/** Paths from the root, in no particular order. @throws DISK */
export async function* filesIn(root: string): AsyncGenerator<string, void> {
  const waiting = [""];
  for (let folder = waiting.pop(); folder !== undefined; folder = waiting.pop()) {
    const path = join(root, folder);
    for (const entry of await withDiskErrors(path, () => readdir(path, { withFileTypes: true }))) {
      const name = folder === "" ? entry.name : `${folder}/${entry.name}`;
      if (entry.isDirectory()) waiting.push(name);
      else if (entry.isFile()) yield name;
    }
  }
}

/** At most `size` bytes. @throws DISK */
export function readHead(path: string, size: number): Promise<Buffer> {
  return withDiskErrors(path, async () => {
    const file = await open(path, READ_SAFELY);
    try {
      const { buffer, bytesRead } = await file.read(Buffer.allocUnsafe(size), 0, size, 0);
      return buffer.subarray(0, bytesRead);
    } finally {
      await file.close();
    }
  });
}
