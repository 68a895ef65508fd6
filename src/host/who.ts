/** Who runs this, and where: for records. Names are what the system says, or numbers where it says nothing. */
import { readFile } from "node:fs/promises";
import { hostname, userInfo } from "node:os";

export interface Who {
  readonly user: string;
  readonly uid: number;
  /** Who became that user by sudo. */
  readonly sudoUser: string | null;
  readonly machine: string;
}

export function whoRuns(env: Readonly<Record<string, string | undefined>>): Who {
  const uid = process.getuid?.() ?? -1;
  return { user: nameOf(uid), uid, sudoUser: env["SUDO_USER"] ?? null, machine: hostname() };
}

/** The Node.js that runs this. */
export function nodePath(): string {
  return process.execPath;
}

/** Null where this machine's list of accounts has none of that name. */
export async function accountId(name: string): Promise<number | null> {
  const accounts = await readFile("/etc/passwd", "utf8").catch(() => "");
  const fields = accounts.split("\n").map((line) => line.split(":"));
  const uid = fields.find(([account]) => account === name)?.[2];
  return uid === undefined || !/^\d+$/.test(uid) ? null : Number(uid);
}

/** A user id may have no name, as in many containers. */
function nameOf(uid: number): string {
  try {
    return userInfo().username;
  } catch {
    return String(uid);
  }
}
