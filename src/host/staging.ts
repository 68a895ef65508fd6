/**
 * Copies blobs out of a tar to where Nix can read them, and removes them when no batch needs them any more. Their hashes
 * are checked once more: the medium may have changed since it was verified.
 */
import { createHash, type Hash as Hasher } from "node:crypto";
import {
  closeSync,
  createReadStream,
  createWriteStream,
  openSync,
  readSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";
import { setImmediate } from "node:timers/promises";
import { AirgapError, fail } from "../errors.js";
import type { FilePart } from "./file-part.js";
import { READ_SAFELY, withDiskErrors } from "./files.js";
import { inTurns } from "./turns.js";

const COPY_SIZE = 1024 * 1024;
/** Small files written between two looks at what else there is to do. */
const AT_ONCE = 200;

export interface TarBlob extends FilePart {
  /** Hex SHA-256. */
  readonly name: string;
}

/** So many bytes of a blob are copied. */
export type OnStaged = (blob: string, bytes: number) => void;

export class Staging {
  readonly #folder: string;
  readonly #signal: AbortSignal;
  /** By name: for how many paths it lies there, since several may have the same NAR; and when it is whole. */
  readonly #blobs = new Map<string, { wanted: number; readonly whole: Promise<void> }>();

  constructor(folder: string, signal: AbortSignal) {
    this.#folder = folder;
    this.#signal = signal;
  }

  /** @throws AirgapError DISK, NO_SPACE, INTERRUPTED, BLOB_HASH, BLOB_SIZE */
  async add(blobs: readonly TarBlob[], onStaged: OnStaged): Promise<void> {
    for (const [i, blob] of blobs.entries()) {
      if (i % AT_ONCE === 0) await setImmediate();
      let known = this.#blobs.get(blob.name);
      if (known === undefined) {
        known = { wanted: 0, whole: this.#copy(blob, onStaged) };
        this.#blobs.set(blob.name, known);
      }
      known.wanted += 1;
      await known.whole;
    }
  }

  /** Of blobs that were added, once for each time. @throws AirgapError DISK */
  async drop(blobs: readonly TarBlob[]): Promise<void> {
    await withDiskErrors(this.#folder, () =>
      inTurns(blobs, ({ name }) => {
        const known = this.#blobs.get(name);
        if (known === undefined) return;
        known.wanted -= 1;
        if (known.wanted > 0) return;
        this.#blobs.delete(name);
        rmSync(join(this.#folder, name));
      }),
    );
  }

  /** Small ones at once, which is far quicker than a stream for each. */
  async #copy(blob: TarBlob, onStaged: OnStaged): Promise<void> {
    const signal = this.#signal;
    if (signal.aborted) throw new AirgapError("INTERRUPTED", { subject: "import" });
    const to = join(this.#folder, blob.name);
    await withDiskErrors(to, () =>
      blob.size > COPY_SIZE ? copyLarge(blob, to, { signal, onStaged }) : copySmall(blob, to),
    );
    onStaged(blob.name, blob.size);
  }
}

async function copySmall({ name, path, offset, size }: TarBlob, to: string): Promise<void> {
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
  { name, path, offset, size }: TarBlob,
  to: string,
  { signal, onStaged }: { readonly signal: AbortSignal; readonly onStaged: OnStaged },
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
