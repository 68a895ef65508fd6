/** A whole run: where, of what, and its results; for a terminal and for docs/performance.md. Pure. */
import type { Curve } from "./curve.js";
import type { Machine } from "./machine.js";
import type { Result } from "./result.js";
import { formatTable } from "./table.js";

export interface Report {
  readonly machine: Machine;
  /** As the programs say it. */
  readonly node: string;
  readonly nix: string;
  /** Our own. */
  readonly program: string;
  readonly runs: number;
  /** 1, or a part of the full size. */
  readonly scale: number;
  readonly results: readonly Result[];
}

export function formatReport(report: Report): string {
  const { machine, node, nix, program, runs, scale } = report;
  const { cpu, cores, memoryGB, kernel, fileSystem, load } = machine;
  const size = scale === 1 ? "" : `, at ${scale} of the full size: no figures to go by`;
  return [
    `- machine: ${cpu}, ${cores} cores, ${memoryGB} GB of memory, ${kernel}, ${fileSystem}`,
    `- versions: nix-airgap ${program}, Node.js ${node.replace(/^v/, "")}, ${nix}`,
    `- medians of ${runs} ${runs === 1 ? "run" : "runs"}, load ${load.toFixed(1)} at the start${size}`,
    "",
    formatTable(report.results),
    ...(curvesOf(report).length > 0 ? ["", `![Time and memory against size](${PICTURE})`] : []),
  ].join("\n");
}

/** Beside the page. */
export const PICTURE = "performance.svg";

export function curvesOf({ results }: Report): Curve[] {
  return results.flatMap(({ curve }) => curve ?? []);
}

/** The two parts of the page that are made: beside Nix, and by size. */
const SECTIONS = {
  comparisons: ({ id }: Result) => !isOfScale(id),
  growth: ({ id }: Result) => isOfScale(id),
};

/** Whether a result is the part `scale`'s. */
function isOfScale(id: string): boolean {
  return id.startsWith("growth-") || id === "memory-paths";
}

/**
 * The page with the report between its markers, as far as it has results for them; all else stays.
 *
 * @throws Error where a marker is missing
 */
export function withReport(page: string, report: Report): string {
  let made = page;
  for (const [section, isIn] of Object.entries(SECTIONS)) {
    const results = report.results.filter(isIn);
    const [begin, end] = [
      `<!-- ${section}: made by npm run bench -- --docs -->`,
      `<!-- end of ${section} -->`,
    ];
    const [before, rest] = made.split(begin);
    const after = rest?.split(end)[1];
    if (after === undefined) throw new Error(`docs/performance.md lacks ${begin} and ${end}`);
    if (results.length > 0)
      made = `${before}${begin}\n\n${formatReport({ ...report, results })}\n\n${end}${after}`;
  }
  return made;
}
