/** A signature for people. */
import type { SignReport } from "../../generated/types.js";
import { renderFindings } from "./findings.js";
import { counted, type Line, table, type View } from "./text.js";

export function renderSign(report: SignReport, view: View): Line[] {
  const { verdict, bundle, approval, findings, completed, exit } = report;
  const what = bundle.product === null ? bundle.path : `${bundle.product} ${bundle.release}`;
  const title: Line =
    verdict === "refused"
      ? { text: `NOT SIGNED: ${counted(findings.length, "finding")} (exit ${exit})`, style: "bad" }
      : verdict === "signed"
        ? { text: `SIGNED: ${what}`, style: "good" }
        : { text: `ALREADY SIGNED: ${what} is as it was`, style: "good" };
  const rows: string[][] = [["bundle", bundle.path]];
  if (bundle.sha256 !== null) rows.push(["bundle id", bundle.sha256]);
  if (approval !== null) {
    rows.push(["role", approval.role]);
    rows.push(["key", `${approval.keyName} (${approval.keyHash})`]);
    rows.push(["at", approval.signedAt]);
    rows.push(["approval", approval.file]);
  }
  return [
    title,
    "",
    ...table(rows),
    ...(completed ? ["", "A signature that had been interrupted was completed."] : []),
    ...(verdict === "refused"
      ? []
      : ["", "The document was checked, contents of blobs were not: nix-airgap verify does that."]),
    ...renderFindings(findings, view),
  ];
}
