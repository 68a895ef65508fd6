/** What a person says by a signature: who, in which role, what it means, what they reviewed. */
import { fail } from "../../errors.js";
import type { MadeApproval, SignerIdentity } from "../../generated/types.js";
import { timeOf } from "../../time.js";
import type { ValidApproval } from "../../trust/approval.js";
import type { VerificationKey } from "../../trust/keys.js";
import { POLICY_ROLE, type Policy } from "../../trust/policy.js";
import { type PersonalWord, saysSigner } from "../../trust/statement.js";
import type { Context } from "../context.js";
import type { Subject } from "./subject.js";
import { reviewedDocuments } from "./summary.js";

export interface WordOptions {
  /** `[a-z0-9][a-z0-9._-]{0,31}`. Not asked for with an attachment, whose statement says it. */
  readonly role?: string;
  /** What the signature means (21 CFR 11.50). The same. */
  readonly meaning?: string;
  readonly decision: "approved" | "rejected";
  /** Who signs; default: whom the policy names for the key. */
  readonly signer?: SignerIdentity;
  /** The policy that the signer has before them. */
  readonly policy?: Policy;
  /** Names of the bundle's documents, or files, that were reviewed. */
  readonly documents: readonly string[];
}

const ROLE = /^[a-z0-9][a-z0-9._-]{0,31}$/;

/** @throws USAGE where something is missing that a signature must say */
export async function wordOf(
  subject: Subject,
  key: VerificationKey | null,
  options: WordOptions,
  context: Context,
): Promise<PersonalWord> {
  const { role, meaning, decision, policy } = options;
  if (role === undefined || !ROLE.test(role)) {
    return usage("--role", "lower-case letters, digits and ._-, at most 32", JSON.stringify(role ?? ""));
  }
  if (subject.thing.kind === "policy" && role !== POLICY_ROLE) {
    return usage("--role", `${POLICY_ROLE}, in which policies are signed`, role);
  }
  if (meaning === undefined || !/^[^\p{Cc}\p{Zl}\p{Zp}]{1,500}$/u.test(meaning)) {
    return usage(
      "--meaning",
      "what your signature means, in one line of at most 500 characters",
      meaning ?? "nothing",
    );
  }
  const signer = signerOf(key, options);
  if (signer === undefined) {
    return usage(
      "--signer",
      "who signs, as 'Printed Name <id>'",
      policy === undefined ? "neither --signer nor --policy" : "a policy that does not have this key",
    );
  }
  return {
    signer,
    role,
    meaning,
    decision,
    signedAt: timeOf(context.now()),
    policy: policy?.reference ?? null,
    documents: await reviewedDocuments(subject, options.documents, context),
  };
}

/** Who signs: as they say, else whom the policy names for the key. */
export function signerOf(
  key: VerificationKey | null,
  { signer, policy }: Pick<WordOptions, "signer" | "policy">,
): SignerIdentity | undefined {
  const named = key === null ? undefined : policy?.keys.get(key.hash)?.signer;
  return signer ?? (named && { id: named.id, name: named.name });
}

/** A word that was just given; `file`: where it is now. */
export function describeWord(
  word: PersonalWord,
  key: VerificationKey | null,
  file: string | null,
): MadeApproval {
  const { role, meaning, decision, signedAt, signer } = word;
  return {
    file,
    role,
    meaning,
    decision,
    signedAt,
    signer: `${signer.name} <${signer.id}>`,
    keyName: key?.name ?? null,
    keyHash: key?.hash ?? null,
    scheme: key?.scheme ?? null,
  };
}

/** One that is there already. */
export function madeApproval({ file, role, key, statement }: ValidApproval): MadeApproval {
  const { predicate } = statement;
  return {
    file,
    role,
    meaning: "meaning" in predicate ? predicate.meaning : null,
    decision: predicate.decision,
    signedAt: predicate.signedAt,
    signer: saysSigner(statement),
    keyName: key.name,
    keyHash: key.hash,
    scheme: key.scheme,
  };
}

function usage(subject: string, expected: string, actual: string): never {
  return fail("USAGE", { subject, expected, actual });
}
