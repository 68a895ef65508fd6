/**
 * The worker's side of pool.ts. In a release all code is one file, so that this thread begins in the program's
 * main module: that asks `isPoolWorker`, and calls `runWorker` instead of reading its command line.
 */
import { isMainThread, parentPort, workerData } from "node:worker_threads";
import { AirgapError, type Code, type Details } from "../errors.js";
import { type Job, type JobResult, JobRunner, type RunnerOptions, type TOO_LARGE } from "./jobs.js";

/** What the pool starts a worker with. */
export interface WorkerStart extends RunnerOptions {
  readonly marker: typeof WORKER_MARKER;
}

export const WORKER_MARKER = "nix-airgap worker";

/** The answer to one batch: a result for each of its jobs, or the error that ended it. */
export type WorkerAnswer =
  | { readonly type: "results"; readonly results: readonly (JobResult | typeof TOO_LARGE)[] }
  | { readonly type: "error"; readonly code: Code; readonly details: Details };

export function isPoolWorker(): boolean {
  return !isMainThread && startOf(workerData) !== null;
}

/** Answers batches of jobs until the pool ends this thread. */
export function runWorker(): void {
  const port = parentPort;
  const start = startOf(workerData);
  if (port === null || start === null) throw new Error("not a worker of the pool");
  const runner = new JobRunner(start);
  port.on("message", (batch: readonly Job[]) => port.postMessage(answer(runner, batch)));
}

/** Errors lose their class between threads; one that is not typed is a bug, and ends the worker. */
function answer(runner: JobRunner, batch: readonly Job[]): WorkerAnswer {
  try {
    return { type: "results", results: batch.map((job) => runner.run(job)) };
  } catch (error) {
    if (!(error instanceof AirgapError)) throw error;
    return { type: "error", code: error.code, details: error.details };
  }
}

function startOf(data: unknown): WorkerStart | null {
  const isStart =
    typeof data === "object" && data !== null && "marker" in data && data.marker === WORKER_MARKER;
  // Only the pool gives this marker.
  return isStart ? (data as WorkerStart) : null;
}
