#!/usr/bin/env node
/** The program's entry as a module, of its main thread and, in a release, of its worker threads. */
import { isMainThread } from "node:worker_threads";

if (isMainThread) {
  const { start } = await import("./start.js");
  await start(new URL(import.meta.url));
} else {
  const { isPoolWorker, runWorker } = await import("../host/worker.js");
  if (isPoolWorker()) runWorker();
}
