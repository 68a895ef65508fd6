/** The state of a site, for people: first what needs doing, the worst first, then what is well. */
import type { DoctorCheck, DoctorReport, DoctorState } from "../../generated/types.js";
import { block, counted, type Line, type Style } from "./text.js";

const LABELS: Readonly<Record<DoctorState, { readonly text: string; readonly style: Style }>> = {
  bad: { text: "BAD", style: "bad" },
  warn: { text: "WARN", style: "warn" },
  unknown: { text: "UNKNOWN", style: "warn" },
  ok: { text: "ok", style: "good" },
};
const ORDER: readonly DoctorState[] = ["bad", "warn", "unknown", "ok"];
const LABEL_WIDTH = "found".length;
const TITLE_INDENT = "UNKNOWN".length + 2;

export function renderDoctor({ checks, exit, tools }: DoctorReport): Line[] {
  const of = (state: DoctorState) => checks.filter((check) => check.state === state);
  return [
    headline(checks, exit),
    `Nix: ${tools.nix ?? "none that answers"}; nix-airgap ${tools.nixAirgap}; Node.js ${tools.node}`,
    ...ORDER.flatMap((state) => of(state).flatMap(renderCheck)),
  ];
}

function headline(checks: readonly DoctorCheck[], exit: number): Line {
  const count = (state: DoctorState) => checks.filter((check) => check.state === state).length;
  const open = [
    [count("bad"), "bad"],
    [count("warn"), "to look at"],
    [count("unknown"), "unknown"],
  ]
    .filter(([number]) => number !== 0)
    .map((part) => part.join(" "));
  const sum = `of ${counted(checks.length, "check")}: ${open.join(", ")}`;
  if (exit !== 0) return { text: `NOT FIT ${sum} (exit ${exit})`, style: "bad" };
  if (open.length > 0) return { text: `NOTHING BAD ${sum}`, style: "warn" };
  return { text: `FIT: all ${counted(checks.length, "check")} are well`, style: "good" };
}

function renderCheck({ state, title, found, why, advice }: DoctorCheck): Line[] {
  const { text, style } = LABELS[state];
  const line: Line = { text: `${text.padEnd(TITLE_INDENT)}${title}`, style };
  const said = block("found", found, LABEL_WIDTH);
  const todo = advice === null ? [] : block("do", advice, LABEL_WIDTH);
  return state === "ok"
    ? ["", line, ...said, ...todo]
    : ["", line, ...said, ...block("why", why, LABEL_WIDTH), ...todo];
}
