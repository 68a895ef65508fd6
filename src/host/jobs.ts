/** What can be handed to a worker thread: checking a blob, hashing a path on disk. How jobs get there is pool.ts's. */
import { lstatSync } from "node:fs";
import { BlobChecker, type BlobJob, type BlobResult } from "./blob.js";
import { type DiskNar, hashPath } from "./disk-nar.js";

export interface DiskJob {
  readonly kind: "disk";
  readonly path: string;
  /** The size that its NAR should have: only the order of work depends on it. */
  readonly narSize: number;
}

export type Job = BlobJob | DiskJob;
/** For a path on disk null where there is nothing. */
export type JobResult<J extends Job = Job> = J extends BlobJob ? BlobResult : DiskNar | null;

/** The answer to a job that takes more memory than this runner may use. */
export const TOO_LARGE = "too large";

/** As BlobChecker takes them. */
export interface RunnerOptions {
  readonly hashParts: readonly string[];
  readonly largeWindows: boolean;
}

/** Does one job after another, with buffers used again. One per thread. */
export class JobRunner {
  readonly #options: RunnerOptions;
  #checker: BlobChecker | undefined;

  constructor(options: RunnerOptions) {
    this.#options = options;
  }

  /** @throws DISK, and for paths on disk FILE_TYPE */
  run(job: Job): JobResult | typeof TOO_LARGE {
    if (job.kind === "blob") {
      this.#checker ??= new BlobChecker(this.#options.hashParts, this.#options);
      return this.#checker.check(job) ?? TOO_LARGE;
    }
    return lstatSync(job.path, { throwIfNoEntry: false }) === undefined ? null : hashPath(job.path);
  }
}
