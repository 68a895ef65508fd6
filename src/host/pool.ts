/**
 * Spreads jobs over worker threads: the largest first, tiny ones in batches. Few small ones are done right here,
 * since a thread takes 20 ms to start. Frames with a window larger than Nix's, up to 128 MiB, come last, all on one
 * thread: memory grows neither with their number nor with that of processors. What a job does is jobs.ts's.
 */
import { availableParallelism } from "node:os";
import { setImmediate } from "node:timers/promises";
import { Worker } from "node:worker_threads";
import { AirgapError } from "../errors.js";
import { type Job, type JobResult, JobRunner, TOO_LARGE } from "./jobs.js";
import { WORKER_MARKER, type WorkerAnswer, type WorkerStart } from "./worker.js";

/** One worker needs about 60 MB, and more than this many no disk can feed. */
const MAX_THREADS = 16;
const MAX_BATCH_JOBS = 64;
const MAX_BATCH_BYTES = 4 * 1024 * 1024;
/** Up to this much is done without threads. */
const SMALL_RUN_JOBS = 200;
const SMALL_RUN_BYTES = 8 * 1024 * 1024;

export interface PoolOptions<J extends Job> {
  /** The module that a worker begins in: see worker.ts. */
  readonly workerEntry: URL;
  readonly signal: AbortSignal;
  /** Hash parts of the store paths that blobs are searched for. */
  readonly hashParts?: readonly string[];
  /** As many as the machine has processors, unless given. */
  readonly threads?: number;
  /** Called once for each job as it ends, in any order. */
  readonly onResult?: (job: J, result: JobResult<J>) => void;
}

/**
 * Does all jobs; the results stand in the order of the jobs. Ends all of its threads, whatever happens.
 *
 * @throws INTERRUPTED on abort; what the first failing job throws (DISK, FILE_TYPE); a plain Error, hence a bug,
 * where a worker dies.
 */
export async function runJobs<J extends Job>(
  jobs: readonly J[],
  options: PoolOptions<J>,
): Promise<JobResult<J>[]> {
  const bytes = jobs.reduce((sum, job) => sum + workOf(job), 0);
  const isSmall = jobs.length < SMALL_RUN_JOBS && bytes <= SMALL_RUN_BYTES;
  const results = new Array<JobResult<J>>(jobs.length);
  const settle = (index: number, result: JobResult): void => {
    // A runner answers each kind of job with the result of that kind.
    const own = result as JobResult<J>;
    results[index] = own;
    options.onResult?.(jobs[index]!, own);
  };
  if (isSmall) await runHere(jobs, options, settle);
  else await runOnWorkers(jobs, options, settle);
  return results;
}

type Surroundings = Omit<PoolOptions<Job>, "onResult">;
type Settle = (index: number, result: JobResult) => void;

async function runHere(
  jobs: readonly Job[],
  { signal, hashParts = [] }: Surroundings,
  settle: Settle,
): Promise<void> {
  const runner = new JobRunner({ hashParts, largeWindows: true });
  for (const [index, job] of jobs.entries()) {
    // Lets signals in.
    await setImmediate();
    if (signal.aborted) throw new AirgapError("INTERRUPTED");
    const result = runner.run(job);
    if (result !== TOO_LARGE) settle(index, result);
  }
}

async function runOnWorkers(jobs: readonly Job[], surroundings: Surroundings, settle: Settle): Promise<void> {
  const large: number[] = [];
  const settleOrKeep = (index: number, result: JobResult | typeof TOO_LARGE): void => {
    if (result === TOO_LARGE) large.push(index);
    else settle(index, result);
  };
  await runBatches(jobs, batchesOf(jobs), { ...surroundings, largeWindows: false }, settleOrKeep);
  if (large.length === 0) return;
  // The largest first, as before.
  large.sort((a, b) => workOf(jobs[b]!) - workOf(jobs[a]!) || a - b);
  const alone = { ...surroundings, threads: 1, largeWindows: true };
  await runBatches(
    jobs,
    large.map((index) => [index]),
    alone,
    settleOrKeep,
  );
}

/** `settle` is called once for each job of the batches. */
async function runBatches(
  jobs: readonly Job[],
  batches: readonly (readonly number[])[],
  options: Surroundings & { readonly largeWindows: boolean },
  settle: (index: number, result: JobResult | typeof TOO_LARGE) => void,
): Promise<void> {
  const { signal, hashParts = [], workerEntry, threads = defaultThreads(), largeWindows } = options;
  if (signal.aborted) throw new AirgapError("INTERRUPTED");
  const start: WorkerStart = { marker: WORKER_MARKER, hashParts, largeWindows };
  const workers: Worker[] = [];
  let onAbort = (): void => {};
  try {
    await new Promise<void>((resolve, reject) => {
      onAbort = () => reject(new AirgapError("INTERRUPTED"));
      signal.addEventListener("abort", onAbort);
      let next = 0;
      let settled = 0;

      const drive = (worker: Worker): void => {
        let batch: readonly number[] = [];
        const advance = (): void => {
          batch = batches[next++] ?? [];
          if (batch.length > 0) worker.postMessage(batch.map((index) => jobs[index]));
        };
        worker.on("message", (answer: WorkerAnswer) => {
          try {
            if (answer.type === "error") throw new AirgapError(answer.code, answer.details);
            for (const [i, index] of batch.entries()) settle(index, answer.results[i]!);
            settled += 1;
            if (settled === batches.length) resolve();
            else advance();
          } catch (error) {
            reject(error);
          }
        });
        worker.on("error", reject);
        worker.on("messageerror", reject);
        worker.on("exit", (code) => reject(new Error(`a worker ended by itself, with code ${code}`)));
        advance();
      };

      for (let i = 0; i < Math.min(threads, batches.length); i++) {
        // Nothing of our environment or command line changes what a worker does.
        const worker = new Worker(workerEntry, { workerData: start, env: {}, execArgv: [], argv: [] });
        workers.push(worker);
        drive(worker);
      }
    });
  } finally {
    signal.removeEventListener("abort", onAbort);
    await Promise.all(workers.map((worker) => worker.terminate()));
  }
}

/** Indices of jobs, the largest first; small ones share a message. */
function batchesOf(jobs: readonly Job[]): number[][] {
  const order = [...jobs.keys()].sort((a, b) => workOf(jobs[b]!) - workOf(jobs[a]!) || a - b);
  const batches: number[][] = [];
  let bytes = 0;
  for (const index of order) {
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

/** Bytes to be read, hashed or decompressed, as far as they can be foreseen. */
function workOf(job: Job): number {
  return job.kind === "blob" ? job.narSize + job.blobSize : job.narSize;
}

function defaultThreads(): number {
  return Math.min(availableParallelism(), MAX_THREADS);
}
