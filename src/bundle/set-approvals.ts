/**
 * Replaces a bundle's approvals, and with them what else signing changes: their blobs, the OCI manifest, `index.json`
 * (docs/format.md, section 8). The document and all that it names stay untouched. What approvals say is not asked.
 *
 * Stopped at any point, a bundle is either as it was or as the next call completes it.
 */
import { createHash } from "node:crypto";
import { constants, lstatSync, realpathSync } from "node:fs";
import { type FileHandle, lstat, mkdir, open, readFile, rename, rm } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { fail } from "../errors.js";
import { type Contents, contentsOf } from "./contents.js";
import { asDiskError, errorCode, onDisk, replaceFile, syncPath, writeSynced } from "./disk.js";
import { parseDocument } from "./document.js";
import { digestsOfIndex } from "./index-file.js";
import {
  blobName,
  classify,
  DOCUMENT_NAME,
  INDEX_NAME,
  MAX_APPROVAL_SIZE,
  MAX_APPROVALS,
  MAX_DERIVED_SIZE,
  MAX_DOCUMENT_SIZE,
  MAX_FILES,
  MAX_INDEX_SIZE,
} from "./layout.js";
import { type Medium, openMedium } from "./medium.js";
import { BLOCK, readerOf, tarBytes, tarPadded, walkTar } from "./tar.js";
import { type Approvals, refuse } from "./write.js";

/**
 * Makes `approvals` the approvals of the bundle; those that are there and not among them are removed.
 * Completes an interrupted call first. Throws what opening and reading the document find, TAR_ORDER when the tar is
 * not in the order of the format, TAIL_INVALID, DISK, NO_SPACE.
 */
export async function setApprovals(bundlePath: string, approvals: Approvals): Promise<void> {
  await completeSignature(bundlePath);
  const { medium, findings } = await openMedium(bundlePath, { allowExtra: true });
  refuse(findings);
  if (medium.kind === "parts") fail("PARTS_SIGN", { subject: medium.path });
  const documentBytes = await medium.read(DOCUMENT_NAME, MAX_DOCUMENT_SIZE);
  const { document, findings: malformed } = parseDocument(documentBytes);
  if (document === null) return refuse(malformed);
  const after = contentsOf(document, documentBytes, approvals);
  if (medium.kind === "tar") {
    await signTar(medium, after, documentBytes);
  } else {
    const approvalsBefore = await readApprovals(medium);
    const before = contentsOf(document, documentBytes, approvalsBefore);
    await signDirectory(medium, { approvalsBefore, before, approvals, after });
  }
}

/** All approvals of an opened bundle, by full name. */
export async function readApprovals(medium: Medium): Promise<Map<string, Buffer>> {
  const names = [...medium.files.keys()].filter((name) => classify(name) === "approval").sort();
  const approvals = new Map<string, Buffer>();
  for (const name of names) approvals.set(name, await medium.read(name, MAX_APPROVAL_SIZE));
  return approvals;
}

interface DirectoryChange {
  readonly approvalsBefore: Approvals;
  readonly before: Contents;
  readonly approvals: Approvals;
  readonly after: Contents;
}

/**
 * Approvals before their blobs, all before the manifest: so whatever is left over by an interruption can be named
 * again, from the approvals that are there and from `index.json`, which changes last.
 */
async function signDirectory(medium: Medium, change: DirectoryChange): Promise<void> {
  const { approvalsBefore, before, approvals, after } = change;
  const named = await indexedManifests(medium);
  const directory = await DirectoryWriter.open(medium.path);
  try {
    const manifest = manifestName(after);
    const blobs = [...after.tailBlobs].filter((name) => name !== manifest);
    const added = [...approvals].filter(([name, bytes]) => !approvalsBefore.get(name)?.equals(bytes));
    for (const [name, bytes] of added) await directory.stage(name, bytes);
    for (const name of blobs) await directory.stage(name, bytesOf(after, name));
    if (manifest !== null) {
      await directory.stage(manifest, bytesOf(after, manifest));
      await directory.stage(INDEX_NAME, bytesOf(after, INDEX_NAME));
    }

    await directory.makeFolder("approvals");
    for (const [name, bytes] of approvalsBefore) {
      if (approvals.get(name)?.equals(bytes)) continue;
      const blob = blobName(createHash("sha256").update(bytes).digest("hex"));
      if (!after.files.has(blob)) await directory.remove(blob);
      if (!approvals.has(name)) await directory.remove(name);
    }
    for (const [name] of added) await directory.place(name);
    for (const name of blobs) await directory.place(name);
    if (manifest === null) return;
    await directory.place(manifest);
    for (const name of [manifestName(before), ...named]) {
      if (name !== null && medium.files.has(name) && !after.files.has(name)) await directory.remove(name);
    }
    await directory.place(INDEX_NAME);
  } finally {
    await directory.close();
  }
}

/** Not in the bundle, where its name would be illegal, but beside it, where a rename reaches. */
function stagingPath(bundle: string): string {
  return join(dirname(bundle), `.${basename(bundle)}.sign`);
}

/**
 * Changes one file of the bundle at a time, each durably. All are written beside it first: where the disk is full, that
 * is seen before anything has changed.
 */
class DirectoryWriter {
  readonly #bundle: string;
  readonly #staging: string;

  private constructor(bundle: string, staging: string) {
    this.#bundle = bundle;
    this.#staging = staging;
  }

  static async open(bundle: string): Promise<DirectoryWriter> {
    const staging = stagingPath(bundle);
    await removeStaging(bundle);
    await onDisk(bundle, () => mkdir(staging, { mode: 0o700 }));
    return new DirectoryWriter(bundle, staging);
  }

  stage(name: string, bytes: Buffer): Promise<void> {
    return writeSynced(this.#staged(name), bytes);
  }

  async makeFolder(name: string): Promise<void> {
    await onDisk(name, () => mkdir(join(this.#bundle, name), { recursive: true }));
    await syncPath(this.#bundle);
  }

  /** What was staged under this name. */
  async place(name: string): Promise<void> {
    const path = join(this.#bundle, name);
    await onDisk(path, () => rename(this.#staged(name), path));
    await syncPath(dirname(path));
  }

  async remove(name: string): Promise<void> {
    const path = join(this.#bundle, name);
    await onDisk(name, () => rm(path, { force: true }));
    await syncPath(dirname(path));
  }

  close(): Promise<void> {
    return removeStaging(this.#bundle);
  }

  /** Last parts of names are unique among what signing changes. */
  #staged(name: string): string {
    return join(this.#staging, basename(name));
  }
}

async function removeStaging(bundle: string): Promise<void> {
  const staging = stagingPath(bundle);
  await onDisk(staging, () => rm(staging, { recursive: true, force: true }));
}

/** Blobs that `index.json` names as manifests; an index that cannot be read names none, and is replaced. */
async function indexedManifests(medium: Medium): Promise<string[]> {
  if (!medium.files.has(INDEX_NAME)) return [];
  return digestsOfIndex(await medium.read(INDEX_NAME, MAX_INDEX_SIZE)).map(nameOfDigest);
}

function manifestName({ manifest }: Contents): string | null {
  return manifest === null ? null : nameOfDigest(manifest.digest);
}

function nameOfDigest(digest: string): string {
  return blobName(digest.slice("sha256:".length));
}

function bytesOf(contents: Contents, name: string): Buffer {
  const file = contents.files.get(name);
  if (Buffer.isBuffer(file)) return file;
  throw new TypeError(`${name} is not made here`);
}

async function signTar(medium: Medium, after: Contents, documentBytes: Buffer): Promise<void> {
  const head = [...after.files.keys()].filter((name) => !after.tail.has(name));
  const present = [...medium.files.values()].slice(0, head.length);
  head.forEach((name, at) => {
    const actual = present[at]?.name ?? "the end";
    if (actual !== name) fail("TAR_ORDER", { subject: medium.path, expected: name, actual });
  });
  const last = present.at(-1)!;
  const journal: Journal = {
    // A tar's files lie in one segment each.
    cut: last.segments[0]!.offset + tarPadded(last.size),
    document: createHash("sha256").update(documentBytes).digest("hex"),
    tail: tarBytes([...after.tail].map((name) => [name, bytesOf(after, name)])),
  };
  const path = journalPath(medium.path);
  await replaceFile(path, formatJournal(journal), `${path}.partial`);
  try {
    await withTar(medium.path, (file) => makeRoom(file, journal));
  } catch (error) {
    // The tar is as it was: nothing is to be completed.
    await onDisk(path, () => rm(path));
    throw error;
  }
  await completeSignature(medium.path);
}

/**
 * `<tar>.tail`: what the end of a tar is to become. It is complete when it has this name, and is applied as often as
 * need be.
 */
interface Journal {
  /** Where the tail begins. */
  readonly cut: number;
  /** Hex SHA-256 of bundle.json: the tar that it is for. */
  readonly document: string;
  readonly tail: Buffer;
}

const MAX_JOURNAL = MAX_DERIVED_SIZE + 2 * MAX_APPROVALS * (MAX_APPROVAL_SIZE + BLOCK);

function journalPath(tar: string): string {
  return `${tar}.tail`;
}

function formatJournal({ cut, document, tail }: Journal): Buffer {
  return Buffer.concat([Buffer.from(`nix-airgap-tail 1 ${cut} ${document}\n`), tail]);
}

function parseJournal(bytes: Buffer, subject: string): Journal {
  const end = bytes.indexOf("\n");
  const match = /^nix-airgap-tail 1 ([0-9]{1,16}) ([0-9a-f]{64})$/.exec(
    bytes.toString("latin1", 0, Math.max(0, Math.min(end, BLOCK))),
  );
  if (match === null) return fail("TAIL_INVALID", { subject });
  return { cut: Number(match[1]), document: match[2]!, tail: bytes.subarray(end + 1) };
}

/**
 * Completes a signature of a tar that was interrupted, and removes what one of a directory left beside it: call it
 * before the bundle is opened for signing. False when there is nothing to complete. Throws TAIL_INVALID when the
 * journal beside the tar is not this tar's.
 */
export async function completeSignature(bundlePath: string): Promise<boolean> {
  const found = resolveBundle(bundlePath);
  if (found === null) return false;
  if (found.isDirectory) {
    await removeStaging(found.path);
    return false;
  }
  const tar = found.path;
  const path = journalPath(tar);
  const bytes = await readJournal(path);
  if (bytes === null) return false;
  const journal = parseJournal(bytes, path);
  await withTar(tar, async (file) => {
    await requireSameTar(file, journal, path);
    await makeRoom(file, journal);
    await file.truncate(journal.cut);
    await writeAll(file, journal.tail, journal.cut);
    await file.sync();
  });
  await onDisk(path, () => rm(path));
  await syncPath(dirname(tar));
  return true;
}

async function withTar(tar: string, action: (file: FileHandle) => Promise<void>): Promise<void> {
  await onDisk(tar, async () => {
    const file = await open(tar, constants.O_RDWR | constants.O_NOFOLLOW);
    try {
      await action(file);
    } finally {
      await file.close();
    }
  });
}

/** Takes the room that a longer tail needs before the old one is given up; without that room the tar stays as it is. */
async function makeRoom(file: FileHandle, { cut, tail }: Journal): Promise<void> {
  const { size } = await file.stat();
  const zeros = Buffer.alloc(64 * 1024);
  try {
    for (let at = size; at < cut + tail.length; at += zeros.length) {
      await writeAll(file, zeros.subarray(0, Math.min(zeros.length, cut + tail.length - at)), at);
    }
    // Some file systems say only now that they are full.
    await file.sync();
  } catch (error) {
    await file.truncate(size);
    await file.sync();
    throw error;
  }
}

/** Its own path, symlinks resolved; null for what is neither a directory nor a file, of which opening has its say. */
function resolveBundle(bundlePath: string): { readonly path: string; readonly isDirectory: boolean } | null {
  try {
    const path = realpathSync(bundlePath);
    const stats = lstatSync(path);
    return stats.isFile() || stats.isDirectory() ? { path, isDirectory: stats.isDirectory() } : null;
  } catch (error) {
    if (errorCode(error) === undefined) throw error;
    return null;
  }
}

async function readJournal(path: string): Promise<Buffer | null> {
  try {
    const stats = await lstat(path);
    if (!stats.isFile() || stats.size > MAX_JOURNAL) fail("TAIL_INVALID", { subject: path });
    return await readFile(path);
  } catch (error) {
    if (errorCode(error) === "ENOENT") return null;
    throw asDiskError(path, error);
  }
}

/** The tar begins with the same document, and is whole up to the cut. */
async function requireSameTar(file: FileHandle, { cut, document }: Journal, subject: string): Promise<void> {
  const { size } = await file.stat();
  const { members, findings } = walkTar(readerOf(file.fd), size, { maxMembers: MAX_FILES });
  const kept = members.filter(({ offset, size }) => offset + tarPadded(size) <= cut);
  const last = kept.at(-1);
  const first = kept[0];
  const whole = findings.every(({ offset }) => offset !== undefined && offset >= cut);
  if (first?.name !== DOCUMENT_NAME || last === undefined || first.size > MAX_DOCUMENT_SIZE || !whole) {
    return fail("TAIL_INVALID", { subject });
  }
  const bytes = Buffer.alloc(first.size);
  await file.read(bytes, 0, first.size, first.offset);
  const actual = createHash("sha256").update(bytes).digest("hex");
  if (last.offset + tarPadded(last.size) !== cut || actual !== document) {
    fail("TAIL_INVALID", { subject, expected: `bundle id ${document}`, actual });
  }
}

async function writeAll(file: FileHandle, bytes: Buffer, position: number): Promise<void> {
  for (let done = 0; done < bytes.length; ) {
    done += (await file.write(bytes, done, bytes.length - done, position + done)).bytesWritten;
  }
}
