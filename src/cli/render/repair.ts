/** A repair for people: what came out, and what each medium gave. */
import type { RepairReport } from "../../generated/types.js";
import { renderFindings } from "./findings.js";
import { counted, type Line, table, type View } from "./text.js";

/** Of a medium's bad files. */
const MAX_SHOWN = 10;

export function renderRepair(report: RepairReport, view: View): Line[] {
  const { verdict, bundle, out, media, findings, exit } = report;
  const title: Line =
    verdict === "repaired" && bundle !== null
      ? { text: `REPAIRED ${bundle.product} ${bundle.release}: what was written is verified`, style: "good" }
      : {
          text: `NOT REPAIRED: ${counted(findings.length, "finding")} (exit ${exit}): nothing was written`,
          style: "bad",
        };
  return [
    title,
    "",
    ...table([
      ...(out === null ? [] : [["out", out.path]]),
      ...(bundle === null ? [] : [["bundle id", bundle.sha256]]),
    ]),
    "media:",
    ...media.flatMap(mediumLines),
    ...renderFindings(findings, view),
  ];
}

const DOCUMENTS = {
  same: "",
  damaged: ", its bundle.json is another or cannot be read",
  unknown: "",
} as const;

function mediumLines({
  path,
  kind,
  document,
  taken,
  bad,
  badCount,
}: RepairReport["media"][number]): string[] {
  const shown = bad.slice(0, MAX_SHOWN);
  return [
    `  ${path} (${kind}): ${counted(taken, "file")} taken, ${badCount} bad or missing${DOCUMENTS[document]}`,
    ...shown.map((name) => `    bad or missing: ${name}`),
    ...(badCount > shown.length ? [`    … and ${counted(badCount - shown.length, "more file")}`] : []),
  ];
}
