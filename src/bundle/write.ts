/**
 * Writes a bundle from NAR blobs and docs that are in place: the rest of a directory, or a whole tar
 * (docs/format.md, section 8). Names that are not final, and the last rename, are the caller's.
 */
import { copyFile, type FileHandle, lstat, mkdir, open, rm, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { type Finding, fail } from "../errors.js";
import type { Report } from "../events.js";
import type { BundleDocument } from "../generated/types.js";
import { type Contents, contentsOf, type ExpectedFile } from "./contents.js";
import { errorCode, onDisk, syncPath } from "./disk.js";
import { formatDocument } from "./document.js";
import { blobName, docName, FOLDERS } from "./layout.js";
import { openMedium } from "./medium.js";
import { type TarSource, tarSize, writeMembers } from "./tar.js";

/** By full name in the bundle. */
export type Approvals = ReadonlyMap<string, Buffer>;

/** Files written or synced at a time. */
const PARALLEL = 16;
/** Above this, all that is dirty on the disk is sooner synced than file by file. */
const MANY_FILES = 500;
/** Bytes between two reports of progress. */
const PROGRESS_STEP = 16 * 1024 * 1024;
/** Bytes between two syncs of a tar. */
const SYNC_STEP = 64 * 1024 * 1024;

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

/**
 * Writes the bundle's tar to `out`, which is replaced, and syncs it. `dir` needs only NAR blobs and docs.
 * Throws BLOB_MISSING and BLOB_SIZE as `finishDirectory` does, INTERRUPTED, DISK, NO_SPACE.
 */
export async function writeTar(
  dir: string,
  out: string,
  what: {
    readonly document: BundleDocument;
    readonly approvals: Approvals;
    readonly report: Report;
    readonly signal?: AbortSignal;
  },
): Promise<void> {
  const { document, approvals, report } = what;
  const contents = contentsOf(document, formatDocument(document), approvals);
  const members = sourcesOf(dir, document, contents);
  await requireGiven(members);
  const total = tarSize(members.map((member) => ("bytes" in member ? member.bytes.length : member.size)));
  report({ type: "phase.started", phase: "tar", bytes: total });
  let done = 0;
  let reported = 0;
  await onDisk(out, async () => {
    const file = await open(out, "w", 0o644);
    const sync = new SteadySync(file);
    const onBytes = (bytes: number): Promise<void> => {
      done += bytes;
      if (done - reported >= PROGRESS_STEP) {
        reported = done;
        report({ type: "phase.progress", phase: "tar", items: 0, bytes: done, share: done / total });
      }
      return sync.wrote(bytes);
    };
    try {
      await writeMembers(file, 0, members, {
        onBytes,
        ...(what.signal === undefined ? {} : { signal: what.signal }),
      });
      await sync.end();
    } finally {
      await file.close();
    }
  });
  await syncPath(dirname(out));
  report({ type: "phase.finished", phase: "tar" });
}

/**
 * Syncs a file as it is written, one step behind: what memory took in a moment is not on the medium, and who watches would
 * wait for it at the end.
 */
class SteadySync {
  readonly #file: FileHandle;
  #unsynced = 0;
  #pending = Promise.resolve();

  constructor(file: FileHandle) {
    this.#file = file;
  }

  async wrote(bytes: number): Promise<void> {
    this.#unsynced += bytes;
    if (this.#unsynced < SYNC_STEP) return;
    this.#unsynced = 0;
    await this.#pending;
    this.#pending = this.#file.datasync();
    // Thrown where it is waited for: the system tells an error once.
    this.#pending.catch(() => {});
  }

  async end(): Promise<void> {
    await this.#pending;
    await this.#file.sync();
  }
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
    const size = await sizeOf(source.path);
    if (size === null) fail("BLOB_MISSING", { subject: source.name });
    if (size !== source.size) {
      fail("BLOB_SIZE", { subject: source.name, expected: `${source.size} bytes`, actual: `${size}` });
    }
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
  for (const [name, { path }] of medium.files) {
    if (!contents.files.has(name)) await onDisk(name, () => rm(path));
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
    return { name, size: file.size, path: join(dir, doc ?? name) };
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
