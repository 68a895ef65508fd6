/** A signature for people: before it is made, what it is for; afterwards, what came of it. */
import type { NamedChange, SignReport, SignSummary } from "../../generated/types.js";
import { renderFindings } from "./findings.js";
import { counted, type Line, table, type View } from "./text.js";

/** Nobody reads more of them before they sign; --json has all. */
const MAX_SHOWN = 20;

export function renderSummary(summary: SignSummary, view: View): Line[] {
  const { subject, roots, documents, approvals, openFindings, role, meaning, decision, signer, policy } =
    summary;
  return [
    { text: `TO BE SIGNED, AS ${decision.toUpperCase()}`, style: decision === "approved" ? "warn" : "bad" },
    "",
    ...table([
      ...subjectRows(subject),
      ["you", `${signer.name} <${signer.id}>, role ${role}`],
      ["meaning", meaning],
      ["policy", policy === null ? "none given" : `version ${policy.version} (${policy.sha256})`],
    ]),
    ...section(
      "roots",
      roots.flatMap(({ attr, outputs }) => [`  ${attr}`, ...outputs.map((path) => `    ${path}`)]),
    ),
    ...section(
      "documents",
      documents.map(
        ({ name, sha256, reviewed }) => `  ${reviewed ? "reviewed" : "not reviewed"}: ${name} (${sha256})`,
      ),
    ),
    ...renderChanges(summary),
    ...section(
      "said by others",
      approvals.map(
        ({ role: theirs, signer: by, decision: said, holds }) =>
          `  ${said ?? "?"} by ${by ?? "?"}, role ${theirs ?? "?"}${holds ? "" : " (not checked: a claim)"}`,
      ),
    ),
    ...(openFindings.length === 0
      ? []
      : ["", "still missing before you sign:", ...renderFindings(openFindings, view)]),
  ];
}

export function renderSign(report: SignReport, view: View): Line[] {
  const { verdict, subject, approval, findings, openFindings, completed, next } = report;
  const rows = subjectRows(subject);
  if (approval !== null) {
    rows.push(["signer", approval.signer], ["role", approval.role]);
    if (approval.meaning !== null) rows.push(["meaning", approval.meaning]);
    rows.push(["decision", approval.decision], ["at", approval.signedAt]);
    if (approval.keyHash !== null)
      rows.push(["key", `${approval.keyName} (${approval.scheme}, ${approval.keyHash})`]);
    if (approval.file !== null) rows.push(["approval", approval.file]);
  }
  return [
    titleOf(report),
    "",
    ...table(rows),
    ...(completed ? ["", "A signature that had been interrupted was completed."] : []),
    ...(verdict === "refused" || subject.kind !== "bundle"
      ? []
      : ["", "The document was checked, contents of blobs were not: nix-airgap verify does that."]),
    ...section(
      "next",
      next.map((command) => `  ${command}`),
    ),
    ...renderFindings(findings, view),
    ...(openFindings.length === 0
      ? []
      : ["", "the policy still asks for more:", ...renderFindings(openFindings, view)]),
  ];
}

function titleOf({ verdict, subject, approval, findings, exit }: SignReport): Line {
  const what = nameOf(subject);
  const said = approval?.decision === "rejected" ? "REJECTED" : "SIGNED";
  switch (verdict) {
    case "refused":
      return { text: `NOT SIGNED: ${counted(findings.length, "finding")} (exit ${exit})`, style: "bad" };
    case "signed":
      return { text: `${said}: ${what}`, style: "good" };
    case "attached":
      return { text: `ATTACHED: the signature holds, ${what} has it now`, style: "good" };
    case "prepared":
      return { text: `PREPARED: ${what} is not signed yet`, style: "warn" };
    case "already-signed":
      return { text: `ALREADY SIGNED: ${what} is as it was`, style: "good" };
  }
}

function nameOf({ kind, product, release, version, path }: SignReport["subject"]): string {
  if (product !== null) return `${product} ${release}`;
  return kind === "policy" ? `policy version ${version}` : path;
}

function subjectRows(subject: SignReport["subject"]): string[][] {
  const { kind, path, sha256, product, release, sequence, systems, tier, version } = subject;
  const rows = [[kind, path]];
  if (product !== null) {
    rows.push([
      "release",
      `${product} ${release}, sequence ${sequence}, tier ${tier}, ${systems?.join(", ")}`,
    ]);
  }
  if (version !== null) rows.push(["version", `${version}`]);
  if (sha256 !== null) rows.push([kind === "bundle" || kind === "document" ? "bundle id" : "sha256", sha256]);
  return rows;
}

function renderChanges({ changes, previous, subject }: SignSummary): Line[] {
  if (subject.product === null) return [];
  if (changes === null) {
    return [
      "",
      previous === null
        ? "changes: the document names no release before it"
        : `changes: not shown; the release before is sequence ${previous.sequence} (${previous.sha256}): give --previous BUNDLE`,
    ];
  }
  const { inputs, roots, packages, documents, paths } = changes;
  return [
    "",
    `changes since the release before: ${paths.added} store paths are new, ${paths.removed} are gone`,
    ...changed("inputs", inputs),
    ...changed("roots", roots),
    ...changed("packages", packages),
    ...changed("documents", documents),
  ];
}

function changed(title: string, list: readonly NamedChange[]): string[] {
  if (list.length === 0) return [`  ${title}: the same`];
  const left = list.length - MAX_SHOWN;
  return [
    `  ${title}:`,
    ...list
      .slice(0, MAX_SHOWN)
      .map(({ name, before, after }) => `    ${name}: ${before ?? "(new)"} -> ${after ?? "(gone)"}`),
    ...(left > 0 ? [`    … and ${left} more: --json has all`] : []),
  ];
}

function section(title: string, lines: readonly string[]): string[] {
  return lines.length === 0 ? [] : ["", `${title}:`, ...lines];
}
