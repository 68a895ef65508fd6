/**
 * Strict, incremental parser of Nix archives (NAR): accepts exactly the bytes that Nix itself writes.
 *
 * Source of the format: Nix manual, "Nix Archive (NAR) format", and libutil/archive.cc. Knows nothing of
 * store paths, hashes or files; serialising is nar-writer.ts. Made for synchronous loops over large buffers:
 * file contents are skipped by length, and without a visitor nothing is allocated per chunk.
 */
import { isUtf8 } from "node:buffer";
import { AirgapError, type Code, type Details } from "../errors.js";
import { excerpt } from "./excerpt.js";

/** Directories around the deepest node: the root has depth 0. Nix 2.34 neither packs nor unpacks deeper ones. */
export const MAX_DEPTH = 63;
/** Bytes of one directory entry's name (NAME_MAX on Linux). */
export const MAX_NAME = 255;
/** Bytes of a symlink's target (PATH_MAX without its final NUL). */
export const MAX_SYMLINK_TARGET = 4095;
/** Directory entries in one NAR, over all its directories. */
export const MAX_ENTRIES = 10_000_000;
/** Names held at a time to find such as collide, over all open directories. */
const MAX_FOLDED = 100_000;
/** Bytes of one regular file: 256 TiB, so that offsets stay exact. */
export const MAX_CONTENTS = 2 ** 48;
/** Bytes of the longest keyword, "nix-archive-1". */
const MAX_KEYWORD = 13;

/** A regular file as its contents begin. */
export interface NarRegular {
  readonly path: string;
  readonly executable: boolean;
  /** Bytes of contents. */
  readonly size: number;
  /** Where the contents begin, in bytes from the start of the NAR. */
  readonly offset: number;
}

/**
 * What a NAR holds, in its order. Every callback is optional, and costs nothing where it is absent.
 *
 * Paths are latin1 strings (one character a byte: names are bytes, not text), pieces joined by "/"; the root
 * is "". `Buffer.from(path, "latin1")` gives the bytes back.
 */
export interface NarVisitor {
  directoryEnter?(path: string): void;
  directoryLeave?(path: string): void;
  regular?(file: NarRegular): void;
  /** A piece of the current regular file: `chunk[start..end)`, valid only during the call. */
  contents?(chunk: Uint8Array, start: number, end: number): void;
  /** After the last piece of the current regular file (also of an empty one). */
  regularEnd?(): void;
  /** `target` is latin1, as paths are. */
  symlink?(path: string, target: string): void;
  /**
   * Two entries of one directory that a file system blind to case or Unicode form takes for the same. Of directories
   * with more than `MAX_FOLDED` entries the later ones are compared with the first so many only.
   */
  collision?(path: string, other: string): void;
}

/**
 * One pass over one NAR: `update` with its bytes in pieces of any size, then `end`.
 *
 * @throws AirgapError with a `NAR_*` code, `details.offset` counted in bytes from the start of the NAR, and
 * `details.subject` the path inside the NAR. However the bytes are cut, the error is the same. After an error
 * every further call throws it again.
 */
export class NarParser {
  readonly #visitor: NarVisitor;
  readonly #subject: string | undefined;
  #state: State = State.Magic;
  #failure: AirgapError | undefined;

  /** Offset in the NAR of the current chunk's first byte. */
  #base = 0;
  /** A token cut by the end of a chunk is gathered here: its length field, its bytes, its padding. */
  readonly #partial = new Uint8Array(8 + padded(MAX_SYMLINK_TARGET));
  #partialFill = 0;
  #partialNeed = 8;
  #contentsLeft = 0;
  #paddingLeft = 0;

  #entries = 0;
  #executable = false;
  /** Open directories; also the depth of the node being read. */
  #depth = 0;
  /** The last name read in each open directory: what the next must be above, and the path of the node. */
  readonly #names = new Uint8Array(MAX_DEPTH * MAX_NAME);
  readonly #nameLengths = new Int32Array(MAX_DEPTH);
  readonly #folded: Map<string, string>[] = [];
  #foldedCount = 0;

  /** `subject` names the NAR in errors (a store path, say). */
  constructor(visitor: NarVisitor = {}, subject?: string) {
    this.#visitor = visitor;
    this.#subject = subject;
  }

  /** Bytes accepted so far. */
  get bytes(): number {
    return this.#base;
  }

  update(chunk: Uint8Array): void {
    if (this.#failure !== undefined) throw this.#failure;
    const size = chunk.length;
    let at = 0;
    while (at < size) {
      if (this.#contentsLeft > 0) {
        at = this.#takeContents(chunk, at);
      } else if (this.#paddingLeft > 0) {
        at = this.#takePadding(chunk, at);
      } else if (this.#state === State.End) {
        this.#refuse("NAR_TRAILING", this.#base + at, "the end", "more bytes");
      } else if (this.#partialFill > 0 || size - at < 8) {
        at = this.#gather(chunk, at);
      } else {
        const skipped = this.#skipSequence(chunk, at);
        if (skipped > 0) {
          at += skipped;
          continue;
        }
        const length = this.#tokenLength(chunk, at, this.#base + at);
        if (this.#state === State.ContentsValue) {
          this.#beginContents(length, this.#base + at + 8);
          at += 8;
        } else if (size - at - 8 < padded(length)) {
          at = this.#gather(chunk, at);
        } else {
          this.#token(chunk, at + 8, length, this.#base + at);
          at += 8 + padded(length);
        }
      }
    }
    this.#base += size;
  }

  /** @throws NAR_TRUNCATED where the NAR is not complete. */
  end(): void {
    if (this.#failure !== undefined) throw this.#failure;
    if (this.#contentsLeft > 0) {
      this.#refuse("NAR_TRUNCATED", this.#base, `${this.#contentsLeft} more bytes of contents`, "the end");
    }
    if (this.#state !== State.End)
      this.#refuse("NAR_TRUNCATED", this.#base, EXPECTED[this.#state]!, "the end");
  }

  /**
   * Takes the framing that nearly always stands here in one comparison. Only a short cut: where it does not
   * match, the tokens are read one by one, and say what is wrong.
   */
  #skipSequence(chunk: Uint8Array, at: number): number {
    const state = this.#state;
    const sequence = SEQUENCES[state]!;
    const size = sequence.length;
    if (size === 0 || chunk.length - at < size || !is(chunk, at, size, sequence)) return 0;
    // The root has no entry to close after it.
    if (state === State.NodeClose && this.#depth === 0) return 0;
    this.#state = AFTER_SEQUENCE[state]!;
    return size;
  }

  #takeContents(chunk: Uint8Array, at: number): number {
    const end = at + Math.min(this.#contentsLeft, chunk.length - at);
    this.#visitor.contents?.(chunk, at, end);
    this.#contentsLeft -= end - at;
    if (this.#contentsLeft === 0) this.#visitor.regularEnd?.();
    return end;
  }

  #takePadding(chunk: Uint8Array, at: number): number {
    const end = at + Math.min(this.#paddingLeft, chunk.length - at);
    this.#checkPadding(chunk, at, end, this.#base + at);
    this.#paddingLeft -= end - at;
    return end;
  }

  #checkPadding(chunk: Uint8Array, from: number, to: number, offset: number): void {
    for (let i = from; i < to; i++) {
      if (chunk[i] !== 0) this.#refuse("NAR_PADDING", offset + i - from, "a zero byte", String(chunk[i]));
    }
  }

  /** Adds to the token that began in an earlier chunk, or ends in a later one. */
  #gather(chunk: Uint8Array, from: number): number {
    const partial = this.#partial;
    let at = from;
    while (at < chunk.length && this.#partialFill < this.#partialNeed)
      partial[this.#partialFill++] = chunk[at++]!;
    if (this.#partialFill < this.#partialNeed) return at;

    const offset = this.#base + at - this.#partialFill;
    const length = this.#tokenLength(partial, 0, offset);
    if (this.#state === State.ContentsValue) {
      this.#partialFill = 0;
      this.#beginContents(length, offset + 8);
    } else if (this.#partialFill < 8 + padded(length)) {
      this.#partialNeed = 8 + padded(length);
    } else {
      this.#partialFill = 0;
      this.#partialNeed = 8;
      this.#token(partial, 8, length, offset);
    }
    return at;
  }

  /** Reads a little-endian 64-bit length, and refuses one that cannot stand here. */
  #tokenLength(bytes: Uint8Array, at: number, offset: number): number {
    const low = (bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24)) >>> 0;
    const high =
      (bytes[at + 4]! | (bytes[at + 5]! << 8) | (bytes[at + 6]! << 16) | (bytes[at + 7]! << 24)) >>> 0;
    const length = high * 0x1_0000_0000 + low;
    const state = this.#state;
    if (length <= MAX_KEYWORD) return length;
    const limit = lengthLimit(state);
    if (length <= limit) return length;
    // Numbers above 2^53 are rounded: say only that they are above.
    const actual = Number.isSafeInteger(length) ? `${length} bytes` : "2^53 bytes or more";
    if (limit !== MAX_KEYWORD) this.#refuse("NAR_LIMIT", offset, `at most ${limit} bytes`, actual);
    if (state === State.Magic) this.#refuse("NAR_MAGIC", offset, EXPECTED[state]!, actual);
    this.#refuse("NAR_FIELD", offset, EXPECTED[state]!, actual);
  }

  #beginContents(size: number, offset: number): void {
    this.#contentsLeft = size;
    this.#paddingLeft = padded(size) - size;
    this.#state = State.NodeClose;
    if (this.#visitor.regular !== undefined) {
      this.#visitor.regular({ path: this.#path(), executable: this.#executable, size, offset });
    }
    this.#executable = false;
    if (size === 0) this.#visitor.regularEnd?.();
  }

  /** One whole token: `length` bytes from `start`, then its padding. `offset` is that of its length field. */
  #token(bytes: Uint8Array, start: number, length: number, offset: number): void {
    this.#checkPadding(bytes, start + length, start + padded(length), offset + 8 + length);
    switch (this.#state) {
      case State.TypeValue:
        this.#nodeType(bytes, start, length, offset);
        break;
      case State.RegularField:
        if (is(bytes, start, length, EXECUTABLE)) this.#markExecutable();
        else this.#keyword(bytes, start, length, offset, CONTENTS, State.ContentsValue);
        break;
      case State.TargetValue:
        this.#target(bytes, start, length, offset);
        break;
      case State.NodeClose:
        this.#keyword(bytes, start, length, offset, CLOSE, this.#afterNode());
        break;
      case State.DirectoryField:
        if (is(bytes, start, length, CLOSE)) this.#leave();
        else this.#keyword(bytes, start, length, offset, ENTRY, State.EntryOpen);
        break;
      case State.NameValue:
        this.#name(bytes, start, length, offset);
        break;
      default:
        this.#keyword(bytes, start, length, offset, WORDS[this.#state]!, NEXT[this.#state]!);
    }
  }

  #keyword(
    bytes: Uint8Array,
    start: number,
    length: number,
    offset: number,
    word: Uint8Array,
    next: State,
  ): void {
    if (!is(bytes, start, length, word)) {
      const code = this.#state === State.Magic ? "NAR_MAGIC" : "NAR_FIELD";
      this.#refuse(code, offset, EXPECTED[this.#state]!, show(bytes, start, length));
    }
    this.#state = next;
  }

  #nodeType(bytes: Uint8Array, start: number, length: number, offset: number): void {
    if (is(bytes, start, length, REGULAR)) this.#state = State.RegularField;
    else if (is(bytes, start, length, SYMLINK)) this.#state = State.TargetKey;
    else if (is(bytes, start, length, DIRECTORY)) this.#enter();
    else this.#refuse("NAR_FIELD", offset, EXPECTED[this.#state]!, show(bytes, start, length));
  }

  #markExecutable(): void {
    this.#executable = true;
    this.#state = State.ExecutableValue;
  }

  #enter(): void {
    if (this.#visitor.directoryEnter !== undefined) this.#visitor.directoryEnter(this.#path());
    // The deepest may hold an empty directory; its first entry is refused in #name.
    if (this.#depth < MAX_DEPTH) this.#nameLengths[this.#depth] = 0;
    if (this.#visitor.collision !== undefined) this.#folded.push(new Map());
    this.#depth++;
    this.#state = State.DirectoryField;
  }

  #leave(): void {
    this.#depth--;
    this.#state = this.#afterNode();
    this.#foldedCount -= this.#folded.pop()?.size ?? 0;
    if (this.#visitor.directoryLeave !== undefined) this.#visitor.directoryLeave(this.#path());
  }

  #afterNode(): State {
    return this.#depth === 0 ? State.End : State.EntryClose;
  }

  #name(bytes: Uint8Array, start: number, length: number, offset: number): void {
    if (this.#depth > MAX_DEPTH)
      this.#refuse("NAR_DEPTH", offset, `at most ${MAX_DEPTH} directories deep`, "more");
    if (++this.#entries > MAX_ENTRIES) {
      this.#refuse("NAR_LIMIT", offset, `at most ${MAX_ENTRIES} directory entries`, "more");
    }
    if (!isLegalName(bytes, start, length)) {
      this.#refuse(
        "NAR_ENTRY_NAME",
        offset,
        'a name that is not empty, ".", "..", and has no "/" or NUL',
        show(bytes, start, length),
      );
    }
    const names = this.#names;
    const level = this.#depth - 1;
    const before = level * MAX_NAME;
    const order = compareBytes(bytes, start, length, names, before, this.#nameLengths[level]!);
    if (order <= 0) {
      const code = order === 0 ? "NAR_ENTRY_DUPLICATE" : "NAR_ENTRY_ORDER";
      this.#refuse(
        code,
        offset,
        `a name above ${show(names, before, this.#nameLengths[level]!)}`,
        show(bytes, start, length),
      );
    }
    for (let i = 0; i < length; i++) names[before + i] = bytes[start + i]!;
    this.#nameLengths[level] = length;
    if (this.#visitor.collision !== undefined) this.#noteCollision(latin1(bytes, start, length));
    this.#state = State.NodeKey;
  }

  #noteCollision(name: string): void {
    const folded = this.#folded[this.#depth - 1]!;
    const key = foldName(name);
    const other = folded.get(key);
    if (other === undefined) {
      if (this.#foldedCount === MAX_FOLDED) return;
      folded.set(key, name);
      this.#foldedCount++;
      return;
    }
    const path = this.#path();
    this.#visitor.collision?.(path, path.slice(0, path.length - name.length) + other);
  }

  #target(bytes: Uint8Array, start: number, length: number, offset: number): void {
    // symlink(2) takes neither an empty target nor one with NUL: no file system holds such a link.
    if (length === 0 || hasByte(bytes, start, length, 0)) {
      this.#refuse(
        "NAR_SYMLINK_TARGET",
        offset,
        "a target that is not empty and has no NUL",
        show(bytes, start, length),
      );
    }
    this.#state = State.NodeClose;
    if (this.#visitor.symlink !== undefined)
      this.#visitor.symlink(this.#path(), latin1(bytes, start, length));
  }

  /** The path of the node being read: the last name of every open directory. */
  #path(): string {
    const levels = Math.min(this.#depth, MAX_DEPTH);
    let path = "";
    for (let level = 0; level < levels; level++) {
      const name = latin1(this.#names, level * MAX_NAME, this.#nameLengths[level]!);
      path = level === 0 ? name : `${path}/${name}`;
    }
    return path;
  }

  #refuse(code: Code, offset: number, expected: string, actual: string): never {
    const path = printable(this.#path());
    const subject = [this.#subject, path].filter((part) => part !== undefined && part !== "").join("/");
    const details: Details = { expected, actual, offset, ...(subject === "" ? {} : { subject }) };
    this.#failure = new AirgapError(code, details);
    throw this.#failure;
  }
}

/** Checks a whole NAR at once. @throws AirgapError as `NarParser` does. */
export function parseNar(bytes: Uint8Array, visitor: NarVisitor = {}, subject?: string): void {
  const parser = new NarParser(visitor, subject);
  parser.update(bytes);
  parser.end();
}

/** `size` rounded up to the next multiple of 8: every string of a NAR is padded so. */
export function padded(size: number): number {
  const over = size % 8;
  return over === 0 ? size : size + 8 - over;
}

/** What the next token must be; the order is that of the grammar. */
enum State {
  Magic,
  NodeOpen,
  TypeKey,
  TypeValue,
  RegularField,
  ExecutableValue,
  ContentsKey,
  ContentsValue,
  TargetKey,
  TargetValue,
  NodeClose,
  DirectoryField,
  EntryOpen,
  NameKey,
  NameValue,
  NodeKey,
  EntryClose,
  End,
}

/** Indexed by State. */
const EXPECTED: readonly string[] = [
  '"nix-archive-1"',
  '"("',
  '"type"',
  '"regular", "symlink" or "directory"',
  '"executable" or "contents"',
  '""',
  '"contents"',
  "the contents of a file",
  '"target"',
  "the target of a symlink",
  '")"',
  '"entry" or ")"',
  '"("',
  '"name"',
  "the name of an entry",
  '"node"',
  '")"',
  "the end",
];

const word = (text: string): Uint8Array => Uint8Array.from(text, (character) => character.charCodeAt(0));
const MAGIC = word("nix-archive-1");
const OPEN = word("(");
const CLOSE = word(")");
const TYPE = word("type");
const REGULAR = word("regular");
const SYMLINK = word("symlink");
const DIRECTORY = word("directory");
const EXECUTABLE = word("executable");
const EMPTY = word("");
const CONTENTS = word("contents");
const TARGET = word("target");
const ENTRY = word("entry");
const NAME = word("name");
const NODE = word("node");

/** For the states that only one word can follow: the word, and the state after it. Indexed by State. */
const WORDS: Uint8Array[] = [];
const NEXT: State[] = [];
for (const [state, expected, next] of [
  [State.Magic, MAGIC, State.NodeOpen],
  [State.NodeOpen, OPEN, State.TypeKey],
  [State.TypeKey, TYPE, State.TypeValue],
  [State.ExecutableValue, EMPTY, State.ContentsKey],
  [State.ContentsKey, CONTENTS, State.ContentsValue],
  [State.TargetKey, TARGET, State.TargetValue],
  [State.EntryOpen, OPEN, State.NameKey],
  [State.NameKey, NAME, State.NameValue],
  [State.NodeKey, NODE, State.NodeOpen],
  [State.EntryClose, CLOSE, State.DirectoryField],
] as const) {
  WORDS[state] = expected;
  NEXT[state] = next;
}

/** Framing that nearly always stands whole in the chunk; empty for the states that have none. Indexed by State. */
const SEQUENCES: Uint8Array[] = EXPECTED.map(() => EMPTY);
const AFTER_SEQUENCE: State[] = EXPECTED.map(() => State.End);
for (const [state, words, next] of [
  [State.DirectoryField, [ENTRY, OPEN, NAME], State.NameValue],
  [State.NodeKey, [NODE, OPEN, TYPE], State.TypeValue],
  [State.TypeValue, [REGULAR, CONTENTS], State.ContentsValue],
  [State.NodeClose, [CLOSE, CLOSE], State.DirectoryField],
] as const) {
  SEQUENCES[state] = sequence(words);
  AFTER_SEQUENCE[state] = next;
}

/** Every one of these words takes 16 bytes with its length. */
function sequence(words: readonly Uint8Array[]): Uint8Array {
  const bytes = new Uint8Array(16 * words.length);
  words.forEach((each, i) => {
    bytes[16 * i] = each.length;
    bytes.set(each, 16 * i + 8);
  });
  return bytes;
}

function lengthLimit(state: State): number {
  if (state === State.ContentsValue) return MAX_CONTENTS;
  if (state === State.NameValue) return MAX_NAME;
  if (state === State.TargetValue) return MAX_SYMLINK_TARGET;
  return MAX_KEYWORD;
}

/** Are `bytes[start..start + length)` exactly `expected`? Words are short: a loop beats a native call. */
function is(bytes: Uint8Array, start: number, length: number, expected: Uint8Array): boolean {
  if (length !== expected.length) return false;
  for (let i = 0; i < length; i++) {
    if (bytes[start + i] !== expected[i]) return false;
  }
  return true;
}

function isLegalName(bytes: Uint8Array, start: number, length: number): boolean {
  if (length === 0) return false;
  if (bytes[start] === DOT && (length === 1 || (length === 2 && bytes[start + 1] === DOT))) return false;
  for (let i = start; i < start + length; i++) {
    if (bytes[i] === SLASH || bytes[i] === 0) return false;
  }
  return true;
}

const DOT = 0x2e;
const SLASH = 0x2f;

/** Below 0, 0, above 0: as memcmp, a prefix coming first. */
function compareBytes(
  a: Uint8Array,
  aStart: number,
  aLength: number,
  b: Uint8Array,
  bStart: number,
  bLength: number,
): number {
  const shorter = Math.min(aLength, bLength);
  for (let i = 0; i < shorter; i++) {
    const difference = a[aStart + i]! - b[bStart + i]!;
    if (difference !== 0) return difference;
  }
  return aLength - bLength;
}

function hasByte(bytes: Uint8Array, start: number, length: number, byte: number): boolean {
  for (let i = start; i < start + length; i++) {
    if (bytes[i] === byte) return true;
  }
  return false;
}

function latin1(bytes: Uint8Array, start: number, length: number): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset + start, length).toString("latin1");
}

/** Equal for names that a case-blind or Unicode-normalising file system takes for one. */
function foldName(name: string): string {
  if (/^[\x00-\x7f]*$/.test(name)) return name.toLowerCase();
  const bytes = Buffer.from(name, "latin1");
  // Bytes that are no UTF-8 stay apart from every text: "/" is in no name.
  if (!isUtf8(bytes)) return `/${name}`;
  return bytes.toString("utf8").normalize("NFC").toLowerCase().normalize("NFC");
}

/** Bytes of the input in a message; a little more than `excerpt` shows of them. */
function show(bytes: Uint8Array, start: number, length: number): string {
  return excerpt(latin1(bytes, start, Math.min(length, 256)));
}

/** A path inside the NAR as a subject: one line, inert on a terminal. */
function printable(text: string): string {
  return text.replace(/[^\x20-\x7e]|["\\]/g, (c) => `\\x${c.charCodeAt(0).toString(16).padStart(2, "0")}`);
}
