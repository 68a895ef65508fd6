/**
 * V1: a bundle as it lies on its medium, a directory or a tar, as one table of files that can be read. Names, types,
 * sizes and the tar's form are judged here; contents and which files this bundle needs are not. Writes nothing.
 */
import { createHash } from "node:crypto";
import { closeSync, constants, lstatSync, opendirSync, openSync, realpathSync, statSync } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import { join } from "node:path";
import { type Code, type Finding, fail } from "../errors.js";
import { excerpt } from "../nix/excerpt.js";
import { asDiskError, errorCode, onDisk, onDiskSync } from "./disk.js";
import {
  capOf,
  classify,
  DOCUMENT_NAME,
  FOLDERS,
  MAX_APPROVALS,
  MAX_FILES,
  withRightCase,
} from "./layout.js";
import { MAX_WALK_FINDINGS, walkTar } from "./tar.js";

const HASH_PIECE = 1024 * 1024;

export interface MediumFile {
  readonly name: string;
  readonly size: number;
  /** The file to open: its own, or the tar. */
  readonly path: string;
  /** Of its first byte in that file. */
  readonly offset: number;
}

export interface Medium {
  readonly kind: "directory" | "tar";
  /** Symlinks resolved. */
  readonly path: string;
  /** Legal names only; of a tar in its order, of a directory in any. */
  readonly files: ReadonlyMap<string, MediumFile>;
  /**
   * All bytes of a file. Throws DOCUMENT_MISSING, BLOB_MISSING or DERIVED_MISSING when it is not there,
   * FILE_TOO_LARGE over `cap` bytes, FILE_TYPE and DISK when the medium changed since it was opened.
   */
  read(name: string, cap: number): Promise<Buffer>;
}

/**
 * Opens a bundle. In the directory form no file is opened, only looked at; names that no bundle has are never
 * followed. `allowExtra` tolerates what operating systems leave on media.
 * Throws BUNDLE_NOT_FOUND, and DISK when the medium cannot be read.
 */
export async function openMedium(
  path: string,
  options: { readonly allowExtra: boolean },
): Promise<{ medium: Medium; findings: Finding[] }> {
  const top = resolveTop(path);
  const findings: Finding[] = [];
  const collect = new Collector(findings);
  if (top.kind === "directory") listDirectory(top.path, options.allowExtra, collect);
  else listTar(top.path, top.size, collect);
  if (top.kind === "directory" && collect.isForeign) {
    fail("BUNDLE_NOT_FOUND", { subject: path, hint: "Nothing in this folder is part of a bundle." });
  }
  const files: ReadonlyMap<string, MediumFile> = collect.files;
  const read = (name: string, cap: number) => readFile(files.get(name), name, cap);
  return { medium: { kind: top.kind, path: top.path, files, read }, findings };
}

/** The given path may be a symlink; nothing in the bundle may. */
function resolveTop(given: string): { kind: "directory" | "tar"; path: string; size: number } {
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
      else if (!isFolder && stats.isFile()) collect.file({ name, size: stats.size, path, offset: 0 });
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
    const walk = onDiskSync(path, () => walkTar(fd, size, { maxMembers: MAX_FILES }));
    for (const { code, ...details } of walk.findings) {
      const isNoTar = code === "TAR_HEADER" && details.offset === 0 && walk.members.length === 0;
      collect.finding(code, { ...details, ...(isNoTar ? { hint: "This file is no tar of a bundle." } : {}) });
    }
    for (const { name, size, offset } of walk.members) {
      if (!collect.count()) return;
      collect.file({ name, size, path, offset });
    }
  } finally {
    closeSync(fd);
  }
}

/** Nothing that was put in its place since is followed, or waited for. */
async function openRegular(path: string, name: string): Promise<FileHandle> {
  const handle = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  if ((await handle.stat()).isFile()) return handle;
  await handle.close();
  return fail("FILE_TYPE", { subject: name });
}

async function readFile(file: MediumFile | undefined, name: string, cap: number): Promise<Buffer> {
  if (file === undefined) return fail(missingCode(name), { subject: name });
  if (file.size > cap) {
    fail("FILE_TOO_LARGE", { subject: name, expected: `at most ${cap} bytes`, actual: `${file.size}` });
  }
  try {
    const handle = await openRegular(file.path, name);
    try {
      const bytes = Buffer.alloc(file.size);
      let done = 0;
      while (done < file.size) {
        const { bytesRead } = await handle.read(bytes, done, file.size - done, file.offset + done);
        if (bytesRead === 0) fail("DISK", { subject: name, hint: "The file changed while it was read." });
        done += bytesRead;
      }
      return bytes;
    } finally {
      await handle.close();
    }
  } catch (error) {
    throw asDiskError(name, error);
  }
}

/**
 * Hex SHA-256 of a file, which may be large: it is not held in memory. Throws DISK and FILE_TYPE when the medium changed
 * since it was opened, and INTERRUPTED.
 */
export async function hashOfFile(file: MediumFile, signal: AbortSignal): Promise<string> {
  const { name, path, offset, size } = file;
  const hasher = createHash("sha256");
  await onDisk(name, async () => {
    const handle = await openRegular(path, name);
    try {
      const buffer = Buffer.alloc(Math.min(size, HASH_PIECE));
      for (let at = 0; at < size; ) {
        if (signal.aborted) fail("INTERRUPTED");
        const { bytesRead } = await handle.read(buffer, 0, Math.min(buffer.length, size - at), offset + at);
        if (bytesRead === 0) fail("DISK", { subject: name, hint: "The file changed while it was read." });
        hasher.update(buffer.subarray(0, bytesRead));
        at += bytesRead;
      }
    } finally {
      await handle.close();
    }
  });
  return hasher.digest("hex");
}

function missingCode(name: string): Code {
  if (name === DOCUMENT_NAME) return "DOCUMENT_MISSING";
  return classify(name) === "blob" ? "BLOB_MISSING" : "DERIVED_MISSING";
}
