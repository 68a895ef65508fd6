/**
 * The one form of tar that a bundle has (docs/format.md, section 8): writing it, and walking its headers. Nothing is
 * ever unpacked, and contents are not read. Names are just text here; layout.ts says which are legal. Where the bytes of
 * the tar itself lie, or go to, is its caller's.
 */
import { createHash } from "node:crypto";
import { readSync } from "node:fs";
import { Header } from "tar";
import { type Finding, fail } from "../errors.js";
import { excerpt } from "../nix/excerpt.js";
import type { FilePart } from "../segments.js";
import { piecesOf } from "./pieces.js";

export interface TarMember {
  readonly name: string;
  readonly size: number;
  /** Of the first byte of its contents; its header is the block before. */
  readonly offset: number;
}

/** What to write: contents in memory, or what lies on disk; with `sha256`, hex, only if it is that. */
export type TarSource =
  | { readonly name: string; readonly bytes: Uint8Array }
  | { readonly name: string; readonly file: FilePart; readonly sha256?: string };

/** Takes the bytes of a tar, one after the other. */
export type TakeBytes = (bytes: Uint8Array) => Promise<void>;

/** Gives all of the bytes asked for, which lie within the tar as it was measured. */
export type ReadBytes = (position: number, length: number) => Buffer;

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

/** Bytes of a member's contents. */
export function sizeOfSource(source: TarSource): number {
  return "bytes" in source ? source.bytes.length : source.file.size;
}

/**
 * Writes members, in the order given, and the end of the tar. What `out` is given is valid until it has taken it. Throws
 * BLOB_SIZE and BLOB_HASH when a file is not what it should be, and INTERRUPTED.
 */
export async function writeMembers(
  out: TakeBytes,
  members: Iterable<TarSource>,
  { signal }: { readonly signal?: AbortSignal } = {},
): Promise<void> {
  const sink = new Sink(out);
  const buffer = Buffer.allocUnsafe(COPY_SIZE);
  for (const member of members) {
    if (signal?.aborted) fail("INTERRUPTED", { subject: member.name });
    const size = sizeOfSource(member);
    await sink.write(tarHeader(member.name, size));
    if ("bytes" in member) await sink.write(member.bytes);
    else await copyFile(member, buffer, sink, signal);
    await sink.write(Buffer.alloc(tarPadded(size) - size));
  }
  await sink.write(Buffer.alloc(TAR_END_SIZE));
  await sink.flush();
}

/** Collects small writes: a header and a narinfo are no system call each. */
class Sink {
  readonly #out: TakeBytes;
  readonly #pending = Buffer.allocUnsafe(COPY_SIZE);
  #filled = 0;

  constructor(out: TakeBytes) {
    this.#out = out;
  }

  async write(bytes: Uint8Array): Promise<void> {
    if (this.#filled + bytes.length > COPY_SIZE) await this.flush();
    if (bytes.length >= COPY_SIZE) return this.#out(bytes);
    this.#pending.set(bytes, this.#filled);
    this.#filled += bytes.length;
  }

  async flush(): Promise<void> {
    if (this.#filled > 0) await this.#out(this.#pending.subarray(0, this.#filled));
    this.#filled = 0;
  }
}

async function copyFile(
  { name, file, sha256 }: Extract<TarSource, { file: FilePart }>,
  buffer: Buffer,
  sink: Sink,
  signal: AbortSignal | undefined,
): Promise<void> {
  const hasher = sha256 === undefined ? null : createHash("sha256");
  let done = 0;
  for await (const piece of piecesOf(file, name, buffer)) {
    if (signal?.aborted) fail("INTERRUPTED", { subject: name });
    done += piece.length;
    hasher?.update(piece);
    await sink.write(piece);
  }
  if (done !== file.size) {
    fail("BLOB_SIZE", { subject: name, expected: `${file.size} bytes`, actual: `${done} bytes` });
  }
  const actual = hasher?.digest("hex");
  if (sha256 !== undefined && actual !== undefined && actual !== sha256) {
    fail("BLOB_HASH", { subject: name, expected: sha256, actual });
  }
}

/**
 * Walks the headers of a tar of `fileSize` bytes (V1). Reads headers and padding only. `readable`: how many of its bytes, from
 * the first, are there to be read; where they end the walk ends, with those members that lie before it.
 *
 * A header that is not exact is a finding; where its name and size can still be read and lead to another member, the
 * walk goes on, so that one flipped bit does not make everything behind it look missing. Two in a row end it.
 */
export function walkTar(
  read: ReadBytes,
  fileSize: number,
  options: { readonly maxMembers: number; readonly readable?: number },
): TarWalk {
  const { readable = fileSize } = options;
  const members = new Map<string, TarMember>();
  const findings: Finding[] = [];
  let lastWasBad = false;
  for (let at = 0, headers = 1; findings.length < MAX_WALK_FINDINGS; headers++) {
    if (at + BLOCK > fileSize) {
      findings.push({ code: "TAR_TRUNCATED", offset: at, expected: "a header, or the end of the tar" });
      break;
    }
    if (at + BLOCK > readable) break;
    const block = read(at, BLOCK);
    if (isZero(block)) {
      if (Math.min(at + TAR_END_SIZE, fileSize) <= readable) findings.push(...checkEnd(read, at, fileSize));
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
    if (end > readable) break;
    if (!isZero(read(offset + size, end - offset - size))) {
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
function checkEnd(read: ReadBytes, at: number, fileSize: number): Finding[] {
  const rest = fileSize - at;
  if (rest < TAR_END_SIZE) {
    return [{ code: "TAR_TRUNCATED", offset: at, expected: "two zero blocks", actual: `${rest} bytes` }];
  }
  if (rest > TAR_END_SIZE || !isZero(read(at, TAR_END_SIZE))) {
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

/** Of an open file. */
export function readerOf(fd: number): ReadBytes {
  return (position, length) => {
    const bytes = Buffer.alloc(length);
    let done = 0;
    while (done < length) {
      const read = readSync(fd, bytes, done, length - done, position + done);
      if (read === 0)
        return fail("TAR_TRUNCATED", { offset: position + done, hint: "The file shrank meanwhile." });
      done += read;
    }
    return bytes;
  };
}
