/** The program as cli.ts runs it, and what it took: time, memory and writing, of it and all that it started. */
import { readdirSync, readFileSync } from "node:fs";
import { type CliOptions, cli, type Outcome } from "./cli.js";

export interface Measured extends Outcome {
  readonly seconds: number;
  /** MiB of memory at the most, of it and all that it started. */
  readonly peak: number;
  /** MiB of the program alone, and the seconds of processors that it took. */
  readonly own: { readonly peak: number; readonly cpuSeconds: number };
  /** KiB handed to the system to write: files, pipes, the terminal. */
  readonly written: number;
}

const POLL_MS = 10;
/** Clock ticks in a second, as Linux tells them to programs. */
const TICKS = 100;

/** With `MEASURE=1` in the environment the figures are printed. */
export async function measuredCli(args: readonly string[], options: CliOptions = {}): Promise<Measured> {
  const started = Date.now();
  let peak = 0;
  let written = 0;
  const own = { peak: 0, cpuSeconds: 0 };
  let timer: NodeJS.Timeout | undefined;
  const onStart = (pid: number): void => {
    // The kernel keeps what it counts until a process ends: only the last moments of one can be missed.
    timer = setInterval(() => {
      peak = Math.max(peak, sumOver(pid, "status", PEAK));
      written = Math.max(written, sumOver(pid, "io", /^wchar: (\d+)$/m));
      own.peak = Math.max(own.peak, numbersIn(pid, "status", PEAK) / 1024);
      own.cpuSeconds = Math.max(own.cpuSeconds, numbersIn(pid, "stat", CPU) / TICKS);
    }, POLL_MS);
  };
  try {
    const outcome = await cli(args, { ...options, onStart });
    const seconds = (Date.now() - started) / 1000;
    const measured = {
      ...outcome,
      seconds,
      peak: Math.round(peak / 1024),
      own: { ...own, peak: Math.round(own.peak) },
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

const PEAK = /^VmHWM:\s+(\d+) kB$/m;
/** In user mode and in the kernel, behind the name in brackets. */
const CPU = /\) \S(?: -?\d+){10} (\d+) (\d+)/;

/** What a pattern takes from `/proc/PID/FILE`, added up; 0 for a process that has ended. */
function numbersIn(pid: number, file: string, pattern: RegExp): number {
  try {
    const found = pattern.exec(readFileSync(`/proc/${pid}/${file}`, "utf8"))?.slice(1) ?? [];
    return found.reduce((sum, digits) => sum + Number(digits), 0);
  } catch {
    return 0;
  }
}

/** The same, added up over a process and its descendants. */
export function sumOver(pid: number, file: string, pattern: RegExp): number {
  const own = numbersIn(pid, file, pattern);
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
