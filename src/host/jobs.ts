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

/** Does one job after another, with buffers used again. One per thread. */
export class JobRunner {
  readonly #hashParts: readonly string[];
  #checker: BlobChecker | undefined;

  /** `hashParts`: as BlobChecker takes them. */
  constructor(hashParts: readonly string[]) {
    this.#hashParts = hashParts;
  }

  /** @throws DISK, and for paths on disk FILE_TYPE */
  run(job: Job): JobResult {
    if (job.kind === "blob") {
      this.#checker ??= new BlobChecker(this.#hashParts);
      return this.#checker.check(job);
    }
    return lstatSync(job.path, { throwIfNoEntry: false }) === undefined ? null : hashPath(job.path);
  }
}
