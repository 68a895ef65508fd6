/** Reads and checks the audit log of a state folder; what `audit verify` and `audit export` have in common. */
import { resolve } from "node:path";
import { CODES, exitOf } from "../../errors.js";
import type { AuditEntry, AuditVerifyReport } from "../../generated/types.js";
import { auditPath, readAuditFile } from "../../host/audit-file.js";
import type { Head } from "../../trust/audit-entry.js";
import { checkLog } from "../../trust/audit-log.js";
import type { Context } from "../context.js";

export interface AuditSource {
  /** The state folder. */
  readonly state: string;
  /** What the site's state remembers, read before the log; null where it is not known. */
  readonly head: Head | null;
}

export type AuditContext = Pick<Context, "cwd" | "signal">;

/** All but its `format`. */
export type CheckedLog = Omit<AuditVerifyReport, "format">;

/** `onEntry`: is given each entry, before it is known whether the log holds. @throws DISK, INTERRUPTED */
export async function checkAudit(
  { state, head }: AuditSource,
  { cwd, signal }: AuditContext,
  onEntry?: (entry: AuditEntry) => void | Promise<void>,
): Promise<CheckedLog> {
  const folder = resolve(cwd, state);
  const log = auditPath(folder);
  const check = await checkLog(readAuditFile(folder, signal), head, onEntry);
  return {
    exit: exitOf(check.findings),
    log,
    entries: check.entries,
    head: check.head,
    firstAt: check.firstAt,
    lastAt: check.lastAt,
    findings: check.findings.map(({ code, line, expected, actual, hint }) => ({
      actual: actual ?? null,
      advice: hint ?? CODES[code].advice,
      code,
      expected: expected ?? null,
      explain: CODES[code].explain,
      line,
      subject: log,
    })),
    notes: [...check.notes],
  };
}
