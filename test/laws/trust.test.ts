/** Laws of what is signed: with any one byte changed, nothing is taken; whatever kind of key made the signature. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { formatDocument } from "../../src/bundle/document.js";
import { AirgapError } from "../../src/errors.js";
import { formatHex, hashOf } from "../../src/nix/hash.js";
import { type ApprovalFile, approvalFile, bundleSubject, checkApprovals } from "../../src/trust/approval.js";
import { preAuthEncoding } from "../../src/trust/dsse.js";
import { derFromRaw, rawFromDer } from "../../src/trust/ecdsa.js";
import { parseVerificationKey, type VerificationKey } from "../../src/trust/keys.js";
import { parsePolicy } from "../../src/trust/policy.js";
import { signMessage } from "../../src/trust/signing.js";
import { bundleStatement, formatStatement } from "../../src/trust/statement.js";
import { makeFidoKey } from "../support/fido.js";
import { ada, bo, document, policyBytes, policyDocument, readPolicy, wordOf } from "../support/people.js";

const documentBytes = formatDocument(document);
const sha256 = formatHex(hashOf("sha256", documentBytes));
const payload = formatStatement(bundleStatement(wordOf(ada, "qa"), document, sha256));
const fidos = (["sk-ssh-ed25519@openssh.com", "sk-ecdsa-sha2-nistp256@openssh.com"] as const).map((type) =>
  makeFidoKey(type),
);

interface Maker {
  readonly key: VerificationKey;
  sign(message: Buffer): Buffer;
}

const MAKERS: readonly [name: string, maker: Maker][] = [
  ["Ed25519", { key: ada.publicKey, sign: (message) => signMessage(message, ada) }],
  ["P-256", { key: bo.publicKey, sign: (message) => signMessage(message, bo) }],
  ...fidos.map((fido, i): [string, Maker] => [
    `a FIDO key (${i === 0 ? "Ed25519" : "P-256"})`,
    {
      key: parseVerificationKey(fido.publicLine, "fido"),
      sign: (message) => fido.sign(message, { namespace: "nix-airgap", touch: true, pin: true }),
    },
  ]),
];

const approvalBy = ({ key, sign }: Maker, bytes = payload): ApprovalFile =>
  approvalFile({ payload: bytes, signature: sign(preAuthEncoding(bytes)), key, role: "qa" });

/** Whether it is taken as this key's approval of the document. */
function isTaken({ fileName, bytes }: ApprovalFile, { key }: Maker, documentSha256 = sha256): boolean {
  const { approvals, findings } = checkApprovals(
    new Map([[fileName, bytes]]),
    bundleSubject(documentSha256),
    [key],
  );
  return findings.length === 0 && approvals[0]?.state === "valid";
}

/** One byte of `bytes` is another. */
const changed = (bytes: Buffer) =>
  fc.tuple(fc.nat(bytes.length - 1), fc.integer({ min: 1, max: 255 })).map(([at, difference]) => {
    const copy = Buffer.from(bytes);
    copy[at]! ^= difference;
    return copy;
  });

describe.each(MAKERS)("an approval by %s", (_, maker) => {
  const good = approvalBy(maker);

  it("is taken as it is", () => {
    expect(isTaken(good, maker)).toBe(true);
  });

  it("is not taken with any byte of its file changed", () => {
    fc.assert(
      fc.property(changed(good.bytes), (bytes) => !isTaken({ fileName: good.fileName, bytes }, maker)),
      { numRuns: 400 },
    );
  });

  it("is not taken with any byte of its statement changed, under the same signature", () => {
    const signature = maker.sign(preAuthEncoding(payload));
    fc.assert(
      fc.property(changed(payload), (bytes) => {
        return !isTaken(approvalFile({ payload: bytes, signature, key: maker.key, role: "qa" }), maker);
      }),
      { numRuns: 400 },
    );
  });

  it("is not taken with any byte of its signature changed", () => {
    const signature = maker.sign(preAuthEncoding(payload));
    fc.assert(
      fc.property(changed(signature), (bytes) => {
        return !isTaken(approvalFile({ payload, signature: bytes, key: maker.key, role: "qa" }), maker);
      }),
      { numRuns: 400 },
    );
  });

  it("is for no other document: with any byte of that changed it is another", () => {
    fc.assert(
      fc.property(changed(documentBytes), (bytes) => {
        return !isTaken(good, maker, formatHex(hashOf("sha256", bytes)));
      }),
      { numRuns: 200 },
    );
  });

  it("is no other key's", () => {
    for (const [, other] of MAKERS) {
      expect(isTaken(good, other)).toBe(other === maker);
    }
  });
});

it("a policy with any byte changed is none, or not the one that was pinned", () => {
  const bytes = policyBytes(policyDocument());
  const pinned = readPolicy().reference.sha256;
  fc.assert(
    fc.property(changed(bytes), (other) => {
      try {
        return parsePolicy(other, "policy").reference.sha256 !== pinned;
      } catch (error) {
        return error instanceof AirgapError && error.code === "POLICY_INVALID";
      }
    }),
    { numRuns: 1000 },
  );
});

describe("ECDSA's two forms", () => {
  const raw = fc.uint8Array({ minLength: 64, maxLength: 64 });

  it("are each other's", () => {
    fc.assert(fc.property(raw, (bytes) => rawFromDer(derFromRaw(bytes))?.equals(bytes) === true));
    // Leading zeros are where encodings differ.
    fc.assert(
      fc.property(raw, fc.nat(32), fc.nat(32), (bytes, r, s) => {
        bytes.fill(0, 0, r);
        bytes.fill(0, 32, 32 + s);
        return rawFromDer(derFromRaw(bytes))?.equals(bytes) === true;
      }),
    );
  });

  it("have one DER each: what is accepted prints back to the same bytes", () => {
    fc.assert(
      fc.property(
        raw.chain((bytes) => changed(derFromRaw(bytes))),
        (der) => {
          const back = rawFromDer(der);
          return back === null || derFromRaw(back).equals(der);
        },
      ),
      { numRuns: 2000 },
    );
  });

  it.each([
    ["nothing", ""],
    ["one integer", "3003020101"],
    ["a superfluous zero", "300702020001020101"],
    ["a negative integer", "3006020181020101"],
    ["a length in two bytes", "308106020101020101"],
    ["bytes behind", "300602010102010100"],
    ["33 digits", `3026022101${"00".repeat(32)}020101`],
  ])("refuse %s", (_, hex) => {
    expect(rawFromDer(Buffer.from(hex, "hex"))).toBeNull();
  });
});
