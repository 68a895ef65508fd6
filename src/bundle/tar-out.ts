/**
 * Where the bytes of a tar go: into one file, or into parts of it that are hashed as they are written. Names that are not
 * final, and the last rename, are the caller's.
 */
import { createHash, type Hash } from "node:crypto";
import { type FileHandle, mkdir, open } from "node:fs/promises";
import { join } from "node:path";
import type { PartsIndex } from "../generated/types.js";
import { onDisk, syncPath, writeSynced } from "./disk.js";
import {
  countParts,
  formatHashes,
  formatPartsIndex,
  hashesName,
  indexName,
  partName,
} from "./parts-index.js";

/** Bytes between two syncs of a file. */
const SYNC_STEP = 64 * 1024 * 1024;

export interface TarOut {
  take(bytes: Uint8Array): Promise<void>;
  /** All of it was taken: makes it survive a power cut. */
  end(): Promise<void>;
  close(): Promise<void>;
}

/** One file, which is replaced. */
export class FileOut implements TarOut {
  readonly #path: string;
  readonly #file: FileHandle;
  readonly #sync: SteadySync;
  #position = 0;

  private constructor(path: string, file: FileHandle) {
    this.#path = path;
    this.#file = file;
    this.#sync = new SteadySync(file);
  }

  static async open(path: string): Promise<FileOut> {
    return new FileOut(path, await onDisk(path, () => open(path, "w", 0o644)));
  }

  take(bytes: Uint8Array): Promise<void> {
    return onDisk(this.#path, async () => {
      for (let done = 0; done < bytes.length; ) {
        const { bytesWritten } = await this.#file.write(bytes, done, bytes.length - done, this.#position);
        done += bytesWritten;
        this.#position += bytesWritten;
      }
      await this.#sync.wrote(bytes.length);
    });
  }

  end(): Promise<void> {
    return onDisk(this.#path, () => this.#sync.end());
  }

  close(): Promise<void> {
    return this.#file.close();
  }
}

interface OpenPart {
  readonly name: string;
  readonly out: FileOut;
  readonly hasher: Hash;
  size: number;
}

/** What a set of parts is cut from, and how. */
export interface Cut {
  /** `NAME.tar`: parts are named after it. */
  readonly tarName: string;
  /** Bytes of every part but the last. */
  readonly partSize: number;
}

/** The parts, and beside them, last, their hashes and their index, in a folder that is made where it is missing. */
export class PartsOut implements TarOut {
  readonly #folder: string;
  readonly #cut: Cut;
  readonly #about: Pick<PartsIndex, "bundle" | "product" | "release" | "size">;
  readonly #count: number;
  readonly #parts: PartsIndex["parts"] = [];
  #open: OpenPart | null = null;

  private constructor(
    folder: string,
    cut: Cut,
    about: Pick<PartsIndex, "bundle" | "product" | "release" | "size">,
  ) {
    this.#folder = folder;
    this.#cut = cut;
    this.#about = about;
    this.#count = countParts(about.size, cut.partSize);
  }

  /** `about.size`: bytes of the whole tar. Throws USAGE for too many parts. */
  static async open(
    folder: string,
    cut: Cut,
    about: Pick<PartsIndex, "bundle" | "product" | "release" | "size">,
  ): Promise<PartsOut> {
    const out = new PartsOut(folder, cut, about);
    await onDisk(folder, () => mkdir(folder, { recursive: true }));
    return out;
  }

  async take(bytes: Uint8Array): Promise<void> {
    for (let at = 0; at < bytes.length; ) {
      const part = this.#open ?? (await this.#next());
      const piece = bytes.subarray(at, at + this.#cut.partSize - part.size);
      await part.out.take(piece);
      part.hasher.update(piece);
      part.size += piece.length;
      at += piece.length;
      if (part.size === this.#cut.partSize) await this.#finish(part);
    }
  }

  async end(): Promise<void> {
    if (this.#open !== null) await this.#finish(this.#open);
    const { tarName } = this.#cut;
    const index: PartsIndex = {
      ...this.#about,
      format: "nix-airgap-parts",
      parts: this.#parts,
      version: "1.0",
    };
    await writeSynced(join(this.#folder, hashesName(tarName)), Buffer.from(formatHashes(index)));
    await syncPath(this.#folder);
    await writeSynced(join(this.#folder, indexName(tarName)), Buffer.from(formatPartsIndex(index)));
    await syncPath(this.#folder);
  }

  async close(): Promise<void> {
    await this.#open?.out.close();
    this.#open = null;
  }

  async #next(): Promise<OpenPart> {
    const name = partName(this.#cut.tarName, this.#parts.length + 1, this.#count);
    const out = await FileOut.open(join(this.#folder, name));
    this.#open = { name, out, hasher: createHash("sha256"), size: 0 };
    return this.#open;
  }

  async #finish({ name, out, hasher, size }: OpenPart): Promise<void> {
    await out.end();
    await this.close();
    this.#parts.push({ name, sha256: hasher.digest("hex"), size });
  }
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
