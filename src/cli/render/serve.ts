/** What was served, for people, when it has ended. */
import type { ServeReport } from "../../generated/types.js";
import { bundleRows } from "./bundle.js";
import { renderFindings } from "./findings.js";
import { counted, formatBytes, type Line, table, type View } from "./text.js";

const VERDICTS: Readonly<
  Record<ServeReport["verdict"], { readonly style: "good" | "bad"; readonly text: string }>
> = {
  stopped: { style: "good", text: "STOPPED: nothing is served any more" },
  refused: { style: "bad", text: "REFUSED: nothing was served" },
  failed: { style: "bad", text: "FAILED: nothing is served" },
};

const KEYS = { site: "the site's import key", file: "a given key", run: "a key of this run alone" } as const;

export function renderServe(report: ServeReport, view: View): Line[] {
  const { verdict, exit, bundle, url, key, answers, trouble, startedAt, finishedAt, findings } = report;
  const { style, text } = VERDICTS[verdict];
  const title: Line = { style, text: exit === 0 ? text : `${text} (exit ${exit})` };
  const rows = bundleRows(bundle);
  if (url !== null) {
    rows.push(["served at", url]);
    rows.push(["from, until", `${startedAt}, ${finishedAt}`]);
    if (key !== null) rows.push(["signed by", `${key.publicKey} (${KEYS[key.from]})`]);
    rows.push([
      "answered",
      `${counted(answers.requests, "request")}, ${formatBytes(answers.bytes)}; refused ${answers.refused}, broken ${answers.broken}`,
    ]);
  }
  if (trouble !== null) rows.push(["trouble", trouble]);
  return [title, "", ...table(rows), ...renderFindings(findings, view), "", title];
}
