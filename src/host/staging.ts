/**
 * Copies blobs out of a tar to where Nix can read them, and removes them when no batch needs them any more. What they hold is
 * not looked at: as of blobs in a directory, Nix hashes what it reads.
 */
import { closeSync, openSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setImmediate } from "node:timers/promises";
import { AirgapError, fail } from "../errors.js";
import type { FilePart } from "../segments.js";
import { piecesOf } from "./file-part.js";
import { withDiskErrors } from "./files.js";
import { inTurns } from "./turns.js";

const COPY_SIZE = 1024 * 1024;

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

  /** @throws AirgapError DISK, NO_SPACE, INTERRUPTED; BLOB_SIZE of a file that became shorter */
  async add(blobs: readonly TarBlob[], onStaged: OnStaged): Promise<void> {
    await inTurns(blobs, (blob) => {
      let known = this.#blobs.get(blob.name);
      if (known === undefined) {
        known = { wanted: 0, whole: this.#copy(blob, onStaged) };
        this.#blobs.set(blob.name, known);
      }
      known.wanted += 1;
      return known.whole;
    });
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

  async #copy({ name, size, segments }: TarBlob, onStaged: OnStaged): Promise<void> {
    const to = join(this.#folder, name);
    await withDiskErrors(to, async () => {
      const target = openSync(to, "wx");
      try {
        let copied = 0;
        const buffer = Buffer.alloc(Math.min(size, COPY_SIZE));
        for (const piece of piecesOf({ size, segments }, buffer)) {
          // Between pieces others may run, and signals come in; most blobs are of one.
          if (copied > 0) await setImmediate();
          if (this.#signal.aborted) throw new AirgapError("INTERRUPTED", { subject: "import" });
          writeFileSync(target, piece);
          copied += piece.length;
          onStaged(name, copied);
        }
        if (copied !== size) {
          fail("BLOB_SIZE", { subject: segments.at(-1)?.path ?? name, actual: "a file that became shorter" });
        }
      } finally {
        closeSync(target);
      }
    });
  }
}
