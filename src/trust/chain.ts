/**
 * How one policy follows another: version by version, signed by enough of those whom the old one and the new one name
 * (after TUF, section 5.3, root metadata). Pinning the first is for people.
 */
import type { Finding } from "../errors.js";
import { type CheckedApproval, checkApprovals } from "./approval.js";
import { judge, type Requirement } from "./judge.js";
import { POLICY_ROLE, type Policy, verificationKeys } from "./policy.js";

export interface Succession {
  readonly approvals: readonly CheckedApproval[];
  /** None: `next` may take the place of `current`. */
  readonly findings: readonly Finding[];
}

/** `files`: approvals of `next` by name. `subject`: names it in findings. */
export function checkSuccession(
  current: Policy,
  next: Policy,
  { files, subject }: { readonly files: ReadonlyMap<string, Uint8Array>; readonly subject: string },
): Succession {
  const wrong = checkPlace(current, next, subject);
  if (wrong.length > 0) return { approvals: [], findings: wrong };
  const keys = new Map(
    [...verificationKeys(current), ...verificationKeys(next)].map((key) => [key.hash, key]),
  );
  const { approvals, findings } = checkApprovals(
    files,
    { sha256: next.reference.sha256, predicateTypes: ["urn:nix-airgap:policy-approval:v1"] },
    [...keys.values()],
  );
  const valid = approvals.filter((approval) => approval.state === "valid");
  const unmet = [current, next].flatMap((policy) => {
    return judge(valid, successionRequirement(policy), policy).findings.map((finding) => ({
      ...finding,
      subject: `${finding.subject}, as version ${policy.reference.version} asks`,
    }));
  });
  return { approvals, findings: [...findings, ...unmet] };
}

/** Who must sign the next policy, as this one asks. */
export function successionRequirement({ document }: Policy): Requirement {
  return { approvals: [{ role: POLICY_ROLE, persons: document.policySigners.persons }], persons: 0 };
}

function checkPlace(current: Policy, next: Policy, subject: string): Finding[] {
  const refuse = (expected: string, actual: string): Finding[] => [
    { code: "POLICY_CHAIN", subject, expected, actual },
  ];
  const { sha256, version } = current.reference;
  const { reference, document } = next;
  if (reference.version !== version + 1) {
    return refuse(`version ${version + 1}, which follows the site's`, `version ${reference.version}`);
  }
  if (document.previous !== sha256) return refuse(`previous: ${sha256}, the site's`, `${document.previous}`);
  return [];
}
