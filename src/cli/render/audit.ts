/** A site's audit log for people: whether it holds, and how far it goes; exported, the document itself. */
import type { AuditExportReport, AuditVerifyReport } from "../../generated/types.js";
import { renderFindings } from "./findings.js";
import { counted, formatReport, type Line, table, type View } from "./text.js";

export function renderAuditVerify(report: AuditVerifyReport, view: View): Line[] {
  const { entries, head, firstAt, lastAt, findings, log } = report;
  const verdict: Line =
    findings.length > 0
      ? refused(report, "rely on no entry that is not explained")
      : entries === 0
        ? { text: "EMPTY: nothing was recorded yet", style: "warn" }
        : { text: `INTACT: ${counted(entries, "entry", "entries")}, as they were written`, style: "good" };
  const rows = [["log", log]];
  if (head !== null) {
    rows.push(
      ["from", firstAt ?? "?"],
      ["to", lastAt ?? "?"],
      ["last", `entry ${head.number}, ${head.sha256}`],
    );
  }
  return [verdict, "", ...table(rows), ...notes(report), ...renderFindings(findings, view), "", verdict];
}

export function renderAuditExport(report: AuditExportReport, view: View): Line[] {
  const { as, entries, head, out, content, findings } = report;
  if (findings.length > 0) {
    const verdict = refused(report, "nothing was exported");
    return [verdict, ...notes(report), ...renderFindings(findings, view), "", verdict];
  }
  // Nothing but the document, as it may go into a file. What a terminal would obey is escaped, so that JSON stays JSON.
  if (content !== null) {
    const text = as === "json" ? formatReport(JSON.parse(content)) : content;
    return text.replace(/\r?\n$/, "").split(/\r?\n/);
  }
  const rows = [["file", out ?? ""]];
  if (head !== null) rows.push(["last", `entry ${head.number}, ${head.sha256}`]);
  return [
    { text: `EXPORTED: ${counted(entries, "entry", "entries")}, all as they were written`, style: "good" },
    "",
    ...table(rows),
    ...notes(report),
  ];
}

function refused({ findings, exit }: Pick<AuditVerifyReport, "findings" | "exit">, then: string): Line {
  return { text: `REFUSED: ${counted(findings.length, "finding")} (exit ${exit}): ${then}`, style: "bad" };
}

function notes({ notes }: Pick<AuditVerifyReport, "notes">): string[] {
  return notes.map(({ line, text }) => `note: ${line === null ? "" : `line ${line}: `}${text}`);
}
