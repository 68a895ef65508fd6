/**
 * A lock file for one place: two runs that write there exclude each other. It holds who has it, so that one left
 * behind by a crash is seen, and taken over.
 */
import { randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { link, readFile, rm, writeFile } from "node:fs/promises";
import { hostname } from "node:os";
import { AirgapError } from "../errors.js";
import { asDiskError, errorCode, withDiskErrors } from "./files.js";

/**
 * Runs `action` while holding the lock file at `path`, whose folder must exist; removes it after.
 *
 * @throws LOCKED at once where another run holds it (also one on another machine); DISK, NO_SPACE
 */
export async function withLock<T>(path: string, action: () => Promise<T>): Promise<T> {
  const me = ownIdentity();
  if (!(await tryCreate(path, me))) {
    await removeStale(path, me);
    if (!(await tryCreate(path, me))) refuse(path, await holder(path));
  }
  try {
    return await action();
  } finally {
    await withDiskErrors(path, () => rm(path, { force: true }));
  }
}

async function tryCreate(path: string, content: string): Promise<boolean> {
  // Written under another name first: a lock that a kill left empty could not be told from one in use.
  const draft = `${path}.${process.pid}-${randomBytes(4).toString("hex")}`;
  try {
    await writeFile(draft, content, { flag: "wx", mode: 0o644 });
    await link(draft, path);
    return true;
  } catch (error) {
    if (errorCode(error) === "EEXIST") return false;
    // A file system without hard links.
    if (errorCode(error) === "EPERM" || errorCode(error) === "ENOTSUP") return writeExclusive(path, content);
    throw asDiskError(error, path);
  } finally {
    await rm(draft, { force: true });
  }
}

async function writeExclusive(path: string, content: string): Promise<boolean> {
  try {
    await writeFile(path, content, { flag: "wx", mode: 0o644 });
    return true;
  } catch (error) {
    if (errorCode(error) === "EEXIST") return false;
    throw asDiskError(error, path);
  }
}

/**
 * Only one run at a time may judge a lock and remove it, under a second lock that exists for that moment: else
 * two of them could see the same stale lock, and the slower remove the new one of the faster.
 */
async function removeStale(path: string, me: string): Promise<void> {
  const guard = `${path}.takeover`;
  if (!(await tryCreate(guard, me))) refuse(guard, await holder(guard));
  try {
    const other = await holder(path);
    if (other !== null && !isStale(other)) refuse(path, other);
    await withDiskErrors(path, () => rm(path, { force: true }));
  } finally {
    await withDiskErrors(guard, () => rm(guard, { force: true }));
  }
}

function refuse(path: string, by: string | null): never {
  throw new AirgapError("LOCKED", {
    subject: path,
    ...(by === null ? {} : { actual: `held by process ${by.trim()}` }),
    hint: `If no run is working here, remove ${path}.`,
  });
}

/** What the lock file says, or null where it has gone. */
async function holder(path: string): Promise<string | null> {
  try {
    return await readFile(path, "utf8");
  } catch (error) {
    if (errorCode(error) === "ENOENT") return null;
    throw asDiskError(error, path);
  }
}

/** Process ids are used again: the time of its start tells which process it was. */
function ownIdentity(): string {
  return `${process.pid} ${startTime(process.pid) ?? "-"} ${hostname()}\n`;
}

/** Whatever cannot be judged counts as alive: a lock just being written, one of another machine. */
function isStale(identity: string): boolean {
  const match = /^(\d{1,10}) (\d{1,20}|-) (\S+)\n$/.exec(identity);
  if (match === null || match[3] !== hostname()) return false;
  const pid = Number(match[1]);
  if (match[2] !== "-") return startTime(pid) !== match[2];
  try {
    process.kill(pid, 0);
    return false;
  } catch (error) {
    return errorCode(error) === "ESRCH";
  }
}

/** Ticks from boot to the start of a process (field 22 of /proc/PID/stat); null without such a process, or /proc. */
function startTime(pid: number): string | null {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "latin1");
    // The second field is the program's name in parentheses, and may hold anything.
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    // A zombie has ended, though nobody has asked how.
    return fields[0] === "Z" || fields[0] === "X" ? null : (fields[19] ?? null);
  } catch {
    return null;
  }
}
