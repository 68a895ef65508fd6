/** How a subject stands: what a key has said of it before, whether a signature fits it, and what a policy still asks for. */
import { basename } from "node:path";
import type { Finding } from "../../errors.js";
import {
  type ApprovalFile,
  type ApprovalSubject,
  approvalFileName,
  checkApprovals,
  type ValidApproval,
} from "../../trust/approval.js";
import { successionRequirement } from "../../trust/chain.js";
import { judge, type Requirement } from "../../trust/judge.js";
import type { VerificationKey } from "../../trust/keys.js";
import { type Policy, verificationKeys } from "../../trust/policy.js";
import { checkBinding, type PersonalWord } from "../../trust/statement.js";
import type { Subject } from "./subject.js";

/** What this key has said in this role before, if it was the same; findings where that cannot be read. */
export function sameWord(
  subject: Subject,
  key: VerificationKey,
  word: PersonalWord,
): ValidApproval | { readonly findings: readonly Finding[] } | null {
  const name = approvalFileName(word.role, key);
  const found = [...subject.approvals].find(([file]) => basename(file) === name);
  if (found === undefined) return null;
  const { approvals, findings } = checkApprovals(new Map([found]), approvalSubject(subject), [key]);
  const [approval] = approvals;
  if (approval?.state !== "valid") return { findings };
  const before = approval.statement.predicate;
  if (before.decision !== word.decision) return null;
  return "meaning" in before && before.meaning !== word.meaning ? null : approval;
}

/** An approval that is not in its place yet, looked at as a verifier will. */
export function checkOwn(
  subject: Subject,
  { fileName, bytes }: ApprovalFile,
  key: VerificationKey,
): { readonly findings: readonly Finding[]; readonly approval: ValidApproval | null } {
  const { sha256 } = subject.thing;
  const { approvals, findings } = checkApprovals(
    new Map([[fileName, bytes]]),
    { sha256, predicateTypes: subject.predicateTypes },
    [key],
  );
  const [approval] = approvals;
  if (approval?.state !== "valid" || findings.length > 0) return { findings, approval: null };
  const { statement } = approval;
  if (subject.document === null || !("product" in statement.predicate)) return { findings, approval };
  const about = statement as Parameters<typeof checkBinding>[0];
  const unbound = checkBinding(about, subject.document, fileName);
  return { findings: unbound, approval: unbound.length > 0 ? null : approval };
}

/** What the policy still asks for, with these approvals. */
export function openFindings(
  subject: Subject,
  policy: Policy | undefined,
  added: readonly ApprovalFile[],
): Finding[] {
  if (policy === undefined) return [];
  const { thing, approvals, document } = subject;
  const requirement = requirementFor(thing.kind, document?.product ?? null, policy);
  if (requirement === null) return [];
  const files = new Map([...approvals].map(([name, bytes]) => [basename(name), bytes]));
  for (const { fileName, bytes } of added) files.set(fileName, bytes);
  const checked = checkApprovals(files, approvalSubject(subject), verificationKeys(policy));
  const valid = checked.approvals.filter((approval) => approval.state === "valid");
  const bad = checked.findings.filter(
    ({ code }) => code !== "APPROVAL_MISSING" && code !== "APPROVAL_UNTRUSTED",
  );
  return [...bad, ...judge(valid, requirement, policy).findings];
}

/** Of all that is said of it, by machines too. */
function approvalSubject({ thing, predicateTypes }: Subject): ApprovalSubject {
  return { sha256: thing.sha256, predicateTypes: [...predicateTypes, "urn:nix-airgap:approval:v1"] };
}

function requirementFor(
  kind: Subject["thing"]["kind"],
  product: string | null,
  policy: Policy,
): Requirement | null {
  const { document } = policy;
  switch (kind) {
    case "flake.lock":
      return document.flakeLocks;
    case "policy":
      return successionRequirement(policy);
    case "bundle":
    case "document":
      return document.products.find((rule) => rule.product === product) ?? null;
  }
}
