/** A restore for people: what the store holds now, and the commands that work there offline. */
import type { RestoreReceipt } from "../../generated/types.js";
import { bundleRows } from "./bundle.js";
import { renderFindings } from "./findings.js";
import { counted, formatBytes, type Line, table, type View } from "./text.js";

const VERDICTS: Readonly<
  Record<RestoreReceipt["verdict"], { readonly style: "good" | "bad" | "warn"; readonly text: string }>
> = {
  complete: { style: "good", text: "RESTORED: every path is in the store, and was read back from its disk" },
  planned: { style: "warn", text: "PLAN: nothing was imported" },
  refused: { style: "bad", text: "REFUSED: nothing was imported" },
  failed: { style: "bad", text: "NOT COMPLETE: run it again when the cause is mended" },
};

export function renderRestore(report: RestoreReceipt, view: View): Line[] {
  const { verdict, bundle, store, paths, space, gcRoots, release, exit, findings } = report;
  const { style, text } = VERDICTS[verdict];
  const title: Line = { style, text: exit === 0 ? text : `${text} (exit ${exit})` };
  const rows = bundleRows(bundle);
  rows.push(["store", `${store.uri} (${store.storeDir})`]);
  if (paths !== null) {
    rows.push(["paths", `${counted(paths.total, "path")}, ${formatBytes(paths.narBytes)}`]);
    rows.push([
      verdict === "planned" ? "to import" : "imported",
      verdict === "planned"
        ? `${counted(paths.total - paths.present, "path")}, ${formatBytes(paths.importBytes)}; ${paths.present} are there`
        : `${counted(paths.imported, "path")}; ${paths.present} were there before`,
    ]);
    if (verdict !== "planned") rows.push(["read back", `${counted(paths.checked, "path")} hashed on disk`]);
  }
  if (space !== null) {
    rows.push(["space", `needs ${formatBytes(space.needed)}, free ${formatBytes(space.free)}`]);
  }
  if (gcRoots !== null) rows.push(["GC roots", gcRoots]);
  if (release !== null) rows.push(["current", currentOf(release)]);
  return [title, "", ...table(rows), ...rootsOf(report), ...renderFindings(findings, view), "", title];
}

function currentOf({ name, current, link }: NonNullable<RestoreReceipt["release"]>): string {
  return name === current
    ? `this release, as ${link}`
    : `still ${current}; to change that: nix-airgap releases use ${name}`;
}

function rootsOf({ roots }: RestoreReceipt): string[] {
  return roots.flatMap(({ attr, outputs, commands }) => [
    "",
    `${attr}:`,
    ...table(
      outputs.map(({ name, path, link }) => [`  ${name}`, link === null ? path : `${path} (${link})`]),
    ),
    ...[...new Set(commands.map(({ purpose }) => purpose))].flatMap((purpose) => [
      purpose === "load" ? "  to load it, by one of these:" : `  to ${purpose} it, offline:`,
      ...commands.filter((command) => command.purpose === purpose).map(({ shell }) => `    ${shell}`),
    ]),
  ]);
}
