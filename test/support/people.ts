/** People and machines with keys, the policies that name them, and what they sign: a site's trust in a few lines. */
import { generateKeyPairSync } from "node:crypto";
import { formatJson } from "../../src/canonical-json.js";
import type { Policy as PolicyDocument, Statement } from "../../src/generated/types.js";
import { generateSecretKey } from "../../src/nix/signature.js";
import { type ApprovalFile, approvalFile } from "../../src/trust/approval.js";
import { preAuthEncoding } from "../../src/trust/dsse.js";
import { parseVerificationKey, SSH_NAMESPACE, type VerificationKey } from "../../src/trust/keys.js";
import { type Policy, parsePolicy } from "../../src/trust/policy.js";
import { type DraftOptions, type DraftSigner, draftPolicy } from "../../src/trust/policy-draft.js";
import { parseSigningKey, type SigningKey, signingKey, signMessage } from "../../src/trust/signing.js";
import { formatStatement, type PersonalWord } from "../../src/trust/statement.js";
import { makeFidoKey } from "./fido.js";

/** When the policies of tests are made. */
export const DRAFTED = "2026-01-01T00:00:00Z";
/** When people sign. */
export const SIGNED = "2026-02-01T09:00:00Z";

/** A key of any scheme, in its owner's hand. */
export interface HeldKey {
  readonly publicKey: VerificationKey;
  readonly sign: (message: Uint8Array) => Buffer;
}

/** The same key for the same name. */
export function ed25519(name: string): HeldKey {
  return held(signingKey(generateSecretKey(`${name}-1`, Buffer.alloc(32, name))));
}

export function p256(name: string): HeldKey {
  const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  return held(parseSigningKey(privateKey.export({ format: "pem", type: "pkcs8" }).toString(), name));
}

/** Says of each signature what `presence` says. */
export function fido(
  presence: { readonly touch: boolean; readonly pin: boolean },
  type: Parameters<typeof makeFidoKey>[0] = "sk-ssh-ed25519@openssh.com",
): HeldKey {
  const key = makeFidoKey(type);
  return {
    publicKey: parseVerificationKey(key.publicLine, "token"),
    sign: (message) => key.sign(message, { namespace: SSH_NAMESPACE, ...presence }),
  };
}

export function held(key: SigningKey): HeldKey {
  return { publicKey: key.publicKey, sign: (message) => signMessage(message, key) };
}

/** An Ed25519 key of OpenSSH with the same 32 bytes as `key`, which is one in Nix's form. */
export function sameKeyOfSsh(key: VerificationKey): VerificationKey {
  if (key.scheme !== "ed25519") throw new TypeError("only of Ed25519");
  const parts = [Buffer.from("ssh-ed25519"), Buffer.from(key.ed25519.bytes)];
  const blob = Buffer.concat(parts.flatMap((part) => [Buffer.from([0, 0, 0, part.length]), part]));
  return parseVerificationKey(`ssh-ed25519 ${blob.toString("base64")}`, key.name);
}

/** Somebody, and one of their keys. */
export interface Holder extends Omit<DraftSigner, "key"> {
  readonly key: HeldKey;
}

export function person(id: string, roles: readonly string[], key: HeldKey = ed25519(id)): Holder {
  return { id, name: `${id} Example`, kind: "person", roles, key };
}

export function machine(id: string, roles: readonly string[], key: HeldKey = ed25519(id)): Holder {
  return { id, name: id, kind: "machine", roles, key };
}

/** Options with nothing but what is given, and `people` as the signers. */
export function draft(people: readonly Holder[], given: Partial<DraftOptions> = {}): DraftOptions {
  return {
    signers: people.map((holder) => ({ ...holder, key: holder.key.publicKey })),
    products: [],
    approvals: [],
    requiredDocuments: [],
    lockApprovals: [],
    touch: [],
    pin: [],
    builderKeys: [],
    revoke: [],
    withdraw: [],
    ...given,
  };
}

/** A first policy; its one product is the sample document's. */
export function firstPolicy(people: readonly Holder[], given: Partial<DraftOptions> = {}): Policy {
  const options = draft(people, { products: ["acme-pump"], ...given });
  return parsePolicy(draftPolicy(options, null, DRAFTED), "policy.json");
}

/** The policy after `before`. */
export function nextPolicy(
  before: Policy,
  people: readonly Holder[] = [],
  given: Partial<DraftOptions> = {},
): Policy {
  return parsePolicy(draftPolicy(draft(people, given), before, SIGNED), "policy.json");
}

/** Bytes of a policy with something in it changed. */
export function policyBytes({ document }: Policy, change: (document: PolicyDocument) => unknown): Buffer {
  const copy = structuredClone(document);
  change(copy);
  return Buffer.from(formatJson(copy));
}

/** The same policy with what no draft says. */
export function changedPolicy(policy: Policy, change: (document: PolicyDocument) => unknown): Policy {
  return parsePolicy(policyBytes(policy, change), "policy.json");
}

export function word({ id, name }: Holder, role: string, given: Partial<PersonalWord> = {}): PersonalWord {
  return {
    signer: { id, name },
    role,
    meaning: "reviewed and released",
    decision: "approved",
    signedAt: SIGNED,
    policy: null,
    documents: [],
    ...given,
  };
}

/** The file of a statement that is signed with this key. */
export function signedFile(statement: Statement, { publicKey, sign }: HeldKey): ApprovalFile {
  const payload = formatStatement(statement);
  const signature = sign(preAuthEncoding(payload));
  return approvalFile({ payload, signature, key: publicKey, role: statement.predicate.role });
}

/** As the functions of trust/ take files. */
export function filesOf(...files: readonly ApprovalFile[]): Map<string, Buffer> {
  return new Map(files.map(({ fileName, bytes }) => [fileName, bytes]));
}
