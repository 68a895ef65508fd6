/** Results as a Markdown table, aligned so that it reads well on a terminal too. Pure. */
import type { Result, Side, Unit } from "./result.js";

const HEAD = ["what", "ours", "compared with", "ratio", "goal", "result"];

export function formatTable(results: readonly Result[]): string {
  const rows = results.map((result) => [
    result.what,
    side(result.ours, result.unit),
    result.against === null ? "–" : `${result.against.label}: ${side(result.against, result.unit)}`,
    result.ratio === null ? "–" : ratio(result.ratio),
    goal(result),
    verdict(result),
  ]);
  const widths = HEAD.map((title, column) =>
    Math.max(title.length, ...rows.map((row) => row[column]!.length)),
  );
  const line = (cells: readonly string[]) =>
    `| ${cells.map((cell, column) => cell.padEnd(widths[column]!)).join(" | ")} |`;
  const rule = `|${widths.map((width) => "-".repeat(width + 2)).join("|")}|`;
  return [line(HEAD), rule, ...rows.map(line)].join("\n");
}

function side({ median, cpuSeconds }: Side, unit: Unit): string {
  const cpu = cpuSeconds === null ? "" : ` (CPU ${figure(cpuSeconds, unit)})`;
  return `${figure(median, unit)}${cpu}`;
}

/** Three digits that mean something. */
export function figure(value: number, unit: Unit): string {
  if (unit === "times") return value.toFixed(2);
  if (unit === "MB") return `${Math.round(value)} MB`;
  if (value < 1) return `${Math.round(value * 1000)} ms`;
  return `${value.toFixed(value < 10 ? 2 : 1)} s`;
}

function ratio(value: number): string {
  return value.toFixed(2);
}

function goal({ goal: wanted, unit }: Result): string {
  if (wanted === null) return "–";
  return `≤ ${wanted.of === "ratio" ? ratio(wanted.limit) : figure(wanted.limit, unit)}`;
}

function verdict({ verdict: given }: Result): string {
  if (given === null) return "–";
  if (given.met) return "met";
  return `missed by ${Math.max(1, Math.round(given.over * 100))} %`;
}
