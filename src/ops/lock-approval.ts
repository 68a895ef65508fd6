/** Whether a flake.lock is approved: by the keys that are trusted, or as a policy asks (`flakeLocks`). */
import type { Finding } from "../errors.js";
import { type CheckedApproval, checkApprovals, staleApprovals } from "../trust/approval.js";
import { decisionOf, judge, rejection } from "../trust/judge.js";
import { checkExpiry, verificationKeys } from "../trust/policy.js";
import type { Trust } from "./verify/trust.js";

/** Whom to ask about a lock: a site's memory has no say in it. */
export type LockTrust = Exclude<Trust, { by: "nobody" }>;

export interface LockApprovals {
  readonly approvals: readonly CheckedApproval[];
  /** Names of those that are about another lock: left behind by an update. */
  readonly stale: ReadonlySet<string>;
  /** None: it is approved. */
  readonly findings: readonly Finding[];
}

/** `sha256`: hex, of the exact bytes of flake.lock. `files`: the approvals beside it. `now`: as `time.ts` writes it. */
export function checkLockApprovals(
  { sha256, files }: { readonly sha256: string; readonly files: ReadonlyMap<string, Uint8Array> },
  trust: LockTrust,
  now: string,
): LockApprovals {
  const keys = trust.by === "keys" ? trust.keys : verificationKeys(trust.policy);
  const subject = { sha256, predicateTypes: ["urn:nix-airgap:lock-approval:v1" as const] };
  const stale = staleApprovals(files, sha256);
  const current = new Map([...files].filter(([name]) => !stale.has(name)));
  const { approvals, findings } = checkApprovals(current, subject, keys);
  const valid = approvals.filter((approval) => approval.state === "valid");
  if (trust.by === "keys") {
    const rejected = valid.filter((approval) => decisionOf(approval) === "rejected").map(rejection);
    return { approvals, stale, findings: [...findings, ...rejected] };
  }
  const { flakeLocks } = trust.policy.document;
  const expired = trust.acceptExpired === null ? checkExpiry(trust.policy, now) : [];
  if (flakeLocks === null) {
    const expected = "a policy that says who approves locks (flakeLocks)";
    return { approvals, stale, findings: [{ code: "LOCK_NOT_APPROVED", subject: "the policy", expected }] };
  }
  return {
    approvals,
    stale,
    findings: [...findings, ...expired, ...judge(valid, flakeLocks, trust.policy).findings],
  };
}
