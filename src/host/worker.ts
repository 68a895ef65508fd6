/**
 * The worker's side of pool.ts. In a release all code is one file, so that this thread begins in the program's
 * main module: that asks `isPoolWorker`, and calls `runWorker` instead of reading its command line.
 */
import { isMainThread, parentPort, workerData } from "node:worker_threads";
import { AirgapError, type Code, type Details } from "../errors.js";
import type { CheckerOptions } from "./blob.js";
import { type JobResult, JobRunner, type Task, type TOO_LARGE } from "./jobs.js";

/** What the pool starts a worker with. */
export interface WorkerStart {
  readonly marker: typeof WORKER_MARKER;
}

export const WORKER_MARKER = "nix-airgap worker";

export interface WorkerTask {
  /** Holds for these jobs and all after them; given with the first. */
  readonly setup?: CheckerOptions;
  readonly jobs: readonly Task[];
}

/** Bytes of a NAR between two messages about it: some ten a second. */
const PROGRESS_STEP = 16 * 1024 * 1024;

/** The answer to one task: a result for each of its jobs, or the error that ended it; before it, how far a job is. */
export type WorkerAnswer =
  | { readonly type: "progress"; readonly at: number; readonly narBytes: number }
  | { readonly type: "results"; readonly results: readonly (JobResult | typeof TOO_LARGE)[] }
  | { readonly type: "error"; readonly code: Code; readonly details: Details };

export function isPoolWorker(): boolean {
  return !isMainThread && isStart(workerData);
}

/** Does tasks until the pool ends this thread. */
export function runWorker(): void {
  const port = parentPort;
  if (port === null || !isStart(workerData)) throw new Error("not a worker of the pool");
  const runner = new JobRunner();
  port.on("message", (task: WorkerTask) => {
    const post = (message: WorkerAnswer) => port.postMessage(message);
    post(answer(runner, task, post));
  });
}

/** Errors lose their class between threads; one that is not typed is a bug, and ends the worker. */
function answer(
  runner: JobRunner,
  { setup, jobs }: WorkerTask,
  post: (message: WorkerAnswer) => void,
): WorkerAnswer {
  const run = (job: Task, at: number) => {
    let told = 0;
    return runner.run(job, (narBytes) => {
      if (narBytes - told < PROGRESS_STEP) return;
      told = narBytes;
      post({ type: "progress", at, narBytes });
    });
  };
  try {
    if (setup !== undefined) runner.setUp(setup);
    return { type: "results", results: jobs.map(run) };
  } catch (error) {
    if (!(error instanceof AirgapError)) throw error;
    return { type: "error", code: error.code, details: error.details };
  }
}

function isStart(data: unknown): data is WorkerStart {
  return typeof data === "object" && data !== null && "marker" in data && data.marker === WORKER_MARKER;
}
