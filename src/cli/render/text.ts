/**
 * Lines for people: what comes from outside made harmless for a terminal, then coloured; and numbers as people read
 * them. Which lines there are is the renderers'.
 */

export type Style = "good" | "bad" | "warn" | "dim";

/** One line, without its newline. Text may come from anywhere: it is escaped when it is printed. */
export type Line = string | { readonly text: string; readonly style: Style };

/** How an answer is shown. */
export interface View {
  readonly color: boolean;
  /** Someone reads along: long lists are cut. */
  readonly isTerminal: boolean;
}

const SGR: Readonly<Record<Style, string>> = { good: "32", bad: "31;1", warn: "33", dim: "2" };

export function formatLines(lines: readonly Line[], color: boolean): string {
  return lines
    .map((line) => {
      const { text, style } = typeof line === "string" ? { text: line, style: null } : line;
      const safe = visible(text);
      return color && style !== null ? `\x1b[${SGR[style]}m${safe}\x1b[0m\n` : `${safe}\n`;
    })
    .join("");
}

/** Control characters, invisible and direction-changing ones, lone surrogates, line separators. */
const UNSEEN = /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu;
const SHORT: Readonly<Record<string, string>> = { "\n": "\\n", "\r": "\\r", "\t": "\\t" };

/** Text with all that a terminal would obey, or hide, as escapes: a hostile name cannot move the cursor. */
export function visible(text: string): string {
  return text.replace(UNSEEN, (char) => SHORT[char] ?? `\\u{${char.codePointAt(0)?.toString(16)}}`);
}

/** A value as JSON text, indented, with the same characters escaped. */
export function formatReport(report: unknown): string {
  const text = JSON.stringify(report, null, 2).replace(UNSEEN, (char) =>
    char === "\n"
      ? char
      : Array.from({ length: char.length }, (_, at) => `\\u${hex4(char.charCodeAt(at))}`).join(""),
  );
  return `${text}\n`;
}

function hex4(unit: number): string {
  return unit.toString(16).padStart(4, "0");
}

/** `label: text` with the text's further lines under its first. */
export function block(label: string, text: string, width: number): string[] {
  const [first = "", ...rest] = text.replace(/\n$/, "").split("\n");
  return [`  ${`${label}:`.padEnd(width + 2)}${first}`, ...rest.map((line) => " ".repeat(width + 4) + line)];
}

/** Rows with their columns aligned; the last column is as long as it is. */
export function table(rows: readonly (readonly string[])[]): string[] {
  const widths: number[] = [];
  for (const row of rows) {
    for (const [at, cell] of row.entries()) widths[at] = Math.max(widths[at] ?? 0, visible(cell).length);
  }
  return rows.map((row) =>
    row
      .map((cell, at) => (at === row.length - 1 ? cell : visible(cell).padEnd(widths[at] ?? 0)))
      .join("  ")
      .trimEnd(),
  );
}

/** `1,234,567`. */
export function formatCount(count: number): string {
  return String(Math.round(count)).replace(/\B(?=(\d{3})+$)/g, ",");
}

/** `1 path`, `2 paths`. */
export function counted(count: number, noun: string, plural = `${noun}s`): string {
  return `${formatCount(count)} ${count === 1 ? noun : plural}`;
}

const UNITS = ["kB", "MB", "GB", "TB", "PB"];

/** `999 B`, `1.2 kB`: decimal, as disks are sold. */
export function formatBytes(bytes: number): string {
  if (bytes < 1000) return `${Math.round(bytes)} B`;
  let value = bytes;
  let unit = "";
  for (const next of UNITS) {
    if (value < 999.95) break;
    value /= 1000;
    unit = next;
  }
  return `${value < 99.95 ? value.toFixed(1) : value.toFixed(0)} ${unit}`;
}

/** `7 s`, `2 min 05 s`, `3 h 00 min`. */
export function formatDuration(milliseconds: number): string {
  const seconds = Math.max(0, Math.round(milliseconds / 1000));
  if (seconds < 60) return `${seconds} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes} min ${two(seconds % 60)} s`;
  return `${Math.floor(minutes / 60)} h ${two(minutes % 60)} min`;
}

function two(value: number): string {
  return String(value).padStart(2, "0");
}
