/**
 * Reads a file that others may change meanwhile, piece by piece, as it lies on its medium: in one place or in several. For who
 * sends it on; worker threads have file-part.ts.
 */
import { type FileHandle, open } from "node:fs/promises";
import { AirgapError, fail } from "../errors.js";
import type { Segment } from "../segments.js";
import { READ_SAFELY, withDiskErrors } from "./files.js";

const CHANGED = "The medium was changed or taken away while it was read.";

/** The same bytes from `start` on, `length` of them. */
export function sliceParts(parts: readonly Segment[], start: number, length: number): Segment[] {
  const sliced: Segment[] = [];
  let skip = start;
  let left = length;
  for (const { path, offset, size } of parts) {
    const taken = Math.min(size - skip, left);
    if (taken > 0) {
      sliced.push({ path, offset: offset + skip, size: taken });
      left -= taken;
    }
    skip = Math.max(0, skip - size);
  }
  return sliced;
}

/** Each piece lies in `buffer` and is valid until the next is asked for. @throws AirgapError DISK, FILE_TYPE; BLOB_SIZE of a file that became shorter */
export async function* piecesOfParts(
  parts: readonly Segment[],
  buffer: Buffer,
): AsyncGenerator<Buffer, void, undefined> {
  for (const part of parts) {
    const file = await openRegular(part.path);
    try {
      for (let at = 0; at < part.size; ) {
        const wanted = Math.min(buffer.length, part.size - at);
        const { bytesRead } = await withDiskErrors(part.path, () =>
          file.read(buffer, 0, wanted, part.offset + at),
        );
        if (bytesRead === 0) {
          fail("BLOB_SIZE", {
            subject: part.path,
            expected: `${part.offset + part.size} bytes`,
            actual: `${part.offset + at} bytes`,
            hint: CHANGED,
          });
        }
        yield buffer.subarray(0, bytesRead);
        at += bytesRead;
      }
    } finally {
      await file.close();
    }
  }
}

async function openRegular(path: string): Promise<FileHandle> {
  const file = await withDiskErrors(path, () => open(path, READ_SAFELY));
  if ((await file.stat()).isFile()) return file;
  await file.close();
  return fail("FILE_TYPE", { subject: path, hint: CHANGED });
}

/** Why a file cannot be read where this part begins; null where it can. */
export async function canRead(part: Segment): Promise<AirgapError | null> {
  try {
    for await (const _ of piecesOfParts([{ ...part, size: Math.min(1, part.size) }], Buffer.alloc(1)));
    return null;
  } catch (error) {
    if (error instanceof AirgapError) return error;
    throw error;
  }
}
