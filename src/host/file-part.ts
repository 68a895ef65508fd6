/** Reads a file, or a part of one, that is known by its size. Synchronous, for worker threads. */
import { createHash } from "node:crypto";
import { closeSync, fstatSync, openSync, readSync } from "node:fs";
import { asDiskError, READ_SAFELY } from "./files.js";

export interface FilePart {
  readonly path: string;
  /** Of its first byte. */
  readonly offset: number;
  readonly size: number;
}

/** Bytes that are read at a time. */
export const READ_SIZE = 256 * 1024;

/** The part's bytes, each piece in `buffer` and valid until the next; ends early where the file does. @throws DISK */
export function* piecesOf(
  file: number,
  { path, offset, size }: FilePart,
  buffer: Buffer,
): Generator<Buffer, void, undefined> {
  for (let at = 0; at < size; ) {
    const got = readInto(buffer, { file, path, size: size - at, at: offset + at });
    if (got === 0) return;
    yield buffer.subarray(0, got);
    at += got;
  }
}

function readInto(
  buffer: Buffer,
  {
    file,
    path,
    size,
    at,
  }: { readonly file: number; readonly path: string; readonly size: number; readonly at: number },
): number {
  try {
    return readSync(file, buffer, 0, Math.min(buffer.length, size), at);
  } catch (error) {
    throw asDiskError(error, path);
  }
}

/** Hex SHA-256; null where no such regular file, or not all of it, could be read: who asked may look why. */
export type FileResult = string | null;

let buffer: Buffer | undefined;

export function hashFilePart(part: FilePart): FileResult {
  buffer ??= Buffer.allocUnsafeSlow(READ_SIZE);
  let file: number | undefined;
  try {
    file = openSync(part.path, READ_SAFELY);
    if (!fstatSync(file).isFile()) return null;
    const hasher = createHash("sha256");
    let size = 0;
    for (const piece of piecesOf(file, part, buffer)) {
      hasher.update(piece);
      size += piece.length;
    }
    return size === part.size ? hasher.digest("hex") : null;
  } catch {
    return null;
  } finally {
    if (file !== undefined) closeSync(file);
  }
}
