/**
 * The gate: a binary cache made for one import. Its narinfos come from the document and are signed by a key that lives
 * as long as the gate, while the NARs' bytes still come from the medium; so Nix, which keeps asking for signatures,
 * hashes what it really reads and takes nothing else. What to import, and whether to, is the caller's business.
 */
import { createHash, type Hash as Hasher, randomBytes } from "node:crypto";
import { closeSync, createReadStream, createWriteStream, openSync, readSync, writeFileSync } from "node:fs";
import { mkdir, symlink, writeFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { pipeline } from "node:stream/promises";
import { setImmediate } from "node:timers/promises";
import { AirgapError, fail } from "../errors.js";
import { fingerprint, formatNarInfo, type NarInfo } from "../nix/narinfo.js";
import { formatPublicKey, generateSecretKey, type SecretKey, signFingerprint } from "../nix/signature.js";
import { parseStorePath } from "../nix/store-path.js";
import type { FilePart } from "./file-part.js";
import { READ_SAFELY, removeTree, withDiskErrors } from "./files.js";
import { inTurns } from "./turns.js";

/** Bytes of blobs that are copied out of a tar at a time, unless one alone is larger. */
export const MAX_BATCH_BYTES = 256 * 1024 * 1024;
const COPY_SIZE = 1024 * 1024;
/** Small files written between two looks at what else there is to do. */
const AT_ONCE = 200;

export interface GatePath {
  readonly narInfo: NarInfo;
  /** Where the blob's bytes lie: in a file of its own, or in a tar. */
  readonly blob: FilePart;
}

export type OnStaged = (blob: string, bytes: number) => void;

export interface Gate {
  /** For `nix copy --from`, and as a substituter. */
  readonly url: string;
  /** For `trusted-public-keys`. */
  readonly publicKey: string;
  /** As its narinfos have them. */
  referencesOf(storePath: string): readonly string[];
  /** What the given paths, in their order, are to be imported in: each batch after the one before it is done. */
  batches(storePaths: readonly string[]): string[][];
  /**
   * Makes the blobs of one batch readable, those of the one before no longer. `onStaged` hears how much of a blob, by its
   * hex SHA-256, was copied out of a tar.
   *
   * @throws AirgapError DISK, NO_SPACE, INTERRUPTED; of a tar that changed since it was verified BLOB_HASH, BLOB_SIZE
   */
  stage(batch: readonly string[], onStaged?: OnStaged): Promise<void>;
  close(): Promise<void>;
}

/**
 * Makes a gate in `dir`, which must not exist. `paths`: the whole closure of what will be imported. `blobs`: the folder
 * whose `sha256/<hex>` are the blobs; null for a tar, from which they are copied by batches.
 *
 * @throws AirgapError DISK, NO_SPACE; USAGE where Nix cannot be told of such a folder
 */
export async function makeGate(
  dir: string,
  paths: readonly GatePath[],
  { blobs, signal }: { readonly blobs: string | null; readonly signal: AbortSignal },
): Promise<Gate> {
  if (!isUrlSafe(dir)) {
    fail("USAGE", { subject: dir, hint: "Set TMPDIR to a folder of letters, digits and ._+@,- only." });
  }
  const key = generateSecretKey(`nix-airgap-import-${randomBytes(8).toString("hex")}`);
  await withDiskErrors(dir, async () => {
    await mkdir(dir);
    // Nix makes these in every cache that it opens.
    for (const name of ["log", "nar", "realisations"]) await mkdir(join(dir, name));
    await writeFile(join(dir, "nix-cache-info"), "StoreDir: /nix/store\n");
    await inTurns(paths, ({ narInfo }) => {
      const name = `${parseStorePath(narInfo.storePath).hashPart}.narinfo`;
      writeFileSync(join(dir, name), formatNarInfo(signed(narInfo, key)));
    });
    if (blobs === null) await mkdir(join(dir, "blobs/sha256"), { recursive: true });
    else await symlink(blobs, join(dir, "blobs"));
  });
  const byPath = new Map(paths.map((path) => [path.narInfo.storePath, path]));
  const common = {
    url: `file://${dir}`,
    publicKey: formatPublicKey(key.publicKey),
    referencesOf: (storePath: string) => byPath.get(storePath)?.narInfo.references ?? [],
    close: () => removeTree(dir),
  };
  if (blobs !== null) return { ...common, batches: (all) => [[...all]], stage: async () => {} };
  const staging = join(dir, "blobs/sha256");
  return {
    ...common,
    batches: (all) => cutBatches(all, byPath),
    async stage(batch, onStaged = () => {}) {
      await removeTree(staging);
      await withDiskErrors(staging, () => mkdir(staging));
      await copyBlobs(blobsOf(batch, byPath).values(), staging, { signal, onStaged });
    },
  };
}

/** Whether a folder can be named in a `file://` URL as it is: Nix versions disagree on what escapes mean there. */
export function isUrlSafe(dir: string): boolean {
  return /^[\w./+@,-]+$/.test(dir);
}

/** Content-addressed paths need no signature: their name says what they hold. */
function signed(narInfo: NarInfo, key: SecretKey): NarInfo {
  if (narInfo.ca !== undefined) return narInfo;
  return { ...narInfo, signatures: [...narInfo.signatures, signFingerprint(fingerprint(narInfo), key)] };
}

interface Blob extends FilePart {
  readonly name: string;
}

/** By name: paths with the same NAR share one. */
function blobsOf(batch: readonly string[], byPath: ReadonlyMap<string, GatePath>): Map<string, Blob> {
  const blobs = new Map<string, Blob>();
  for (const storePath of batch) {
    const { narInfo, blob } = byPath.get(storePath)!;
    const name = basename(narInfo.url);
    blobs.set(name, { ...blob, name });
  }
  return blobs;
}

function cutBatches(storePaths: readonly string[], byPath: ReadonlyMap<string, GatePath>): string[][] {
  const batches: string[][] = [];
  let staged = new Set<string>();
  let bytes = 0;
  for (const storePath of storePaths) {
    const { narInfo, blob } = byPath.get(storePath)!;
    const added = staged.has(narInfo.url) ? 0 : blob.size;
    const batch = batches.at(-1);
    if (batch !== undefined && bytes + added <= MAX_BATCH_BYTES) {
      batch.push(storePath);
      bytes += added;
    } else {
      batches.push([storePath]);
      staged = new Set();
      bytes = blob.size;
    }
    staged.add(narInfo.url);
  }
  return batches;
}

interface Copying {
  readonly signal: AbortSignal;
  readonly onStaged: OnStaged;
}

/** Small ones at once, which is far quicker than a stream for each. */
async function copyBlobs(blobs: Iterable<Blob>, folder: string, copying: Copying): Promise<void> {
  const { signal, onStaged } = copying;
  let copied = 0;
  for (const blob of blobs) {
    if (copied++ % AT_ONCE === 0) await setImmediate();
    if (signal.aborted) throw new AirgapError("INTERRUPTED", { subject: "import" });
    const to = join(folder, blob.name);
    await withDiskErrors(to, () =>
      blob.size > COPY_SIZE ? copyLarge(blob, to, copying) : copySmall(blob, to),
    );
    onStaged(blob.name, blob.size);
  }
}

async function copySmall({ name, path, offset, size }: Blob, to: string): Promise<void> {
  const source = openSync(path, READ_SAFELY);
  try {
    const buffer = Buffer.alloc(size);
    if (readSync(source, buffer, 0, size, offset) !== size) shorter(path);
    requireHash(name, createHash("sha256").update(buffer));
    writeFileSync(to, buffer, { flag: "wx" });
  } finally {
    closeSync(source);
  }
}

async function copyLarge(
  { name, path, offset, size }: Blob,
  to: string,
  { signal, onStaged }: Copying,
): Promise<void> {
  const fd = openSync(path, READ_SAFELY);
  const source = createReadStream(path, {
    fd,
    start: offset,
    end: offset + size - 1,
    highWaterMark: COPY_SIZE,
  });
  const target = createWriteStream(to, { flags: "wx" });
  const hasher = createHash("sha256");
  const hashed = async function* (chunks: AsyncIterable<Buffer>) {
    for await (const chunk of chunks) {
      hasher.update(chunk);
      yield chunk;
      onStaged(name, target.bytesWritten);
    }
  };
  await pipeline(source, hashed, target, { signal }).catch((error: unknown) => {
    if (signal.aborted) throw new AirgapError("INTERRUPTED", { subject: "import" }, { cause: error });
    throw error;
  });
  if (target.bytesWritten !== size) shorter(path);
  requireHash(name, hasher);
}

/** The medium may have changed since it was verified. */
function requireHash(expected: string, hasher: Hasher): void {
  const actual = hasher.digest("hex");
  if (actual !== expected) fail("BLOB_HASH", { subject: `blobs/sha256/${expected}`, expected, actual });
}

function shorter(path: string): never {
  return fail("BLOB_SIZE", { subject: path, actual: "a file that became shorter" });
}
