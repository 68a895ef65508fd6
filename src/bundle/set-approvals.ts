/**
 * Replaces a bundle's approvals, and with them what else signing changes: their blobs, the OCI manifest, `index.json`
 * (docs/format.md, section 8). The document and all that it names stay untouched. What approvals say is not asked.
 *
 * Stopped at any point, a bundle is either as it was or as the next call completes it.
 */
import { createHash } from "node:crypto";
import { constants, lstatSync, realpathSync } from "node:fs";
import { type FileHandle, lstat, mkdir, mkdtemp, open, readFile, rm } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { fail } from "../errors.js";
import { type Contents, contentsOf } from "./contents.js";
import { asDiskError, errorCode, onDisk, replaceFile, syncPath } from "./disk.js";
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
import { BLOCK, tarBytes, tarPadded, walkTar } from "./tar.js";
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
  const directory = new DirectoryWriter(medium.path, await makeStaging(medium.path));
  try {
    await directory.makeFolder("approvals");
    for (const [name, bytes] of approvalsBefore) {
      if (approvals.get(name)?.equals(bytes)) continue;
      const blob = blobName(createHash("sha256").update(bytes).digest("hex"));
      if (!after.files.has(blob)) await directory.remove(blob);
      if (!approvals.has(name)) await directory.remove(name);
    }
    for (const [name, bytes] of approvals) {
      if (!approvalsBefore.get(name)?.equals(bytes)) await directory.put(name, bytes);
    }
    const manifest = manifestName(after);
    for (const name of after.tailBlobs)
      if (name !== manifest) await directory.put(name, bytesOf(after, name));
    if (manifest === null) return;
    await directory.put(manifest, bytesOf(after, manifest));
    for (const name of [manifestName(before), ...named]) {
      if (name !== null && medium.files.has(name) && !after.files.has(name)) await directory.remove(name);
    }
    await directory.put(INDEX_NAME, bytesOf(after, INDEX_NAME));
  } finally {
    await directory.close();
  }
}

/** Not in the bundle, where its name would be illegal, but beside it, where a rename reaches. */
function makeStaging(bundle: string): Promise<string> {
  return onDisk(bundle, () => mkdtemp(join(dirname(bundle), `.${basename(bundle)}.sign-`)));
}

/** Changes one file of the bundle at a time, each durably. */
class DirectoryWriter {
  readonly #bundle: string;
  readonly #staging: string;

  constructor(bundle: string, staging: string) {
    this.#bundle = bundle;
    this.#staging = staging;
  }

  async makeFolder(name: string): Promise<void> {
    await onDisk(name, () => mkdir(join(this.#bundle, name), { recursive: true }));
    await syncPath(this.#bundle);
  }

  async put(name: string, bytes: Buffer): Promise<void> {
    await replaceFile(join(this.#bundle, name), bytes, join(this.#staging, basename(name)));
  }

  async remove(name: string): Promise<void> {
    const path = join(this.#bundle, name);
    await onDisk(name, () => rm(path, { force: true }));
    await syncPath(dirname(path));
  }

  async close(): Promise<void> {
    await onDisk(this.#staging, () => rm(this.#staging, { recursive: true, force: true }));
  }
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
    cut: last.offset + tarPadded(last.size),
    document: createHash("sha256").update(documentBytes).digest("hex"),
    tail: tarBytes([...after.tail].map((name) => [name, bytesOf(after, name)])),
  };
  await replaceFile(journalPath(medium.path), formatJournal(journal), `${journalPath(medium.path)}.partial`);
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
 * Completes a signature of a tar that was interrupted: call it before the tar is opened for signing. False when there
 * is nothing to complete. Throws TAIL_INVALID when the journal beside the tar is not this tar's.
 */
export async function completeSignature(bundlePath: string): Promise<boolean> {
  const tar = resolveTar(bundlePath);
  if (tar === null) return false;
  const path = journalPath(tar);
  const bytes = await readJournal(path);
  if (bytes === null) return false;
  const journal = parseJournal(bytes, path);
  await onDisk(tar, async () => {
    const file = await open(tar, constants.O_RDWR | constants.O_NOFOLLOW);
    try {
      await requireSameTar(file, journal, path);
      await file.truncate(journal.cut);
      await writeAll(file, journal.tail, journal.cut);
      await file.sync();
    } finally {
      await file.close();
    }
    await rm(path);
  });
  await syncPath(dirname(tar));
  return true;
}

/** The tar's own path, symlinks resolved; null for what is no regular file, of which opening has its say. */
function resolveTar(bundlePath: string): string | null {
  try {
    const path = realpathSync(bundlePath);
    return lstatSync(path).isFile() ? path : null;
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
  const { members, findings } = walkTar(file.fd, size, { maxMembers: MAX_FILES });
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
