/** The program as cli.ts runs it, and what it took: time, memory and writing, of it and all that it started. */
import { readdirSync, readFileSync } from "node:fs";
import { type CliOptions, cli, type Outcome } from "./cli.js";

export interface Measured extends Outcome {
  readonly seconds: number;
  /** MiB of memory at the most. */
  readonly peak: number;
  /** KiB handed to the system to write: files, pipes, the terminal. */
  readonly written: number;
}

const POLL_MS = 10;

/** With `MEASURE=1` in the environment the figures are printed. */
export async function measuredCli(args: readonly string[], options: CliOptions = {}): Promise<Measured> {
  const started = Date.now();
  let peak = 0;
  let written = 0;
  let timer: NodeJS.Timeout | undefined;
  const onStart = (pid: number): void => {
    // The kernel keeps what it counts until a process ends: only the last moments of one can be missed.
    timer = setInterval(() => {
      peak = Math.max(peak, sumOver(pid, "status", /^VmHWM:\s+(\d+) kB$/m));
      written = Math.max(written, sumOver(pid, "io", /^wchar: (\d+)$/m));
    }, POLL_MS);
  };
  try {
    const outcome = await cli(args, { ...options, onStart });
    const seconds = (Date.now() - started) / 1000;
    const measured = {
      ...outcome,
      seconds,
      peak: Math.round(peak / 1024),
      written: Math.round(written / 1024),
    };
    if (process.env["MEASURE"]) {
      console.log(
        `${args[0]}: exit ${measured.code}, ${measured.peak} MiB, ${seconds} s, ${measured.written} KiB`,
      );
    }
    return measured;
  } finally {
    clearInterval(timer);
  }
}

/** A number in `/proc/PID/FILE`, added up over a process and its descendants; 0 for what has ended. */
export function sumOver(pid: number, file: string, pattern: RegExp): number {
  try {
    const own = Number(pattern.exec(readFileSync(`/proc/${pid}/${file}`, "utf8"))?.[1] ?? 0);
    return childrenOf(pid).reduce((sum, child) => sum + sumOver(child, file, pattern), own);
  } catch {
    return 0;
  }
}

export function childrenOf(pid: number): number[] {
  try {
    return readdirSync(`/proc/${pid}/task`).flatMap((task) =>
      readFileSync(`/proc/${pid}/task/${task}/children`, "utf8").split(" ").filter(Boolean).map(Number),
    );
  } catch {
    return []; // it has ended
  }
}
