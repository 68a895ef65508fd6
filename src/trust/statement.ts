/**
 * The in-toto statements that approvals sign: made, printed, read, and compared with the document that they are about.
 * Signatures are in approval.ts.
 */
import { formatJson } from "../canonical-json.js";
import { AirgapError, type Finding, fail } from "../errors.js";
import type {
  BundleApproval,
  BundleDocument,
  LockApproval,
  MachineApproval,
  PolicyApproval,
  PolicyReference,
  ReviewedDocument,
  RollbackApproval,
  SignerIdentity,
  Statement,
} from "../generated/types.js";
import { validateStatement } from "../generated/validators.js";
import { excerpt } from "../nix/excerpt.js";
import { firstProblem } from "../schema-problem.js";
import { parseStrictJson } from "../strict-json.js";
import { isTime } from "../time.js";
import { MAX_ENVELOPE } from "./dsse.js";

/** The predicate's fields that must be the document's own. */
const BOUND = ["product", "release", "sequence", "systems", "tier"] as const;

/** What of the document a statement repeats. */
export type BoundDocument = Pick<BundleDocument, (typeof BOUND)[number]>;

/** A statement about a bundle: its predicate repeats the document's fields. */
export type BundleStatement = MachineApproval | BundleApproval | RollbackApproval;

/** What a person says, whatever it is about (21 CFR 11.50: who, when, and what the signature means). */
export interface PersonalWord {
  readonly signer: SignerIdentity;
  readonly role: string;
  readonly meaning: string;
  readonly decision: "approved" | "rejected";
  /** As `time.ts` writes it. */
  readonly signedAt: string;
  /** The policy that the signer had before them. */
  readonly policy: PolicyReference | null;
  /** What they reviewed; sorted here. */
  readonly documents: readonly ReviewedDocument[];
}

const TYPE = "https://in-toto.io/Statement/v1";

export interface MachineStatementOptions {
  readonly document: BoundDocument;
  /** Hex, of the exact bytes of bundle.json. */
  readonly documentSha256: string;
  readonly role: string;
  /** As `time.ts` writes it: the document's `created`, so that the same inputs give the same bytes. */
  readonly signedAt: string;
  readonly keyName: string;
}

/** The packing machine's. Throws APPROVAL_MALFORMED for a role, time or key name that a statement cannot hold. */
export function machineStatement(options: MachineStatementOptions): MachineApproval {
  return checked<MachineApproval>({
    _type: TYPE,
    predicate: {
      decision: "approved",
      ...boundOf(options.document),
      role: options.role,
      signedAt: options.signedAt,
      signer: { keyName: options.keyName },
    },
    predicateType: "urn:nix-airgap:approval:v1",
    subject: [{ digest: { sha256: options.documentSha256 }, name: "bundle.json" }],
  });
}

/** Throws APPROVAL_MALFORMED as all of these do. `sha256`: hex, of the exact bytes of bundle.json. */
export function bundleStatement(word: PersonalWord, document: BoundDocument, sha256: string): BundleApproval {
  return checked<BundleApproval>({
    _type: TYPE,
    predicate: { ...predicateOf(word), ...boundOf(document) },
    predicateType: "urn:nix-airgap:approval:v2",
    subject: [{ digest: { sha256 }, name: "bundle.json" }],
  });
}

/** `sha256`: hex, of the exact bytes of flake.lock. */
export function lockStatement(word: PersonalWord, sha256: string): LockApproval {
  return checked<LockApproval>({
    _type: TYPE,
    predicate: predicateOf(word),
    predicateType: "urn:nix-airgap:lock-approval:v1",
    subject: [{ digest: { sha256 }, name: "flake.lock" }],
  });
}

/** `sha256`: hex, of the exact bytes of the policy. */
export function policyStatement(word: PersonalWord, sha256: string): PolicyApproval {
  return checked<PolicyApproval>({
    _type: TYPE,
    predicate: predicateOf(word),
    predicateType: "urn:nix-airgap:policy-approval:v1",
    subject: [{ digest: { sha256 }, name: "policy.json" }],
  });
}

/** A site that has accepted no sequence over `fromSequence` may take this bundle, until `expires`. */
export function rollbackStatement(
  word: PersonalWord,
  document: BoundDocument,
  about: { readonly sha256: string; readonly fromSequence: number; readonly expires: string },
): RollbackApproval {
  const { sha256, fromSequence, expires } = about;
  return checked<RollbackApproval>({
    _type: TYPE,
    predicate: { ...predicateOf(word), ...boundOf(document), expires, fromSequence },
    predicateType: "urn:nix-airgap:rollback:v1",
    subject: [{ digest: { sha256 }, name: "bundle.json" }],
  });
}

/** The bytes that are signed. */
export function formatStatement(statement: Statement): Buffer {
  return Buffer.from(formatJson(statement));
}

/**
 * Strict JSON; in one encoding where only this program writes it. Others sign statements too, each in an encoding of its own, and
 * it is these bytes that are signed.
 * Throws APPROVAL_MALFORMED; its cause says what is wrong with the JSON.
 */
export function parseStatement(payload: Uint8Array): Statement {
  try {
    const statement = checked<Statement>(parseStrictJson(payload, { maxBytes: MAX_ENVELOPE }));
    const isOurs = statement.predicateType === "urn:nix-airgap:approval:v1";
    if (isOurs && !formatStatement(statement).equals(payload)) {
      fail("APPROVAL_MALFORMED", { expected: "a statement in the bytes that `jq -S .` prints" });
    }
    return statement;
  } catch (error) {
    if (!(error instanceof AirgapError) || error.code === "APPROVAL_MALFORMED") throw error;
    return fail("APPROVAL_MALFORMED", error.details, { cause: error });
  }
}

/**
 * APPROVAL_BINDING for each field that differs from the document's, and for each reviewed document that the bundle has by
 * this name with other bytes. `file` is the finding's subject.
 */
export function checkBinding(
  { predicate }: BundleStatement,
  document: BoundDocument & Partial<Pick<BundleDocument, "docs">>,
  file: string,
): Finding[] {
  const differ = (what: string, expected: string, actual: string): Finding => ({
    code: "APPROVAL_BINDING",
    subject: file,
    expected: `${what} ${expected}`,
    actual,
  });
  const fields = BOUND.filter((field) => formatJson(predicate[field]) !== formatJson(document[field])).map(
    (field) => differ(field, showValue(document[field]), showValue(predicate[field])),
  );
  const reviewed = "documents" in predicate ? predicate.documents : [];
  const docs = new Map(document.docs?.map(({ name, sha256 }) => [name, sha256]));
  const other = reviewed.filter(({ name, sha256 }) => docs.has(name) && docs.get(name) !== sha256);
  return [
    ...fields,
    ...other.map(({ name, sha256 }) => differ(`the reviewed ${name}`, docs.get(name)!, sha256)),
  ];
}

/** Who signed, as the statement says: a person, or the key of a machine. */
export function saysSigner({ predicate }: Statement): string {
  const { signer } = predicate;
  return "keyName" in signer ? signer.keyName : `${signer.name} <${signer.id}>`;
}

function predicateOf(word: PersonalWord) {
  const { decision, documents, meaning, policy, role, signedAt, signer } = word;
  const sorted = [...documents].sort((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0));
  return { decision, documents: sorted, meaning, policy, role, signedAt, signer };
}

function boundOf({ product, release, sequence, systems, tier }: BoundDocument) {
  return { product, release, sequence, systems: [...systems], tier };
}

/** The narrower type is what the caller made; of what was read it is any. */
function checked<S extends Statement>(value: unknown): S {
  if (!validateStatement(value)) {
    return fail("APPROVAL_MALFORMED", { expected: `a statement whose ${schemaProblem(value)}` });
  }
  const { signedAt } = value.predicate;
  const times = "expires" in value.predicate ? [signedAt, value.predicate.expires] : [signedAt];
  const bad = times.find((time) => !isTime(time));
  if (bad !== undefined) fail("APPROVAL_MALFORMED", { expected: "a time that exists", actual: excerpt(bad) });
  const reviewed = "documents" in value.predicate ? value.predicate.documents : [];
  if (new Set(reviewed.map(({ name }) => name)).size < reviewed.length)
    fail("APPROVAL_MALFORMED", { expected: "each reviewed document once" });
  return value as S;
}

/** Of the five kinds of statement only one can be meant: what is wrong with the others says nothing. */
function schemaProblem(value: unknown): string {
  const type =
    typeof value === "object" && value !== null && "predicateType" in value ? value.predicateType : undefined;
  const errors = validateStatement.errors ?? [];
  const kind = KINDS.get(String(type));
  if (kind === undefined) return "/predicateType is one that is known";
  const error = errors.find(({ schemaPath }) => schemaPath.includes(`/${kind}/`)) ?? errors[0];
  return firstProblem(error && [error]);
}

/** The schema's name of each predicate type. */
const KINDS: ReadonlyMap<string, string> = new Map([
  ["urn:nix-airgap:approval:v1", "machineApproval"],
  ["urn:nix-airgap:approval:v2", "bundleApproval"],
  ["urn:nix-airgap:lock-approval:v1", "lockApproval"],
  ["urn:nix-airgap:policy-approval:v1", "policyApproval"],
  ["urn:nix-airgap:rollback:v1", "rollbackApproval"],
]);

function showValue(value: string | number | readonly string[]): string {
  return typeof value === "object" ? value.join(", ") : String(value);
}
