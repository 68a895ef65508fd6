/** In which order jobs are done, and which of them share a message: the largest first, tiny ones in batches. Pure. */
import type { Job } from "./jobs.js";

const MAX_BATCH_JOBS = 64;
const MAX_BATCH_BYTES = 4 * 1024 * 1024;

/** Bytes to be read, hashed or decompressed, as far as they can be foreseen. */
export function workOf(job: Job): number {
  if (job.kind === "blob") return job.narSize + job.blobSize;
  return job.kind === "disk" ? job.narSize : job.file.size;
}

/** Indices of jobs, the largest first; small ones share a batch. */
export function batchesOf(jobs: readonly Job[]): number[][] {
  const work = jobs.map(workOf);
  const order = [...jobs.keys()].sort((a, b) => work[b]! - work[a]! || a - b);
  const batches: number[][] = [];
  let bytes = 0;
  for (const index of order) {
    const last = batches.at(-1);
    const size = work[index]!;
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
