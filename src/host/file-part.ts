/** Hashes a file, or a part of one, that is known by its size. Synchronous, for worker threads. */
import { createHash } from "node:crypto";
import { closeSync, fstatSync, openSync, readSync } from "node:fs";
import { READ_SAFELY } from "./files.js";

export interface FilePart {
  readonly path: string;
  /** Of its first byte. */
  readonly offset: number;
  readonly size: number;
}

/** Hex SHA-256; null where no such regular file, or not all of it, could be read: who asked may look why. */
export type FileResult = string | null;

const READ_SIZE = 256 * 1024;
let buffer: Buffer | undefined;

export function hashFilePart({ path, offset, size }: FilePart): FileResult {
  buffer ??= Buffer.allocUnsafeSlow(READ_SIZE);
  let file: number | undefined;
  try {
    file = openSync(path, READ_SAFELY);
    if (!fstatSync(file).isFile()) return null;
    const hasher = createHash("sha256");
    for (let at = 0; at < size; ) {
      const got = readSync(file, buffer, 0, Math.min(READ_SIZE, size - at), offset + at);
      if (got === 0) return null;
      hasher.update(buffer.subarray(0, got));
      at += got;
    }
    return hasher.digest("hex");
  } catch {
    return null;
  } finally {
    if (file !== undefined) closeSync(file);
  }
}
