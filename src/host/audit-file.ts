/**
 * The file of a site's audit log: `audit.jsonl` in its state folder. Appends whole lines that survive a power cut, and
 * reads them in pieces. What a line says is for callers.
 */
import { constants } from "node:fs";
import { type FileHandle, open, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { fail } from "../errors.js";
import { errorCode, READ_SAFELY, syncDirectory, withDiskErrors } from "./files.js";

export function auditPath(folder: string): string {
  return join(folder, "audit.jsonl");
}

export interface AppendOptions {
  /** Bytes, line feed included. */
  readonly maxLine: number;
  /** The new line by the one that is the last now, both with their line feed; null where there is none. */
  readonly makeLine: (last: Buffer | null) => Buffer;
}

/**
 * Appends one line, in one write. What a crash left of a line is removed first. Whatever fails, and where `makeLine`
 * throws, no line is there that was not before. The caller holds the lock of the folder.
 *
 * @throws AUDIT_ENTRY where the file does not end in a line, or the torn part of one; DISK, NO_SPACE
 */
export async function appendLine(folder: string, { maxLine, makeLine }: AppendOptions): Promise<void> {
  const path = auditPath(folder);
  await withDiskErrors(path, async () => {
    const file = await openExisting(path, APPEND);
    if (file === null) return create(path, folder, makeLine(null));
    try {
      const size = await sizeOf(file, path);
      const { last, end } = await readEnd(file, { path, size, maxLine });
      const line = makeLine(last);
      if (end < size) await file.truncate(end);
      await append(file, { path, line, end });
    } finally {
      await file.close();
    }
  });
}

/**
 * The file's bytes, as many as there were when it was opened; none where there is no such file in the folder.
 *
 * @throws DISK where there is no such folder, or it cannot be read; INTERRUPTED
 */
export async function* readAuditFile(folder: string, signal: AbortSignal): AsyncGenerator<Buffer, void> {
  const path = auditPath(folder);
  const file = await withDiskErrors(path, () => openExisting(path, READ_SAFELY));
  if (file === null) {
    await withDiskErrors(folder, () => stat(folder));
    return;
  }
  try {
    const size = await sizeOf(file, path);
    for (let at = 0; at < size; ) {
      if (signal.aborted) fail("INTERRUPTED", { subject: path });
      const piece = await readAt(file, { path, at, size: Math.min(READ_SIZE, size - at) });
      if (piece.length === 0) return;
      yield piece;
      at += piece.length;
    }
  } finally {
    await file.close();
  }
}

/** No symlink is followed, no FIFO waited for. */
const SAFELY = constants.O_NOFOLLOW | constants.O_NONBLOCK;
const APPEND = constants.O_RDWR | constants.O_APPEND | SAFELY;
const CREATE = constants.O_WRONLY | constants.O_APPEND | constants.O_CREAT | constants.O_EXCL | SAFELY;
/** Names of people and machines are in it. */
const MODE = 0o640;
const READ_SIZE = 64 * 1024;

async function openExisting(path: string, flags: number): Promise<FileHandle | null> {
  try {
    return await open(path, flags);
  } catch (error) {
    if (errorCode(error) === "ENOENT") return null;
    throw error;
  }
}

async function sizeOf(file: FileHandle, path: string): Promise<number> {
  const stats = await withDiskErrors(path, () => file.stat());
  if (!stats.isFile()) fail("DISK", { subject: path, expected: "a regular file", actual: "something else" });
  return stats.size;
}

async function create(path: string, folder: string, line: Buffer): Promise<void> {
  const file = await open(path, CREATE, MODE);
  try {
    await append(file, { path, line, end: 0 });
  } catch (error) {
    await rm(path, { force: true });
    throw error;
  } finally {
    await file.close();
  }
  await syncDirectory(folder);
}

async function append(
  file: FileHandle,
  { path, line, end }: { readonly path: string; readonly line: Buffer; readonly end: number },
): Promise<void> {
  try {
    const { bytesWritten } = await file.write(line);
    if (bytesWritten < line.length) {
      fail("NO_SPACE", {
        subject: path,
        expected: `room for ${line.length} bytes`,
        actual: `room for ${bytesWritten}`,
      });
    }
    await file.sync();
  } catch (error) {
    // If this fails too, the half line has no line feed, and goes next time.
    await file.truncate(end).catch(() => {});
    throw error;
  }
}

interface End {
  /** With its line feed; null where there is none. */
  readonly last: Buffer | null;
  /** Bytes up to and with the last line feed. */
  readonly end: number;
}

/** Reads no more than two lines may have. */
async function readEnd(
  file: FileHandle,
  { path, size, maxLine }: { readonly path: string; readonly size: number; readonly maxLine: number },
): Promise<End> {
  const from = Math.max(0, size - 2 * maxLine);
  const bytes = await readWhole(file, { path, at: from, size: size - from });
  const lastFeed = bytes.lastIndexOf(LF);
  const torn = bytes.length - (lastFeed + 1);
  if (torn >= maxLine) refuseEnd(path, maxLine);
  if (lastFeed < 0) return { last: null, end: 0 };
  const feedBefore = lastFeed === 0 ? -1 : bytes.lastIndexOf(LF, lastFeed - 1);
  const last = bytes.subarray(feedBefore + 1, lastFeed + 1);
  if (last.length > maxLine || (feedBefore < 0 && from > 0)) refuseEnd(path, maxLine);
  return { last, end: from + lastFeed + 1 };
}

const LF = 0x0a;

function refuseEnd(path: string, maxLine: number): never {
  return fail("AUDIT_ENTRY", {
    subject: path,
    expected: `a last line of at most ${maxLine} bytes`,
    actual: "a longer one",
  });
}

interface Range {
  readonly path: string;
  readonly at: number;
  readonly size: number;
}

async function readWhole(file: FileHandle, range: Range): Promise<Buffer> {
  const pieces: Buffer[] = [];
  for (let got = 0; got < range.size; ) {
    const piece = await readAt(file, { ...range, at: range.at + got, size: range.size - got });
    if (piece.length === 0) break;
    pieces.push(piece);
    got += piece.length;
  }
  return Buffer.concat(pieces);
}

/** A buffer of its own; empty at the end of the file. */
function readAt(file: FileHandle, { path, at, size }: Range): Promise<Buffer> {
  return withDiskErrors(path, async () => {
    const { buffer, bytesRead } = await file.read(Buffer.allocUnsafeSlow(size), 0, size, at);
    return buffer.subarray(0, bytesRead);
  });
}
