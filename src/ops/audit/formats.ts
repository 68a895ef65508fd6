/** An audit log as one document for others: JSON, or CSV for spreadsheets. Piece by piece, as entries come. */
import { formatCompactJson, formatJson } from "../../canonical-json.js";
import type { AuditEntry, AuditExportReport } from "../../generated/types.js";
import type { Head } from "../../trust/audit-entry.js";

/** The same entries give the same text. */
export interface Printer {
  begin(): string;
  entry(entry: AuditEntry): string;
  end(head: Head | null): string;
}

export function printerOf(as: AuditExportReport["as"]): Printer {
  return as === "json" ? new JsonPrinter() : new CsvPrinter();
}

/** What `formatJson` gives of `{ entries, format, head }`, though it never has all of it. */
class JsonPrinter implements Printer {
  #isFirst = true;

  begin(): string {
    return '{\n  "entries": [';
  }

  entry(entry: AuditEntry): string {
    const comma = this.#isFirst ? "" : ",";
    this.#isFirst = false;
    return `${comma}\n    ${indented(entry, 4)}`;
  }

  end(head: Head | null): string {
    const close = this.#isFirst ? "]" : "\n  ]";
    return `${close},\n  "format": "nix-airgap-audit-log",\n  "head": ${indented(head, 2)}\n}\n`;
  }
}

/** Strings in it have no line feed of their own: they are escaped. */
function indented(value: unknown, by: number): string {
  return formatJson(value)
    .trimEnd()
    .replaceAll("\n", `\n${" ".repeat(by)}`);
}

type Cell = string | number | null | undefined;

/** In this order. Each field of an entry has its column; only `details`, whose names differ, are one in JSON. */
const COLUMNS: readonly (readonly [name: string, of: (entry: AuditEntry) => Cell])[] = [
  ["number", ({ number }) => number],
  ["at", ({ at }) => at],
  ["event", ({ event }) => event],
  ["verdict", ({ verdict }) => verdict],
  ["exit", ({ exit }) => exit],
  ["product", ({ bundle }) => bundle?.product],
  ["release", ({ bundle }) => bundle?.release],
  ["sequence", ({ bundle }) => bundle?.sequence],
  ["systems", ({ bundle }) => bundle?.systems?.join(" ")],
  ["tier", ({ bundle }) => bundle?.tier],
  ["bundleSha256", ({ bundle }) => bundle?.sha256],
  ["policyVersion", ({ policy }) => policy?.version],
  ["policySha256", ({ policy }) => policy?.sha256],
  ["machine", ({ machine }) => machine],
  ["userName", ({ user }) => user.name],
  ["userUid", ({ user }) => user.uid],
  ["userSudoUser", ({ user }) => user.sudoUser],
  ["nix", ({ tools }) => tools.nix],
  ["nixAirgap", ({ tools }) => tools.nixAirgap],
  ["details", ({ details }) => formatCompactJson(details).trimEnd()],
  ["previous", ({ previous }) => previous],
];

/** RFC 4180 with a header. */
class CsvPrinter implements Printer {
  begin(): string {
    return row(COLUMNS.map(([name]) => name));
  }

  entry(entry: AuditEntry): string {
    return row(COLUMNS.map(([, of]) => of(entry)));
  }

  end(): string {
    return "";
  }
}

function row(cells: readonly Cell[]): string {
  return `${cells.map(csvCell).join(",")}\r\n`;
}

/** A text that a spreadsheet would take for a formula begins with an apostrophe. */
export function csvCell(value: Cell): string {
  if (typeof value !== "string") return value === null || value === undefined ? "" : String(value);
  const inert = /^[=+\-@\t\r]/.test(value) ? `'${value}` : value;
  return /[",\r\n]|^\s|\s$/.test(inert) ? `"${inert.replaceAll('"', '""')}"` : inert;
}
