/** What an operation may know of the world around it: the library reads no clock, environment or argv itself. */
import type { Report } from "../events.js";
import type { WorkerEntry } from "../host/program.js";

export interface Context {
  readonly report: Report;
  /** Stops the operation: children and workers end, temporary files go, `INTERRUPTED` is thrown. */
  readonly signal: AbortSignal;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly now: () => Date;
  /** What worker threads begin in. */
  readonly workerEntry: WorkerEntry;
  /** Worker threads; default: as many as the machine has cores. */
  readonly threads?: number;
  /** Folder for temporary files. */
  readonly tmpDir: string;
  readonly cwd: string;
}
