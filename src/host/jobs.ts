/**
 * What can be handed to a worker thread: checking a blob, hashing a path or a part of a file on disk. How jobs get there is
 * pool.ts's.
 */
import { lstatSync } from "node:fs";
import type { FilePart } from "../segments.js";
import { BlobChecker, type BlobJob, type BlobResult, type CheckerOptions, type NarJob } from "./blob.js";
import { type DiskNar, hashPath } from "./disk-nar.js";
import { type FileResult, hashFilePart } from "./file-part.js";

export interface DiskJob {
  readonly kind: "disk";
  readonly path: string;
  /** The size that its NAR should have: only the order of work depends on it. */
  readonly narSize: number;
}

export interface FileJob {
  readonly kind: "file";
  readonly file: FilePart;
}

export type Job = BlobJob | DiskJob | FileJob;
/** What a thread is given: a job, or the other half of one. */
export type Task = Job | NarJob;
/** For a path on disk null where there is nothing. */
export type JobResult<J extends Job = Job> = J extends BlobJob
  ? BlobResult
  : J extends DiskJob
    ? DiskNar | null
    : FileResult;

/** The answer to a job that takes more memory than this runner may use. */
export const TOO_LARGE = "too large";

/** Hears of the bytes of a job's NAR that are done, now and then. */
export type OnNarBytes = (narBytes: number) => void;

/** Does one job after another, with buffers used again. One per thread. */
export class JobRunner {
  #options: CheckerOptions = { hashParts: [], largeWindows: false };
  #checker: BlobChecker | undefined;

  /** For all jobs from now on. */
  setUp(options: CheckerOptions): void {
    this.#options = options;
    this.#checker?.setUp(options);
  }

  /** @throws DISK, and for paths on disk FILE_TYPE */
  run(job: Task, onNarBytes?: OnNarBytes): JobResult | typeof TOO_LARGE {
    switch (job.kind) {
      case "blob":
        return this.#blobs().check(job, onNarBytes) ?? TOO_LARGE;
      case "nar":
        this.#blobs().readNar(job);
        return null;
      case "disk":
        return lstatSync(job.path, { throwIfNoEntry: false }) === undefined
          ? null
          : hashPath(job.path, onNarBytes);
      case "file":
        return hashFilePart(job.file);
    }
  }

  /** Who only hashes what lies on disk needs no decoder. */
  #blobs(): BlobChecker {
    this.#checker ??= new BlobChecker(this.#options);
    return this.#checker;
  }
}
