import { describe, expect, it } from "vitest";
import type { Policy as PolicyDocument } from "../../src/generated/types.js";
import { makeApproval } from "../../src/trust/approval.js";
import { checkSuccession } from "../../src/trust/chain.js";
import { type Policy, parsePolicy } from "../../src/trust/policy.js";
import type { SigningKey } from "../../src/trust/signing.js";
import { policyStatement } from "../../src/trust/statement.js";
import {
  ada,
  adasOther,
  bo,
  eve,
  policyBytes,
  policyDocument,
  readPolicy,
  wordOf,
} from "../support/people.js";

const first = readPolicy();

/** The second version, with a change. */
const second = (change: (policy: PolicyDocument) => unknown = () => {}): Policy =>
  readPolicy((policy) => {
    policy.version = 2;
    policy.previous = first.reference.sha256;
    change(policy);
  });

const signed = (policy: Policy, ...signers: SigningKey[]) =>
  new Map(
    signers.map((signer) => {
      const statement = policyStatement(wordOf(signer, "policy"), policy.reference.sha256);
      const { fileName, bytes } = makeApproval(statement, signer);
      return [fileName, bytes];
    }),
  );

function codes(next: Policy, files: Map<string, Buffer>, current = first): string[] {
  const { findings } = checkSuccession(current, next, { files, subject: "p2.json" });
  return [...new Set(findings.map(({ code }) => code))];
}

/** Ada's key of policies is taken over by another of hers. */
const rotated = (policy: PolicyDocument) => {
  const [old, other] = policy.signers[0]!.keys;
  old!.revoked = { at: "2026-11-01T00:00:00Z", keepEarlier: false, reason: "lost" };
  other!.roles = ["policy", "qa", "release"];
};

describe("a policy follows another", () => {
  it("when enough of both have signed it", () => {
    const next = second();
    expect(codes(next, signed(next, ada, bo))).toEqual([]);
  });

  it("also where a key is exchanged: the old signers for the old one, the new ones for the new one", () => {
    const next = second(rotated);
    expect(codes(next, signed(next, ada, bo, adasOther))).toEqual([]);
  });
});

describe("a policy does not follow", () => {
  it("with signatures of the old signers alone, or of the new ones alone", () => {
    const next = second(rotated);
    expect(codes(next, signed(next, ada, bo))).toEqual(["APPROVAL_REVOKED", "APPROVAL_THRESHOLD"]);
    expect(codes(next, signed(next, adasOther, bo))).toEqual(["APPROVAL_ROLE", "APPROVAL_THRESHOLD"]);
  });

  it("with too few, with a stranger's, with none", () => {
    const next = second();
    expect(codes(next, signed(next, ada))).toEqual(["APPROVAL_THRESHOLD"]);
    expect(codes(next, signed(next, ada, eve))).toEqual(["APPROVAL_THRESHOLD"]);
    expect(codes(next, new Map())).toEqual(["APPROVAL_MISSING", "APPROVAL_THRESHOLD"]);
  });

  it("where it asks for more itself than the one before", () => {
    const current = readPolicy((policy) => {
      policy.policySigners.persons = 1;
    });
    const next = readPolicy((policy) => {
      policy.version = 2;
      policy.previous = current.reference.sha256;
    });
    expect(codes(next, signed(next, ada), current)).toEqual(["APPROVAL_THRESHOLD"]);
    expect(codes(next, signed(next, ada, bo), current)).toEqual([]);
  });

  it("when a version is skipped, is the same or an older one, or another stands before it", () => {
    const third = second((policy) => {
      policy.version = 3;
    });
    expect(codes(third, signed(third, ada, bo))).toEqual(["POLICY_CHAIN"]);
    const again = readPolicy((policy) => {
      policy.name = "other bytes";
    });
    expect(codes(again, signed(again, ada, bo))).toEqual(["POLICY_CHAIN"]);
    const elsewhere = second((policy) => {
      policy.previous = "0".repeat(64);
    });
    expect(codes(elsewhere, signed(elsewhere, ada, bo))).toEqual(["POLICY_CHAIN"]);
  });

  it("with signatures over another policy, or a rejection", () => {
    const next = second();
    const other = second((policy) => {
      policy.name = "another";
    });
    expect(codes(next, signed(other, ada, bo))).toContain("APPROVAL_SUBJECT");
    const statement = policyStatement(wordOf(ada, "policy", { decision: "rejected" }), next.reference.sha256);
    const { fileName, bytes } = makeApproval(statement, ada);
    expect(codes(next, new Map([...signed(next, bo), [fileName, bytes]]))).toContain("APPROVAL_REJECTED");
  });

  it("with an approval of a bundle in the place of one of a policy", () => {
    const next = second();
    const bytes = policyBytes(policyDocument());
    expect(() => parsePolicy(bytes, "p")).not.toThrow();
    const files = signed(next, ada, bo);
    const [name] = [...files.keys()];
    files.set(name!, Buffer.from("{}\n"));
    expect(codes(next, files)).toContain("APPROVAL_MALFORMED");
  });
});
