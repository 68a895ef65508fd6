/** How a verb runs inside a target, and the law of its report. Which verb, and on what, the target says. */
import { tmpdir } from "node:os";
import type { Context } from "../../../src/ops/context.js";
import { requireLaw } from "./laws.js";

export const context: Context = {
  report: () => {},
  signal: new AbortController().signal,
  env: {},
  now: () => new Date(0),
  workerEntry: new URL("about:blank"), // what documentOnly leaves out
  tmpDir: tmpdir(),
  cwd: tmpdir(),
};

export function requireReport(
  validate: ((value: unknown) => boolean) & { errors?: unknown },
  report: unknown,
): void {
  requireLaw(validate(report), `a report fits its schema: ${JSON.stringify(validate.errors)}`);
}
