/** Parts that the reports of several operations have in common: findings in words, and which bundle it was. */
import { CODES, EXIT, exitOf, type Finding } from "../errors.js";
import type { ReportedBundle, ReportedFinding, VerifyReport } from "../generated/types.js";
import type { VerifiedBundle } from "./verify/verified-bundle.js";

/** Findings as machines and people read them; what is absent is null. */
export function reportedFindings(findings: readonly Finding[]): ReportedFinding[] {
  return findings.map(({ code, subject, expected, actual, hint, neededBy }) => ({
    actual: actual ?? null,
    advice: hint ?? CODES[code].advice,
    code,
    expected: expected ?? null,
    explain: CODES[code].explain,
    neededBy: [...(neededBy ?? [])],
    subject: subject ?? null,
  }));
}

/** Those of a verification, without what only verify's own report has. */
export function verifyFindings({ findings }: VerifyReport): ReportedFinding[] {
  return findings.map(({ actual, advice, code, expected, explain, neededBy, subject }) => ({
    actual,
    advice,
    code,
    expected,
    explain,
    neededBy,
    subject,
  }));
}

/** Of a verification that gave no bundle to go on with: why not. */
export function refusal(report: VerifyReport): {
  readonly verdict: "refused";
  readonly exit: number;
  readonly findings: ReportedFinding[];
} {
  if (report.exit !== EXIT.yes)
    return { verdict: "refused", exit: report.exit, findings: verifyFindings(report) };
  // All holds, but the policy's site has no memory to go by.
  const findings: Finding[] = [{ code: "STATE_MISSING" }];
  return { verdict: "refused", exit: exitOf(findings), findings: reportedFindings(findings) };
}

export function reportedBundle({ url, medium, document, documentSha256 }: VerifiedBundle): ReportedBundle {
  const { product, release, sequence, systems, tier } = document;
  return {
    kind: medium.kind,
    path: url ?? medium.path,
    product,
    release,
    sequence,
    sha256: documentSha256,
    systems,
    tier,
  };
}
