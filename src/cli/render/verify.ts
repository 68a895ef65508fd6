/** A verification for people: the verdict first and last, between them what it rests on. */
import type { VerifyReport } from "../../generated/types.js";
import { renderFindings } from "./findings.js";
import { counted, formatBytes, formatCount, type Line, table, type View } from "./text.js";

export interface VerifyRequest {
  readonly integrityOnly: boolean;
  readonly documentOnly: boolean;
}

const STATES: Readonly<Record<VerifyReport["steps"][number]["state"], string>> = {
  passed: "ok",
  failed: "FAILED",
  partly: "partly",
  "not-run": "not run",
};

export function renderVerify(report: VerifyReport, request: VerifyRequest, view: View): Line[] {
  const verdict = verdictOf(report, request);
  return [
    verdict,
    "",
    ...identity(report),
    "",
    ...table(
      report.steps.map(({ step, state, checked, title, note }) => [
        step,
        STATES[state],
        state === "not-run" ? "" : formatCount(checked),
        note === null ? title : `${title} (${note})`,
      ]),
    ),
    ...approvals(report),
    ...signatures(report),
    ...notProven(report),
    ...report.notes.map(({ subject, text }) => `note: ${subject === null ? "" : `${subject}: `}${text}`),
    ...renderFindings(report.findings, view),
    "",
    verdict,
  ];
}

function verdictOf(
  { verdict, findings, exit, bundle, approvals }: VerifyReport,
  request: VerifyRequest,
): Line {
  const unread = request.documentOnly ? "; contents were NOT checked (--document-only)" : "";
  const unproven = request.integrityOnly ? "; ORIGIN UNPROVEN: anybody could have made this bundle" : "";
  const suffix = `${unread}${unproven}`;
  if (verdict === "refused") {
    return {
      text: `REFUSED: ${counted(findings.length, "finding")} (exit ${exit}): do not use this bundle${suffix}`,
      style: "bad",
    };
  }
  const what = `${bundle.product} ${bundle.release}`;
  const signers = approvals.filter(({ state }) => state === "valid").map(({ signer }) => signer);
  const origin = request.integrityOnly ? "" : `, approved by ${[...new Set(signers)].join(", ")}`;
  if (verdict === "verified") {
    return { text: `VERIFIED: ${what} is complete and unchanged${origin}`, style: "good" };
  }
  const text = request.documentOnly
    ? `DOCUMENT HOLDS: what ${what} says of itself is consistent${origin}${suffix}`
    : `INTACT: ${what} is complete and consistent in itself${suffix}`;
  return { text, style: "warn" };
}

function identity({ bundle, totals }: VerifyReport): string[] {
  const { path, kind, sha256, product, release, sequence, created, systems, tier } = bundle;
  const rows: string[][] = [["bundle", `${path}${kind === null ? "" : ` (${kind})`}`]];
  if (product !== null) {
    rows.push([
      "release",
      `${product} ${release}, sequence ${sequence}, tier ${tier}, ${systems?.join(", ")}`,
    ]);
    rows.push(["created", `${created}`]);
  }
  if (sha256 !== null) rows.push(["bundle id", sha256]);
  if (totals !== null) {
    const { paths, narBytes, blobs, blobBytes } = totals;
    rows.push([
      "holds",
      `${counted(paths, "path")}, ${formatBytes(narBytes)} in ${counted(blobs, "blob")} of ${formatBytes(blobBytes)}`,
    ]);
  }
  return table(rows);
}

const APPROVAL_STATES: Readonly<Record<VerifyReport["approvals"][number]["state"], string>> = {
  valid: "holds",
  "not-counted": "holds, but does not count",
  unknown: "by a key that is not trusted",
  bad: "BAD",
};

function approvals({ approvals }: VerifyReport): string[] {
  if (approvals.length === 0) return [];
  const lines = approvals.flatMap((approval) => {
    const { state, role, signer, keyHash, signedAt, file, decision, meaning, reason } = approval;
    const claim = state === "valid" || state === "not-counted" ? "" : "says: ";
    const what = decision === null || decision === "approved" ? "" : `, ${decision.toUpperCase()}`;
    return [
      `  ${APPROVAL_STATES[state]}: ${claim}${signer ?? "?"}, role ${role ?? "?"}, at ${signedAt ?? "?"}${what}`,
      ...(reason === null ? [] : [`    ${reason}`]),
      ...(meaning === null ? [] : [`    meaning: ${meaning}`]),
      `    key ${keyHash ?? "?"}, ${file}`,
    ];
  });
  return ["", "approvals:", ...lines];
}

function signatures({ signatures }: VerifyReport): string[] {
  const rows = signatures.perKey.map(({ keyName, paths, trusted }) => [
    `  ${keyName}`,
    counted(paths, "path"),
    trusted ? "checked" : "not checked: a claim",
  ]);
  if (signatures.local > 0)
    rows.push(["  (nobody)", counted(signatures.local, "path"), "built where it was packed"]);
  return rows.length === 0 ? [] : ["", "signatures on store paths:", ...table(rows)];
}

function notProven({ notProven }: VerifyReport): string[] {
  const { count, reason, examples } = notProven;
  if (count === 0) return [];
  return [
    "",
    `not proved: the names of ${counted(count, "path")}${reason === null ? "" : ` (${reason})`}, such as`,
    ...examples.slice(0, 3).map((path) => `  ${path}`),
  ];
}
