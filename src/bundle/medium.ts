/**
 * V1: a bundle as it lies on its medium, a directory, a tar, or a tar in parts on several, as one table of files that can be
 * read. Names, types, sizes and the tar's form are judged here; contents and which files this bundle needs are not. Writes nothing.
 */
import { createHash } from "node:crypto";
import { closeSync, constants, lstatSync, opendirSync, openSync, realpathSync, statSync } from "node:fs";
import { join } from "node:path";
import { AirgapError, type Code, type Finding, fail } from "../errors.js";
import { excerpt } from "../nix/excerpt.js";
import { cutOut, type FilePart, partOf, type Row } from "../segments.js";
import { asDiskError, errorCode, onDiskSync } from "./disk.js";
import {
  capOf,
  classify,
  DOCUMENT_NAME,
  FOLDERS,
  MAX_APPROVALS,
  MAX_FILES,
  withRightCase,
} from "./layout.js";
import { type FoundParts, findParts, tarOfParts } from "./parts.js";
import { piecesOf } from "./pieces.js";
import { RowReader } from "./row-reader.js";
import { MAX_WALK_FINDINGS, type ReadBytes, readerOf, walkTar } from "./tar.js";

const HASH_PIECE = 1024 * 1024;

/** Where its bytes lie: in a file of its own, in the tar, in one or several parts of it. */
export interface MediumFile extends FilePart {
  readonly name: string;
}

export interface Medium {
  readonly kind: "directory" | "tar" | "parts";
  /** Symlinks resolved; of parts, their index. */
  readonly path: string;
  /** Null where it is not in parts. Where one is missing, `files` has what lies before it. */
  readonly parts: FoundParts | null;
  /** Legal names only; of a tar in its order, of a directory in any. */
  readonly files: ReadonlyMap<string, MediumFile>;
  /**
   * All bytes of a file. Throws DOCUMENT_MISSING, BLOB_MISSING or DERIVED_MISSING when it is not there,
   * FILE_TOO_LARGE over `cap` bytes, FILE_TYPE and DISK when the medium changed since it was opened.
   */
  read(name: string, cap: number): Promise<Buffer>;
}

export interface MediumOptions {
  readonly allowExtra: boolean;
  /** Other folders that hold parts; only for a bundle in parts. */
  readonly parts?: readonly string[];
  /** Of a tar whose headers the device cannot read: has no files then, and is no error. */
  readonly isTolerant?: boolean;
}

/**
 * Opens a bundle. In the directory form no file is opened, only looked at; names that no bundle has are never
 * followed. `allowExtra` tolerates what operating systems leave on media.
 * Throws BUNDLE_NOT_FOUND, PARTS_INDEX_MISSING, PARTS_AMBIGUOUS, USAGE for folders of parts where there are none, and DISK
 * when the medium cannot be read.
 */
export async function openMedium(
  path: string,
  options: MediumOptions,
): Promise<{ medium: Medium; findings: Finding[] }> {
  const top = resolveTop(path);
  const findings: Finding[] = [];
  const collect = new Collector(findings);
  const parts = partsAt(path, top, options.parts ?? []);
  if (parts !== null) findings.push(...parts.findings);
  if (parts === null && top.kind === "directory") listDirectory(top.path, options.allowExtra, collect);
  else {
    try {
      if (parts !== null) listParts(parts, collect);
      else listTar(top.path, top.size, collect);
    } catch (error) {
      if (options.isTolerant !== true || !(error instanceof AirgapError)) throw error;
      findings.push({ ...error.details, code: error.code });
    }
  }
  if (parts === null && top.kind === "directory" && collect.isForeign) {
    fail("BUNDLE_NOT_FOUND", { subject: path, hint: "Nothing in this folder is part of a bundle." });
  }
  const files: ReadonlyMap<string, MediumFile> = collect.files;
  const read = (name: string, cap: number) => readFile(files.get(name), name, cap);
  const medium: Medium =
    parts === null
      ? { kind: top.kind, path: top.path, parts, files, read }
      : { kind: "parts", path: parts.path, parts, files, read };
  return { medium, findings };
}

/** `NAME.tar` where a path is that of a bundle in parts, else null. Throws as `openMedium`. */
export function tarInParts(path: string): string | null {
  const top = resolveTop(path);
  return tarOfParts(top.path, top.kind === "directory");
}

function partsAt(given: string, top: Top, folders: readonly string[]): FoundParts | null {
  const isFolder = top.kind === "directory";
  const tarName = tarOfParts(top.path, isFolder);
  if (tarName !== null) return findParts({ path: top.path, isFolder }, tarName, folders);
  if (folders.length === 0) return null;
  return fail("USAGE", {
    subject: "--parts",
    expected: `${given} to be a part, or the index NAME.tar.parts.json, or a folder with one`,
    actual: `a ${top.kind}`,
  });
}

interface Top {
  readonly kind: "directory" | "tar";
  readonly path: string;
  readonly size: number;
}

/** The given path may be a symlink; nothing in the bundle may. */
function resolveTop(given: string): Top {
  try {
    const path = realpathSync(given);
    const stats = statSync(path);
    if (stats.isDirectory()) return { kind: "directory", path, size: 0 };
    if (stats.isFile()) return { kind: "tar", path, size: stats.size };
  } catch (error) {
    const code = errorCode(error);
    if (code !== "ENOENT" && code !== "ENOTDIR" && code !== "ELOOP") throw asDiskError(given, error);
  }
  return fail("BUNDLE_NOT_FOUND", { subject: given });
}

/** Takes what was found, counts it, and stops at the caps. */
class Collector {
  readonly files = new Map<string, MediumFile>();
  readonly #findings: Finding[];
  #entries = 0;
  #approvals = 0;
  #nearly = false;

  constructor(findings: Finding[]) {
    this.#findings = findings;
  }

  /** Whether nothing here is a file of a bundle, nor anything like one. */
  get isForeign(): boolean {
    return this.files.size === 0 && !this.#nearly;
  }

  /** Counts an entry, legal or not; false when there are too many. */
  count(): boolean {
    this.#entries++;
    if (this.#entries === MAX_FILES + 1) this.finding("TOO_MANY_FILES", { expected: `at most ${MAX_FILES}` });
    return this.#entries <= MAX_FILES;
  }

  finding(code: Code, details: Omit<Finding, "code"> = {}): void {
    // A medium with a million wrong names is told of by some of them.
    if (this.#findings.length < MAX_WALK_FINDINGS) this.#findings.push({ code, ...details });
  }

  wrongType(name: string, expected: string): void {
    this.#nearly = true;
    this.finding("FILE_TYPE", { subject: name, expected });
  }

  illegal(name: string): void {
    const right = withRightCase(name);
    if (right === null) {
      this.finding("NAME_ILLEGAL", { subject: excerpt(name) });
      return;
    }
    this.#nearly = true;
    this.finding("NAME_ILLEGAL", {
      subject: excerpt(name),
      expected: right,
      hint: "The medium changed the case of names: mount it so that it keeps them, or carry the bundle as a .tar.",
    });
  }

  /** A regular file; its name is looked at here. */
  file(file: MediumFile): void {
    const kind = classify(file.name);
    if (kind === null) {
      this.illegal(file.name);
      return;
    }
    if (kind === "approval" && ++this.#approvals > MAX_APPROVALS) {
      if (this.#approvals === MAX_APPROVALS + 1) {
        this.finding("TOO_MANY_FILES", { subject: "approvals", expected: `at most ${MAX_APPROVALS}` });
      }
      return;
    }
    if (file.size > capOf(kind)) {
      this.finding("FILE_TOO_LARGE", {
        subject: file.name,
        expected: `at most ${capOf(kind)} bytes`,
        actual: `${file.size}`,
      });
    }
    this.files.set(file.name, file);
  }
}

/** The grammar has three levels of folders, all known: the walk cannot go deeper. */
function listDirectory(top: string, allowExtra: boolean, collect: Collector): void {
  const waiting = [""];
  for (let folder = waiting.pop(); folder !== undefined; folder = waiting.pop()) {
    for (const entry of entriesOf(join(top, folder))) {
      if (!collect.count()) return;
      if (allowExtra && isDropping(entry)) continue;
      const name = folder === "" ? entry : `${folder}/${entry}`;
      const isFolder = FOLDERS.has(name);
      if (!isFolder && classify(name) === null) {
        collect.illegal(name);
        continue;
      }
      const path = join(top, name);
      const stats = onDiskSync(name, () => lstatSync(path));
      if (isFolder && stats.isDirectory()) waiting.push(name);
      else if (!isFolder && stats.isFile()) collect.file({ name, ...partOf(path, stats.size) });
      else collect.wrongType(name, isFolder ? "a folder" : "a regular file");
    }
  }
}

function* entriesOf(folder: string): Generator<string> {
  const directory = onDiskSync(folder, () => opendirSync(folder));
  try {
    for (;;) {
      const entry = onDiskSync(folder, () => directory.readSync());
      if (entry === null) return;
      yield entry.name;
    }
  } finally {
    directory.closeSync();
  }
}

const DROPPINGS: ReadonlySet<string> = new Set([
  ".DS_Store",
  ".DocumentRevisions-V100",
  ".Spotlight-V100",
  ".TemporaryItems",
  ".Trashes",
  ".directory",
  ".fseventsd",
  "$RECYCLE.BIN",
  "System Volume Information",
  "Thumbs.db",
  "desktop.ini",
  "lost+found",
]);

/** What an operating system leaves on a medium without being asked; such folders are not looked into. */
function isDropping(entry: string): boolean {
  return DROPPINGS.has(entry) || entry.startsWith("._") || /^\.Trash-[0-9]+$/.test(entry);
}

function listTar(path: string, size: number, collect: Collector): void {
  const fd = onDiskSync(path, () => openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW));
  try {
    listMembers(readerOf(fd), { row: { paths: [path], partSize: size }, size, readable: size }, collect);
  } finally {
    closeSync(fd);
  }
}

/** What lies before the first part that is not there is read all the same, for who only wants to see what this is. */
function listParts({ index, parts }: FoundParts, collect: Collector): void {
  if (index === null) return;
  const firstGap = parts.findIndex(({ path }) => path === null);
  const there = firstGap < 0 ? parts : parts.slice(0, firstGap);
  const row = { paths: there.flatMap(({ path }) => path ?? []), partSize: index.parts[0]!.size };
  const readable = there.reduce((sum, part) => sum + part.size, 0);
  const reader = new RowReader(row);
  try {
    listMembers(
      (position, length) => reader.read(position, length),
      { row, size: index.size, readable },
      collect,
    );
  } finally {
    reader.close();
  }
}

function listMembers(
  read: ReadBytes,
  { row, size: tarBytes, readable }: { readonly row: Row; readonly size: number; readonly readable: number },
  collect: Collector,
): void {
  const [path = "the tar"] = row.paths;
  const walk = onDiskSync(path, () => walkTar(read, tarBytes, { maxMembers: MAX_FILES, readable }));
  for (const { code, ...details } of walk.findings) {
    const isNoTar = code === "TAR_HEADER" && details.offset === 0 && walk.members.length === 0;
    collect.finding(code, { ...details, ...(isNoTar ? { hint: "This file is no tar of a bundle." } : {}) });
  }
  for (const { name, size, offset } of walk.members) {
    if (!collect.count()) return;
    collect.file({ name, ...cutOut(row, offset, size) });
  }
}

async function readFile(file: MediumFile | undefined, name: string, cap: number): Promise<Buffer> {
  if (file === undefined) return fail(missingCode(name), { subject: name });
  if (file.size > cap) {
    fail("FILE_TOO_LARGE", { subject: name, expected: `at most ${cap} bytes`, actual: `${file.size}` });
  }
  const bytes = Buffer.alloc(file.size);
  let done = 0;
  for await (const piece of piecesOf(file, name, Buffer.allocUnsafe(Math.min(file.size, HASH_PIECE)))) {
    done += piece.copy(bytes, done);
  }
  if (done !== file.size) fail("DISK", { subject: name, hint: "The file changed while it was read." });
  return bytes;
}

/**
 * Hex SHA-256 of a file, which may be large: it is not held in memory. Throws DISK and FILE_TYPE when the medium changed
 * since it was opened, and INTERRUPTED.
 */
export async function hashOfFile(file: MediumFile, signal: AbortSignal): Promise<string> {
  const { name, size } = file;
  const hasher = createHash("sha256");
  let done = 0;
  for await (const piece of piecesOf(file, name, Buffer.allocUnsafe(Math.min(size, HASH_PIECE)))) {
    if (signal.aborted) fail("INTERRUPTED");
    hasher.update(piece);
    done += piece.length;
  }
  if (done !== size) fail("DISK", { subject: name, hint: "The file changed while it was read." });
  return hasher.digest("hex");
}

function missingCode(name: string): Code {
  if (name === DOCUMENT_NAME) return "DOCUMENT_MISSING";
  return classify(name) === "blob" ? "BLOB_MISSING" : "DERIVED_MISSING";
}
