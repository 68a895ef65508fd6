/** What came of joining bundles, for people. */
import type { BundleJoinReport } from "../../generated/types.js";
import { renderFindings } from "./findings.js";
import { counted, formatBytes, type Line, table, type View } from "./text.js";

export function renderBundleJoin(report: BundleJoinReport, view: View): Line[] {
  const { bundle, findings, parts, signedBy } = report;
  if (bundle === null) {
    return [
      { text: `NOT JOINED: ${counted(findings.length, "reason")} (exit ${report.exit})`, style: "bad" },
      ...renderFindings(findings, view),
    ];
  }
  return [
    {
      text: `JOINED ${counted(parts.length, "bundle")} of ${bundle.product} ${bundle.release}`,
      style: "good",
    },
    "",
    ...table([
      ["sequence", String(bundle.sequence)],
      ["tier", bundle.tier],
      ["systems", bundle.systems.join(", ")],
      ["out", bundle.path],
      ["bundle id", bundle.sha256],
      ["bundle", `${counted(bundle.paths, "path")}, ${formatBytes(bundle.bytes)} (${bundle.bytes} bytes)`],
    ]),
    "",
    "of:",
    ...table(parts.map(({ path, systems, sha256 }) => [`  ${systems.join(", ")}`, path, sha256])),
    "",
    "It is a new document: approvals of the parts are none of it.",
    signedBy !== null
      ? `signed by ${signedBy}`
      : {
          text: `UNSIGNED: verify refuses it (exit 12) until someone signs it: nix-airgap sign ${bundle.path} --key FILE`,
          style: "warn",
        },
  ];
}
