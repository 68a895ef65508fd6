/**
 * What a site remembers: the releases that it took, the last time it saw, which policy it has. Read, printed, changed as
 * a value, and asked whether a release may come (V4). Where it lies is host/site-state.ts.
 */
import { formatJson, parseCanonicalJson } from "../canonical-json.js";
import { AirgapError, type Code, type Finding, fail } from "../errors.js";
import type { AcceptedRelease, BundleDocument, PolicyReference, SiteState } from "../generated/types.js";
import { validateSiteState } from "../generated/validators.js";
import { firstProblem } from "../schema-problem.js";
import type { JsonValue } from "../strict-json.js";
import { isTime, secondsOf } from "../time.js";
import { checkApprovals } from "./approval.js";
import { otherVersion } from "./format-version.js";
import { judge } from "./judge.js";
import { checkExpiry, type Policy, ROLLBACK_ROLE, verificationKeys } from "./policy.js";
import { checkBinding } from "./statement.js";

/** Some hundred bytes for each release ever taken. */
export const MAX_STATE_SIZE = 16 * 1024 * 1024;
const DAY = 24 * 60 * 60;

/** Throws STATE_INVALID. */
export function parseState(bytes: Uint8Array, subject: string): SiteState {
  let json: JsonValue;
  try {
    json = parseCanonicalJson(bytes, { maxBytes: MAX_STATE_SIZE });
  } catch (error) {
    if (!(error instanceof AirgapError)) throw error;
    return fail("STATE_INVALID", { ...error.details, subject }, { cause: error });
  }
  const newer = otherVersion(json, "nix-airgap-state");
  if (newer !== null) return fail("STATE_INVALID", { ...newer, subject });
  const value: unknown = json;
  if (!validateSiteState(value)) {
    return fail("STATE_INVALID", {
      subject,
      expected: `a state whose ${firstProblem(validateSiteState.errors)}`,
    });
  }
  if (!isTime(value.lastSeen)) fail("STATE_INVALID", { subject, expected: "a time", actual: value.lastSeen });
  return value;
}

export function formatState(state: SiteState): string {
  return formatJson(state);
}

/** Of a site that has taken nothing yet. */
export function newState(policy: PolicyReference, now: string): SiteState {
  return {
    audit: null,
    format: "nix-airgap-state",
    formatVersion: "1.0",
    lastSeen: now,
    policy,
    products: [],
  };
}

/** With the time seen. It never goes back by itself. */
export function withTime(state: SiteState, now: string): SiteState {
  return now > state.lastSeen ? { ...state, lastSeen: now } : state;
}

type Release = Pick<BundleDocument, "product" | "release" | "sequence" | "systems" | "tier">;

/** What of a document decides whether a site may take it. */
export type DatedRelease = Release & Pick<BundleDocument, "created">;

/** With the release taken: what is older needs an authorization from now on. */
export function withRelease(state: SiteState, document: Release, sha256: string, at: string): SiteState {
  const { product, release, sequence, systems, tier } = document;
  const before = state.products.find((entry) => entry.product === product)?.accepted ?? [];
  const isKnown = before.some((entry) => entry.sha256 === sha256);
  const accepted = isKnown
    ? before
    : [...before, { at, release, sequence, sha256, systems: [...systems], tier }];
  const products = [
    ...state.products.filter((entry) => entry.product !== product),
    { accepted, product, sequence },
  ].sort((a, b) => (a.product < b.product ? -1 : 1));
  return { ...state, products };
}

export interface SiteQuestion {
  readonly policy: Policy;
  /** Null where nobody remembers: an auditor's machine. Then only what the policy says is asked. */
  readonly state: SiteState | null;
  /** As `time.ts` writes it. */
  readonly now: string;
  /** Rollback authorizations, by file name. */
  readonly rollbacks: ReadonlyMap<string, Uint8Array>;
}

export interface SiteAnswer {
  /** What nobody on site may pass over. */
  readonly findings: readonly Finding[];
  /** What has expired: a finding of its own, which a person may pass over, with a reason. */
  readonly expired: readonly Finding[];
  readonly notes: readonly string[];
}

/** V4: no way back, and nothing that has expired. */
export function askSite(document: DatedRelease, sha256: string, question: SiteQuestion): SiteAnswer {
  const { policy, state, now } = question;
  const { product, sequence, created } = document;
  const findings: Finding[] = [];
  const expired: Finding[] = [];
  const notes: string[] = [];
  const rule = policy.document.products.find((entry) => entry.product === product);
  const subject = `${product} ${document.release}`;

  const { limits } = policy.document;
  expired.push(...checkExpiry(policy, now));
  const age = Math.floor((secondsOf(now) - secondsOf(created)) / DAY);
  if (rule?.maxAgeDays !== undefined && rule.maxAgeDays !== null && age > rule.maxAgeDays) {
    expired.push({
      code: "BUNDLE_EXPIRED",
      subject,
      expected: `at most ${rule.maxAgeDays} days old`,
      actual: `${age} days, created ${created}`,
    });
  }
  if (rule?.maxAgeDays !== undefined && rule.maxAgeDays !== null && age < -1) {
    expired.push({ code: "BUNDLE_FUTURE", subject, expected: `created before ${now}`, actual: created });
  }
  if (rule !== undefined && sequence < rule.minSequence) {
    findings.push(below("SEQUENCE_MINIMUM", subject, `sequence ${rule.minSequence} or higher`, sequence));
  }
  if (state === null) return { findings, expired, notes };

  if (secondsOf(now) < secondsOf(state.lastSeen) - limits.clockDriftSeconds) {
    findings.push({
      code: "CLOCK_BEHIND",
      subject: "this machine's clock",
      expected: `${state.lastSeen} or later`,
      actual: now,
    });
  }
  const known = state.products.find((entry) => entry.product === product);
  const other = known?.accepted.find((entry) => isSameVariant(entry, document) && entry.sha256 !== sha256);
  if (other !== undefined) {
    findings.push({
      code: "EQUIVOCATION",
      subject,
      expected: `${other.sha256}, taken ${other.at} as sequence ${sequence}`,
      actual: sha256,
    });
  }
  if (known !== undefined && sequence < known.sequence) {
    // Without any authorization nothing can be wrong with one.
    const isAsked = question.rollbacks.size > 0;
    const refusals = isAsked ? checkRollback(document, sha256, known.sequence, question) : [];
    if (isAsked && refusals.length === 0)
      notes.push(`taken back from sequence ${known.sequence} to ${sequence}, as authorized`);
    else
      findings.push(
        below("ROLLBACK", subject, `sequence ${known.sequence} or higher`, sequence),
        ...refusals,
      );
  }
  return { findings, expired, notes };
}

/** Whether enough of those who may have authorized this way back, for a site like this one, and still do: none, if so. */
function checkRollback(
  document: DatedRelease,
  sha256: string,
  from: number,
  { policy, now, rollbacks }: SiteQuestion,
): Finding[] {
  const { rollback } = policy.document;
  if (rollback === null) {
    return [
      {
        code: "ROLLBACK_REFUSED",
        subject: document.product,
        expected: "a policy that lets somebody authorize it",
      },
    ];
  }
  const { approvals, findings } = checkApprovals(
    rollbacks,
    { sha256, predicateTypes: ["urn:nix-airgap:rollback:v1"] },
    verificationKeys(policy),
  );
  const refused: Finding[] = [...findings];
  const usable = approvals.filter((approval) => {
    if (approval.state !== "valid" || approval.statement.predicateType !== "urn:nix-airgap:rollback:v1") {
      return false;
    }
    const { expires, fromSequence } = approval.statement.predicate;
    const unbound = checkBinding(approval.statement, document, approval.file);
    refused.push(...unbound);
    const refuse = (expected: string, actual: string) =>
      refused.push({ code: "ROLLBACK_REFUSED", subject: approval.file, expected, actual });
    if (now > expires) refuse(`before ${expires}`, now);
    if (from > fromSequence) refuse(`a site that took no sequence over ${fromSequence}`, `sequence ${from}`);
    return unbound.length === 0 && now <= expires && from <= fromSequence;
  });
  const { persons } = rollback;
  const requirement = { approvals: [{ role: ROLLBACK_ROLE, persons }], persons: 0 };
  const valid = usable.filter((approval) => approval.state === "valid");
  return [...refused, ...judge(valid, requirement, policy).findings];
}

function isSameVariant(entry: AcceptedRelease, { sequence, systems, tier }: Release): boolean {
  return entry.sequence === sequence && entry.tier === tier && entry.systems.join(" ") === systems.join(" ");
}

function below(code: Code, subject: string, expected: string, sequence: number): Finding {
  return { code, subject, expected, actual: `sequence ${sequence}` };
}
