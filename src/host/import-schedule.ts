/**
 * In which batches paths enter a store, and which batches may enter it side by side: each after what it refers to, .drv
 * files by themselves. Pure.
 */

/** More at once is no quicker, and keeps others waiting for it. */
const MAX_BATCH_BYTES = 64 * 1024 * 1024;
/** About as many as fit on a command line. */
const MAX_BATCH_PATHS = 1000;
/** Copied to the disk besides the largest. */
const MAX_STAGED_BYTES = 256 * 1024 * 1024;
/** Smaller ones take the database longer than the disk: on average, where a batch holds both. */
const SMALL = 256 * 1024;
/** One is written to the store, the other one waits for it. */
const MAX_SMALL_BATCHES = 2;
/** Less is not worth a process while another one runs: what that brings in makes more ready. */
const MIN_BATCH_BYTES = 16 * 1024 * 1024;
const MIN_BATCH_PATHS = 200;

export interface SchedulePath {
  readonly storePath: string;
  readonly narSize: number;
  readonly references: readonly string[];
  /** Bytes that are copied to the disk first. */
  readonly stagedBytes: number;
}

export type Batch = readonly SchedulePath[];

/** Most bytes that lie on the disk for batches that run, where the blobs of all paths have these sizes. */
export function maxStaged(blobSizes: readonly number[]): number {
  const [sum, largest] = blobSizes.reduce(([all, most], size) => [all + size, Math.max(most, size)], [0, 0]);
  return Math.min(sum, largest + MAX_STAGED_BYTES);
}

export class ImportSchedule {
  readonly #maxStagedBytes: number;
  /** In neither a batch that runs nor one that ended; in dependency order. */
  #waiting: readonly SchedulePath[];
  readonly #running = new Set<Batch>();
  readonly #referrers = new Map<string, SchedulePath[]>();
  /** How many references of a path have not been imported yet. */
  readonly #missing = new Map<string, number>();

  /** `paths`: in dependency order; what else they refer to is there. */
  constructor(paths: readonly SchedulePath[]) {
    this.#waiting = paths;
    this.#maxStagedBytes = maxStaged(paths.map(({ stagedBytes }) => stagedBytes));
    for (const { storePath } of paths) this.#referrers.set(storePath, []);
    for (const path of paths) {
      const missing = path.references.filter((name) => name !== path.storePath && this.#referrers.has(name));
      this.#missing.set(path.storePath, missing.length);
      for (const name of missing) this.#referrers.get(name)!.push(path);
    }
  }

  /** The next batch, in dependency order; null where one that runs must end first, or where nothing is left. */
  begin(): Batch | null {
    const isEnough = this.#running.size === 0 ? isNotEmpty : isWorthwhile;
    for (const batch of this.#candidates()) {
      if (!isEnough(batch)) continue;
      this.#running.add(batch);
      const taken = new Set(batch);
      this.#waiting = this.#waiting.filter((path) => !taken.has(path));
      return batch;
    }
    return null;
  }

  /** A batch is in the store. */
  end(batch: Batch): void {
    this.#running.delete(batch);
    for (const { storePath } of batch) {
      for (const { storePath: referrer } of this.#referrers.get(storePath)!) {
        this.#missing.set(referrer, this.#missing.get(referrer)! - 1);
      }
    }
  }

  /** What takes longest by itself begins as early as it can. Nix 2.8 cannot take .drv files and other paths in one call. */
  *#candidates(): Generator<Batch> {
    const running = [...this.#running].flat();
    const room = this.#maxStagedBytes - running.reduce((sum, path) => sum + path.stagedBytes, 0);
    yield this.#largest(room);
    yield this.#fill(room, (path) => !isDerivation(path));
    yield this.#fill(room, isDerivation);
  }

  /** `room`: bytes that may be staged. */
  #largest(room: number): Batch {
    let largest: SchedulePath | undefined;
    for (const path of this.#waiting) {
      if (path.narSize < Math.max(MAX_BATCH_BYTES, (largest?.narSize ?? 0) + 1)) continue;
      if (this.#missing.get(path.storePath) === 0 && path.stagedBytes <= room) largest = path;
    }
    return largest === undefined ? [] : [largest];
  }

  #fill(room: number, isWanted: (path: SchedulePath) => boolean): Batch {
    const batch: SchedulePath[] = [];
    let [bytes, staged] = [0, 0];
    /** How many references of a path are in the batch. */
    const inBatch = new Map<string, number>();
    const isBusy = [...this.#running].filter(isOfSmall).length >= MAX_SMALL_BATCHES;
    for (const path of this.#waiting) {
      if (batch.length === MAX_BATCH_PATHS) break;
      if (this.#missing.get(path.storePath) !== (inBatch.get(path.storePath) ?? 0)) continue;
      if (!isWanted(path) || (isBusy && path.narSize < SMALL)) continue;
      if (batch.length > 0 && bytes + path.narSize > MAX_BATCH_BYTES) continue;
      if (staged + path.stagedBytes > room) continue;
      batch.push(path);
      bytes += path.narSize;
      staged += path.stagedBytes;
      for (const { storePath } of this.#referrers.get(path.storePath)!) {
        inBatch.set(storePath, (inBatch.get(storePath) ?? 0) + 1);
      }
    }
    return batch;
  }
}

function isDerivation({ storePath }: SchedulePath): boolean {
  return storePath.endsWith(".drv");
}

function isNotEmpty(batch: Batch): boolean {
  return batch.length > 0;
}

function isWorthwhile(batch: Batch): boolean {
  return batch.length >= MIN_BATCH_PATHS || narBytes(batch) >= MIN_BATCH_BYTES;
}

/** Whether a batch takes the database longer than the disk. Not to be copied beside another such. */
export function isOfSmall(batch: Batch): boolean {
  return narBytes(batch) < batch.length * SMALL;
}

function narBytes(batch: Batch): number {
  return batch.reduce((sum, { narSize }) => sum + narSize, 0);
}
