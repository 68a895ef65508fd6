/** Reads what is known by its size, in one file or several. Synchronous, for worker threads. */
import { createHash } from "node:crypto";
import { closeSync, fstatSync, openSync, readSync } from "node:fs";
import { fail } from "../errors.js";
import type { FilePart, Segment } from "../segments.js";
import { asDiskError, errorCode, READ_SAFELY } from "./files.js";

/** Bytes that are read at a time. */
export const READ_SIZE = 256 * 1024;

/**
 * At most `limit` of the part's bytes, each piece in `buffer` and valid until the next; ends early where a file does.
 * @throws DISK; FILE_TYPE for what is no regular file, whatever it was before
 */
export function* piecesOf(
  { segments }: FilePart,
  buffer: Buffer,
  limit = Number.POSITIVE_INFINITY,
): Generator<Buffer, void, undefined> {
  let left = limit;
  for (const segment of segments) {
    const file = openRegular(segment.path);
    try {
      const size = Math.min(segment.size, left);
      for (let at = 0; at < size; ) {
        const got = readInto(buffer, file, segment, at, size - at);
        if (got === 0) return;
        yield buffer.subarray(0, got);
        at += got;
      }
      left -= size;
    } finally {
      closeSync(file);
    }
  }
}

/** Nothing that was put in a file's place is followed, or waited for. */
function openRegular(path: string): number {
  let file: number;
  try {
    file = openSync(path, READ_SAFELY);
  } catch (error) {
    // ELOOP: a symlink. ENXIO: a socket.
    if (["ELOOP", "ENXIO"].includes(errorCode(error))) return fail("FILE_TYPE", { subject: path });
    throw asDiskError(error, path);
  }
  if (fstatSync(file).isFile()) return file;
  closeSync(file);
  return fail("FILE_TYPE", { subject: path });
}

function readInto(buffer: Buffer, file: number, { path, offset }: Segment, at: number, size: number): number {
  try {
    return readSync(file, buffer, 0, Math.min(buffer.length, size), offset + at);
  } catch (error) {
    throw asDiskError(error, path);
  }
}

/** Hex SHA-256; null where no such regular file, or not all of it, could be read: who asked may look why. */
export type FileResult = string | null;

let buffer: Buffer | undefined;

export function hashFilePart(part: FilePart): FileResult {
  buffer ??= Buffer.allocUnsafeSlow(READ_SIZE);
  try {
    const hasher = createHash("sha256");
    let size = 0;
    for (const piece of piecesOf(part, buffer)) {
      hasher.update(piece);
      size += piece.length;
    }
    return size === part.size ? hasher.digest("hex") : null;
  } catch {
    return null;
  }
}
