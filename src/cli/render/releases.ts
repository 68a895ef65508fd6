/** Releases for people: what there is, which is current; and what a change of it did. */
import type { ReleaseChangeReport, ReleasesReport } from "../../generated/types.js";
import { renderFindings } from "./findings.js";
import { counted, formatBytes, type Line, table, type View } from "./text.js";

export function renderReleases(report: ReleasesReport, view: View): Line[] {
  const { releases, unlisted, store, current, findings } = report;
  const title: Line =
    findings.length > 0
      ? {
          style: "bad",
          text: `NOT WHOLE: ${counted(releases.length, "release")} in ${store} (exit ${report.exit})`,
        }
      : { style: "good", text: `${counted(releases.length, "release")} in ${store}` };
  const others: Line[] =
    unlisted.length === 0
      ? []
      : [
          "",
          `GC roots that no record tells of: ${unlisted.join(", ")} (to remove: nix-airgap releases remove NAME)`,
        ];
  const links = current.map(({ product, link }) => [`${product}:`, link]);
  return [
    title,
    ...releases.flatMap((release) => ["", ...renderRelease(release)]),
    ...(links.length === 0 ? [] : ["", "current:", ...table(links).map((line) => `  ${line}`)]),
    ...others,
    ...renderFindings(findings, view),
  ];
}

function renderRelease(release: ReleasesReport["releases"][number]): Line[] {
  const { name, product, sequence, tier, systems, sha256, at, by, isCurrent, gcRoots, outLink } = release;
  const { paths, narBytes, ownNarBytes } = release;
  const who = by.sudoUser === null ? by.user : `${by.sudoUser}, as ${by.user}`;
  const rows = [
    ["release", `${product} ${release.release}, sequence ${sequence}, tier ${tier}, ${systems.join(", ")}`],
    ["bundle id", sha256],
    ["restored", `${at} by ${who} on ${by.machine}`],
    [
      "size",
      `${counted(paths, "path")}, ${formatBytes(narBytes)}; ${formatBytes(ownNarBytes)} held by it alone`,
    ],
    ["GC roots", `${gcRoots.count} of ${gcRoots.expected}, ${gcRoots.folder}`],
    ["links", release.links],
    ...(outLink === null ? [] : [["out-link", outLink]]),
  ];
  const title: Line = isCurrent ? { style: "good", text: `${name} (current)` } : name;
  return [title, ...table(rows).map((line) => `  ${line}`)];
}

const VERDICTS = {
  use: { done: "CURRENT", already: "CURRENT: it was already", refused: "REFUSED: nothing was changed" },
  remove: { done: "REMOVED", already: "REMOVED", refused: "REFUSED: nothing was removed" },
} as const;

export function renderReleaseChange(report: ReleaseChangeReport, view: View): Line[] {
  const { verb, verdict, name, from, exit, checked, link, outLink, record, removed, collect, findings } =
    report;
  const words = `${VERDICTS[verb][verdict]}: ${name}`;
  const title: Line = {
    style: exit === 0 ? "good" : "bad",
    text: exit === 0 ? words : `${words} (exit ${exit})`,
  };
  const rows = [
    ["store", report.store],
    ...(verb === "use" ? [["before", from ?? "none"]] : []),
    ...(checked > 0 ? [["checked", `${counted(checked, "path")} hashed on disk`]] : []),
    ...(link === null ? [] : [["link", link]]),
    ...(outLink === null ? [] : [["follows", outLink]]),
    ["recorded", record],
  ];
  const gone = removed.length === 0 ? [] : ["", "removed:", ...removed.map((path) => `  ${path}`)];
  const next = collect === null ? [] : ["", "to free what nothing else needs:", `  ${collect}`];
  return [title, "", ...table(rows), ...gone, ...next, ...renderFindings(findings, view)];
}
