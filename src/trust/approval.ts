/**
 * Approvals: one signed statement a file, a DSSE envelope in a Sigstore bundle (docs/format.md, section 7).
 * Makes them, and checks those about one subject (a document, a flake.lock, a policy) against keys and the subject's
 * hash, before the subject is read. What a role or a policy asks for is not asked here (judge.ts).
 */
import { formatJson, parseCanonicalJson } from "../canonical-json.js";
import { AirgapError, type Code, type Finding, fail } from "../errors.js";
import type { Approval, Statement } from "../generated/types.js";
import { validateApproval } from "../generated/validators.js";
import { excerpt } from "../nix/excerpt.js";
import { firstProblem } from "../schema-problem.js";
import { isJsonObject, type JsonValue, parseStrictJson } from "../strict-json.js";
import { MAX_ENVELOPE, PAYLOAD_TYPE, preAuthEncoding } from "./dsse.js";
import { checkSignature, hintOf, type VerificationKey } from "./keys.js";
import { type SigningKey, signMessage } from "./signing.js";
import { formatStatement, parseStatement } from "./statement.js";

const MEDIA_TYPE = "application/vnd.dev.sigstore.bundle.v0.3+json";
const FILE_NAME = /(?:^|\/)([a-z0-9][a-z0-9._-]{0,31})-([0-9a-f]{32})\.sigstore\.json$/;

export interface ApprovalFile {
  /** Without its folder. */
  readonly fileName: string;
  readonly bytes: Buffer;
}

/** A statement that a key was found to have signed, about the subject asked for. */
export interface ValidApproval {
  readonly state: "valid";
  readonly file: string;
  readonly role: string;
  readonly key: VerificationKey;
  readonly statement: Statement;
  /** What a FIDO key says of its holder; null for keys that cannot say. */
  readonly touch: boolean | null;
  readonly pin: boolean | null;
}

/** One file, as far as it was understood. */
export type CheckedApproval =
  | ValidApproval
  | {
      /** `unknown`: by none of the keys, so it neither helps nor harms. `bad`: there is a finding about it. */
      readonly state: "unknown" | "bad";
      readonly file: string;
      /** What the file name says. */
      readonly role: string | null;
      /** The known key's, where one made the signature or the hint names one. */
      readonly keyName: string | null;
      /** Hex. A known key's hash, else what the hint claims; null where that cannot be read. */
      readonly keyHash: string | null;
      /** To be shown as a claim, never acted on. */
      readonly unverifiedStatement: Statement | null;
    };

export interface CheckedApprovals {
  /** Sorted by file name. */
  readonly approvals: readonly CheckedApproval[];
  readonly findings: readonly Finding[];
}

/** What approvals must be about. */
export interface ApprovalSubject {
  /** Hex, of its exact bytes. */
  readonly sha256: string;
  readonly predicateTypes: readonly Statement["predicateType"][];
}

/** Of the document of a bundle. */
export function bundleSubject(sha256: string): ApprovalSubject {
  return { sha256, predicateTypes: ["urn:nix-airgap:approval:v1", "urn:nix-airgap:approval:v2"] };
}

/** Signs `statement`. With Ed25519 the same inputs give the same bytes. */
export function makeApproval(statement: Statement, key: SigningKey): ApprovalFile {
  const payload = formatStatement(statement);
  const signature = signMessage(preAuthEncoding(payload), key);
  return approvalFile({ payload, signature, key: key.publicKey, role: statement.predicate.role });
}

/** The file of a signature that was made anywhere. */
export function approvalFile(parts: {
  readonly payload: Uint8Array;
  readonly signature: Uint8Array;
  readonly key: VerificationKey;
  readonly role: string;
}): ApprovalFile {
  const approval: Approval = {
    dsseEnvelope: {
      payload: Buffer.from(parts.payload).toString("base64"),
      payloadType: PAYLOAD_TYPE,
      signatures: [{ sig: Buffer.from(parts.signature).toString("base64") }],
    },
    mediaType: MEDIA_TYPE,
    verificationMaterial: { publicKey: { hint: hintOf(parts.key.hash) }, tlogEntries: [] },
  };
  return { fileName: approvalFileName(parts.role, parts.key), bytes: Buffer.from(formatJson(approval)) };
}

export function approvalFileName(role: string, key: VerificationKey): string {
  return `${role}-${key.hash.slice(0, 32)}.sigstore.json`;
}

/**
 * Checks approvals against their subject. `files`: content by name, with or without its folder. They approve when there are no
 * findings: then at least one is valid, and none of the keys has said anything else.
 */
export function checkApprovals(
  files: ReadonlyMap<string, Uint8Array>,
  subject: ApprovalSubject,
  keys: readonly VerificationKey[],
): CheckedApprovals {
  const findings: Finding[] = [];
  const approvals = [...files.keys()].sort().map((file) => {
    const checked = checkApproval(file, files.get(file)!, { subject, keys });
    findings.push(...checked.findings);
    return checked.approval;
  });
  if (approvals.length === 0) {
    findings.push({ code: "APPROVAL_MISSING", subject: "approvals/", expected: "at least one approval" });
  } else if (approvals.every(({ state }) => state === "unknown")) {
    findings.push({
      code: "APPROVAL_UNTRUSTED",
      subject: "approvals/",
      expected: `a signature by ${keys.map(({ name, hash }) => `${name} (${hash})`).join(" or ") || "a trusted key"}`,
      actual: approvals.map((approval) => keyHashOf(approval)).join(", "),
    });
  }
  return { approvals, findings };
}

/**
 * Approvals that do not even claim to be about these bytes, by name: a file that is edited leaves them behind. Of those in a
 * bundle there are none, since its document never changes.
 */
export function staleApprovals(files: ReadonlyMap<string, Uint8Array>, sha256: string): Set<string> {
  const { approvals } = checkApprovals(files, { sha256, predicateTypes: [] }, []);
  const stale = approvals.filter((approval) => {
    const claim = approval.state === "valid" ? null : approval.unverifiedStatement;
    return claim !== null && claim.subject[0]?.digest.sha256 !== sha256;
  });
  return new Set(stale.map(({ file }) => file));
}

/** Hex; null where not even a claim could be read. */
export function keyHashOf(approval: CheckedApproval): string | null {
  return approval.state === "valid" ? approval.key.hash : approval.keyHash;
}

export function keyNameOf(approval: CheckedApproval): string | null {
  return approval.state === "valid" ? approval.key.name : approval.keyName;
}

interface Envelope {
  readonly payload: Buffer;
  readonly signature: Buffer;
}

interface About {
  readonly subject: ApprovalSubject;
  readonly keys: readonly VerificationKey[];
}

function checkApproval(
  file: string,
  bytes: Uint8Array,
  { subject, keys }: About,
): { approval: CheckedApproval; findings: Finding[] } {
  const role = FILE_NAME.exec(file)?.[1] ?? null;
  const envelope = attempt(() => parseEnvelope(bytes));
  if (envelope instanceof AirgapError) {
    return {
      approval: { state: "bad", file, role, keyName: null, keyHash: null, unverifiedStatement: null },
      findings: [findingOf(envelope, file)],
    };
  }
  const { payload, hint } = envelope;
  const statement = attempt(() => parseStatement(payload));
  const unverifiedStatement = statement instanceof AirgapError ? null : statement;
  const signed = findSigner(envelope, keys);
  const hinted = keys.find(({ hash }) => hash === hint);
  if (signed === null) {
    const about = { file, role, keyName: hinted?.name ?? null, keyHash: hint, unverifiedStatement };
    if (!hinted) return { approval: { state: "unknown", ...about }, findings: [] };
    const expected = `a signature by ${hinted.name}`;
    return {
      approval: { state: "bad", ...about },
      findings: [{ code: "APPROVAL_SIGNATURE", subject: file, expected }],
    };
  }
  const { key, touch, pin } = signed;
  const findings =
    statement instanceof AirgapError
      ? [findingOf(statement, file)]
      : checkSigned(file, { statement, hint, key, subject });
  if (statement instanceof AirgapError || findings.length > 0) {
    const about = { file, role, keyName: key.name, keyHash: key.hash, unverifiedStatement };
    return { approval: { state: "bad", ...about }, findings };
  }
  return {
    approval: { state: "valid", file, role: statement.predicate.role, key, statement, touch, pin },
    findings,
  };
}

/** Which of the keys made this signature; hints are not asked. */
export function findSigner(
  { payload, signature }: Envelope,
  keys: readonly VerificationKey[],
): { readonly key: VerificationKey; readonly touch: boolean | null; readonly pin: boolean | null } | null {
  const message = preAuthEncoding(payload);
  for (const key of keys) {
    const { holds, ...presence } = { touch: null, pin: null, ...checkSignature(key, message, signature) };
    if (holds) return { key, ...presence };
  }
  return null;
}

/** A statement that a trusted key made binds this subject, and stands under its own name. */
function checkSigned(
  file: string,
  about: { statement: Statement; hint: string; key: VerificationKey; subject: ApprovalSubject },
): Finding[] {
  const { statement, hint, key, subject } = about;
  const findings: Finding[] = [];
  const refuse = (code: Code, expected: string, actual: string) =>
    findings.push({ code, subject: file, expected, actual });
  // Only a hint, but one that we would not have written.
  if (hint !== key.hash) refuse("APPROVAL_MALFORMED", `the hint of ${key.name}, ${key.hash}`, hint);
  if (!subject.predicateTypes.includes(statement.predicateType)) {
    refuse("APPROVAL_MALFORMED", subject.predicateTypes.join(" or "), statement.predicateType);
    return findings;
  }
  const { sha256 } = statement.subject[0]!.digest;
  if (sha256 !== subject.sha256) refuse("APPROVAL_SUBJECT", subject.sha256, sha256);
  const name = approvalFileName(statement.predicate.role, key);
  if (name !== file.slice(file.lastIndexOf("/") + 1)) refuse("APPROVAL_NAME", name, excerpt(file));
  return findings;
}

/** Throws APPROVAL_MALFORMED, JSON_INVALID, JSON_NOT_CANONICAL. `hint`: hex. */
function parseEnvelope(bytes: Uint8Array): Envelope & { readonly hint: string } {
  const value: unknown = parseCanonicalJson(bytes, { maxBytes: MAX_ENVELOPE });
  if (!validateApproval(value)) {
    return fail("APPROVAL_MALFORMED", {
      expected: `an approval whose ${firstProblem(validateApproval.errors)}`,
    });
  }
  return {
    payload: decodeBase64(value.dsseEnvelope.payload),
    signature: decodeBase64(value.dsseEnvelope.signatures[0]!.sig),
    hint: decodeBase64(value.verificationMaterial.publicKey.hint).toString("hex"),
  };
}

/**
 * What a Sigstore bundle of another program holds: of all else that it says nothing is signed. Null where the bytes are no
 * such bundle.
 * Throws APPROVAL_MALFORMED for one with another payload type, or not exactly one signature.
 */
export function readForeignEnvelope(bytes: Uint8Array): Envelope | null {
  const value = attempt(() => parseStrictJson(bytes, { maxBytes: MAX_ENVELOPE }));
  if (value instanceof AirgapError || !isJsonObject(value)) return null;
  const { dsseEnvelope: envelope } = value;
  if (!isJsonObject(envelope)) return null;
  const { payload, payloadType, signatures } = envelope;
  const [signature, ...more] = isList(signatures) ? signatures : [];
  if (
    payloadType !== PAYLOAD_TYPE ||
    typeof payload !== "string" ||
    !isJsonObject(signature) ||
    typeof signature["sig"] !== "string" ||
    more.length > 0
  ) {
    return fail("APPROVAL_MALFORMED", {
      expected: `a Sigstore bundle with one signature over ${PAYLOAD_TYPE}`,
      ...(typeof payloadType === "string" ? { actual: excerpt(payloadType) } : {}),
    });
  }
  return { payload: decodeBase64(payload), signature: decodeBase64(signature["sig"]) };
}

function isList(value: JsonValue | undefined): value is readonly JsonValue[] {
  return Array.isArray(value);
}

/** Buffer.from takes junk: only what it would print itself is accepted. */
function decodeBase64(text: string): Buffer {
  const bytes = Buffer.from(text, "base64");
  if (bytes.toString("base64") === text) return bytes;
  return fail("APPROVAL_MALFORMED", { expected: "canonical base64", actual: excerpt(text) });
}

/** Inside an approval every refusal of its text is one answer: it is malformed. */
function findingOf(error: AirgapError, file: string): Finding {
  return { ...error.details, code: "APPROVAL_MALFORMED", subject: file };
}

function attempt<T>(work: () => T): T | AirgapError {
  try {
    return work();
  } catch (error) {
    if (error instanceof AirgapError) return error;
    throw error;
  }
}
