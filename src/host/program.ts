/** The file that this program is, and what its worker threads begin in. */
import { fileURLToPath } from "node:url";

/** A module: `host/worker-main.js`, or the one file of a release; or the program is an executable. */
export type WorkerEntry = URL | Executable;

/** One file with Node.js inside. */
export interface Executable {
  readonly path: string;
  /** CommonJS: lies inside the executable, where no loader finds it. */
  readonly source: () => string;
}

export function programFile(entry: WorkerEntry): string {
  return entry instanceof URL ? fileURLToPath(entry) : entry.path;
}

/** Whether that file is all of the program, but for a Node.js beside it. */
export function isOneFile(entry: WorkerEntry): boolean {
  return !(entry instanceof URL) || entry.pathname.endsWith(".mjs");
}
