/** The program as cli.ts runs it, and what it took: time, memory and writing, of it and all that it started. */
import { readdirSync, readFileSync } from "node:fs";
import { type CliOptions, cli, type Outcome } from "./cli.js";

export interface Measured extends Outcome {
  readonly seconds: number;
  /** MiB of memory at the most, of it and all that it started. */
  readonly peak: number;
  /** MiB of the program alone. */
  readonly ownPeak: number;
  /** KiB handed to the system to write: files, pipes, the terminal. */
  readonly written: number;
}

const POLL_MS = 10;

/** With `MEASURE=1` in the environment the figures are printed. */
export async function measuredCli(args: readonly string[], options: CliOptions = {}): Promise<Measured> {
  const started = Date.now();
  let peak = 0;
  let written = 0;
  let ownPeak = 0;
  let timer: NodeJS.Timeout | undefined;
  const onStart = (pid: number): void => {
    // The kernel keeps what it counts until a process ends: only the last moments of one can be missed.
    timer = setInterval(() => {
      peak = Math.max(peak, peakOf(pid));
      written = Math.max(written, sumOver(pid, "io", /^wchar: (\d+)$/m));
      ownPeak = Math.max(ownPeak, numberIn(pid, "status", PEAK));
    }, POLL_MS);
  };
  try {
    const outcome = await cli(args, { ...options, onStart });
    const seconds = (Date.now() - started) / 1000;
    const measured = {
      ...outcome,
      seconds,
      peak: Math.round(peak / 1024),
      ownPeak: Math.round(ownPeak / 1024),
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

/** The kernel's own record of the most that a process had, in KiB. */
const PEAK = /^VmHWM:\s+(\d+) kB$/m;

/** KiB of memory at the most, added up over a process and its descendants. */
export function peakOf(pid: number): number {
  return sumOver(pid, "status", PEAK);
}

/** A number in `/proc/PID/FILE`; 0 for a process that has ended. */
function numberIn(pid: number, file: string, pattern: RegExp): number {
  try {
    return Number(pattern.exec(readFileSync(`/proc/${pid}/${file}`, "utf8"))?.[1] ?? 0);
  } catch {
    return 0;
  }
}

/** The same, added up over a process and its descendants. */
function sumOver(pid: number, file: string, pattern: RegExp): number {
  const own = numberIn(pid, file, pattern);
  return childrenOf(pid).reduce((sum, child) => sum + sumOver(child, file, pattern), own);
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
