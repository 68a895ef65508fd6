/**
 * Writes a bundle from NAR blobs and docs that are in place: the rest of a directory, or a whole tar, in parts if need be
 * (docs/format.md, section 8). Names that are not final, and the last rename, are the caller's.
 */
import { createHash } from "node:crypto";
import { copyFile, lstat, mkdir, open, rm, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { type Finding, fail } from "../errors.js";
import type { Report } from "../events.js";
import type { BundleDocument, PartsIndex } from "../generated/types.js";
import { type FilePart, partOf } from "../segments.js";
import { type Contents, contentsOf, type ExpectedFile } from "./contents.js";
import { errorCode, onDisk, syncPath } from "./disk.js";
import { formatDocument } from "./document.js";
import { blobName, docName, FOLDERS } from "./layout.js";
import { openMedium } from "./medium.js";
import { piecesOf } from "./pieces.js";
import { sizeOfSource, type TarSource, tarSize, writeMembers } from "./tar.js";
import { type Cut, FileOut, PartsOut, type TarOut } from "./tar-out.js";

/** By full name in the bundle. */
export type Approvals = ReadonlyMap<string, Buffer>;

/** Files written or synced at a time. */
const PARALLEL = 16;
/** Above this, all that is dirty on the disk is sooner synced than file by file. */
const MANY_FILES = 500;
/** Bytes between two reports of progress. */
const PROGRESS_STEP = 16 * 1024 * 1024;
const COPY_SIZE = 1024 * 1024;

/**
 * Completes `dir`, whose NAR blobs and docs are in place: everything else, `index.json` last; removes what an earlier,
 * interrupted run left and this document does not list; syncs all of it. `syncAll` does that in one go where it gives true:
 * it is asked where there are many files.
 * Throws BLOB_MISSING and BLOB_SIZE when blobs or docs are not as the document says, DISK, NO_SPACE.
 */
export async function finishDirectory(
  dir: string,
  document: BundleDocument,
  approvals: Approvals,
  syncAll: (dir: string) => Promise<boolean> = async () => false,
): Promise<void> {
  const contents = contentsOf(document, formatDocument(document), approvals);
  for (const folder of [...FOLDERS].sort()) {
    await onDisk(folder, () => mkdir(join(dir, folder), { recursive: true }));
  }
  await requireGiven(sourcesOf(dir, document, contents));
  await placeDocBlobs(dir, document, contents);
  await removeUnlisted(dir, contents);

  const write = async ([name, file]: readonly [string, ExpectedFile]): Promise<void> => {
    if (Buffer.isBuffer(file)) await onDisk(name, () => writeFile(join(dir, name), file));
  };
  const { files, tail } = contents;
  await inParallel(
    [...files].filter(([name]) => !tail.has(name)),
    write,
  );
  for (const file of [...files].filter(([name]) => tail.has(name))) await write(file);

  if (files.size > MANY_FILES && (await syncAll(dir))) return;
  await inParallel([...files.keys()], (name) => syncPath(join(dir, name)));
  for (const folder of [...FOLDERS, ""]) await syncPath(join(dir, folder));
}

interface Writing {
  readonly document: BundleDocument;
  readonly approvals: Approvals;
  readonly report: Report;
  readonly signal?: AbortSignal;
  /** Where NAR blobs and docs lie that are not in the directory, by full name. */
  readonly given?: ReadonlyMap<string, FilePart>;
}

/**
 * Writes the bundle's tar to `out`, which is replaced, and syncs it. `dir` needs only NAR blobs and docs.
 * Throws BLOB_MISSING and BLOB_SIZE as `finishDirectory` does, INTERRUPTED, DISK, NO_SPACE.
 */
export async function writeTar(dir: string, out: string, what: Writing): Promise<void> {
  await writeSources(await sourcesIn(dir, what), await FileOut.open(out), what);
  await syncPath(dirname(out));
}

/** As `writeTar`, into parts in the folder `out`. Throws USAGE for too many parts, too. */
export async function writeParts(
  dir: string,
  out: string,
  what: Writing & { readonly cut: Cut },
): Promise<void> {
  const members = await sourcesIn(dir, what);
  const about = { ...nameOf(what.document), size: sizeOfTar(members) };
  await writeSources(members, await PartsOut.open(out, what.cut, about), what);
}

/** What an index of parts says of a bundle. */
export function nameOf(document: BundleDocument): Pick<PartsIndex, "bundle" | "product" | "release"> {
  const bundle = createHash("sha256").update(formatDocument(document)).digest("hex");
  return { bundle, product: document.product, release: document.release };
}

/** Bytes of the whole tar. */
export function sizeOfTar(members: readonly TarSource[]): number {
  return tarSize(members.map(sizeOfSource));
}

/** Writes a whole tar, says how far it is, and ends or closes `out`. Throws as `writeTar`, and BLOB_HASH. */
export async function writeSources(
  members: readonly TarSource[],
  out: TarOut,
  { report, signal }: Pick<Writing, "report" | "signal">,
): Promise<void> {
  const total = sizeOfTar(members);
  report({ type: "phase.started", phase: "tar", bytes: total });
  let done = 0;
  let reported = 0;
  const take = async (bytes: Uint8Array): Promise<void> => {
    await out.take(bytes);
    done += bytes.length;
    if (done - reported < PROGRESS_STEP) return;
    reported = done;
    report({ type: "phase.progress", phase: "tar", items: 0, bytes: done, share: done / total });
  };
  try {
    await writeMembers(take, members, signal === undefined ? {} : { signal });
    await out.end();
  } finally {
    await out.close();
  }
  report({ type: "phase.finished", phase: "tar" });
}

async function sourcesIn(dir: string, { document, approvals, given }: Writing): Promise<TarSource[]> {
  const members = sourcesOf(dir, document, contentsOf(document, formatDocument(document), approvals));
  await requireGiven(members.filter(({ name }) => !given?.has(name)));
  return members.map((member) => {
    const file = given?.get(member.name);
    return file === undefined ? member : { name: member.name, file };
  });
}

/** What a document names by hash, and where its bytes lie now. */
export interface PlacedFile {
  readonly name: string;
  readonly sha256: string;
  readonly place: FilePart;
}

/** Copies blobs and docs into a directory, whose folders are there, for `finishDirectory`. Throws BLOB_HASH, BLOB_SIZE, DISK, NO_SPACE, INTERRUPTED. */
export async function copyNamed(
  dir: string,
  files: readonly PlacedFile[],
  { report, signal }: { readonly report: Report; readonly signal: AbortSignal },
): Promise<void> {
  const total = files.reduce((sum, { place }) => sum + place.size, 0);
  const buffer = Buffer.allocUnsafe(COPY_SIZE);
  let [bytes, reported] = [0, 0];
  report({ type: "phase.started", phase: "copy", items: files.length, bytes: total });
  for (const [items, { name, sha256: expected, place }] of files.entries()) {
    const hasher = createHash("sha256");
    await onDisk(name, async () => {
      const out = await open(join(dir, name), "w", 0o644);
      try {
        for await (const piece of piecesOf(place, name, buffer)) {
          if (signal.aborted) fail("INTERRUPTED", { subject: name });
          hasher.update(piece);
          await out.writeFile(piece);
          bytes += piece.length;
        }
      } finally {
        await out.close();
      }
    });
    const actual = hasher.digest("hex");
    if (actual !== expected) fail("BLOB_HASH", { subject: name, expected, actual });
    if (bytes - reported < PROGRESS_STEP) continue;
    reported = bytes;
    report({ type: "phase.progress", phase: "copy", items: items + 1, bytes, share: bytes / total });
  }
  report({ type: "phase.finished", phase: "copy" });
}

/** Docs are blobs too; their blobs' bytes are those of the docs. */
async function placeDocBlobs(dir: string, document: BundleDocument, contents: Contents): Promise<void> {
  for (const { name, sha256, size } of document.docs) {
    const blob = blobName(sha256);
    if (!contents.files.has(blob) || (await sizeOf(join(dir, blob))) === size) continue;
    await onDisk(blob, () => copyFile(join(dir, docName(name)), join(dir, blob)));
  }
}

/** What the document names by hash is there, with its size. Its hash was taken when it was made. */
async function requireGiven(sources: readonly TarSource[]): Promise<void> {
  for (const source of sources) {
    if ("bytes" in source) continue;
    const { name, file } = source;
    const size = await sizeOf(file.segments[0]!.path);
    if (size === null) fail("BLOB_MISSING", { subject: name });
    if (size !== file.size)
      fail("BLOB_SIZE", { subject: name, expected: `${file.size} bytes`, actual: `${size}` });
  }
}

/** Null where there is no regular file. */
async function sizeOf(path: string): Promise<number | null> {
  try {
    const stats = await lstat(path);
    return stats.isFile() ? stats.size : null;
  } catch (error) {
    if (errorCode(error) === "ENOENT") return null;
    throw error;
  }
}

async function removeUnlisted(dir: string, contents: Contents): Promise<void> {
  const { medium, findings } = await openMedium(dir, { allowExtra: false });
  refuse(findings);
  for (const name of medium.files.keys()) {
    if (!contents.files.has(name)) await onDisk(name, () => rm(join(dir, name)));
  }
}

/** Throws the first of them. */
export function refuse(findings: readonly Finding[]): void {
  const first = findings[0];
  if (first !== undefined) {
    const { code, neededBy: _, ...details } = first;
    fail(code, details);
  }
}

function sourcesOf(dir: string, document: BundleDocument, contents: Contents): TarSource[] {
  const docs = new Map(document.docs.map(({ name, sha256 }) => [blobName(sha256), docName(name)]));
  const nars = new Set(document.paths.map(({ blob }) => blobName(blob)));
  return [...contents.files].map(([name, file]) => {
    if (Buffer.isBuffer(file)) return { name, bytes: file };
    const doc = nars.has(name) ? undefined : docs.get(name);
    return { name, file: partOf(join(dir, doc ?? name), file.size) };
  });
}

/** In no order. After the first failure no more is begun. */
async function inParallel<T>(items: readonly T[], action: (item: T) => Promise<void>): Promise<void> {
  const queue = items.values();
  await Promise.all(
    Array.from({ length: PARALLEL }, async () => {
      for (const item of queue) await action(item);
    }),
  );
}
