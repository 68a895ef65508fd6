/**
 * Nix that a killed run had started goes on without it. It carries that run's mark in its environment, so the next run
 * finds and ends it: it would go on writing where that one writes.
 */
import { readdirSync, readFileSync } from "node:fs";
import { basename } from "node:path";
import { setTimeout } from "node:timers/promises";
import { errorCode } from "./files.js";
import { hasEnded, ownMark, statOf } from "./owner.js";

const VARIABLE = "NIX_AIRGAP_RUN";
/** What we start. What that has left running on purpose, ssh's master or git's housekeeping, is not ours to end. */
const PROGRAMS: ReadonlySet<string> = new Set(["nix", "nix-store"]);
const WAIT_MS = 2000;

/** For the environment of the Nix that this run starts. */
export function ownerVariable(): Readonly<Record<string, string>> {
  return { [VARIABLE]: ownMark() };
}

/** Ends the Nix of this user's runs that are gone, with all that it waits for, and waits until that has ended. */
export async function endOrphans(): Promise<void> {
  const pids = processes();
  const orphans = pids.filter((pid) => {
    const mark = markOf(pid);
    return mark !== null && hasEnded(mark);
  });
  if (orphans.length === 0) return;
  const ending = withDescendants(orphans, pids);
  // Nix removes its own temporary files where it is asked to end.
  for (const signal of ["SIGTERM", "SIGKILL"] as const) {
    for (const pid of ending.filter(isRunning)) kill(pid, signal);
    for (let waited = 0; waited < WAIT_MS && ending.some(isRunning); waited += 20) await setTimeout(20);
  }
}

/** Empty where the system has no /proc. */
function processes(): number[] {
  try {
    return readdirSync("/proc")
      .filter((name) => /^\d+$/.test(name))
      .map(Number);
  } catch {
    return [];
  }
}

/** Of processes of this user only: the environment of others cannot be read, or as root is none of our business. */
function markOf(pid: number): string | null {
  try {
    if (!readFileSync(`/proc/${pid}/status`, "latin1").includes(`\nUid:\t${process.getuid?.()}\t`))
      return null;
    const [program = ""] = readFileSync(`/proc/${pid}/cmdline`, "latin1").split("\0");
    if (!PROGRAMS.has(basename(program))) return null;
    const variables = readFileSync(`/proc/${pid}/environ`, "latin1").split("\0");
    return variables.find((text) => text.startsWith(`${VARIABLE}=`))?.slice(VARIABLE.length + 1) ?? null;
  } catch {
    return null;
  }
}

/** Builders have an environment of their own. */
function withDescendants(roots: readonly number[], pids: readonly number[]): number[] {
  const found = new Set(roots);
  const parents = new Map(pids.map((pid) => [pid, Number(statOf(pid)?.[1])]));
  for (let size = 0; size !== found.size; ) {
    size = found.size;
    for (const [pid, parent] of parents) if (found.has(parent)) found.add(pid);
  }
  return [...found];
}

function kill(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch (error) {
    // It has ended, or became another user's.
    if (!["ESRCH", "EPERM"].includes(errorCode(error))) throw error;
  }
}

function isRunning(pid: number): boolean {
  const state = statOf(pid)?.[0];
  return state !== undefined && state !== "Z" && state !== "X";
}
