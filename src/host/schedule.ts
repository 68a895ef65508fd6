/**
 * In which order jobs are done, which of them share a message, and which take two threads: the largest first, tiny ones in
 * batches, and split what would outlast all others. Pure.
 */
import type { Job } from "./jobs.js";

const MAX_BATCH_JOBS = 64;
const MAX_BATCH_BYTES = 4 * 1024 * 1024;

/** Bytes to be read, hashed or decompressed, as far as they can be foreseen. */
export function workOf(job: Job): number {
  if (job.kind === "blob") return job.narSize + job.blobSize;
  return job.kind === "disk" ? job.narSize : job.file.size;
}

/** Indices of jobs in the order of their work; of those with the same, the first comes first. */
export function largestFirst(jobs: readonly Job[], indices: Iterable<number>): number[] {
  return [...indices].sort((a, b) => workOf(jobs[b]!) - workOf(jobs[a]!) || a - b);
}

/** Indices of jobs but for those of `without`, the largest first; small ones share a batch. */
export function batchesOf(jobs: readonly Job[], without: readonly number[] = []): number[][] {
  const left = new Set(jobs.keys());
  for (const index of without) left.delete(index);
  const batches: number[][] = [];
  let bytes = 0;
  for (const index of largestFirst(jobs, left)) {
    const last = batches.at(-1);
    const size = workOf(jobs[index]!);
    if (last === undefined || last.length === MAX_BATCH_JOBS || bytes + size > MAX_BATCH_BYTES) {
      batches.push([index]);
      bytes = size;
    } else {
      last.push(index);
      bytes += size;
    }
  }
  return batches;
}

/** Less is done before another thread has noticed. */
const MIN_SPLIT = 64 * 1024 * 1024;
/** What remains of a blob's time when its NAR is read by a second thread: measured on 2 GB in one file. */
const SPLIT_TIME = 0.75;

/** Indices of the blobs that two threads do together, since all is done sooner so. Never more than there are pairs. */
export function splitJobs(jobs: readonly Job[], threads: number): number[] {
  const work = jobs.map(workOf);
  const order = largestFirst(jobs, jobs.keys());
  const isLarge = (index: number) => jobs[index]!.kind === "blob" && work[index]! >= MIN_SPLIT;
  let best: number[] = [];
  let bestTime = timeOf(order, 0, { work, threads });
  for (let count = 1; count <= Math.floor(threads / 2); count++) {
    const split = order.slice(0, count);
    if (split.length < count || !split.every(isLarge)) break;
    const time = timeOf(order, count, { work, threads });
    if (time < bestTime) [best, bestTime] = [split, time];
  }
  return best;
}

/** When the last thread ends, where each takes the largest job that is left. The first `split` of `order` take two. */
function timeOf(
  order: readonly number[],
  split: number,
  { work, threads }: { readonly work: readonly number[]; readonly threads: number },
): number {
  const loads = new Array<number>(threads).fill(0);
  for (const [i, index] of order.slice(0, split).entries()) {
    loads[2 * i] = loads[2 * i + 1] = work[index]! * SPLIT_TIME;
  }
  let rest = 0;
  for (const index of order.slice(split)) {
    // From here on nothing is large enough to matter by itself.
    if (work[index]! < MIN_SPLIT / 16) rest += work[index]!;
    else {
      const free = loads.indexOf(Math.min(...loads));
      loads[free]! += work[index]!;
    }
  }
  const even = (loads.reduce((sum, load) => sum + load, 0) + rest) / threads;
  return Math.max(even, ...loads);
}
