/** Judges what is the site's own: space, clock, policy, permissions, programs. Facts in, verdicts out; pure. */
import { secondsOf } from "../../time.js";
import type { DoctorFacts, Place, Space } from "./facts.js";
import { bad, ok, unknown, type Verdict, warn } from "./verdict.js";

const GB = 1e9;
const DAY_MS = 24 * 60 * 60 * 1000;
/** A bundle of a small product takes some; each run checks what it needs itself. */
const STORE_SPACE = { warn: 10 * GB, bad: GB };
/** State is a few small files, but the folder must never fill up while they are written. */
const STATE_SPACE = { warn: GB, bad: GB / 20 };
/** As many as a large closure has; and as few as a single path may have. */
const FREE_FILES = { warn: 100_000, bad: 1_000 };
const POLICY_NOTICE_DAYS = 60;
/** This program is of 2026: a clock that says less has lost its battery. */
const EARLIEST = "2026-01-01T00:00:00Z";
const OLDEST_NODE = 20;
/** The last day of each line's maintenance (github.com/nodejs/release). */
const NODE_ENDS: Readonly<Record<number, string>> = {
  20: "2026-04-30",
  21: "2024-06-01",
  22: "2027-04-30",
  23: "2025-06-01",
  24: "2028-04-30",
  25: "2026-06-01",
};

export const judgeStoreSpace = ({ store }: DoctorFacts): Verdict => judgeSpace(store, STORE_SPACE);
export const judgeStateSpace = ({ stateSpace }: DoctorFacts): Verdict => judgeSpace(stateSpace, STATE_SPACE);

function judgeSpace({ path, free }: Space, bytes: typeof STORE_SPACE): Verdict {
  const advice = `Free space on the disk of ${path}, or give it a larger one.`;
  if (free === null)
    return unknown(`the system does not say how much is free at ${path}`, `Look: df ${path}`);
  const isShort = (limit: "warn" | "bad") =>
    free.bytes < bytes[limit] || (free.files !== null && free.files < FREE_FILES[limit]);
  const files = free.files === null ? "" : `, room for ${free.files} files`;
  const found = `${formatSpace(free.bytes)} free at ${path}${files}`;
  return isShort("bad") ? bad(found, advice) : isShort("warn") ? warn(found, advice) : ok(found);
}

function formatSpace(bytes: number): string {
  return bytes >= GB ? `${(bytes / GB).toFixed(1)} GB` : `${(bytes / 1e6).toFixed(1)} MB`;
}

export function judgeClock({ now, state, stateFolder }: DoctorFacts): Verdict {
  const advice =
    "Set the clock, and look whether its battery is empty. If it had been ahead by mistake before: nix-airgap trust reset-clock --reason TEXT.";
  // Times of this form sort as text.
  if (now < EARLIEST) return bad(`the clock says ${now}, which was before this program was made`, advice);
  if (state === null) return unread(stateFolder, `the clock says ${now}; nothing to compare it with: `);
  const { lastSeen } = state;
  if (lastSeen === null) {
    return unknown(
      `the clock says ${now}; no time is recorded yet to compare it with`,
      "Compare it with another clock; the first import records it.",
    );
  }
  if (secondsOf(now) < secondsOf(lastSeen) - (state.clockDriftSeconds ?? 0))
    return bad(`the clock says ${now}, but ${lastSeen} has been seen already`, advice);
  return ok(`${now}; last seen ${lastSeen}`);
}

function unread({ path, itself }: Place, before: string): Verdict {
  return itself.kind === "missing"
    ? unknown(`${before}there is no state folder ${path}`, `Run: nix-airgap trust init --state ${path}`)
    : unknown(`${before}the state folder ${path} was not read`, "Compare the clock with another one.");
}

export function judgePolicy({ policy, policyFile, now, problem }: DoctorFacts): Verdict {
  if (problem !== null) {
    return bad(
      problem,
      "Compare policy and state with the card on paper and a backup; until then nothing is taken here.",
    );
  }
  if (policy === null) {
    return policyFile.itself.kind === "missing"
      ? warn(
          `there is no policy at ${policyFile.path}`,
          "Until there is one, each verify and restore trusts the keys on its command line: have one made and signed.",
        )
      : unknown(`${policyFile.path} was not read as a policy`, "Look whether it is this site's policy.");
  }
  const { version, sha256, expires } = policy;
  const name = `version ${version} (sha256 ${sha256})`;
  const advice = "Ask whoever signs the policy for a new one.";
  if (expires === null) return ok(`${name}, which does not expire`);
  const days = (Date.parse(expires) - Date.parse(now)) / DAY_MS;
  if (days <= 0) return bad(`${name} expired at ${expires}`, advice);
  if (days <= POLICY_NOTICE_DAYS) {
    return warn(`${name} expires at ${expires}, in ${Math.floor(days)} days`, advice);
  }
  return ok(`${name}, which expires at ${expires}`);
}

export function judgePolicyFile(facts: DoctorFacts): Verdict {
  const { policyFile } = facts;
  const { path, itself } = policyFile;
  if (itself.kind !== "there") return unseen(policyFile, "Nothing to do until the site has a policy.");
  if (itself.type !== "file") return bad(`${path} is not a file`, `Put the policy there: a file of its own.`);
  return judgePermissions(policyFile, owners(facts), [], `chown root ${path} && chmod 644 ${path}`);
}

export function judgeStateFolder(facts: DoctorFacts): Verdict {
  const { stateFolder, uid, serviceUid } = facts;
  const { path, itself } = stateFolder;
  if (itself.kind !== "there") return unseen(stateFolder, `Run: nix-airgap trust init --state ${path}`);
  if (itself.type !== "folder")
    return bad(`${path} is not a folder`, "Give --state the folder with the site's state.");
  const allowed = [0, uid, serviceUid].filter((id) => id !== null);
  return judgePermissions(stateFolder, allowed, [], `chown root ${path} && chmod 755 ${path}`);
}

export function judgeImportKeyFile(facts: DoctorFacts): Verdict {
  const { importKeyFile } = facts;
  if (importKeyFile === null)
    return ok("the site keeps no import key: each restore makes its own, and forgets it");
  const { path, itself } = importKeyFile;
  if (itself.kind !== "there") return unseen(importKeyFile, "Put the key back, or make another import key.");
  if (itself.type !== "file")
    return bad(`${path} is not a file`, "Put the secret key there: a file of its own.");
  const readers =
    (itself.mode & 0o077) === 0 ? [] : [`others than its owner may use it (mode ${octal(itself.mode)})`];
  const mend = `chown root ${path} && chmod 600 ${path}; if others can log in here, make another import key`;
  return judgePermissions(importKeyFile, owners(facts), readers, mend);
}

/** Who may own what the site trusts: root, and who owns the state folder. */
function owners({ stateFolder: { itself } }: DoctorFacts): number[] {
  return itself.kind === "there" ? [0, itself.uid] : [0];
}

function judgePermissions(
  place: Place,
  allowed: readonly number[],
  more: readonly string[],
  mend: string,
): Verdict {
  const { path, itself } = place;
  if (itself.kind !== "there") return unseen(place, mend);
  const problems = [...more, ...writers(place, allowed)];
  if (problems.length > 0)
    return bad(
      `${path}: ${problems.join("; ")}`,
      `Run: ${mend}; then ask who changed it, and compare what it holds.`,
    );
  return ok(`${path}: owner ${itself.uid}, mode ${octal(itself.mode)}`);
}

const GROUP_WRITES = 0o020;
const ALL_WRITE = 0o002;
const STICKY = 0o1000;

/** Who but the allowed users may write a place, or replace it. */
export function writers({ itself, parent }: Place, allowed: readonly number[]): string[] {
  const found: string[] = [];
  for (const [facts, what] of [
    [itself, "it"],
    [parent, "its folder"],
  ] as const) {
    if (facts.kind !== "there") continue;
    if (!allowed.includes(facts.uid)) found.push(`${what} belongs to user ${facts.uid}`);
    // In a folder like /tmp nobody replaces what is another's.
    if (facts === parent && (facts.mode & STICKY) !== 0) continue;
    found.push(...writersOf(facts.mode, what));
  }
  return found;
}

function writersOf(mode: number, what: string): string[] {
  if ((mode & ALL_WRITE) !== 0) return [`everyone may write ${what} (mode ${octal(mode)})`];
  return (mode & GROUP_WRITES) !== 0 ? [`its group may write ${what} (mode ${octal(mode)})`] : [];
}

function unseen({ path, itself }: Place, advice: string): Verdict {
  return itself.kind === "hidden"
    ? unknown(`${path} cannot be looked at (${itself.reason})`, "Run this as root.")
    : unknown(`${path} is not there`, advice);
}

function octal(mode: number): string {
  return mode.toString(8).padStart(4, "0");
}

export function judgeNode({ node, now }: DoctorFacts): Verdict {
  const major = Number(/^\d+/.exec(node)?.[0] ?? 0);
  if (major < OLDEST_NODE) {
    return bad(`Node.js ${node}, older than ${OLDEST_NODE}`, `Install Node.js ${OLDEST_NODE} or newer.`);
  }
  const end = NODE_ENDS[major];
  if (end === undefined || now.slice(0, 10) <= end) return ok(`Node.js ${node}`);
  return ok(
    `Node.js ${node}, which gets no fixes any more since ${end}`,
    "Not urgent on a site without a network: install a newer line with the next upgrade.",
  );
}

export function judgeSshKeygen({ sshKeygen }: DoctorFacts): Verdict {
  return sshKeygen === null
    ? ok("not found", "Needed only to sign with SSH keys (Debian: apt-get install openssh-client).")
    : ok(sshKeygen);
}
