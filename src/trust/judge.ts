/**
 * Whether approvals meet a policy: who of those that signed may, in which role, and whether they are enough. Signatures were
 * checked before (approval.ts); a threshold counts persons, not keys.
 */
import type { Code, Finding } from "../errors.js";
import type { PolicyRequirement } from "../generated/types.js";
import type { ValidApproval } from "./approval.js";
import { type Policy, roleOf, type TrustedKey } from "./policy.js";
import { saysSigner } from "./statement.js";

/** What must have been approved by whom. */
export interface Requirement {
  readonly approvals: readonly PolicyRequirement[];
  /** Different persons, over all roles. */
  readonly persons: number;
}

/** One approval, and what it is worth. */
export interface JudgedApproval {
  readonly approval: ValidApproval;
  readonly signer: TrustedKey["signer"];
  /** Why it does not count; null where it counts. */
  readonly objection: Finding | null;
}

export interface Judgement {
  readonly judged: readonly JudgedApproval[];
  /** None: the requirement is met, and nobody rejected. */
  readonly findings: readonly Finding[];
}

/**
 * Approvals that do not count are findings only where they would have been needed: else a stolen and revoked key could spoil
 * what others approved.
 */
export function judge(
  approvals: readonly ValidApproval[],
  requirement: Requirement,
  policy: Policy,
): Judgement {
  const judged = approvals.flatMap((approval): JudgedApproval[] => {
    const trusted = policy.keys.get(approval.key.hash);
    if (trusted === undefined) return [];
    return [{ approval, signer: trusted.signer, objection: objectionTo(approval, trusted, policy) }];
  });
  const standing = judged.filter(({ objection }) => objection === null);
  const rejected = standing.filter(({ approval }) => decisionOf(approval) === "rejected");
  const unmet = unmetBy(
    standing.filter(({ approval }) => decisionOf(approval) === "approved"),
    requirement,
  );
  const objections = judged.flatMap(({ objection }) => (objection === null ? [] : [objection]));
  return {
    judged,
    findings: [
      ...rejected.map(({ approval }) => rejection(approval)),
      ...(unmet.length > 0 ? [...objections, ...unmet] : []),
    ],
  };
}

/** A rejection stands until the policy's owners, or a later signature of the same person in the same role, take it away. */
export function rejection({ file, statement }: ValidApproval): Finding {
  const { predicate } = statement;
  return {
    code: "APPROVAL_REJECTED",
    subject: file,
    expected: "no rejection",
    actual: `${saysSigner(statement)}: ${"meaning" in predicate ? predicate.meaning : ""}`,
  };
}

export function decisionOf({ statement }: ValidApproval): "approved" | "rejected" {
  return statement.predicate.decision;
}

function objectionTo(approval: ValidApproval, { signer, entry }: TrustedKey, policy: Policy): Finding | null {
  const { file, role, statement, touch, pin } = approval;
  const { signedAt } = statement.predicate;
  const object = (code: Code, expected: string, actual: string): Finding => ({
    code,
    subject: file,
    expected,
    actual,
  });
  const { revoked, validFrom, validUntil, roles } = entry;
  if (revoked !== null && !(revoked.keepEarlier && signedAt < revoked.at)) {
    return object(
      "APPROVAL_REVOKED",
      "a key that is not revoked",
      `revoked ${revoked.at}: ${revoked.reason}`,
    );
  }
  if (!roles.includes(role)) {
    return object("APPROVAL_ROLE", `one of the roles of ${signer.id}'s key: ${roles.join(", ")}`, role);
  }
  if ((validFrom !== null && signedAt < validFrom) || (validUntil !== null && signedAt > validUntil)) {
    return object("APPROVAL_TIME", `signed from ${validFrom ?? "ever"} to ${validUntil ?? "ever"}`, signedAt);
  }
  const asked = roleOf(policy.document, role);
  if ((asked.touch && touch !== true) || (asked.pin && pin !== true)) {
    const wanted = [...(asked.touch ? ["touch"] : []), ...(asked.pin ? ["PIN"] : [])].join(" and ");
    const made = [...(touch === true ? ["touch"] : []), ...(pin === true ? ["PIN"] : [])].join(" and ");
    return object(
      "APPROVAL_PRESENCE",
      `a signature with ${wanted}`,
      made === "" ? "neither" : `${made} only`,
    );
  }
  const says = statement.predicate.signer;
  const isSame =
    "keyName" in says ? signer.kind === "machine" : says.id === signer.id && says.name === signer.name;
  return isSame
    ? null
    : object("APPROVAL_SIGNER", `${signer.name} <${signer.id}>, a ${signer.kind}`, saysSigner(statement));
}

function unmetBy(standing: readonly JudgedApproval[], { approvals, persons }: Requirement): Finding[] {
  const unmet = (subject: string, needed: number, ids: ReadonlySet<string>): Finding[] =>
    ids.size >= needed
      ? []
      : [
          {
            code: "APPROVAL_THRESHOLD",
            subject,
            expected: needed === 1 ? "approval by 1 signer" : `approvals by ${needed} different signers`,
            actual: ids.size === 0 ? "none" : [...ids].sort().join(", "),
          },
        ];
  const people = new Set<string>();
  const findings = approvals.flatMap(({ role, persons: needed }) => {
    const holders = standing.filter(({ approval }) => approval.role === role);
    for (const { signer } of holders) if (signer.kind === "person") people.add(signer.id);
    return unmet(`role ${role}`, needed, new Set(holders.map(({ signer }) => signer.id)));
  });
  return [...findings, ...unmet("all roles together", persons, people)];
}
