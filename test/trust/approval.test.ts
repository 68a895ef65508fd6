import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { formatDocument } from "../../src/bundle/document.js";
import { formatJson } from "../../src/canonical-json.js";
import type { Approval, Statement } from "../../src/generated/types.js";
import { generateSecretKey, toSpkiPem } from "../../src/nix/signature.js";
import {
  approvalFileName,
  bundleSubject,
  checkApprovals,
  findSigner,
  makeApproval,
  readForeignEnvelope,
} from "../../src/trust/approval.js";
import { MAX_ENVELOPE, payloadOf, preAuthEncoding } from "../../src/trust/dsse.js";
import { hintOf, parseVerificationKey, SSH_NAMESPACE } from "../../src/trust/keys.js";
import { signingKey, signMessage } from "../../src/trust/signing.js";
import { dearmorSshSignature } from "../../src/trust/ssh-signature.js";
import {
  bundleStatement,
  formatStatement,
  lockStatement,
  machineStatement,
  policyStatement,
  rollbackStatement,
} from "../../src/trust/statement.js";
import { sampleDocument } from "../support/document.js";
import { ed25519, fido, filesOf, type HeldKey, p256, person, signedFile, word } from "../support/people.js";
import { makeSshKey, SSH_KEY_KINDS, sshKeygenSign } from "../support/ssh-keygen.js";

const secret = generateSecretKey("acme-1", Buffer.alloc(32, 1));
const ours = signingKey(secret);
const other = signingKey(generateSecretKey("other-1", Buffer.alloc(32, 2)));
const document = sampleDocument();
const sha256 = createHash("sha256").update(formatDocument(document)).digest("hex");
const statement = machineStatement({
  document,
  documentSha256: sha256,
  role: "packer",
  signedAt: document.created,
  keyName: "acme-1",
});

/** The checks' answer for one file: its state, and the codes. */
function check(fileName: string, bytes: Uint8Array, trusted = [ours.publicKey]) {
  const { approvals, findings } = checkApprovals(
    new Map([[fileName, bytes]]),
    bundleSubject(sha256),
    trusted,
  );
  expect(findings.every(({ subject }) => subject === fileName || subject === "approvals/")).toBe(true);
  return [...approvals.map(({ state }) => state), ...findings.map(({ code }) => code)];
}

/** An approval over any payload, with a signature that holds. */
function signed(payload: Buffer, change: (approval: Approval) => unknown = () => {}): Buffer {
  const approval: Approval = {
    dsseEnvelope: {
      payload: payload.toString("base64"),
      payloadType: "application/vnd.in-toto+json",
      signatures: [{ sig: signMessage(preAuthEncoding(payload), ours).toString("base64") }],
    },
    mediaType: "application/vnd.dev.sigstore.bundle.v0.3+json",
    verificationMaterial: { publicKey: { hint: hintOf(ours.publicKey.hash) }, tlogEntries: [] },
  };
  change(approval);
  return Buffer.from(formatJson(approval));
}

const { fileName: NAME, bytes: BYTES } = makeApproval(statement, ours);
const payload = formatStatement(statement);
const changed = (change: (s: Statement) => unknown) => {
  const copy = structuredClone(statement);
  change(copy);
  return signed(formatStatement(copy));
};

describe("an approval", () => {
  it("is the same bytes for the same inputs, under the name of its role and key", () => {
    expect(makeApproval(statement, ours).bytes).toEqual(BYTES);
    expect(NAME).toBe(`packer-${ours.publicKey.hash.slice(0, 32)}.sigstore.json`);
    expect(signed(payload)).toEqual(BYTES);
  });

  it("is valid by a trusted key, whichever of several", () => {
    const { approvals, findings } = checkApprovals(new Map([[NAME, BYTES]]), bundleSubject(sha256), [
      other.publicKey,
      ours.publicKey,
    ]);
    expect(findings).toEqual([]);
    expect(approvals).toEqual([
      {
        state: "valid",
        file: NAME,
        role: "packer",
        key: ours.publicKey,
        statement,
        touch: null,
        pin: null,
      },
    ]);
  });

  it("is checked by stock OpenSSL", () => {
    const folder = mkdtempSync(join(tmpdir(), "approval-"));
    const file = (name: string, bytes: string | Buffer) => {
      writeFileSync(join(folder, name), bytes);
      return join(folder, name);
    };
    const pem = file("key.pem", toSpkiPem(secret.publicKey));
    const pae = file("pae.bin", preAuthEncoding(payload));
    const sig = file("sig.bin", signMessage(preAuthEncoding(payload), ours));
    const args = ["pkeyutl", "-verify", "-pubin", "-inkey", pem, "-rawin", "-in", pae, "-sigfile", sig];
    const { status } = spawnSync("openssl", args);
    rmSync(folder, { recursive: true });
    expect(status).toBe(0);
  });

  it("is unknown by another key, with its statement as a claim, and then nothing is approved", () => {
    const { fileName, bytes } = makeApproval(statement, other);
    const { approvals, findings } = checkApprovals(new Map([[fileName, bytes]]), bundleSubject(sha256), [
      ours.publicKey,
    ]);
    expect(approvals).toMatchObject([
      {
        state: "unknown",
        keyName: null,
        keyHash: other.publicKey.hash,
        role: "packer",
        unverifiedStatement: statement,
      },
    ]);
    expect(findings).toMatchObject([{ code: "APPROVAL_UNTRUSTED", subject: "approvals/" }]);
  });

  it("of another key neither helps nor harms beside a valid one", () => {
    const foreign = makeApproval(statement, other);
    const files = new Map([
      [NAME, BYTES],
      [foreign.fileName, foreign.bytes],
    ]);
    const { approvals, findings } = checkApprovals(files, bundleSubject(sha256), [ours.publicKey]);
    expect(findings).toEqual([]);
    expect(approvals.map(({ state }) => state).sort()).toEqual(["unknown", "valid"]);
  });

  it("must be there", () => {
    expect(checkApprovals(new Map(), bundleSubject(sha256), [ours.publicKey]).findings).toMatchObject([
      { code: "APPROVAL_MISSING" },
    ]);
  });

  it("by nobody's key is untrusted", () => {
    expect(check(NAME, BYTES, [])).toEqual(["unknown", "APPROVAL_UNTRUSTED"]);
  });

  it("is bad when a trusted key's hint stands over a signature that does not hold", () => {
    const forged = signed(payload, (a) => (a.dsseEnvelope.signatures[0]!.sig = `${"A".repeat(86)}==`));
    expect(check(NAME, forged)).toEqual(["bad", "APPROVAL_SIGNATURE"]);
    const swapped = signed(payload, (a) => {
      const evil = structuredClone(statement);
      evil.predicate.release = "6.6.6";
      a.dsseEnvelope.payload = formatStatement(evil).toString("base64");
    });
    expect(check(NAME, swapped)).toEqual(["bad", "APPROVAL_SIGNATURE"]);
  });

  it("is bad when it is for another document", () => {
    expect(
      check(
        NAME,
        changed((s) => (s.subject[0]!.digest.sha256 = "0".repeat(64))),
      ),
    ).toEqual(["bad", "APPROVAL_SUBJECT"]);
  });

  it("is bad under another name: another role, or another key", () => {
    const name = NAME.replace("packer", "qa");
    expect(check(name, BYTES)).toEqual(["bad", "APPROVAL_NAME"]);
    expect(check(approvalFileName("packer", other.publicKey), BYTES)).toEqual(["bad", "APPROVAL_NAME"]);
    expect(
      check(
        NAME,
        changed((s) => (s.predicate.role = "qa")),
      ),
    ).toEqual(["bad", "APPROVAL_NAME"]);
  });

  const malformed: [string, Buffer][] = [
    ["JSON in another encoding", Buffer.from(JSON.stringify(JSON.parse(BYTES.toString())))],
    ["not JSON", Buffer.from("{")],
    ["larger than its cap", Buffer.alloc(64 * 1024 + 1, " ")],
    [
      "another payload type",
      signed(payload, (a) => Object.assign(a.dsseEnvelope, { payloadType: "text/plain" })),
    ],
    ["another media type", signed(payload, (a) => Object.assign(a, { mediaType: "x" }))],
    ["a key id", signed(payload, (a) => Object.assign(a.dsseEnvelope.signatures[0]!, { keyid: "x" }))],
    ["two signatures", signed(payload, (a) => a.dsseEnvelope.signatures.push(a.dsseEnvelope.signatures[0]!))],
    ["a log entry", signed(payload, (a) => a.verificationMaterial.tlogEntries.push({}))],
    [
      "another key's hint",
      signed(payload, (a) => (a.verificationMaterial.publicKey.hint = hintOf(other.publicKey.hash))),
    ],
    [
      "base64 with left-over bits",
      signed(payload, (a) => (a.dsseEnvelope.signatures[0]!.sig = `${"B".repeat(86)}==`)),
    ],
    ["base64 without padding", signed(Buffer.from("{}\n\n"), (a) => (a.dsseEnvelope.payload = "e30KCg"))],
    ["a statement in another encoding", signed(Buffer.from(JSON.stringify(statement)))],
    ["a statement of another type", changed((s) => Object.assign(s, { predicateType: "x" }))],
    [
      "a statement with another decision",
      changed((s) => Object.assign(s.predicate, { decision: "rejected" })),
    ],
    ["a time that does not exist", changed((s) => (s.predicate.signedAt = "2026-02-30T00:00:00Z"))],
  ];
  it.each(malformed)("is malformed with %s", (_, bytes) => {
    expect(check(NAME, bytes)).toEqual(["bad", "APPROVAL_MALFORMED"]);
  });
});

const folder = mkdtempSync(join(tmpdir(), "approval-"));
afterAll(() => rmSync(folder, { recursive: true }));

/** A key in a file, which the real ssh-keygen signs with. */
function keygen(kind: keyof typeof SSH_KEY_KINDS, namespace = SSH_NAMESPACE, name: string = kind): HeldKey {
  const files = makeSshKey(join(folder, name), SSH_KEY_KINDS[kind]);
  return {
    publicKey: parseVerificationKey(files.publicText, `${name}.pub`),
    sign: (message) => dearmorSshSignature(sshKeygenSign(message, files, { namespace })),
  };
}

const ada = person("ada", ["qa"]);
const qa = bundleStatement(word(ada, "qa"), document, sha256);

describe("a person's approval", () => {
  const PRESENCE = [true, false].flatMap((touch) => [true, false].map((pin) => ({ touch, pin })));
  const keys: readonly [kind: string, key: HeldKey, says: { touch: boolean | null; pin: boolean | null }][] =
    [
      ["Ed25519", ed25519("ada"), { touch: null, pin: null }],
      ["P-256", p256("ada.pem"), { touch: null, pin: null }],
      ["OpenSSH, Ed25519", keygen("ed25519"), { touch: null, pin: null }],
      ["OpenSSH, P-256", keygen("ecdsa"), { touch: null, pin: null }],
      ...(["sk-ssh-ed25519@openssh.com", "sk-ecdsa-sha2-nistp256@openssh.com"] as const).flatMap((type) =>
        PRESENCE.map((presence): [string, HeldKey, typeof presence] => [
          `${type}, touch ${presence.touch}, PIN ${presence.pin}`,
          fido(presence, type),
          presence,
        ]),
      ),
    ];

  it.each(keys)("is valid by %s, and says of its holder what the key says", (_, key, says) => {
    const file = signedFile(qa, key);
    const trusted = [ours.publicKey, key.publicKey, other.publicKey];
    const { approvals, findings } = checkApprovals(filesOf(file), bundleSubject(sha256), trusted);
    expect(findings).toEqual([]);
    expect(approvals).toEqual([
      { state: "valid", file: file.fileName, role: "qa", key: key.publicKey, statement: qa, ...says },
    ]);
  });

  it.each(keys)("by %s is one about these bytes alone", (_, key) => {
    const { fileName, bytes } = signedFile(qa, key);
    const trusted = [key.publicKey];
    expect(check(fileName, bytes, [other.publicKey])).toEqual(["unknown", "APPROVAL_UNTRUSTED"]);
    const approval = JSON.parse(bytes.toString()) as Approval;
    const later = structuredClone(qa);
    later.predicate.signedAt = "2026-02-01T09:00:01Z";
    approval.dsseEnvelope.payload = formatStatement(later).toString("base64");
    expect(check(fileName, Buffer.from(formatJson(approval)), trusted)).toEqual([
      "bad",
      "APPROVAL_SIGNATURE",
    ]);
  });

  it("by OpenSSH made for another purpose is none", () => {
    const key = keygen("ed25519", "file", "other-purpose");
    const { fileName, bytes } = signedFile(qa, key);
    expect(check(fileName, bytes, [key.publicKey])).toEqual(["bad", "APPROVAL_SIGNATURE"]);
  });

  it("by P-256 with its r and s in another form is none", () => {
    const key = p256("ada.pem");
    const padded = (message: Uint8Array) => Buffer.concat([key.sign(message), Buffer.alloc(1)]);
    const { fileName, bytes } = signedFile(qa, { ...key, sign: padded });
    expect(check(fileName, bytes, [key.publicKey])).toEqual(["bad", "APPROVAL_SIGNATURE"]);
  });

  it("stands under the name of the key that made it, not of another that is trusted", () => {
    const [mine, yours] = [p256("a"), p256("b")];
    const { bytes } = signedFile(qa, mine);
    const name = approvalFileName("qa", yours.publicKey);
    const trusted = [mine.publicKey, yours.publicKey];
    expect(check(name, bytes, trusted)).toEqual(["bad", "APPROVAL_NAME"]);
  });
});

describe("a subject", () => {
  const about = { sha256, fromSequence: 9, expires: "2026-03-01T00:00:00Z" };
  const all = [
    statement,
    qa,
    lockStatement(word(ada, "qa"), sha256),
    policyStatement(word(ada, "policy"), sha256),
    rollbackStatement(word(ada, "rollback"), document, about),
  ];
  const files = all.map((one) => signedFile(one, ada.key));

  it.each([
    ["a bundle", bundleSubject(sha256).predicateTypes, [0, 1]],
    ["a flake.lock", ["urn:nix-airgap:lock-approval:v1" as const], [2]],
    ["a policy", ["urn:nix-airgap:policy-approval:v1" as const], [3]],
    ["a way back", ["urn:nix-airgap:rollback:v1" as const], [4]],
  ])("that is %s takes statements of its own kind alone", (_, predicateTypes, own) => {
    for (const [i, file] of files.entries()) {
      const checked = checkApprovals(filesOf(file), { sha256, predicateTypes }, [ada.key.publicKey]);
      const answer = [checked.approvals[0]!.state, ...checked.findings.map(({ code }) => code)];
      expect([i, ...answer]).toEqual(own.includes(i) ? [i, "valid"] : [i, "bad", "APPROVAL_MALFORMED"]);
    }
  });

  it("takes no statement of its kind about another one", () => {
    for (const [i, file] of files.entries()) {
      const { predicateType } = all[i]!;
      const another = { sha256: "0".repeat(64), predicateTypes: [predicateType] };
      const { approvals, findings } = checkApprovals(filesOf(file), another, [ada.key.publicKey]);
      expect(approvals[0]!.state).toBe("bad");
      expect(findings).toMatchObject([
        { code: "APPROVAL_SUBJECT", expected: another.sha256, actual: sha256 },
      ]);
    }
  });

  it("is not approved by one good file beside a bad one of a trusted key", () => {
    const bob = ed25519("bob");
    const bad = signedFile(bundleStatement(word(ada, "qa"), document, "0".repeat(64)), bob);
    const good = signedFile(qa, ada.key);
    const keys = [ada.key.publicKey, bob.publicKey];
    const { approvals, findings } = checkApprovals(filesOf(bad, good), bundleSubject(sha256), keys);
    expect(approvals.map(({ state }) => state).sort()).toEqual(["bad", "valid"]);
    expect(findings.map(({ code }) => code)).toEqual(["APPROVAL_SUBJECT"]);
  });
});

describe("the bundle of another program", () => {
  const key = p256("cosign");
  const { bytes } = signedFile(qa, key);
  const foreign = (
    change: (bundle: Record<string, unknown>, envelope: Record<string, unknown>) => unknown,
  ) => {
    const bundle = JSON.parse(bytes.toString()) as Record<string, unknown>;
    change(bundle, bundle["dsseEnvelope"] as Record<string, unknown>);
    return Buffer.from(JSON.stringify(bundle));
  };
  const signerOf = (read: Uint8Array) =>
    findSigner(readForeignEnvelope(read)!, [ada.key.publicKey, key.publicKey]);

  it("gives its payload and signature, whatever else it says", () => {
    const hint = Buffer.from("another").toString("base64");
    for (const one of [
      bytes,
      // As cosign writes it without a log.
      foreign((bundle) => (bundle["verificationMaterial"] = { publicKey: { hint } })),
      foreign((bundle) => delete bundle["verificationMaterial"]),
      foreign((bundle) => (bundle["mediaType"] = "application/vnd.dev.sigstore.bundle+json;version=0.1")),
      foreign((_, envelope) => (envelope["signatures"] = [{ keyid: "", sig: sigOf(envelope) }])),
    ]) {
      expect(readForeignEnvelope(one)?.payload).toEqual(formatStatement(qa));
      expect(signerOf(one)).toEqual({ key: key.publicKey, touch: null, pin: null });
    }
  });

  it.each([
    ["two signatures", foreign((_, e) => (e["signatures"] = [{ sig: sigOf(e) }, { sig: sigOf(e) }]))],
    ["no signature", foreign((_, e) => (e["signatures"] = []))],
    ["a signature that is none", foreign((_, e) => (e["signatures"] = ["x"]))],
    ["a signature without bytes", foreign((_, e) => (e["signatures"] = [{}]))],
    ["no list of signatures", foreign((_, e) => delete e["signatures"])],
    ["another payload type", foreign((_, e) => (e["payloadType"] = "text/plain"))],
    ["no payload", foreign((_, e) => delete e["payload"])],
    ["base64 of another alphabet", foreign((_, e) => (e["payload"] = "_-8="))],
    ["base64 without padding", foreign((_, e) => (e["signatures"] = [{ sig: "AA" }]))],
  ])("is malformed with %s", (_, read) => {
    expect(() => readForeignEnvelope(read)).toThrow(expect.objectContaining({ code: "APPROVAL_MALFORMED" }));
  });

  it.each([
    ["not JSON", Buffer.from("-----BEGIN SSH SIGNATURE-----\n")],
    ["64 bytes", Buffer.alloc(64, 1)],
    ["a list", Buffer.from("[]")],
    ["a statement", formatStatement(qa)],
    ["an envelope that is none", foreign((bundle) => (bundle["dsseEnvelope"] = []))],
    ["larger than its cap", Buffer.concat([bytes, Buffer.alloc(MAX_ENVELOPE, " ")])],
    ["one with a key twice", Buffer.from(bytes.toString().replace("{", '{"dsseEnvelope": {},'))],
    ["nothing", Buffer.alloc(0)],
  ])("is none when it is %s", (_, read) => {
    expect(readForeignEnvelope(read)).toBeNull();
  });
});

function sigOf(envelope: Record<string, unknown>): unknown {
  return (envelope["signatures"] as { sig: string }[])[0]!.sig;
}

describe("what is signed of a payload", () => {
  it("gives the payload back", () => {
    for (const one of [payload, Buffer.alloc(0), Buffer.from([0, 255, 10, 32]), Buffer.alloc(60_000, "9 ")]) {
      expect(payloadOf(preAuthEncoding(one))).toEqual(one);
    }
  });

  const TYPE = "application/vnd.in-toto+json";
  it.each([
    ["another type", `DSSEv1 10 text/plain 2 {}`],
    ["another version", `DSSEv2 28 ${TYPE} 2 {}`],
    ["the type's length wrong", `DSSEv1 27 ${TYPE} 2 {}`],
    ["a length too small", `DSSEv1 28 ${TYPE} 1 {}`],
    ["a length too large", `DSSEv1 28 ${TYPE} 3 {}`],
    ["a zero before the length", `DSSEv1 28 ${TYPE} 02 {}`],
    ["a sign before the length", `DSSEv1 28 ${TYPE} +2 {}`],
    ["two spaces", `DSSEv1 28 ${TYPE}  2 {}`],
    ["no length", `DSSEv1 28 ${TYPE} {}`],
    ["a length of seven digits", `DSSEv1 28 ${TYPE} 0000002 {}`],
    ["no payload", `DSSEv1 28 ${TYPE} 2`],
    ["a bare payload", "{}"],
    ["nothing", ""],
  ])("is none with %s", (_, text) => {
    expect(payloadOf(Buffer.from(text))).toBeNull();
  });

  it("is none when it is larger than an envelope", () => {
    expect(payloadOf(preAuthEncoding(Buffer.alloc(MAX_ENVELOPE)))).toBeNull();
  });
});
