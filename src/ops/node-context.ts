/** The context of an operation as this Node process gives it: for the library's users; the command line overrides parts. */
import { tmpdir } from "node:os";
import type { Context } from "./context.js";

/** Without overrides: reports to nobody, is never stopped, and works in this process's folder and environment. */
export function nodeContext(overrides: Partial<Context> = {}): Context {
  return {
    report: () => {},
    signal: new AbortController().signal,
    env: process.env,
    now: () => new Date(),
    workerEntry: new URL("../host/worker-main.js", import.meta.url),
    tmpDir: tmpdir(),
    cwd: process.cwd(),
    ...overrides,
  };
}
