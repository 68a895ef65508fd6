/**
 * Ends the program without warning at a chosen point, and says where it stood: at a time, when it says a line, or when
 * something is seen on the disk. What must hold afterwards is the tests' business.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { type CliOptions, type Outcome, RELEASE } from "./cli.js";
import { Random } from "./random.js";

/** When to end it. */
export type Point =
  /** So many milliseconds after it was started. */
  | { readonly at: "time"; readonly ms: number }
  /** So many milliseconds after stderr had this text. */
  | { readonly at: "line"; readonly text: string; readonly ms: number }
  /** As soon as this is seen to be true. */
  | { readonly at: "sight"; readonly what: string; readonly seen: () => boolean };

export interface Interrupted extends Outcome {
  /** False where it had ended before. */
  readonly killed: boolean;
  /** What it had said last: the phase, or "start". */
  readonly phase: string;
}

/**
 * `orphans`: what Nix it had started goes on by itself, as after `kill -9 PID`; else that ends with it, as when the
 * power fails.
 */
export function runUntil(
  args: readonly string[],
  point: Point,
  { cwd, env, wrap = [], orphans }: CliOptions & { readonly orphans: boolean },
): Promise<Interrupted> {
  return new Promise((done, reject) => {
    const [program = "", ...argv] = [...wrap, process.execPath, RELEASE, ...args];
    const child = spawn(program, argv, { cwd, env, detached: true, stdio: ["ignore", "pipe", "pipe"] });
    let [stdout, stderr, killed, ended] = ["", "", false, false];
    const kill = () => {
      if (ended) return;
      killed = true;
      killAll(child, orphans);
    };
    const timers: NodeJS.Timeout[] = [];
    if (point.at === "time") timers.push(setTimeout(kill, point.ms));
    if (point.at === "sight") watch(point.seen, () => ended || killed, kill);
    child.stdout.on("data", (chunk: Buffer) => {
      stdout += chunk.toString();
    });
    child.stderr.on("data", (chunk: Buffer) => {
      const before = point.at === "line" && stderr.includes(point.text);
      stderr += chunk.toString();
      if (point.at !== "line" || before || !stderr.includes(point.text)) return;
      if (point.ms === 0) kill();
      else timers.push(setTimeout(kill, point.ms));
    });
    child.on("error", reject);
    // Not "close": orphans hold the pipes.
    child.on("exit", (code) => {
      ended = true;
      for (const timer of timers) clearTimeout(timer);
      for (const stream of [child.stdout, child.stderr]) stream.destroy();
      done({ code, stdout, stderr, killed: killed && code === null, phase: lastPhase(stderr) });
    });
  });
}

/** Stops the program for a while when it has said `text`, and lets it go on when `meanwhile` is done. */
export async function runAround(
  args: readonly string[],
  text: string,
  { cwd, env, wrap = [] }: CliOptions,
  meanwhile: (pid: number) => Promise<void>,
): Promise<Outcome> {
  const [program = "", ...argv] = [...wrap, process.execPath, RELEASE, ...args];
  const child = spawn(program, argv, { cwd, env, detached: true, stdio: ["ignore", "pipe", "pipe"] });
  let [stdout, stderr] = ["", ""];
  child.stdout.on("data", (chunk: Buffer) => {
    stdout += chunk.toString();
  });
  const ended = new Promise<Outcome>((done, reject) => {
    child.on("error", reject);
    child.on("close", (code) => done({ code, stdout, stderr }));
  });
  const said = new Promise<void>((done) => {
    child.stderr.on("data", (chunk: Buffer) => {
      stderr += chunk.toString();
      if (stderr.includes(text)) done();
    });
  });
  await Promise.race([said, ended]);
  if (child.exitCode !== null) throw new Error(`it ended before it said "${text}": ${stderr}`);
  process.kill(-child.pid!, "SIGSTOP");
  try {
    await meanwhile(child.pid!);
  } finally {
    process.kill(-child.pid!, "SIGCONT");
  }
  return ended;
}

/** Looks without a pause: what is to be seen may be there for a moment only. */
function watch(seen: () => boolean, over: () => boolean, action: () => void): void {
  const look = () => {
    if (over()) return;
    for (let i = 0; i < 20; i++) if (seen()) return action();
    setImmediate(look);
  };
  look();
}

function killAll(child: ChildProcess, orphans: boolean): void {
  const pids = orphans ? [] : descendants(child.pid!);
  // Its children lead groups of their own.
  for (const pid of [-child.pid!, ...pids]) {
    try {
      process.kill(pid, "SIGKILL");
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
    }
  }
}

function descendants(root: number): number[] {
  const children = new Map<number, number[]>();
  for (const name of readdirSync("/proc")) {
    if (!/^\d+$/.test(name)) continue;
    const parent = parentOf(Number(name));
    if (parent !== null) children.set(parent, [...(children.get(parent) ?? []), Number(name)]);
  }
  const found: number[] = [];
  const waiting = [root];
  for (let pid = waiting.pop(); pid !== undefined; pid = waiting.pop()) {
    const next = children.get(pid) ?? [];
    found.push(...next);
    waiting.push(...next);
  }
  return found;
}

function parentOf(pid: number): number | null {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "latin1");
    return Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[1]);
  } catch {
    return null; // it has ended meanwhile
  }
}

function lastPhase(stderr: string): string {
  const lines = stderr.split("\n").filter((line) => / \.\.\.$|: done /.test(line));
  return lines.at(-1)?.replace(/ \(.*| \.\.\.$/, "") ?? "start";
}

/** A sequence that can be had again from its seed: numbers from 0 to 1. */
export function randomFrom(seed: number): () => number {
  const random = new Random(seed);
  return () => random.unit();
}
