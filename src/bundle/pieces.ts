/** Reads what is known by its place, piece by piece, in the main thread; host/file-part.ts does in workers. */
import { constants } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import { fail } from "../errors.js";
import type { FilePart } from "../segments.js";
import { onDisk } from "./disk.js";

/**
 * Each piece in `buffer`, valid until the next; ends early where a file does. `name` is for errors.
 * Throws FILE_TYPE and DISK.
 */
export async function* piecesOf(
  { segments }: FilePart,
  name: string,
  buffer: Buffer,
): AsyncGenerator<Buffer, void, undefined> {
  for (const { path, offset, size } of segments) {
    const handle = await onDisk(name, () => openRegular(path, name));
    try {
      for (let at = 0; at < size; ) {
        const length = Math.min(buffer.length, size - at);
        const { bytesRead } = await onDisk(name, () => handle.read(buffer, 0, length, offset + at));
        if (bytesRead === 0) return;
        yield buffer.subarray(0, bytesRead);
        at += bytesRead;
      }
    } finally {
      await handle.close();
    }
  }
}

/** Nothing that was put in its place since is followed, or waited for. */
async function openRegular(path: string, name: string): Promise<FileHandle> {
  const handle = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  if ((await handle.stat()).isFile()) return handle;
  await handle.close();
  return fail("FILE_TYPE", { subject: name });
}
