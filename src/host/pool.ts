/**
 * Spreads jobs over worker threads, in the order that schedule.ts gives. Few small ones are done right here, since a thread
 * takes 50 ms to start. Frames with a window larger than Nix's, up to 128 MiB, come last, all on one thread: memory grows
 * neither with their number nor with that of processors. What a job does is jobs.ts's.
 */
import { availableParallelism } from "node:os";
import { setImmediate } from "node:timers/promises";
import { type MessagePort, Worker } from "node:worker_threads";
import { AirgapError } from "../errors.js";
import type { CheckerOptions } from "./blob.js";
import { type Job, type JobResult, JobRunner, type Task, TOO_LARGE } from "./jobs.js";
import { makeNarPipe } from "./nar-pipe.js";
import type { WorkerEntry } from "./program.js";
import { batchesOf, largestFirst, splitJobs, workOf } from "./schedule.js";
import { WORKER_MARKER, type WorkerAnswer, type WorkerStart, type WorkerTask } from "./worker.js";

/** One worker needs about 60 MB, and more than this many no disk can feed. */
const MAX_THREADS = 16;
/** Up to this much is done without threads, where there are none yet. */
const SMALL_RUN_JOBS = 200;
const SMALL_RUN_BYTES = 8 * 1024 * 1024;
/** Batches of tiny jobs that a thread may have before it: it need not wait while this thread is busy. */
const AHEAD = 4;

export interface PoolOptions {
  /** What a worker begins in: see worker.ts. */
  readonly workerEntry: WorkerEntry;
  readonly signal: AbortSignal;
  /** As many as the machine has processors, unless given. */
  readonly threads?: number;
}

export interface RunOptions<J extends Job> {
  /** Hash parts of the store paths that blobs are searched for. */
  readonly hashParts?: readonly string[];
  /** Called once for each job as it ends, in any order. */
  readonly onResult?: (job: J, result: JobResult<J>) => void;
  /** Called while a large job runs: so many bytes of its NAR are done. */
  readonly onProgress?: (job: J, narBytes: number) => void;
  /** Whether to do these before what was asked for earlier. */
  readonly isUrgent?: boolean;
}

/** As many threads as a pool has unless told. */
export function defaultThreads(): number {
  return Math.min(availableParallelism(), MAX_THREADS);
}

/** As `WorkerPool.run`, by a pool of its own. */
export async function runJobs<J extends Job>(
  jobs: readonly J[],
  options: PoolOptions & RunOptions<J>,
): Promise<JobResult<J>[]> {
  const pool = new WorkerPool(options);
  try {
    return await pool.run(jobs, options);
  } finally {
    await pool.close();
  }
}

type Outcome = JobResult | typeof TOO_LARGE;

/** Jobs that were asked for together. */
interface Run {
  readonly jobs: readonly Job[];
  readonly setup: CheckerOptions;
  /** Jobs that two threads do together. */
  readonly pairs: readonly number[];
  /** Not yet handed out. */
  readonly batches: (readonly number[])[];
  /** Whether one thread alone may do them. */
  readonly isAlone: boolean;
  readonly isUrgent: boolean;
  /** Handed out or not, not yet answered. */
  left: number;
  readonly settle: (index: number, result: Outcome) => void;
  readonly advance: (index: number, narBytes: number) => void;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

interface Thread {
  readonly worker: Worker;
  /** What it was told last. */
  setup: CheckerOptions | undefined;
  /** Given to it and not yet answered, in order. */
  readonly waiting: { readonly run: Run; readonly batch: readonly number[] }[];
}

/** Threads that stay from one run to the next. Must be closed. */
export class WorkerPool {
  readonly #options: PoolOptions;
  readonly #threads: Thread[] = [];
  /** Those with batches to hand out. */
  #runs: Run[] = [];
  /** Why there can be no more runs. */
  #failure: { readonly error: unknown } | undefined;
  readonly #open = new Set<Run>();
  readonly #onAbort = () => this.#fail(new AirgapError("INTERRUPTED"));

  constructor(options: PoolOptions) {
    this.#options = options;
    options.signal.addEventListener("abort", this.#onAbort);
    if (options.signal.aborted) this.#onAbort();
  }

  /** As many as it will have, at most. */
  get threads(): number {
    return this.#options.threads ?? defaultThreads();
  }

  /** Starts all threads, so that they are ready when there is work. */
  start(): void {
    if (this.#threads.length === 0) this.#addThreads(Number.POSITIVE_INFINITY);
  }

  /**
   * Does all jobs; the results stand in the order of the jobs. Runs may overlap: those begun first are done
   * first, but for urgent ones.
   *
   * @throws INTERRUPTED on abort; what the first failing job throws (DISK, FILE_TYPE); a plain Error, hence a bug,
   * where a worker dies. The pool is of no more use then.
   */
  async run<J extends Job>(jobs: readonly J[], options: RunOptions<J> = {}): Promise<JobResult<J>[]> {
    const { hashParts = [], onResult, onProgress, isUrgent = false } = options;
    const results = new Array<JobResult<J>>(jobs.length);
    const settle = (index: number, result: JobResult): void => {
      // A runner answers each kind of job with the result of that kind.
      const own = result as JobResult<J>;
      results[index] = own;
      onResult?.(jobs[index]!, own);
    };
    const advance = (index: number, narBytes: number) => onProgress?.(jobs[index]!, narBytes);
    const bytes = jobs.reduce((sum, job) => sum + workOf(job), 0);
    const isSmall = jobs.length < SMALL_RUN_JOBS && bytes <= SMALL_RUN_BYTES;
    if (isSmall && this.#threads.length === 0) await this.#runHere(jobs, hashParts, settle);
    else await this.#runOnThreads(jobs, hashParts, { settle, advance, isUrgent });
    return results;
  }

  /** Ends all threads. */
  async close(): Promise<void> {
    this.#options.signal.removeEventListener("abort", this.#onAbort);
    this.#fail(new Error("the pool was closed"));
    await Promise.all(this.#threads.map(({ worker }) => worker.terminate()));
  }

  async #runHere(
    jobs: readonly Job[],
    hashParts: readonly string[],
    settle: (index: number, result: JobResult) => void,
  ): Promise<void> {
    const runner = new JobRunner();
    runner.setUp({ hashParts, largeWindows: true });
    for (const [index, job] of jobs.entries()) {
      // Lets signals in.
      await setImmediate();
      if (this.#failure !== undefined) throw this.#failure.error;
      const result = runner.run(job);
      if (result !== TOO_LARGE) settle(index, result);
    }
  }

  async #runOnThreads(
    jobs: readonly Job[],
    hashParts: readonly string[],
    {
      settle,
      advance,
      isUrgent,
    }: Pick<Run, "advance" | "isUrgent"> & {
      readonly settle: (index: number, result: JobResult) => void;
    },
  ): Promise<void> {
    const large: number[] = [];
    const settleOrKeep = (index: number, result: Outcome): void => {
      if (result === TOO_LARGE) large.push(index);
      else settle(index, result);
    };
    const common = { jobs, advance, isUrgent, settle: settleOrKeep };
    const setup = { hashParts, largeWindows: false };
    const pairs = splitJobs(jobs, this.threads);
    const batches = batchesOf(jobs, pairs);
    await this.#runBatches({ ...common, setup, pairs, batches, isAlone: false });
    if (large.length === 0) return;
    const alone = largestFirst(jobs, large).map((index) => [index]);
    const wide = { hashParts, largeWindows: true };
    await this.#runBatches({ ...common, setup: wide, pairs: [], batches: alone, isAlone: true });
  }

  /** `settle` is called once for each job of the batches. */
  #runBatches(about: Omit<Run, "left" | "resolve" | "reject">): Promise<void> {
    if (this.#failure !== undefined) return Promise.reject(this.#failure.error);
    const { batches, pairs, isAlone } = about;
    const left = batches.length + 2 * pairs.length;
    if (left === 0) return Promise.resolve();
    return new Promise((resolve, reject) => {
      const run: Run = { ...about, left, resolve, reject };
      this.#open.add(run);
      this.#addThreads(isAlone ? 1 : left);
      for (const index of pairs) this.#handOutPair(run, index);
      if (batches.length > 0 && run.isUrgent) this.#runs.unshift(run);
      else if (batches.length > 0) this.#runs.push(run);
      for (const thread of this.#threads) this.#feed(thread);
    });
  }

  #addThreads(wanted: number): void {
    const { workerEntry } = this.#options;
    const isModule = workerEntry instanceof URL;
    const entry = isModule ? workerEntry : workerEntry.source();
    while (this.#threads.length < Math.min(this.threads, wanted)) {
      const start: WorkerStart = { marker: WORKER_MARKER };
      // Nothing of our environment or command line changes what a worker does.
      const worker = new Worker(entry, {
        workerData: start,
        eval: !isModule,
        env: {},
        execArgv: [],
        argv: [],
      });
      const thread: Thread = { worker, setup: undefined, waiting: [] };
      worker.on("message", (answer: WorkerAnswer) => this.#take(thread, answer));
      worker.on("error", (error) => this.#fail(error));
      worker.on("messageerror", (error) => this.#fail(error));
      worker.on("exit", (code) => this.#fail(new Error(`a worker ended by itself, with code ${code}`)));
      this.#threads.push(thread);
    }
  }

  /** Hands a thread as much as it should have before it. */
  #feed(thread: Thread): void {
    for (;;) {
      const run = this.#runs.find(({ isAlone }) => !isAlone || thread === this.#threads[0]);
      const batch = run?.batches[0];
      if (run === undefined || batch === undefined) return;
      const isTiny = batch.length > 1 && run.batches.length >= AHEAD * this.#threads.length;
      if (thread.waiting.length >= (isTiny ? AHEAD : 1)) return;
      run.batches.shift();
      if (run.batches.length === 0) this.#runs = this.#runs.filter((other) => other !== run);
      this.#handOut(
        thread,
        run,
        batch,
        batch.map((index) => run.jobs[index]!),
      );
    }
  }

  /**
   * One thread decompresses, the other reads; each may have other work before it. Both halves are handed out at once, so
   * that no two pairs can wait for each other.
   */
  #handOutPair(run: Run, index: number): void {
    const [first, second] = [...this.#threads].sort((a, b) => a.waiting.length - b.waiting.length);
    const job = run.jobs[index]!;
    // Only blobs are split, and only where there are two threads.
    if (first === undefined || second === undefined || job.kind !== "blob") throw new Error("no pair");
    const { front, back } = makeNarPipe();
    this.#handOut(first, run, [index], [{ ...job, pipe: front }], [front.port]);
    this.#handOut(second, run, [], [{ kind: "nar", request: job, pipe: back }], [back.port]);
  }

  /** `batch`: the jobs that the answer settles. */
  #handOut(
    thread: Thread,
    run: Run,
    batch: readonly number[],
    jobs: readonly Task[],
    ports: MessagePort[] = [],
  ): void {
    const task: WorkerTask = { ...(thread.setup === run.setup ? {} : { setup: run.setup }), jobs };
    thread.setup = run.setup;
    thread.waiting.push({ run, batch });
    thread.worker.postMessage(task, ports);
  }

  #take(thread: Thread, answer: WorkerAnswer): void {
    const { run, batch } = thread.waiting[0]!;
    if (answer.type !== "progress") thread.waiting.shift();
    if (!this.#open.has(run)) return;
    try {
      if (answer.type === "progress") {
        run.advance(batch[answer.at]!, answer.narBytes);
        return;
      }
      if (answer.type === "error") throw new AirgapError(answer.code, answer.details);
      for (const [i, index] of batch.entries()) run.settle(index, answer.results[i]!);
    } catch (error) {
      this.#fail(error);
      return;
    }
    this.#feed(thread);
    run.left -= 1;
    if (run.left > 0) return;
    this.#open.delete(run);
    run.resolve();
  }

  /** Ends all runs; only the first failure counts. */
  #fail(error: unknown): void {
    this.#failure ??= { error };
    this.#runs = [];
    for (const run of this.#open) run.reject(error);
    this.#open.clear();
  }
}
