/**
 * Approvals: one signed statement a file, a DSSE envelope in a Sigstore bundle (docs/format.md, section 7).
 * Makes them, and checks those of a bundle against trusted keys and the document's hash, before the document is
 * read. Which roles must have signed is not asked here.
 */
import { formatJson, parseCanonicalJson } from "../canonical-json.js";
import { AirgapError, type Code, type Finding, fail } from "../errors.js";
import type { Approval, Statement } from "../generated/types.js";
import { validateApproval } from "../generated/validators.js";
import { excerpt } from "../nix/excerpt.js";
import type { PublicKey, SecretKey } from "../nix/signature.js";
import { MAX_ENVELOPE, PAYLOAD_TYPE, signPayload, verifyPayload } from "./dsse.js";
import { keyHash, keyHint } from "./keys.js";
import { formatStatement, parseStatement } from "./statement.js";

const MEDIA_TYPE = "application/vnd.dev.sigstore.bundle.v0.3+json";
const FILE_NAME = /^approvals\/([a-z0-9][a-z0-9._-]{0,31})-([0-9a-f]{32})\.sigstore\.json$/;

export interface ApprovalFile {
  /** Name in the bundle, with its folder. */
  readonly fileName: string;
  readonly bytes: Buffer;
}

/** One file of `approvals/`, as far as it was understood. */
export type CheckedApproval =
  | {
      readonly state: "valid";
      readonly file: string;
      readonly role: string;
      /** The trusted key's. */
      readonly keyName: string;
      readonly keyHash: string;
      readonly statement: Statement;
    }
  | {
      /** `unknown`: by no trusted key, so it neither helps nor harms. `bad`: there is a finding about it. */
      readonly state: "unknown" | "bad";
      readonly file: string;
      /** What the file name says. */
      readonly role: string | null;
      /** The trusted key's, where one made the signature or the hint names one. */
      readonly keyName: string | null;
      /** Hex. A trusted key's hash, else what the hint claims; null where that cannot be read. */
      readonly keyHash: string | null;
      /** To be shown as a claim, never acted on. */
      readonly unverifiedStatement: Statement | null;
    };

export interface CheckedApprovals {
  /** Sorted by file name. */
  readonly approvals: readonly CheckedApproval[];
  readonly findings: readonly Finding[];
}

/** Signs `statement`. The same inputs give the same bytes. */
export function makeApproval(statement: Statement, secret: SecretKey): ApprovalFile {
  const payload = formatStatement(statement);
  const approval: Approval = {
    dsseEnvelope: {
      payload: payload.toString("base64"),
      payloadType: PAYLOAD_TYPE,
      signatures: [{ sig: signPayload(payload, secret).toString("base64") }],
    },
    mediaType: MEDIA_TYPE,
    verificationMaterial: { publicKey: { hint: keyHint(secret.publicKey) }, tlogEntries: [] },
  };
  const fileName = approvalFileName(statement.predicate.role, secret.publicKey);
  return { fileName, bytes: Buffer.from(formatJson(approval)) };
}

export function approvalFileName(role: string, key: PublicKey): string {
  return `approvals/${role}-${keyHash(key).slice(0, 32)}.sigstore.json`;
}

/**
 * V2, but for the binding to the document's fields (`checkBinding`). `files` is the content of `approvals/` by
 * full name; `documentSha256` is hex. The bundle is approved when there are no findings: then at least one
 * approval is valid.
 */
export function checkApprovals(
  files: ReadonlyMap<string, Uint8Array>,
  documentSha256: string,
  trustedKeys: readonly PublicKey[],
): CheckedApprovals {
  const keys = trustedKeys.map((key) => ({ key, hash: keyHash(key) }));
  const findings: Finding[] = [];
  const approvals = [...files.keys()].sort().map((file) => {
    const checked = checkApproval(file, files.get(file)!, { documentSha256, keys });
    findings.push(...checked.findings);
    return checked.approval;
  });
  if (approvals.length === 0) {
    findings.push({ code: "APPROVAL_MISSING", subject: "approvals/", expected: "at least one approval" });
  } else if (approvals.every(({ state }) => state === "unknown")) {
    findings.push({
      code: "APPROVAL_UNTRUSTED",
      subject: "approvals/",
      expected: `a signature by ${keys.map(({ key, hash }) => `${key.name} (${hash})`).join(" or ") || "a trusted key"}`,
      actual: approvals.map((approval) => approval.keyHash).join(", "),
    });
  }
  return { approvals, findings };
}

interface HashedKey {
  readonly key: PublicKey;
  /** Hex. */
  readonly hash: string;
}

interface Trusted {
  readonly documentSha256: string;
  readonly keys: readonly HashedKey[];
}

interface Envelope {
  readonly payload: Buffer;
  readonly signature: Buffer;
  /** Hex. */
  readonly hint: string;
}

function checkApproval(
  file: string,
  bytes: Uint8Array,
  { documentSha256, keys }: Trusted,
): { approval: CheckedApproval; findings: Finding[] } {
  const role = FILE_NAME.exec(file)?.[1] ?? null;
  const envelope = attempt(() => parseEnvelope(bytes));
  if (envelope instanceof AirgapError) {
    return {
      approval: { state: "bad", file, role, keyName: null, keyHash: null, unverifiedStatement: null },
      findings: [findingOf(envelope, file)],
    };
  }
  const { payload, signature, hint } = envelope;
  const statement = attempt(() => parseStatement(payload));
  const unverifiedStatement = statement instanceof AirgapError ? null : statement;
  const signer = keys.find(({ key }) => verifyPayload(payload, signature, key));
  const hinted = keys.find(({ hash }) => hash === hint);
  if (!signer) {
    const about = { file, role, keyName: hinted?.key.name ?? null, keyHash: hint, unverifiedStatement };
    if (!hinted) return { approval: { state: "unknown", ...about }, findings: [] };
    const expected = `a signature by ${hinted.key.name}`;
    return {
      approval: { state: "bad", ...about },
      findings: [{ code: "APPROVAL_SIGNATURE", subject: file, expected }],
    };
  }
  const about = { file, keyName: signer.key.name, keyHash: signer.hash };
  const findings =
    statement instanceof AirgapError
      ? [findingOf(statement, file)]
      : checkSigned(file, { statement, hint, signer, documentSha256 });
  if (statement instanceof AirgapError || findings.length > 0) {
    return { approval: { state: "bad", ...about, role, unverifiedStatement }, findings };
  }
  return {
    approval: { state: "valid", ...about, role: statement.predicate.role, statement },
    findings,
  };
}

/** A statement that a trusted key made binds this document, and stands under its own name. */
function checkSigned(
  file: string,
  about: { statement: Statement; hint: string; signer: HashedKey; documentSha256: string },
): Finding[] {
  const { statement, hint, signer, documentSha256 } = about;
  const findings: Finding[] = [];
  const refuse = (code: Code, expected: string, actual: string) =>
    findings.push({ code, subject: file, expected, actual });
  // Only a hint, but one that we would not have written.
  if (hint !== signer.hash)
    refuse("APPROVAL_MALFORMED", `the hint of ${signer.key.name}, ${signer.hash}`, hint);
  const sha256 = statement.subject[0]!.digest.sha256;
  if (sha256 !== documentSha256) refuse("APPROVAL_SUBJECT", documentSha256, sha256);
  const name = approvalFileName(statement.predicate.role, signer.key);
  if (name !== file) refuse("APPROVAL_NAME", name, excerpt(file));
  return findings;
}

/** Throws APPROVAL_MALFORMED, JSON_INVALID, JSON_NOT_CANONICAL. */
function parseEnvelope(bytes: Uint8Array): Envelope {
  const value: unknown = parseCanonicalJson(bytes, { maxBytes: MAX_ENVELOPE });
  if (!validateApproval(value)) {
    const [error] = validateApproval.errors ?? [];
    return fail("APPROVAL_MALFORMED", {
      expected: `an approval whose ${error?.instancePath || "top"} ${error?.message ?? "fits its schema"}`,
    });
  }
  return {
    payload: decodeBase64(value.dsseEnvelope.payload),
    signature: decodeBase64(value.dsseEnvelope.signatures[0]!.sig),
    hint: decodeBase64(value.verificationMaterial.publicKey.hint).toString("hex"),
  };
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
