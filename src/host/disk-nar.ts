/**
 * A path on disk as Nix sees it: the hash of its NAR, and, where two trees should be the same, which files differ.
 * Reads what is really there, and believes no database. Synchronous, for worker threads.
 */
import { createHash, type Hash as Hasher } from "node:crypto";
import {
  closeSync,
  constants,
  fstatSync,
  lstatSync,
  openSync,
  readdirSync,
  readlinkSync,
  readSync,
  type Stats,
} from "node:fs";
import { fail } from "../errors.js";
import { formatSri, hashFromDigest } from "../nix/hash.js";
import {
  compareNames,
  narDirectoryClose,
  narDirectoryOpen,
  narEntryClose,
  narEntryOpen,
  narHeader,
  narRegularClose,
  narRegularOpen,
  narSymlink,
} from "../nix/nar-writer.js";
import { asDiskError, READ_SAFELY } from "./files.js";

export interface DiskNar {
  /** SRI, sha256. */
  readonly narHash: string;
  readonly narSize: number;
}

/**
 * The hash and size of the NAR of a path, as `nix-store --dump` would write it. Symlinks are not followed, the
 * path itself included.
 *
 * @throws FILE_TYPE on a socket, FIFO or device; DISK where something cannot be read, or changes meanwhile.
 */
export function hashPath(path: string, onNarBytes: (narBytes: number) => void = () => {}): DiskNar {
  const sink = new NarSink(onNarBytes);
  walk(path, sink);
  return sink.finish();
}

export type TreeEntry =
  | { readonly path: string; readonly type: "directory" }
  | { readonly path: string; readonly type: "symlink"; readonly target: string }
  | {
      readonly path: string;
      readonly type: "regular";
      readonly executable: boolean;
      readonly size: number;
      /** Hex. */
      readonly sha256: string;
    };

/**
 * All that is in a tree, each folder before what it holds. Paths and targets are latin1 strings, one character a
 * byte; the root is "".
 *
 * @throws as `hashPath`
 */
export function listPath(path: string): TreeEntry[] {
  const lister = new Lister();
  walk(path, lister);
  return lister.entries;
}

/** What is not the same about one path of two trees. */
export interface TreeDifference {
  /** For people: UTF-8, "" for the root. */
  readonly path: string;
  readonly difference: "only-in-first" | "only-in-second" | "type" | "executable" | "content" | "target";
}

/** The first `limit` differences of two trees, sorted by path; none where their NARs are equal. @throws as `hashPath` */
export function compareTrees(first: string, second: string, limit: number): TreeDifference[] {
  return compareListings(listPath(first), listPath(second), limit);
}

/** The same for trees that were listed already. */
export function compareListings(
  first: readonly TreeEntry[],
  second: readonly TreeEntry[],
  limit: number,
): TreeDifference[] {
  const here = new Map(first.map((entry) => [entry.path, entry]));
  const there = new Map(second.map((entry) => [entry.path, entry]));
  const differences: TreeDifference[] = [];
  for (const path of [...new Set([...here.keys(), ...there.keys()])].sort()) {
    if (differences.length === limit) break;
    const difference = compareEntries(here.get(path), there.get(path));
    if (difference !== null)
      differences.push({ path: Buffer.from(path, "latin1").toString("utf8"), difference });
  }
  return differences;
}

function compareEntries(
  a: TreeEntry | undefined,
  b: TreeEntry | undefined,
): TreeDifference["difference"] | null {
  if (a === undefined) return "only-in-second";
  if (b === undefined) return "only-in-first";
  if (a.type === "symlink" && b.type === "symlink") return a.target === b.target ? null : "target";
  if (a.type === "regular" && b.type === "regular") {
    if (a.sha256 !== b.sha256) return "content";
    return a.executable === b.executable ? null : "executable";
  }
  return a.type === b.type ? null : "type";
}

/** What walking a tree meets, in the order of a NAR. Names and targets are bytes, contents valid during the call. */
interface TreeVisitor {
  directoryOpen(): void;
  entryOpen(name: Buffer): void;
  entryClose(): void;
  directoryClose(): void;
  symlink(target: Buffer): void;
  regularOpen(file: { executable: boolean; size: number }): void;
  contents(bytes: Buffer): void;
  regularClose(size: number): void;
}

const READ_SIZE = 256 * 1024;
const buffer = Buffer.alloc(READ_SIZE);

function walk(path: string, visitor: TreeVisitor): void {
  const bytes = Buffer.from(path);
  try {
    walkNode(bytes, lstatSync(bytes), visitor);
  } catch (error) {
    throw asDiskError(error, pathOf(error) ?? path);
  }
}

/** What both lstat and the entries of a directory tell; the latter spare a call for each file. */
type NodeType = Pick<Stats, "isDirectory" | "isFile" | "isSymbolicLink">;

/** Depth is bounded by the length that the system allows for a path. */
function walkNode(path: Buffer, type: NodeType, visitor: TreeVisitor): void {
  if (type.isDirectory()) walkDirectory(path, visitor);
  else if (type.isSymbolicLink()) visitor.symlink(readlinkSync(path, { encoding: "buffer" }));
  else if (type.isFile()) readRegular(path, visitor);
  else unsupported(path);
}

function walkDirectory(path: Buffer, visitor: TreeVisitor): void {
  visitor.directoryOpen();
  const entries = readdirSync(path, { encoding: "buffer", withFileTypes: true }).map((entry) => {
    // @types/node says string, whatever the encoding.
    const name: unknown = entry.name;
    return { name: name as Buffer, entry };
  });
  for (const { name, entry } of entries.sort((a, b) => compareNames(a.name, b.name))) {
    visitor.entryOpen(name);
    walkNode(Buffer.concat([path, SLASH, name]), entry, visitor);
    visitor.entryClose();
  }
  visitor.directoryClose();
}

const SLASH = Buffer.from("/");

function readRegular(path: Buffer, visitor: TreeVisitor): void {
  // Whatever was seen before: no symlink is followed, and a FIFO does not block.
  const file = openSync(path, READ_SAFELY);
  try {
    const stats = fstatSync(file);
    if (!stats.isFile()) unsupported(path);
    const { size } = stats;
    visitor.regularOpen({ executable: (stats.mode & constants.S_IXUSR) !== 0, size });
    let at = 0;
    // One byte more is asked for than there should be, so that growth shows, too.
    while (at <= size) {
      const want = Math.min(READ_SIZE, size - at + 1);
      const got = readSync(file, buffer, 0, want, at);
      at += got;
      if (got > 0 && at <= size) visitor.contents(buffer.subarray(0, got));
      // Less than was asked for is the end, which spares most files a second read.
      if (got === 0 || (got < want && at === size)) break;
    }
    if (at !== size)
      fail("DISK", { subject: path.toString(), actual: "a file that changes while it is read" });
    visitor.regularClose(size);
  } finally {
    closeSync(file);
  }
}

function unsupported(path: Buffer): never {
  return fail("FILE_TYPE", {
    subject: path.toString(),
    expected: "a file, folder or symlink",
    actual: "a socket, FIFO or device",
  });
}

/** The path that a system error is about. */
function pathOf(error: unknown): string | null {
  if (!(error instanceof Error && "path" in error)) return null;
  const { path } = error;
  if (Buffer.isBuffer(path)) return path.toString();
  return typeof path === "string" ? path : null;
}

/** Below this, bytes are gathered: hashing has a cost per call. */
const GATHERED = 4096;

/** Writes the tree as a NAR, into a hash. */
class NarSink implements TreeVisitor {
  readonly #hasher = createHash("sha256");
  readonly #gathered = Buffer.alloc(16 * GATHERED);
  #fill = 0;
  #size = 0;
  readonly #onBytes: (narBytes: number) => void;

  constructor(onBytes: (narBytes: number) => void) {
    this.#onBytes = onBytes;
    this.#write(narHeader());
  }

  finish(): DiskNar {
    this.#flush();
    const digest = this.#hasher.digest();
    return { narHash: formatSri(hashFromDigest("sha256", digest)), narSize: this.#size };
  }

  directoryOpen(): void {
    this.#write(DIRECTORY_OPEN);
  }

  entryOpen(name: Buffer): void {
    this.#write(narEntryOpen(name));
  }

  entryClose(): void {
    this.#write(ENTRY_CLOSE);
  }

  directoryClose(): void {
    this.#write(DIRECTORY_CLOSE);
  }

  symlink(target: Buffer): void {
    this.#write(narSymlink(target));
  }

  regularOpen(file: { executable: boolean; size: number }): void {
    this.#write(narRegularOpen(file));
  }

  contents(bytes: Buffer): void {
    this.#write(bytes);
  }

  regularClose(size: number): void {
    this.#write(narRegularClose(size));
  }

  #write(bytes: Uint8Array): void {
    this.#size += bytes.length;
    if (this.#fill + bytes.length > this.#gathered.length) this.#flush();
    if (bytes.length > GATHERED) {
      this.#flush();
      this.#hasher.update(bytes);
      return;
    }
    this.#gathered.set(bytes, this.#fill);
    this.#fill += bytes.length;
  }

  #flush(): void {
    this.#onBytes(this.#size);
    if (this.#fill > 0) this.#hasher.update(this.#gathered.subarray(0, this.#fill));
    this.#fill = 0;
  }
}

const DIRECTORY_OPEN = narDirectoryOpen();
const DIRECTORY_CLOSE = narDirectoryClose();
const ENTRY_CLOSE = narEntryClose();

class Lister implements TreeVisitor {
  readonly entries: TreeEntry[] = [];
  readonly #names: string[] = [];
  #executable = false;
  #hasher: Hasher = createHash("sha256");

  directoryOpen(): void {
    this.entries.push({ path: this.#path(), type: "directory" });
  }

  entryOpen(name: Buffer): void {
    this.#names.push(name.toString("latin1"));
  }

  entryClose(): void {
    this.#names.pop();
  }

  directoryClose(): void {}

  symlink(target: Buffer): void {
    this.entries.push({ path: this.#path(), type: "symlink", target: target.toString("latin1") });
  }

  regularOpen({ executable }: { executable: boolean }): void {
    this.#executable = executable;
    this.#hasher = createHash("sha256");
  }

  contents(bytes: Buffer): void {
    this.#hasher.update(bytes);
  }

  regularClose(size: number): void {
    this.entries.push({
      path: this.#path(),
      type: "regular",
      executable: this.#executable,
      size,
      sha256: this.#hasher.digest("hex"),
    });
  }

  #path(): string {
    return this.#names.join("/");
  }
}
