/** Of nothing that was signed, nor of a signature, can a byte be another. */
import { createHash } from "node:crypto";
import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { formatDocument } from "../../src/bundle/document.js";
import { AirgapError } from "../../src/errors.js";
import { approvalFile, bundleSubject, checkApprovals } from "../../src/trust/approval.js";
import { checkSuccession } from "../../src/trust/chain.js";
import { preAuthEncoding } from "../../src/trust/dsse.js";
import { parsePolicy } from "../../src/trust/policy.js";
import { askSite, newState, withRelease } from "../../src/trust/site-state.js";
import {
  bundleStatement,
  formatStatement,
  policyStatement,
  rollbackStatement,
} from "../../src/trust/statement.js";
import { sampleDocument } from "../support/document.js";
import {
  ed25519,
  fido,
  filesOf,
  firstPolicy,
  type HeldKey,
  nextPolicy,
  p256,
  person,
  policyBytes,
  signedFile,
  word,
} from "../support/people.js";

const NOW = "2026-02-10T12:00:00Z";
const document = sampleDocument();
const DOCUMENT = Buffer.from(formatDocument(document));
const sha256 = hashOf(DOCUMENT);

const KEYS: readonly [scheme: string, key: HeldKey][] = [
  ["Ed25519", ed25519("ada")],
  ["P-256", p256("ada.pem")],
  ["SSH, Ed25519", fido({ touch: true, pin: true })],
  ["SSH, P-256", fido({ touch: true, pin: true }, "sk-ecdsa-sha2-nistp256@openssh.com")],
];

function hashOf(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}

/** Every place once with another byte, and then any of the ways in which bytes go wrong: `holds` is true of none of these. */
function expectNone(bytes: Buffer, holds: (changed: Buffer) => boolean): void {
  const held = [...bytes.keys()].filter((at) => holds(withByte(bytes, at, 1 << (at % 8))));
  expect(held).toEqual([]);
  const place = fc.nat({ max: bytes.length - 1 });
  const mask = fc.integer({ min: 1, max: 255 });
  fc.assert(
    fc.property(place, mask, fc.constantFrom("other", "less", "more", "cut"), (at, by, how) => {
      const [head, tail] = [bytes.subarray(0, at), bytes.subarray(at)];
      const changed = {
        other: () => withByte(bytes, at, by),
        less: () => Buffer.concat([head, tail.subarray(1)]),
        more: () => Buffer.concat([head, Buffer.from([by]), tail]),
        cut: () => head,
      }[how]();
      return !holds(changed);
    }),
    { numRuns: 300 },
  );
}

function withByte(bytes: Buffer, at: number, mask: number): Buffer {
  const changed = Buffer.from(bytes);
  changed[at]! ^= mask;
  return changed;
}

describe.each(KEYS)("with a key of %s", (_, key) => {
  const ada = person("ada", ["policy", "qa", "rollback"], key);
  const policy = firstPolicy([ada], { approvals: [{ role: "qa", persons: 1 }], rollbackSigners: 1 });
  const statement = bundleStatement(word(ada, "qa"), document, sha256);
  const approval = signedFile(statement, key);

  /** Whether these bytes, under the approval's name, approve a document of this hash. There is a finding otherwise. */
  function approves(bytes: Buffer, hash = sha256): boolean {
    const files = new Map([[approval.fileName, bytes]]);
    const { approvals, findings } = checkApprovals(files, bundleSubject(hash), [key.publicKey]);
    const isValid = approvals.some(({ state }) => state === "valid");
    // Not by expect, which would take most of the time.
    if (isValid !== (findings.length === 0)) throw new Error("valid and a finding, or neither");
    return isValid;
  }

  it("an approval holds for its document alone", () => {
    expect(approves(approval.bytes)).toBe(true);
    expectNone(DOCUMENT, (changed) => approves(approval.bytes, hashOf(changed)));
  });

  it("an approval with any byte of it another does not hold", () => {
    expectNone(approval.bytes, approves);
  });

  it("a signature holds for its statement alone", () => {
    const payload = formatStatement(statement);
    const signature = key.sign(preAuthEncoding(payload));
    const parts = { key: key.publicKey, role: "qa" };
    expect(approves(approvalFile({ ...parts, payload, signature }).bytes)).toBe(true);
    expectNone(payload, (changed) => approves(approvalFile({ ...parts, payload: changed, signature }).bytes));
    expectNone(signature, (changed) =>
      approves(approvalFile({ ...parts, payload, signature: changed }).bytes),
    );
  });

  it("a rollback authorization with any byte of it another lets nothing pass", () => {
    const about = { sha256, fromSequence: 9, expires: "2026-03-01T00:00:00Z" };
    const { fileName, bytes } = signedFile(rollbackStatement(word(ada, "rollback"), document, about), key);
    const later = { ...document, sequence: document.sequence + 1 };
    const state = withRelease(newState(policy.reference, NOW), later, "0".repeat(64), NOW);
    const codes = (content: Buffer) => {
      const rollbacks = new Map([[fileName, content]]);
      return askSite(document, sha256, { policy, state, now: NOW, rollbacks }).findings.map(
        ({ code }) => code,
      );
    };
    expect(codes(bytes)).toEqual([]);
    expectNone(bytes, (changed) => codes(changed)[0] !== "ROLLBACK");
  });

  const POLICY = policyBytes(policy, () => {});

  it("a policy with any byte of it another is none, or not the one that was pinned", () => {
    expect(parsePolicy(POLICY, "policy.json").reference).toEqual(policy.reference);
    expectNone(POLICY, pinned);
  });

  it("a policy with any byte of it another does not follow by the signatures of this one", () => {
    const next = nextPolicy(policy);
    const signed = policyStatement(word(ada, "policy"), next.reference.sha256);
    const files = filesOf(signedFile(signed, key));
    const follows = (bytes: Buffer) => {
      const to = parsed(bytes);
      return to !== null && checkSuccession(policy, to, { files, subject: "policy" }).findings.length === 0;
    };
    const bytes = policyBytes(next, () => {});
    expect(follows(bytes)).toBe(true);
    expectNone(bytes, follows);
  });

  function pinned(bytes: Buffer): boolean {
    return parsed(bytes)?.reference.sha256 === policy.reference.sha256;
  }

  function parsed(bytes: Buffer) {
    try {
      return parsePolicy(bytes, "policy.json");
    } catch (error) {
      if (error instanceof AirgapError && error.code === "POLICY_INVALID") return null;
      throw error;
    }
  }
});
