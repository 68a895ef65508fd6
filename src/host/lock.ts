/**
 * A lock file for one place: two runs that write there exclude each other. It holds who has it, so that one left
 * behind by a crash is seen, and taken over.
 */
import { link, open, rm, writeFile } from "node:fs/promises";
import { hostname } from "node:os";
import { basename, dirname } from "node:path";
import { AirgapError } from "../errors.js";
import { timeOf } from "../time.js";
import { asDiskError, errorCode, exists, removeAbandoned, withDiskErrors } from "./files.js";
import { hasEnded, ownMark, ownName, pidOf } from "./owner.js";

/**
 * Runs `action` while holding the lock file at `path`, whose folder must exist; removes it after.
 *
 * @throws LOCKED at once where another run holds it (also one on another machine); DISK, NO_SPACE
 */
export async function withLock<T>(path: string, action: () => Promise<T>): Promise<T> {
  if (!(await tryCreate(path))) {
    // Many runs at once may look for a stale lock, each of them under the lock of the one before.
    if (path.endsWith(".takeover".repeat(MAX_TAKEOVERS))) refuse(path, await holder(path));
    await removeStale(path);
    if (!(await tryCreate(path))) refuse(path, await holder(path));
  }
  try {
    await removeLeftOvers(path);
    return await action();
  } finally {
    await withDiskErrors(path, () => rm(path, { force: true }));
  }
}

const MAX_TAKEOVERS = 4;

async function tryCreate(path: string): Promise<boolean> {
  const content = `${ownMark()} ${hostname()}\n`;
  // Written under another name first: a lock that a kill left empty could not be told from one in use.
  const draft = ownName(`${path}.`);
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
 * two of them could see the same stale lock, and the slower remove the new one of the faster. That lock, too, may have
 * been left behind, and is then taken over in the same way.
 */
function removeStale(path: string): Promise<void> {
  return withLock(guardOf(path), async () => {
    const other = await holder(path);
    if (other !== null && !hasEnded(other.mark)) refuse(path, other);
    await withDiskErrors(path, () => rm(path, { force: true }));
  });
}

function guardOf(path: string): string {
  return `${path}.takeover`;
}

/** What runs left that were killed while they took the lock: drafts, and a guard. */
async function removeLeftOvers(path: string): Promise<void> {
  await removeAbandoned(dirname(path), `${basename(path)}.`);
  const guard = guardOf(path);
  if (!(await exists(guard))) return;
  await withLock(guard, async () => {}).catch((error: unknown) => {
    // Somebody is just looking whether we are alive.
    if (!(error instanceof AirgapError && error.code === "LOCKED")) throw error;
  });
}

interface Holder {
  /** Empty where the lock was made by something else. */
  readonly mark: string;
  readonly host: string;
  readonly since: Date;
}

function refuse(path: string, by: Holder | null): never {
  const pid = by === null ? null : pidOf(by.mark);
  const here = by?.host === hostname();
  throw new AirgapError("LOCKED", {
    subject: path,
    ...(by === null || pid === null
      ? {}
      : { actual: `held by process ${pid} on ${here ? "this machine" : by.host} since ${timeOf(by.since)}` }),
    hint: `Wait until that run has ended, then run the command again. If no run is working here, remove ${path}.`,
  });
}

/** What the lock file says, or null where it has gone. */
async function holder(path: string): Promise<Holder | null> {
  try {
    const file = await open(path);
    try {
      const [, mark = "", host = ""] = /^(\S+) (\S+)\n$/.exec(await file.readFile("utf8")) ?? [];
      return { mark, host, since: (await file.stat()).mtime };
    } finally {
      await file.close();
    }
  } catch (error) {
    if (errorCode(error) === "ENOENT") return null;
    throw asDiskError(error, path);
  }
}
