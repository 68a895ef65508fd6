/** Writes one entry of a site's audit log. What the entry says, and what the state remembers, is for callers. */
import { fail } from "../../errors.js";
import type { AuditEntry } from "../../generated/types.js";
import { appendLine, auditPath } from "../../host/audit-file.js";
import { formatEntry, type Head, lineSha256, MAX_LINE, readEntry, START } from "../../trust/audit-entry.js";

export interface AppendRequest {
  /** What the site's state remembers; null only where it has none yet. */
  readonly head: Head | null;
  /** Is given what the entry continues: its `number` is one more, its `previous` that `sha256`. */
  readonly makeEntry: (previous: Head) => AuditEntry;
}

/**
 * Appends an entry to the log in the state folder, whose lock the caller holds, and returns the new head, for the state
 * to remember. Does not continue a log that lacks what the state remembers: the new head would cover it up.
 *
 * @throws AUDIT_TRUNCATED, AUDIT_CHAIN, AUDIT_ENTRY for such a log, which then is as it was; DISK, NO_SPACE
 */
export async function appendEntry(folder: string, { head, makeEntry }: AppendRequest): Promise<Head> {
  let written = START;
  await appendLine(folder, {
    maxLine: MAX_LINE,
    makeLine: (last) => {
      const previous = requireContinuation(last, head, auditPath(folder));
      const entry = makeEntry(previous);
      if (entry.number !== previous.number + 1 || entry.previous !== previous.sha256) {
        throw new TypeError(`entry ${entry.number} does not continue entry ${previous.number}`);
      }
      const line = formatEntry(entry);
      written = { number: entry.number, sha256: lineSha256(line) };
      return line;
    },
  });
  return written;
}

/** The log's end, where the state remembers it, or the entry before it: a crash may have come between. */
function requireContinuation(last: Buffer | null, head: Head | null, subject: string): Head {
  const entry = last === null ? null : parseLast(last, subject);
  const end = last === null || entry === null ? START : { number: entry.number, sha256: lineSha256(last) };
  if (head === null || isSame(head, end)) return end;
  if (entry !== null && isSame(head, { number: entry.number - 1, sha256: entry.previous })) return end;
  return fail(end.number < head.number ? "AUDIT_TRUNCATED" : "AUDIT_CHAIN", {
    subject,
    expected: `entry ${head.number} of SHA-256 ${head.sha256}, as the site's state remembers it, or one more`,
    actual: `entry ${end.number} of SHA-256 ${end.sha256} at the end`,
    hint: "Nothing was written. See what happened with `nix-airgap audit verify`, and bring back the log from a backup.",
  });
}

function parseLast(last: Buffer, subject: string): AuditEntry {
  const { entry, refusal } = readEntry(last);
  return entry ?? fail("AUDIT_ENTRY", { ...refusal?.details, subject }, { cause: refusal });
}

function isSame(a: Head, b: Head): boolean {
  return a.number === b.number && a.sha256 === b.sha256;
}
