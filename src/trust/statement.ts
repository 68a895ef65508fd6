/**
 * The in-toto statement that an approval signs: made, printed, read, and compared with the document that it is
 * about. Signatures are in dsse.ts.
 */
import { formatJson, parseCanonicalJson } from "../canonical-json.js";
import { AirgapError, type Finding, fail } from "../errors.js";
import type { BundleDocument, Statement } from "../generated/types.js";
import { validateStatement } from "../generated/validators.js";
import { excerpt } from "../nix/excerpt.js";
import { isTime } from "../time.js";
import { MAX_ENVELOPE } from "./dsse.js";

/** The predicate's fields that must be the document's own. */
const BOUND = ["product", "release", "sequence", "systems", "tier"] as const;

/** What of the document a statement repeats. */
export type BoundDocument = Pick<BundleDocument, (typeof BOUND)[number]>;

export interface StatementOptions {
  readonly document: BoundDocument;
  /** Hex, of the exact bytes of bundle.json. */
  readonly documentSha256: string;
  readonly role: string;
  /** As `time.ts` writes it. For the packer's own approval the document's `created`. */
  readonly signedAt: string;
  readonly keyName: string;
}

/** Throws APPROVAL_MALFORMED for a role, time or key name that a statement cannot hold. */
export function makeStatement(options: StatementOptions): Statement {
  const { product, release, sequence, systems, tier } = options.document;
  return checkStatement({
    _type: "https://in-toto.io/Statement/v1",
    predicate: {
      decision: "approved",
      product,
      release,
      role: options.role,
      sequence,
      signedAt: options.signedAt,
      signer: { keyName: options.keyName },
      systems: [...systems],
      tier,
    },
    predicateType: "urn:nix-airgap:approval:v1",
    subject: [{ digest: { sha256: options.documentSha256 }, name: "bundle.json" }],
  });
}

/** The bytes that are signed. */
export function formatStatement(statement: Statement): Buffer {
  return Buffer.from(formatJson(statement));
}

/** Throws APPROVAL_MALFORMED; its cause says what is wrong with the JSON. */
export function parseStatement(payload: Uint8Array): Statement {
  try {
    return checkStatement(parseCanonicalJson(payload, { maxBytes: MAX_ENVELOPE }));
  } catch (error) {
    if (!(error instanceof AirgapError) || error.code === "APPROVAL_MALFORMED") throw error;
    return fail("APPROVAL_MALFORMED", error.details, { cause: error });
  }
}

/** APPROVAL_BINDING for each field that differs from the document's. `file` is the finding's subject. */
export function checkBinding(statement: Statement, document: BoundDocument, file: string): Finding[] {
  return BOUND.filter((field) => formatJson(statement.predicate[field]) !== formatJson(document[field])).map(
    (field) => ({
      code: "APPROVAL_BINDING",
      subject: file,
      expected: `${field} ${showValue(document[field])}`,
      actual: showValue(statement.predicate[field]),
    }),
  );
}

function checkStatement(value: unknown): Statement {
  if (!validateStatement(value)) {
    const [error] = validateStatement.errors ?? [];
    return fail("APPROVAL_MALFORMED", {
      expected: `a statement whose ${error?.instancePath || "top"} ${error?.message ?? "fits its schema"}`,
    });
  }
  const { signedAt } = value.predicate;
  return isTime(signedAt)
    ? value
    : fail("APPROVAL_MALFORMED", { expected: "signedAt: a time that exists", actual: excerpt(signedAt) });
}

function showValue(value: string | number | readonly string[]): string {
  return typeof value === "object" ? value.join(", ") : String(value);
}
