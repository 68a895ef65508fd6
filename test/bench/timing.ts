/** Runs programs from the outside and tells what they took; and compares several ways to do one thing, taking turns. */
import { execFileSync, spawn } from "node:child_process";
import { childrenOf, peakOf } from "../support/measure.js";

export interface Command {
  readonly argv: readonly string[];
  readonly env: NodeJS.ProcessEnv;
}

export interface Sample {
  /** Of the wall. */
  readonly seconds: number;
  /** User and system time, of all processes. */
  readonly cpuSeconds: number;
  /** Bytes of memory at the most, all processes added up; null where it was not asked for. */
  readonly peak: number | null;
}

/** One way to do it: commands one after the other, and what is done before and after without being timed. */
export interface Arm {
  readonly before?: () => void;
  readonly commands: () => readonly Command[];
  /** After the turn to warm up. @throws Error where the work was not done, whatever the exit says */
  readonly check?: () => void;
  readonly after?: () => Promise<void>;
}

/**
 * One turn to warm up, which is not counted, then `runs` turns; in each turn every arm runs once, in the same order.
 *
 * @throws Error of a command that did not exit with 0
 */
export async function takeTurns<Name extends string>(
  arms: Readonly<Record<Name, Arm>>,
  runs: number,
): Promise<Record<Name, Sample[]>> {
  const names = Object.keys(arms) as Name[];
  const samples = Object.fromEntries(names.map((name) => [name, []])) as unknown as Record<Name, Sample[]>;
  for (let turn = 0; turn <= runs; turn++) {
    for (const name of names) {
      const isWarmUp = turn === 0;
      const sample = await runArm(arms[name], isWarmUp);
      if (!isWarmUp) samples[name].push(sample);
    }
  }
  return samples;
}

async function runArm({ before, commands, check, after }: Arm, isWarmUp: boolean): Promise<Sample> {
  try {
    before?.();
    const total = { seconds: 0, cpuSeconds: 0, peak: null };
    const list = commands();
    settle();
    for (const command of list) {
      const { seconds, cpuSeconds } = await runTimed(command);
      total.seconds += seconds;
      total.cpuSeconds += cpuSeconds;
    }
    if (isWarmUp) check?.();
    return total;
  } finally {
    await after?.();
  }
}

/** What others wrote is on disk before the clock runs. */
function settle(): void {
  execFileSync("sync");
}

const POLL_MS = 10;
/** The shell adds what its children used: no program for that need be installed. */
const WITH_TIMES = '"$@" 3>&-; code=$?; times >&3; exit $code';
const MAX_SHOWN = 4000;

/** With `watchMemory`, /proc is read meanwhile, which takes a little of the machine. @throws Error of an exit that is not 0 */
export function runTimed(
  { argv, env }: Command,
  { watchMemory = false }: { readonly watchMemory?: boolean } = {},
): Promise<Sample> {
  return new Promise((done, reject) => {
    const started = performance.now();
    const child = spawn("/bin/sh", ["-c", WITH_TIMES, "sh", ...argv], {
      env,
      stdio: ["ignore", "pipe", "pipe", "pipe"],
    });
    let said = "";
    let times = "";
    const keep = (chunk: Buffer) => {
      said = (said + chunk.toString()).slice(-MAX_SHOWN);
    };
    child.stdout!.on("data", keep);
    child.stderr!.on("data", keep);
    child.stdio[3]!.on("data", (chunk: Buffer) => {
      times += chunk.toString();
    });
    let peak = 0;
    const look = () => {
      // The shell stands for itself: what it started is asked for.
      for (const pid of childrenOf(child.pid!)) peak = Math.max(peak, peakOf(pid));
    };
    const timer = watchMemory ? setInterval(look, POLL_MS) : undefined;
    let seconds = 0;
    child.on("exit", () => {
      seconds = (performance.now() - started) / 1000;
      clearInterval(timer);
    });
    child.on("error", reject);
    child.on("close", (code) => {
      if (code !== 0) reject(new Error(`${argv.slice(0, 12).join(" ")}: exit ${code}\n${said}`));
      else
        done({
          seconds,
          cpuSeconds: parseTimes(times),
          peak: watchMemory ? peak * 1024 : null,
        });
    });
  });
}

/** User and system seconds of the children, the second line of what `times` prints. */
export function parseTimes(text: string): number {
  const line = text.trim().split("\n")[1] ?? "";
  const parts = [...line.matchAll(/(\d+)m([\d.]+)s/g)];
  if (parts.length !== 2) throw new Error(`not what times prints: ${JSON.stringify(text)}`);
  return parts.reduce((sum, [, minutes, seconds]) => sum + Number(minutes) * 60 + Number(seconds), 0);
}

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  if (sorted.length % 2 === 1) return sorted[middle]!;
  return (sorted[middle - 1]! + sorted[middle]!) / 2;
}
