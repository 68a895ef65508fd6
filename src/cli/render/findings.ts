/** Findings for people: grouped by what is wrong, each with its subject, values, and who needs it. */
import { block, counted, type Line, type View } from "./text.js";

/** What the reports' findings have in common; an absent value is null or not there. */
export interface ShownFinding {
  readonly code: string;
  readonly explain: string;
  readonly advice: string;
  readonly subject?: string | null;
  readonly expected?: string | null;
  readonly actual?: string | null;
  readonly line?: number | null;
  readonly offset?: number | null;
  readonly neededBy?: readonly string[];
}

/** Nobody reads more of them on a screen. */
export const MAX_SHOWN = 50;
const MAX_NEEDED_BY = 3;
const LABEL_WIDTH = "needed by".length;

export function renderFindings(findings: readonly ShownFinding[], { isTerminal }: View): Line[] {
  const shown = isTerminal ? findings.slice(0, MAX_SHOWN) : findings;
  const groups = new Map<string, ShownFinding[]>();
  for (const finding of shown) {
    const key = `${finding.code}\n${finding.advice}`;
    groups.set(key, [...(groups.get(key) ?? []), finding]);
  }
  const lines: Line[] = [];
  for (const group of groups.values()) {
    const [first] = group;
    if (first === undefined) continue;
    const times = group.length > 1 ? ` (${group.length} times)` : "";
    lines.push("", { text: `${first.code}: ${first.explain}${times}`, style: "bad" });
    for (const finding of group) lines.push(...renderFinding(finding));
    lines.push(...block("do", first.advice, LABEL_WIDTH));
  }
  const left = findings.length - shown.length;
  if (left > 0) lines.push("", `... and ${counted(left, "more finding")}: --json gives all`);
  return lines;
}

function renderFinding(finding: ShownFinding): string[] {
  const { subject, expected, actual, line, offset, neededBy = [] } = finding;
  const where =
    typeof line === "number" ? `, line ${line}` : typeof offset === "number" ? `, byte ${offset}` : "";
  const more = neededBy.length - MAX_NEEDED_BY;
  const needed = [...neededBy.slice(0, MAX_NEEDED_BY), ...(more > 0 ? [`and ${more} more`] : [])].join(", ");
  return [
    ...field("about", typeof subject === "string" ? `${subject}${where}` : where.replace(/^, /, "")),
    ...field("expected", expected),
    ...field("found", actual),
    ...field("needed by", needed),
  ];
}

function field(label: string, text: string | null | undefined): string[] {
  return typeof text === "string" && text !== "" ? block(label, text, LABEL_WIDTH) : [];
}
