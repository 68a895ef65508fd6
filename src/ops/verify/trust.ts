/**
 * Who says so (V2), and whether this site may take it (V4): by keys that the caller trusts, or by a site's policy and what the
 * site remembers. Signatures over the raw document come first, so that nothing of a stranger's is parsed.
 */
import type { Finding } from "../../errors.js";
import type { BundleDocument, SiteState } from "../../generated/types.js";
import type { PublicKey } from "../../nix/signature.js";
import { timeOf } from "../../time.js";
import {
  bundleSubject,
  type CheckedApproval,
  checkApprovals,
  keyHashOf,
  keyNameOf,
  type ValidApproval,
} from "../../trust/approval.js";
import { decisionOf, judge, rejection } from "../../trust/judge.js";
import type { VerificationKey } from "../../trust/keys.js";
import { type Policy, verificationKeys } from "../../trust/policy.js";
import { askSite } from "../../trust/site-state.js";
import { type BundleStatement, checkBinding } from "../../trust/statement.js";
import type { Context } from "../context.js";
import type { SitePlace } from "../site.js";
import type { VerifyLog } from "./log.js";

export type Trust =
  /** Left out: the verdict says that origin is unproven. */
  | { readonly by: "nobody" }
  /** One of them must have approved. */
  | { readonly by: "keys"; readonly keys: readonly VerificationKey[] }
  | {
      readonly by: "policy";
      readonly policy: Policy;
      /** What is remembered, and where; null on an auditor's machine, which the verdict says. */
      readonly site: { readonly state: SiteState; readonly place: SitePlace } | null;
      /** Rollback authorizations, by file name. */
      readonly rollbacks: ReadonlyMap<string, Uint8Array>;
      /** Why what has expired is taken all the same; null: it is refused. */
      readonly acceptExpired: string | null;
    };

/** Keys whose signatures on store paths must hold: builders', and those of machines that approve, since a packer signs both. */
export function pathKeys(trust: Trust): readonly PublicKey[] {
  if (trust.by === "policy") {
    const machines = [...trust.policy.keys.values()].flatMap(({ signer, entry, verification }) =>
      signer.kind === "machine" && entry.revoked === null && verification.scheme === "ed25519"
        ? [verification.ed25519]
        : [],
    );
    return [...trust.policy.builderKeys, ...machines];
  }
  if (trust.by === "nobody") return [];
  return trust.keys.flatMap((key) => (key.scheme === "ed25519" ? [key.ed25519] : []));
}

/** What somebody passed over, or authorized: for a site's log. */
export function trustDetails({
  acceptExpired,
  rollbacks,
}: Pick<Extract<Trust, { by: "policy" }>, "acceptExpired" | "rollbacks">): Record<string, string | null> {
  return { acceptExpired, rollback: rollbacks.size === 0 ? null : [...rollbacks.keys()].join(", ") };
}

export interface UnreadDocument {
  readonly approvalFiles: ReadonlyMap<string, Buffer>;
  readonly documentSha256: string;
}

/** V2, but for what needs the document. */
export function authenticate(log: VerifyLog, trust: Trust, about: UnreadDocument): void {
  const { approvalFiles, documentSha256 } = about;
  const { approvals, findings } = checkApprovals(approvalFiles, bundleSubject(documentSha256), keysOf(trust));
  log.approvals = approvals;
  if (trust.by === "nobody") {
    log.notRun("V2", "left out: origin is unproven, anybody could have made this bundle");
    return;
  }
  log.find("V2", findings);
  const valid = approvals.filter((approval) => approval.state === "valid");
  if (trust.by === "keys") {
    log.find("V2", valid.filter((approval) => decisionOf(approval) === "rejected").map(rejection));
  } else {
    log.find("V2", withdrawal(trust.policy, documentSha256));
    if (valid.length > 0) applyPolicy(log, trust.policy, valid);
  }
  log.done("V2", approvals.length);
}

export function keysOf(trust: Trust): readonly VerificationKey[] {
  if (trust.by === "nobody") return [];
  return trust.by === "keys" ? trust.keys : verificationKeys(trust.policy);
}

/** V2: what the policy calls back. */
export function withdrawal({ document }: Policy, documentSha256: string): Finding[] {
  return document.withdrawn
    .filter(({ sha256 }) => sha256 === documentSha256)
    .map(({ sha256, reason }) => ({ code: "BUNDLE_WITHDRAWN", subject: sha256, actual: reason }));
}

/** By the product that the signed statements name: that it is the document's is asked once that is read. */
function applyPolicy(log: VerifyLog, policy: Policy, valid: readonly ValidApproval[]): void {
  const products = new Set(valid.map(({ statement }) => (statement as BundleStatement).predicate.product));
  for (const product of products) {
    const rule = policy.document.products.find((entry) => entry.product === product);
    if (rule === undefined) {
      const expected = policy.document.products.map((entry) => entry.product).join(" or ");
      log.find("V2", [{ code: "PRODUCT_UNKNOWN", subject: product, expected, actual: product }]);
      continue;
    }
    const { judged, findings } = judge(valid, rule, policy);
    log.find("V2", findings);
    for (const { approval, signer, objection } of judged) {
      log.standing.set(approval.file, { signer, objection });
      if (objection !== null && !findings.includes(objection)) {
        log.note(
          `does not count: ${objection.actual ?? ""}, expected ${objection.expected ?? ""}`,
          approval.file,
        );
      }
    }
  }
}

/** V2, once the document is read. */
export function bind(log: VerifyLog, trust: Trust, document: BundleDocument): void {
  log.approvals = log.approvals.map((approval): CheckedApproval => {
    if (approval.state !== "valid") return approval;
    const { file, role, statement } = approval;
    const findings = checkBinding(statement as BundleStatement, document, file);
    log.find("V2", findings);
    if (findings.length === 0) return approval;
    const about = { keyName: keyNameOf(approval), keyHash: keyHashOf(approval) };
    return { state: "bad", file, role, ...about, unverifiedStatement: statement };
  });
  if (trust.by === "policy") log.find("V2", checkDocument(trust.policy, document));
}

function checkDocument({ document: policy }: Policy, document: BundleDocument): Finding[] {
  const { maxNarBytes, maxPaths } = policy.limits;
  const { narBytes, paths } = document.totals;
  const rule = policy.products.find(({ product }) => product === document.product);
  const names = new Set(document.docs.map(({ name }) => name));
  const over = (what: string, limit: number | null, value: number): Finding[] =>
    limit === null || value <= limit
      ? []
      : [
          {
            code: "POLICY_LIMIT",
            subject: document.product,
            expected: `at most ${limit} ${what}`,
            actual: `${value}`,
          },
        ];
  return [
    ...over("bytes of NARs", maxNarBytes, narBytes),
    ...over("paths", maxPaths, paths),
    ...(rule?.requiredDocuments ?? [])
      .filter((name) => !names.has(name))
      .map((name): Finding => ({ code: "DOCUMENT_REQUIRED", subject: name })),
  ];
}

/** V4. */
export function checkSite(log: VerifyLog, trust: Trust, document: BundleDocument, { now }: Context): void {
  if (trust.by !== "policy") {
    log.notRun("V4", "needs a policy, and a site that remembers");
    return;
  }
  const { policy, site, rollbacks, acceptExpired } = trust;
  const state = site?.state ?? null;
  const time = timeOf(now());
  const answer = askSite(document, log.bundle.sha256 ?? "", { policy, state, now: time, rollbacks });
  log.find("V4", answer.findings);
  for (const note of answer.notes) log.note(note);
  if (acceptExpired === null) log.find("V4", answer.expired);
  else {
    for (const { subject, expected, actual } of answer.expired) {
      log.note(`taken though it has expired (${expected}; ${actual}): ${acceptExpired}`, subject);
    }
  }
  if (state === null) log.partly("V4", 1, "expiry only: nobody here remembers what was taken before");
  else log.done("V4", 1);
}
