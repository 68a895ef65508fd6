/** People with keys of several kinds, a policy that names them, and their approvals, for tests of what a policy says. */
import { generateKeyPairSync } from "node:crypto";
import { formatJson } from "../../src/canonical-json.js";
import type { Policy as PolicyDocument } from "../../src/generated/types.js";
import { generateSecretKey } from "../../src/nix/signature.js";
import { approvalFile, checkApprovals, makeApproval, type ValidApproval } from "../../src/trust/approval.js";
import { preAuthEncoding } from "../../src/trust/dsse.js";
import { formatVerificationKey, parseVerificationKey, type VerificationKey } from "../../src/trust/keys.js";
import { type Policy, parsePolicy, verificationKeys } from "../../src/trust/policy.js";
import { parseSigningKey, type SigningKey, signingKey } from "../../src/trust/signing.js";
import {
  bundleStatement,
  formatStatement,
  machineStatement,
  type PersonalWord,
} from "../../src/trust/statement.js";
import { sampleDocument } from "./document.js";
import { makeFidoKey } from "./fido.js";

const seeded = (name: string, byte: number) => signingKey(generateSecretKey(name, Buffer.alloc(32, byte)));
const p256 = (): SigningKey =>
  parseSigningKey(
    generateKeyPairSync("ec", { namedCurve: "P-256" })
      .privateKey.export({ format: "pem", type: "pkcs8" })
      .toString(),
    "p256",
  );

export const packer = seeded("packer-1", 1);
export const ada = seeded("ada-1", 2);
export const adasOther = seeded("ada-2", 3);
export const bo = p256();
export const eve = seeded("eve-1", 9);
export const fido = makeFidoKey("sk-ssh-ed25519@openssh.com");
export const fidoKey: VerificationKey = parseVerificationKey(fido.publicLine, "cleo");

export const document = sampleDocument();
export const SHA = "ab".repeat(32);
export const NOW = "2026-11-25T12:00:00Z";

const key = (verification: VerificationKey, roles: string[]) => ({
  publicKey: formatVerificationKey(verification).trimEnd(),
  revoked: null,
  roles,
  scheme: verification.scheme,
  validFrom: null,
  validUntil: null,
});

/** Ada (two keys) in qa, Bo in release, Cleo with a FIDO key in security; Ada and Bo sign policies; Bo authorizes a way back. */
export function policyDocument(change: (policy: PolicyDocument) => unknown = () => {}): PolicyDocument {
  const policy: PolicyDocument = {
    builderKeys: [],
    created: "2026-01-01T00:00:00Z",
    expires: null,
    flakeLocks: null,
    format: "nix-airgap-policy",
    formatVersion: "1.0",
    limits: { clockDriftSeconds: 300, maxNarBytes: null, maxPaths: null },
    name: "test",
    policySigners: { persons: 2 },
    previous: null,
    products: [
      {
        approvals: [
          { persons: 1, role: "packer" },
          { persons: 1, role: "qa" },
          { persons: 1, role: "release" },
        ],
        maxAgeDays: null,
        minSequence: 0,
        persons: 2,
        product: document.product,
        requiredDocuments: [],
      },
    ],
    roles: [
      { kind: "machine", pin: false, role: "packer", touch: false },
      { kind: "person", pin: false, role: "qa", touch: false },
      { kind: "person", pin: false, role: "release", touch: false },
      { kind: "person", pin: true, role: "security", touch: true },
    ],
    rollback: { persons: 1 },
    signers: [
      {
        id: "ada@example.org",
        keys: [key(ada.publicKey, ["policy", "qa"]), key(adasOther.publicKey, ["qa", "release"])],
        kind: "person",
        name: "Ada Example",
      },
      {
        id: "bo@example.org",
        keys: [key(bo.publicKey, ["policy", "release", "rollback"])],
        kind: "person",
        name: "Bo Example",
      },
      { id: "cleo@example.org", keys: [key(fidoKey, ["security"])], kind: "person", name: "Cleo Example" },
      { id: "packer-1", keys: [key(packer.publicKey, ["packer"])], kind: "machine", name: "Packer" },
    ],
    version: 1,
    withdrawn: [],
  };
  change(policy);
  return policy;
}

export const policyBytes = (document: PolicyDocument) => Buffer.from(formatJson(document));
export const readPolicy = (change?: (policy: PolicyDocument) => unknown): Policy =>
  parsePolicy(policyBytes(policyDocument(change)), "policy");

const NAMES = new Map([
  [ada, "Ada Example <ada@example.org>"],
  [adasOther, "Ada Example <ada@example.org>"],
  [bo, "Bo Example <bo@example.org>"],
  [eve, "Eve Example <eve@example.org>"],
]);

export function wordOf(
  signer: SigningKey | "cleo",
  role: string,
  change: Partial<PersonalWord> = {},
): PersonalWord {
  const text = signer === "cleo" ? "Cleo Example <cleo@example.org>" : NAMES.get(signer)!;
  const [, name = "", id = ""] = /^(.*) <(.*)>$/.exec(text)!;
  return {
    signer: { id, name },
    role,
    meaning: "tested",
    decision: "approved",
    signedAt: "2026-11-01T00:00:00Z",
    policy: null,
    documents: [],
    ...change,
  };
}

export type File = readonly [name: string, bytes: Buffer];

/** A person's approval of the sample document. */
export function approve(signer: SigningKey, role: string, change?: Partial<PersonalWord>): File {
  const { fileName, bytes } = makeApproval(
    bundleStatement(wordOf(signer, role, change), document, SHA),
    signer,
  );
  return [fileName, bytes];
}

export function approveByFido(role: string, { touch, pin }: { touch: boolean; pin: boolean }): File {
  const payload = formatStatement(bundleStatement(wordOf("cleo", role), document, SHA));
  const signature = fido.sign(preAuthEncoding(payload), { namespace: "nix-airgap", touch, pin });
  const { fileName, bytes } = approvalFile({ payload, signature, key: fidoKey, role });
  return [fileName, bytes];
}

/** The packing machine's. */
export function packed(signer = packer, role = "packer"): File {
  const about = { document, documentSha256: SHA, role, signedAt: document.created, keyName: "packer-1" };
  const { fileName, bytes } = makeApproval(machineStatement(about), signer);
  return [fileName, bytes];
}

/** Those that are signed by keys of the policy, about the sample document. */
export function valid(policy: Policy, ...files: readonly File[]): ValidApproval[] {
  const subject = {
    sha256: SHA,
    predicateTypes: ["urn:nix-airgap:approval:v1", "urn:nix-airgap:approval:v2"] as const,
  };
  const { approvals, findings } = checkApprovals(new Map(files), subject, verificationKeys(policy));
  if (findings.length > 0) throw new Error(JSON.stringify(findings));
  return approvals.filter((approval) => approval.state === "valid");
}
