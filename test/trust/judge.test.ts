import { describe, expect, it } from "vitest";
import { judge } from "../../src/trust/judge.js";
import type { Policy } from "../../src/trust/policy.js";
import {
  ada,
  adasOther,
  approve,
  approveByFido,
  bo,
  type File,
  packed,
  policyDocument,
  readPolicy,
  valid,
} from "../support/people.js";

const RULE = policyDocument().products[0]!;

function codes(policy: Policy, files: readonly File[], rule = RULE): string[] {
  return judge(valid(policy, ...files), rule, policy).findings.map(({ code, subject }) =>
    code === "APPROVAL_THRESHOLD" ? `${code} ${subject}` : code,
  );
}

const GOOD = () => [packed(), approve(ada, "qa"), approve(bo, "release")];

describe("a requirement", () => {
  it("is met by enough different signers in every role", () => {
    expect(codes(readPolicy(), GOOD())).toEqual([]);
  });

  it("names every role that lacks signers", () => {
    expect(codes(readPolicy(), [packed()])).toEqual([
      "APPROVAL_THRESHOLD role qa",
      "APPROVAL_THRESHOLD role release",
      "APPROVAL_THRESHOLD all roles together",
    ]);
  });

  it("counts persons, not keys: one person with two keys is one", () => {
    const policy = readPolicy();
    const twoKeys = [packed(), approve(ada, "qa"), approve(adasOther, "release")];
    expect(codes(policy, twoKeys)).toEqual(["APPROVAL_THRESHOLD all roles together"]);
    const two = { approvals: [{ role: "qa", persons: 2 }], persons: 2 };
    expect(codes(policy, [approve(ada, "qa"), approve(adasOther, "qa")], { ...RULE, ...two })).toEqual([
      "APPROVAL_THRESHOLD role qa",
      "APPROVAL_THRESHOLD all roles together",
    ]);
  });

  it("takes no machine for a person, and no person for a machine", () => {
    const policy = readPolicy();
    expect(codes(policy, [packed(ada, "qa"), approve(bo, "release"), packed()])).toContain("APPROVAL_SIGNER");
    expect(codes(policy, [...GOOD().slice(1), packed(bo, "release")])).toContain(
      "APPROVAL_THRESHOLD role packer",
    );
  });
});

describe("an approval does not count", () => {
  const ruined = (change: Parameters<typeof readPolicy>[0], files = GOOD()) =>
    codes(readPolicy(change), files).filter((code) => !code.startsWith("APPROVAL_THRESHOLD"));
  const adasKey = (policy: ReturnType<typeof policyDocument>) => policy.signers[0]!.keys[0]!;

  it("by a key that is revoked, whatever date it bears", () => {
    const revoked = { at: "2026-11-20T00:00:00Z", keepEarlier: false, reason: "lost" };
    const change = (policy: ReturnType<typeof policyDocument>) => {
      adasKey(policy).revoked = revoked;
      policy.policySigners.persons = 1;
    };
    expect(ruined(change)).toEqual(["APPROVAL_REVOKED"]);
    const early = [
      packed(),
      approve(ada, "qa", { signedAt: "2001-01-01T00:00:00Z" }),
      approve(bo, "release"),
    ];
    expect(ruined(change, early)).toEqual(["APPROVAL_REVOKED"]);
  });

  it("by one that was given back, unless it says it is older", () => {
    const change = (policy: ReturnType<typeof policyDocument>) => {
      adasKey(policy).revoked = { at: "2026-11-20T00:00:00Z", keepEarlier: true, reason: "left" };
      policy.policySigners.persons = 1;
    };
    expect(codes(readPolicy(change), GOOD())).toEqual([]);
    const late = [packed(), approve(ada, "qa", { signedAt: "2026-11-20T00:00:00Z" }), approve(bo, "release")];
    expect(ruined(change, late)).toEqual(["APPROVAL_REVOKED"]);
  });

  it("in a role that its key does not have", () => {
    expect(ruined(() => {}, [packed(), approve(ada, "release"), approve(bo, "release")])).toEqual([
      "APPROVAL_ROLE",
    ]);
  });

  it("before its key was valid, or after", () => {
    const from = (policy: ReturnType<typeof policyDocument>) => {
      adasKey(policy).validFrom = "2026-11-02T00:00:00Z";
    };
    const until = (policy: ReturnType<typeof policyDocument>) => {
      adasKey(policy).validUntil = "2026-10-31T00:00:00Z";
    };
    expect([ruined(from), ruined(until)]).toEqual([["APPROVAL_TIME"], ["APPROVAL_TIME"]]);
  });

  it("that names another signer than the policy has for its key", () => {
    for (const signer of [
      { id: "bo@example.org", name: "Ada Example" },
      { id: "ada@example.org", name: "A. Example" },
    ]) {
      expect(ruined(() => {}, [packed(), approve(ada, "qa", { signer }), approve(bo, "release")])).toEqual([
        "APPROVAL_SIGNER",
      ]);
    }
  });

  it.each([
    [false, false],
    [true, false],
    [false, true],
  ])("where a role asks for touch and PIN and the key says touch %s, PIN %s", (touch, pin) => {
    const rule = { ...RULE, approvals: [{ role: "security", persons: 1 }], persons: 1 };
    const policy = readPolicy();
    expect(codes(policy, [approveByFido("security", { touch, pin })], rule)).toContain("APPROVAL_PRESENCE");
    expect(codes(policy, [approveByFido("security", { touch: true, pin: true })], rule)).toEqual([]);
  });

  it("and then is a finding only where it would have been needed", () => {
    const change = (policy: ReturnType<typeof policyDocument>) => {
      policy.signers[0]!.keys[1]!.revoked = {
        at: "2026-01-01T00:00:00Z",
        keepEarlier: false,
        reason: "lost",
      };
    };
    const files = [...GOOD(), approve(adasOther, "qa")];
    const { findings, judged } = judge(valid(readPolicy(change), ...files), RULE, readPolicy(change));
    expect(findings).toEqual([]);
    expect(judged.filter(({ objection }) => objection?.code === "APPROVAL_REVOKED")).toHaveLength(1);
  });
});

describe("a rejection", () => {
  it("refuses, however many approve", () => {
    const files = [...GOOD(), approve(adasOther, "qa", { decision: "rejected", meaning: "test 7 failed" })];
    const { findings } = judge(valid(readPolicy(), ...files), RULE, readPolicy());
    expect(findings).toMatchObject([
      { code: "APPROVAL_REJECTED", actual: "Ada Example <ada@example.org>: test 7 failed" },
    ]);
  });

  it("by a revoked key is of no account", () => {
    const change = (policy: ReturnType<typeof policyDocument>) => {
      policy.signers[0]!.keys[1]!.revoked = {
        at: "2026-01-01T00:00:00Z",
        keepEarlier: false,
        reason: "lost",
      };
    };
    expect(
      codes(readPolicy(change), [...GOOD(), approve(adasOther, "qa", { decision: "rejected" })]),
    ).toEqual([]);
  });
});
