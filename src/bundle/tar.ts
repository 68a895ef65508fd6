/**
 * The one form of tar that a bundle has (docs/format.md, section 8): writing it, and walking its headers. Nothing is
 * ever unpacked, and contents are not read. Names are just text here; layout.ts says which are legal.
 */
import { readSync } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import { Header } from "tar";
import { type Finding, fail } from "../errors.js";
import { excerpt } from "../nix/excerpt.js";

export interface TarMember {
  readonly name: string;
  readonly size: number;
  /** Of the first byte of its contents; its header is the block before. */
  readonly offset: number;
}

/** What to write: contents in memory, or `size` bytes of a file that has exactly as many. */
export type TarSource =
  | { readonly name: string; readonly bytes: Uint8Array }
  | { readonly name: string; readonly size: number; readonly path: string };

type OnBytes = (bytes: number) => void | Promise<void>;

export interface TarWalk {
  /** In the order of the file, each name once. */
  readonly members: readonly TarMember[];
  readonly findings: readonly Finding[];
}

export const BLOCK = 512;
/** Two zero blocks. */
export const TAR_END_SIZE = 2 * BLOCK;
/** What fits a header without a prefix. */
const MAX_NAME = 99;
const COPY_SIZE = 1024 * 1024;
/** With so many the walk ends: no tar of ours is damaged like that. */
export const MAX_WALK_FINDINGS = 20_000;

/** `size` rounded up to whole blocks. */
export function tarPadded(size: number): number {
  return Math.ceil(size / BLOCK) * BLOCK;
}

/** Bytes of a whole tar with members of these sizes. */
export function tarSize(sizes: Iterable<number>): number {
  let total = TAR_END_SIZE;
  for (const size of sizes) total += BLOCK + tarPadded(size);
  return total;
}

/** The one header for a name and a size. Throws TAR_HEADER for a name that does not fit. */
export function tarHeader(name: string, size: number): Buffer {
  if (!isPlainName(name)) {
    fail("TAR_HEADER", { expected: `a name of at most ${MAX_NAME} printable bytes`, actual: excerpt(name) });
  }
  const block = Buffer.alloc(BLOCK);
  const fields = { path: name, mode: 0o644, uid: 0, gid: 0, size, mtime: new Date(0), type: "File" } as const;
  new Header(fields).encode(block);
  return block;
}

/** A whole tar in memory, members in the order given. */
export function tarBytes(members: Iterable<readonly [name: string, bytes: Uint8Array]>): Buffer {
  const pieces: Uint8Array[] = [];
  for (const [name, bytes] of members) {
    pieces.push(tarHeader(name, bytes.length), bytes, Buffer.alloc(tarPadded(bytes.length) - bytes.length));
  }
  return Buffer.concat([...pieces, Buffer.alloc(TAR_END_SIZE)]);
}

/**
 * Writes members at `position` of `out`, in the order given, and the end of the tar. `onBytes` hears of bytes as they
 * are written, and is waited for. Returns the position after the end. Throws BLOB_SIZE when a file has not the size that its header
 * says, and INTERRUPTED.
 */
export async function writeMembers(
  out: FileHandle,
  position: number,
  members: Iterable<TarSource>,
  options: { readonly signal?: AbortSignal; readonly onBytes?: OnBytes } = {},
): Promise<number> {
  const sink = new Sink(out, position, options.onBytes ?? (() => {}));
  const buffer = Buffer.allocUnsafe(COPY_SIZE);
  for (const member of members) {
    if (options.signal?.aborted) fail("INTERRUPTED", { subject: member.name });
    const size = "bytes" in member ? member.bytes.length : member.size;
    await sink.write(tarHeader(member.name, size));
    if ("bytes" in member) await sink.write(member.bytes);
    else await copyFile(member, buffer, sink, options.signal);
    await sink.write(Buffer.alloc(tarPadded(size) - size));
  }
  await sink.write(Buffer.alloc(TAR_END_SIZE));
  return sink.finish();
}

/** Collects small writes: a header and a narinfo are no system call each. */
class Sink {
  readonly #out: FileHandle;
  readonly #onBytes: OnBytes;
  readonly #pending = Buffer.allocUnsafe(COPY_SIZE);
  #filled = 0;
  #position: number;

  constructor(out: FileHandle, position: number, onBytes: OnBytes) {
    this.#out = out;
    this.#position = position;
    this.#onBytes = onBytes;
  }

  async write(bytes: Uint8Array): Promise<void> {
    if (this.#filled + bytes.length > COPY_SIZE) await this.#flush();
    if (bytes.length >= COPY_SIZE) return this.#put(bytes);
    this.#pending.set(bytes, this.#filled);
    this.#filled += bytes.length;
  }

  async finish(): Promise<number> {
    await this.#flush();
    return this.#position;
  }

  async #flush(): Promise<void> {
    await this.#put(this.#pending.subarray(0, this.#filled));
    this.#filled = 0;
  }

  async #put(bytes: Uint8Array): Promise<void> {
    for (let done = 0; done < bytes.length; ) {
      const { bytesWritten } = await this.#out.write(bytes, done, bytes.length - done, this.#position);
      done += bytesWritten;
      this.#position += bytesWritten;
    }
    if (bytes.length > 0) await this.#onBytes(bytes.length);
  }
}

async function copyFile(
  member: { readonly name: string; readonly size: number; readonly path: string },
  buffer: Buffer,
  sink: Sink,
  signal: AbortSignal | undefined,
): Promise<void> {
  const file = await open(member.path);
  try {
    let done = 0;
    for (;;) {
      if (signal?.aborted) fail("INTERRUPTED", { subject: member.name });
      const { bytesRead } = await file.read(buffer, 0, buffer.length, done);
      if (bytesRead === 0) break;
      done += bytesRead;
      if (done > member.size) break;
      await sink.write(buffer.subarray(0, bytesRead));
    }
    if (done !== member.size) {
      fail("BLOB_SIZE", {
        subject: member.name,
        expected: `${member.size} bytes`,
        actual: done > member.size ? "more" : `${done} bytes`,
      });
    }
  } finally {
    await file.close();
  }
}

/**
 * Walks the headers of the tar in `fd`, which has `fileSize` bytes (V1). Reads headers and padding only.
 *
 * A header that is not exact is a finding; where its name and size can still be read and lead to another member, the
 * walk goes on, so that one flipped bit does not make everything behind it look missing. Two in a row end it.
 */
export function walkTar(fd: number, fileSize: number, options: { readonly maxMembers: number }): TarWalk {
  const members = new Map<string, TarMember>();
  const findings: Finding[] = [];
  let lastWasBad = false;
  for (let at = 0, headers = 1; findings.length < MAX_WALK_FINDINGS; headers++) {
    if (at + BLOCK > fileSize) {
      findings.push({ code: "TAR_TRUNCATED", offset: at, expected: "a header, or the end of the tar" });
      break;
    }
    const block = readAt(fd, at, BLOCK);
    if (isZero(block)) {
      findings.push(...checkEnd(fd, at, fileSize));
      break;
    }
    const { name, size, exact } = decodeHeader(block);
    const sane = name !== null && size !== null;
    if (!exact) {
      findings.push({ code: "TAR_HEADER", offset: at, ...(name === null ? {} : { subject: excerpt(name) }) });
      if (!sane || lastWasBad) break;
    }
    lastWasBad = !exact;
    if (!sane) break;
    const offset = at + BLOCK;
    const end = offset + tarPadded(size);
    if (!Number.isSafeInteger(end) || end > fileSize) {
      findings.push({
        code: "TAR_TRUNCATED",
        subject: excerpt(name),
        offset: at,
        expected: `${end - offset} bytes, with padding`,
        actual: `${fileSize - offset} bytes`,
      });
      break;
    }
    if (!isZero(readAt(fd, offset + size, end - offset - size))) {
      findings.push({ code: "TAR_PADDING", subject: excerpt(name), offset: offset + size });
    }
    if (members.has(name)) findings.push({ code: "TAR_DUPLICATE", subject: excerpt(name), offset: at });
    else members.set(name, { name, size, offset });
    // Also those of members that were there before: a tar may hold nothing but findings.
    if (headers > options.maxMembers) {
      findings.push({ code: "TOO_MANY_FILES", expected: `at most ${options.maxMembers}` });
      break;
    }
    at = end;
  }
  return { members: [...members.values()], findings };
}

/** Exactly two zero blocks, the first of them at `at`. */
function checkEnd(fd: number, at: number, fileSize: number): Finding[] {
  const rest = fileSize - at;
  if (rest < TAR_END_SIZE) {
    return [{ code: "TAR_TRUNCATED", offset: at, expected: "two zero blocks", actual: `${rest} bytes` }];
  }
  if (rest > TAR_END_SIZE || !isZero(readAt(fd, at, TAR_END_SIZE))) {
    return [{ code: "TAR_END", offset: at, expected: "two zero blocks", actual: `${rest} bytes` }];
  }
  return [];
}

interface DecodedHeader {
  readonly name: string | null;
  readonly size: number | null;
  /** Whether the block is the one that we write for this name and size. */
  readonly exact: boolean;
}

function decodeHeader(block: Buffer): DecodedHeader {
  let header: Header;
  try {
    header = new Header(block);
  } catch {
    // The header class throws plain errors, for base-256 numbers that are none.
    return { name: null, size: null, exact: false };
  }
  const name = header.path !== undefined && isPlainName(header.path) ? header.path : null;
  const size = header.size !== undefined && Number.isSafeInteger(header.size) ? header.size : null;
  const exact = name !== null && size !== null && tarHeader(name, size).equals(block);
  return { name, size, exact };
}

function isPlainName(name: string): boolean {
  return name.length <= MAX_NAME && /^[\x21-\x7e]+$/.test(name) && !name.endsWith("/");
}

function isZero(bytes: Buffer): boolean {
  return bytes.every((byte) => byte === 0);
}

/** All of the bytes asked for, which lie within the file as it was measured. */
function readAt(fd: number, position: number, length: number): Buffer {
  const bytes = Buffer.alloc(length);
  let done = 0;
  while (done < length) {
    const read = readSync(fd, bytes, done, length - done, position + done);
    if (read === 0)
      return fail("TAR_TRUNCATED", { offset: position + done, hint: "The file shrank meanwhile." });
    done += read;
  }
  return bytes;
}
