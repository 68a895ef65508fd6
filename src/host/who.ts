/** Who runs this, and where: for records. Names are what the system says, or numbers where it says nothing. */
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

/** A user id may have no name, as in many containers. */
function nameOf(uid: number): string {
  try {
    return userInfo().username;
  } catch {
    return String(uid);
  }
}
