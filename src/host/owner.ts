/**
 * Whose something is: a mark of the process, for what it keeps on the disk and for what it starts. So what a killed run
 * left behind can be told from what is in use. What to do about it is for callers.
 */
import { createHash, randomBytes } from "node:crypto";
import { readFileSync, readlinkSync } from "node:fs";
import { hostname } from "node:os";

const MARK = String.raw`(\d{1,10})\.(\d{1,20}|-)\.([0-9a-f]{8})`;
const WHOLE_MARK = new RegExp(`^${MARK}$`);
const NAME = new RegExp(`(${MARK})-[0-9a-f]{8}$`);

/**
 * This process: its id, the time of its start (ids are used again), and where ids mean what they mean here: the machine
 * and its process namespace, since a container may share a folder, and even a host name, with others.
 */
export function ownMark(): string {
  return `${process.pid}.${startTime(process.pid) ?? "-"}.${place()}`;
}

/** A name that begins with `prefix` and says whose it is. */
export function ownName(prefix: string): string {
  return `${prefix}${ownMark()}-${randomBytes(4).toString("hex")}`;
}

/** The mark in a name that `ownName` made, or null. */
export function markIn(name: string): string | null {
  return NAME.exec(name)?.[1] ?? null;
}

export function pidOf(mark: string): number | null {
  const pid = WHOLE_MARK.exec(mark)?.[1];
  return pid === undefined ? null : Number(pid);
}

/** Whether that process is provably gone. Whatever cannot be judged counts as alive. */
export function hasEnded(mark: string): boolean {
  const match = WHOLE_MARK.exec(mark);
  if (match === null || match[3] !== place()) return false;
  const pid = Number(match[1]);
  if (match[2] !== "-") return startTime(pid) !== match[2];
  try {
    process.kill(pid, 0);
    return false;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "ESRCH";
  }
}

/** Ticks from boot to the start of a process (field 22 of /proc/PID/stat); null without such a process, or /proc. */
function startTime(pid: number): string | null {
  const fields = statOf(pid);
  // A zombie has ended, though nobody has asked how.
  return fields === null || fields[0] === "Z" || fields[0] === "X" ? null : (fields[19] ?? null);
}

/** Of /proc/PID/stat what follows the program's name: state, parent, … */
export function statOf(pid: number): string[] | null {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "latin1");
    // The name stands in parentheses, and may hold anything.
    return stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  } catch {
    return null;
  }
}

let known: string | undefined;

function place(): string {
  known ??= createHash("sha256").update(`${hostname()}\n${processNamespace()}\n`).digest("hex").slice(0, 8);
  return known;
}

function processNamespace(): string {
  try {
    return readlinkSync("/proc/self/ns/pid");
  } catch {
    return "";
  }
}
