/** What an operation may know of the world around it: the library reads no clock, environment or argv itself. */
import type { Report } from "../events.js";

export interface Context {
  readonly report: Report;
  /** Stops the operation: children and workers end, temporary files go, `INTERRUPTED` is thrown. */
  readonly signal: AbortSignal;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly now: () => Date;
  /** Module that worker threads run: `host/worker-main.js`, or the one file of a release. */
  readonly workerEntry: URL;
  /** Worker threads; default: as many as the machine has cores. */
  readonly threads?: number;
  /** Folder for temporary files. */
  readonly tmpDir: string;
  readonly cwd: string;
}
