/** A site's checks for people: what is bad first, good in one line each. */
import type { DoctorCheck, DoctorReport } from "../../generated/types.js";
import { block, counted, type Line } from "./text.js";

const MARKS: Readonly<
  Record<DoctorCheck["state"], { readonly mark: string; readonly style: "good" | "bad" | "warn" }>
> = {
  bad: { mark: "BAD", style: "bad" },
  warn: { mark: "warn", style: "warn" },
  unknown: { mark: "unknown", style: "warn" },
  ok: { mark: "ok", style: "good" },
};
const ORDER = ["bad", "warn", "unknown", "ok"] as const;
const LABEL_WIDTH = "found".length;

export function renderDoctor({ checks, exit, tools }: DoctorReport): Line[] {
  const of = (state: DoctorCheck["state"]) => checks.filter((check) => check.state === state);
  const counts = ORDER.map((state) => [state, of(state).length] as const).filter(([, n]) => n > 0);
  const summary = counts.map(([state, n]) => `${n} ${MARKS[state].mark}`).join(", ");
  const title: Line =
    exit === 0
      ? { text: `NOTHING IS BAD: ${summary}`, style: "good" }
      : {
          text: `${counted(of("bad").length, "thing")} MUST BE MENDED: ${summary} (exit ${exit})`,
          style: "bad",
        };
  return [
    title,
    "",
    ...ORDER.flatMap((state) => of(state).flatMap(renderCheck)),
    "",
    `Nix ${tools.nix ?? "missing"}, nix-airgap ${tools.nixAirgap}, Node.js ${tools.node}`,
  ];
}

function renderCheck({ title, state, found, why, advice }: DoctorCheck): Line[] {
  const { mark, style } = MARKS[state];
  if (advice === null) return [{ text: `${mark.padEnd(8)}${title}: ${found}`, style }];
  return [
    { text: `${mark.padEnd(8)}${title}`, style },
    ...block("found", found, LABEL_WIDTH),
    ...block("why", why, LABEL_WIDTH),
    ...block("do", advice, LABEL_WIDTH),
  ];
}
