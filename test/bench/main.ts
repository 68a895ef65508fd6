/**
 * `npm run bench`: how fast and how large we are, side by side with Nix in one run. It measures, so a missed goal is no
 * failure; the exit is 1 where something did not run, or a bundle did not verify.
 */
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { VERSION } from "../../src/generated/version.js";
import { removeTree } from "../../src/host/files.js";
import { machineOf } from "./machine.js";
import { PARTS } from "./parts.js";
import { plotSvg } from "./plot.js";
import { curvesOf, formatReport, PICTURE, type Report, withReport } from "./report.js";
import type { Result } from "./result.js";
import { Workbench } from "./workbench.js";

const PAGE = resolve(import.meta.dirname, "../../docs/performance.md");
const QUICK_SCALE = 0.1;
/** All but the one that takes longest. */
const DEFAULT_PARTS = Object.keys(PARTS).filter((part) => part !== "scale");

process.exitCode = await main();

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      runs: { type: "string" },
      only: { type: "string", default: DEFAULT_PARTS.join(",") },
      quick: { type: "boolean", default: false },
      dir: { type: "string" },
      keep: { type: "boolean", default: false },
      json: { type: "string" },
      node: { type: "string", default: process.execPath },
      docs: { type: "boolean", default: false },
    },
  });
  const runs = Number(values.runs ?? (values.quick ? 1 : 5));
  const parts = values.only.split(",");
  if (!Number.isSafeInteger(runs) || runs < 1 || parts.some((part) => !(part in PARTS))) {
    console.error(
      `usage: npm run bench -- [--runs N] [--only ${Object.keys(PARTS).join(",")}] [--quick] [--dir DIR] [--keep]\n` +
        "                        [--json FILE] [--node PROGRAM] [--docs]",
    );
    return 2;
  }
  const { quick, node, docs } = values;
  const dir =
    values.dir === undefined ? mkdtempSync(join(tmpdir(), "nix-airgap-bench-")) : resolve(values.dir);
  const keep = values.keep || values.dir !== undefined;
  const say = (line: string) => console.error(`bench: ${line}`);
  // So that what is to be removed on exit is.
  for (const signal of ["SIGINT", "SIGTERM"]) process.once(signal, () => process.exit(1));
  if (!keep) process.once("exit", () => rmSync(dir, { recursive: true, force: true }));
  let bench: Workbench | undefined;
  try {
    bench = await Workbench.open({ dir, scale: quick ? QUICK_SCALE : 1, node, runs, say });
    const report = await measure(bench, parts);
    console.log(formatReport(report));
    const json = values.json ?? (keep ? join(dir, "bench.json") : undefined);
    if (json !== undefined) writeFileSync(json, `${JSON.stringify(report, null, 2)}\n`);
    if (docs) {
      writeFileSync(PAGE, withReport(readFileSync(PAGE, "utf8"), report));
      const curves = curvesOf(report);
      if (curves.length > 0) writeFileSync(join(dirname(PAGE), PICTURE), plotSvg(curves));
    }
    return 0;
  } catch (error) {
    console.error(error instanceof Error ? error.message : error);
    return 1;
  } finally {
    await bench?.cleanScratch();
    if (keep) say(`kept in ${dir}`);
    else {
      bench?.removeFromStore();
      await removeTree(dir);
    }
  }
}

async function measure(bench: Workbench, parts: readonly string[]): Promise<Report> {
  const { dir, node, runs, scale, say } = bench.options;
  const machine = machineOf(dir);
  const results: Result[] = [];
  for (const part of parts) {
    say(part);
    results.push(...(await PARTS[part]!(bench)));
  }
  return { machine, node: versionOf(node), nix: versionOf("nix"), program: VERSION, runs, scale, results };
}

function versionOf(program: string): string {
  return execFileSync(program, ["--version"], { encoding: "utf8" }).trim();
}
