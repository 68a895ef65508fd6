/** The approvals of a flake.lock for people. */
import type { LockReport } from "../../generated/types.js";
import { renderFindings } from "./findings.js";
import { counted, type Line, table, type View } from "./text.js";

const STATES: Readonly<Record<LockReport["approvals"][number]["state"], string>> = {
  valid: "holds",
  unknown: "by a key that is not trusted, says",
  bad: "BAD, says",
};

export function renderVerifyLock(report: LockReport, view: View): Line[] {
  const { verdict, path, sha256, nodes, approvals, stale, findings, exit } = report;
  const title: Line =
    verdict === "approved"
      ? { text: `APPROVED: ${path}`, style: "good" }
      : {
          text: `REFUSED: ${counted(findings.length, "finding")} (exit ${exit}): not approved`,
          style: "bad",
        };
  return [
    title,
    "",
    ...table([
      ["lock", `${path}, ${counted(nodes, "node")}`],
      ["sha256", sha256],
    ]),
    ...(approvals.length === 0 ? [] : ["", "approvals:"]),
    ...approvals.map(
      ({ state, signer, role, decision, signedAt }) =>
        `  ${STATES[state]}: ${signer ?? "?"}, role ${role ?? "?"}, ${decision ?? "?"} at ${signedAt ?? "?"}`,
    ),
    ...(stale.length === 0 ? [] : ["", "about an earlier lock, and of no account:"]),
    ...stale.map((file) => `  ${file}`),
    ...renderFindings(findings, view),
  ];
}
