/** A rebuild for people: the verdict with its counts first and last, then what was not identical, and why. */
import type { RebuildReport } from "../../generated/types.js";
import { bundleRows } from "./bundle.js";
import { renderFindings } from "./findings.js";
import { counted, formatBytes, type Line, table, type View } from "./text.js";

const STYLES: Readonly<Record<RebuildReport["verdict"], "good" | "bad" | "warn">> = {
  identical: "good",
  planned: "warn",
  refused: "bad",
  differs: "bad",
  failed: "bad",
};

/** Derivations that are not identical, shown on a terminal. */
const MAX_SHOWN = 50;
const MAX_NAMED = 10;

export function renderRebuild(report: RebuildReport, view: View): Line[] {
  const { verdict, summary, exit, bundle, scratch, from, sandbox, kept, findings } = report;
  const text = `${verdict.toUpperCase()}: ${summary}${exit === 0 ? "" : ` (exit ${exit})`}`;
  const title: Line = { text, style: STYLES[verdict] };
  const rows = bundleRows(bundle);
  rows.push(["from", from]);
  if (scratch !== null) rows.push(["scratch store", scratch]);
  return [
    title,
    "",
    ...table(rows),
    ...start(report),
    ...derivations(report, view),
    ...(kept.length === 0
      ? []
      : ["", "kept folders of failed builds:", ...kept.map((folder) => `  ${folder}`)]),
    ...renderFindings(findings, view),
    ...(sandbox.paths.length === 0
      ? []
      : [
          "",
          {
            text: `Host paths were lent to builders, which weakens this verdict: ${sandbox.paths.join(", ")}`,
            style: "warn" as const,
          },
        ]),
    "",
    title,
  ];
}

function start({ startedWith }: RebuildReport): string[] {
  if (startedWith === null) return [];
  const { paths, narBytes, derivations, sources, outputs, prebuilt } = startedWith;
  const named = prebuilt
    .slice(0, MAX_NAMED)
    .map(({ path, files }) => `  ${path} (${counted(files.length, "binary", "binaries")})`);
  const more = prebuilt.length - named.length;
  return [
    "",
    `started with ${counted(paths, "path")} (${formatBytes(narBytes)}): ${counted(derivations, "derivation")}, ${counted(sources, "source")}, ${counted(outputs, "output")} taken as they are`,
    ...(prebuilt.length === 0
      ? []
      : [`of these, ${counted(prebuilt.length, "path")} with prebuilt binaries:`, ...named]),
    ...(more > 0 ? [`  ... and ${more} more (--json)`] : []),
  ];
}

function derivations({ derivations, counts }: RebuildReport, { isTerminal }: View): Line[] {
  const others = derivations.filter(({ verdict }) => verdict !== "identical");
  const shown = isTerminal ? others.slice(0, MAX_SHOWN) : others;
  const lines: Line[] = [];
  if (counts !== null) {
    const {
      toBuild,
      identical,
      differs,
      inherited,
      knownIrreproducible,
      uncompared,
      failed,
      notBuilt,
      resumed,
    } = counts;
    lines.push(
      "",
      ...table(
        (
          [
            ["to build", toBuild],
            ["identical", identical],
            ["differ", differs],
            ["differ because of a dependency", inherited],
            ["known to be irreproducible", knownIrreproducible],
            ["built, nothing to compare with", uncompared],
            ["failed", failed],
            ["not built", notBuilt],
            ["of these built by an earlier run", resumed],
          ] as const
        ).flatMap(([what, count]) => (count > 0 || what === "identical" ? [[what, String(count)]] : [])),
      ),
    );
  }
  for (const derivation of shown) lines.push("", ...renderDerivation(derivation));
  const left = others.length - shown.length;
  if (left > 0) lines.push("", `... and ${counted(left, "more derivation")}: --json gives all`);
  return lines;
}

function renderDerivation(derivation: RebuildReport["derivations"][number]): string[] {
  const { drvPath, verdict, outputs, because, reason, log } = derivation;
  const differing = outputs.filter(
    ({ expected, actual }) => expected !== null && actual !== null && expected !== actual,
  );
  return [
    `${verdict}: ${drvPath}`,
    ...(reason === null ? [] : [`  ${reason}`]),
    ...because.map((path) => `  because of ${path}`),
    ...differing.flatMap(({ name, path, expected, actual, differences }) => [
      `  ${name}: ${path}`,
      `    expected ${expected}`,
      `    built    ${actual}`,
      ...differences.map((file) => `    ${file.path === "" ? "(top)" : file.path}: ${file.difference}`),
    ]),
    ...log.map((line) => `  | ${line}`),
  ];
}
