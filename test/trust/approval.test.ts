import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { formatDocument } from "../../src/bundle/document.js";
import { formatJson } from "../../src/canonical-json.js";
import type { Approval, Statement } from "../../src/generated/types.js";
import { generateSecretKey, toSpkiPem } from "../../src/nix/signature.js";
import { approvalFileName, bundleSubject, checkApprovals, makeApproval } from "../../src/trust/approval.js";
import { preAuthEncoding } from "../../src/trust/dsse.js";
import { hintOf } from "../../src/trust/keys.js";
import { signingKey, signMessage } from "../../src/trust/signing.js";
import {
  checkBinding,
  formatStatement,
  machineStatement,
  parseStatement,
} from "../../src/trust/statement.js";
import { sampleDocument } from "../support/document.js";

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

describe("a statement", () => {
  it("prints and reads back", () => {
    expect(parseStatement(payload)).toEqual(statement);
  });

  it("names each of the document's fields that it does not bind", () => {
    expect(checkBinding(statement, document, NAME)).toEqual([]);
    const later = {
      ...document,
      product: "x",
      release: "x",
      sequence: 6,
      systems: ["x"],
      tier: "source" as const,
    };
    expect(checkBinding(statement, later, NAME).map(({ code, expected }) => `${code} ${expected}`)).toEqual([
      "APPROVAL_BINDING product x",
      "APPROVAL_BINDING release x",
      "APPROVAL_BINDING sequence 6",
      "APPROVAL_BINDING systems x",
      "APPROVAL_BINDING tier source",
    ]);
  });

  it("cannot be made with a role that no file name can have", () => {
    const options = { document, documentSha256: sha256, signedAt: document.created, keyName: "k" };
    expect(() => machineStatement({ ...options, role: "../x" })).toThrow(
      expect.objectContaining({ code: "APPROVAL_MALFORMED" }),
    );
  });
});
