import { describe, expect, it } from "vitest";
import type { ApprovalFile } from "../../src/trust/approval.js";
import { checkSuccession } from "../../src/trust/chain.js";
import type { Policy } from "../../src/trust/policy.js";
import { bundleStatement, type PersonalWord, policyStatement } from "../../src/trust/statement.js";
import { sampleDocument } from "../support/document.js";
import {
  changedPolicy,
  fido,
  filesOf,
  firstPolicy,
  type Holder,
  nextPolicy,
  p256,
  person,
  signedFile,
  word,
} from "../support/people.js";

const ada = person("ada", ["policy", "qa"]);
const bob = person("bob", ["policy", "qa"], p256("bob.pem"));
const cyn = person("cyn", ["policy"]);
const dan = person("dan", ["policy"], fido({ touch: true, pin: true }));
const eve = person("eve", ["qa"]);
const stranger = person("sly", ["policy"]);

const qa = { approvals: [{ role: "qa", persons: 1 }] };
const first = firstPolicy([ada, bob, eve], { ...qa, policySigners: 2 });
/** Ada goes; Cyn and Dan come. */
const next = nextPolicy(first, [cyn, dan], { revoke: [{ keyHash: ada.key.publicKey.hash, reason: "left" }] });

function signs(holder: Holder, policy: Policy = next, given: Partial<PersonalWord> = {}): ApprovalFile {
  const statement = policyStatement(word(holder, "policy", given), policy.reference.sha256);
  return signedFile(statement, holder.key);
}

function succession(current: Policy, to: Policy, ...files: readonly ApprovalFile[]) {
  return checkSuccession(current, to, { files: filesOf(...files), subject: "policy-2.json" });
}

function codes(current: Policy, to: Policy, ...files: readonly ApprovalFile[]): string[] {
  return succession(current, to, ...files).findings.map(({ code }) => code);
}

const OLD = "as version 1 asks";
const NEW = "as version 2 asks";
/** Which policy's thresholds were not met. */
function unmet(...files: readonly ApprovalFile[]): string[] {
  const { findings } = succession(first, next, ...files);
  const thresholds = findings.filter(({ code }) => code === "APPROVAL_THRESHOLD");
  return [...new Set(thresholds.map(({ subject }) => /as version . asks/.exec(subject!)![0]))];
}

describe("the next policy takes the place of the one before", () => {
  it("signed by enough of those whom the old one names and of those whom the new one names", () => {
    const { findings, approvals } = succession(first, next, signs(ada), signs(bob), signs(cyn));
    expect(findings).toEqual([]);
    expect(approvals.map(({ state }) => state)).toEqual(["valid", "valid", "valid"]);
  });

  it("where the same people sign both", () => {
    const same = nextPolicy(first, [cyn]);
    expect(codes(first, same, signs(ada, same), signs(bob, same))).toEqual([]);
  });

  it("beside a signature of somebody whom neither names", () => {
    expect(codes(first, next, signs(ada), signs(bob), signs(cyn), signs(stranger))).toEqual([]);
  });

  it("where the new one asks for fewer, by as many as the old one asks for", () => {
    const fewer = nextPolicy(first, [], { policySigners: 1 });
    expect(codes(first, fewer, signs(ada, fewer))).toEqual(["APPROVAL_THRESHOLD"]);
    expect(codes(first, fewer, signs(ada, fewer), signs(bob, fewer))).toEqual([]);
  });
});

describe("the next policy is refused", () => {
  it.each([
    ["only those whom the old one names", [signs(ada), signs(bob)], [NEW]],
    ["only those whom the new one names", [signs(cyn), signs(dan)], [OLD]],
    ["one of each", [signs(ada), signs(cyn)], [OLD, NEW]],
    [
      "one of each, and one whom both name, but too few of the old",
      [signs(bob), signs(cyn), signs(dan)],
      [OLD],
    ],
    ["one alone", [signs(bob)], [OLD, NEW]],
  ])("signed by %s", (_, files, expected) => {
    expect(unmet(...files)).toEqual(expected);
  });

  it("signed by a key that it revokes, which counts for the old one alone", () => {
    const { findings } = succession(first, next, signs(ada), signs(bob));
    expect(findings).toMatchObject([
      { code: "APPROVAL_REVOKED", subject: expect.stringContaining(NEW) },
      { code: "APPROVAL_THRESHOLD", subject: `role policy, ${NEW}` },
    ]);
  });

  it("signed by one person with two keys", () => {
    const again = person("bob", ["policy"]);
    const two = nextPolicy(first, [again]);
    const answer = codes(first, two, signs(bob, two), signs(again, two));
    expect(new Set(answer)).toEqual(new Set(["APPROVAL_THRESHOLD"]));
  });

  it("signed by nobody, or by strangers", () => {
    expect(codes(first, next)[0]).toBe("APPROVAL_MISSING");
    expect(codes(first, next, signs(stranger))[0]).toBe("APPROVAL_UNTRUSTED");
  });

  it("signed in another role, or with a key that has no such role", () => {
    const statement = policyStatement(word(bob, "qa"), next.reference.sha256);
    const inQa = signedFile(statement, bob.key);
    expect(unmet(signs(ada), inQa, signs(cyn))).toEqual([OLD, NEW]);
    expect(codes(first, next, signs(ada), signs(eve), signs(cyn))).toContain("APPROVAL_ROLE");
  });

  it("signed in another's name", () => {
    const asAda = signs({ ...ada, key: bob.key });
    expect(codes(first, next, signs(ada), asAda, signs(cyn), signs(dan))).toContain("APPROVAL_SIGNER");
  });

  it("rejected by one of those who may sign it", () => {
    const enough = [signs(ada), signs(bob), signs(cyn)];
    const rejected = signs(dan, next, { decision: "rejected" });
    expect(codes(first, next, ...enough, rejected)).toEqual(["APPROVAL_REJECTED"]);
  });

  it("with approvals of another policy, or of a bundle", () => {
    const other = nextPolicy(first, [cyn, dan], { name: "another" });
    const good = [signs(bob), signs(cyn)];
    expect(codes(first, next, ...good, signs(ada, other))).toContain("APPROVAL_SUBJECT");
    const bundle = bundleStatement(word(ada, "policy"), sampleDocument(), next.reference.sha256);
    expect(codes(first, next, ...good, signedFile(bundle, ada.key))).toContain("APPROVAL_MALFORMED");
  });

  const everybody = (policy: Policy) => [ada, bob, cyn, dan].map((holder) => signs(holder, policy));

  it("when a version is left out between", () => {
    const third = nextPolicy(next);
    const { findings, approvals } = succession(first, third, ...everybody(third));
    expect(findings).toMatchObject([
      {
        code: "POLICY_CHAIN",
        subject: "policy-2.json",
        expected: expect.stringContaining("version 2"),
        actual: "version 3",
      },
    ]);
    expect(approvals).toEqual([]);
    expect(codes(next, third, signs(bob, third), signs(cyn, third))).toEqual([]);
  });

  it("when it has the same version and other bytes, or the same bytes", () => {
    const other = firstPolicy([ada, bob, cyn, dan, eve], { ...qa, policySigners: 2 });
    expect(codes(first, other, ...everybody(other))).toEqual(["POLICY_CHAIN"]);
    expect(codes(first, first, ...everybody(first))).toEqual(["POLICY_CHAIN"]);
  });

  it("when it is an older one", () => {
    expect(codes(next, first, ...everybody(first))).toEqual(["POLICY_CHAIN"]);
  });

  it("when it follows another policy of that version", () => {
    const other = firstPolicy([ada, bob], { ...qa, policySigners: 2, name: "another" });
    const afterOther = nextPolicy(other, [cyn, dan]);
    const { findings } = succession(first, afterOther, ...everybody(afterOther));
    expect(findings).toMatchObject([
      {
        code: "POLICY_CHAIN",
        expected: expect.stringContaining(first.reference.sha256),
        actual: other.reference.sha256,
      },
    ]);
  });

  it("when it weakens how policies are signed, by those alone whom it names for it", () => {
    const weak = changedPolicy(next, (p) => {
      p.policySigners.persons = 1;
      p.signers = p.signers.filter(({ id }) => id === "dan" || id === "eve");
    });
    expect(codes(first, weak, signs(dan, weak))).toContain("APPROVAL_THRESHOLD");
    expect(codes(first, weak, signs(dan, weak), signs(ada, weak), signs(bob, weak))).toEqual([]);
  });
});

describe("a policy whose signers must touch their keys", () => {
  const fay = person("fay", ["policy"], dan.key);
  const gil = person("gil", ["policy"], fido({ touch: false, pin: true }));
  const strict = firstPolicy([fay, gil, eve], { ...qa, touch: ["policy"], policySigners: 1 });
  const after = nextPolicy(strict);

  it("is followed by one that they touched them for, and by no other", () => {
    expect(codes(strict, after, signs(fay, after))).toEqual([]);
    const answer = codes(strict, after, signs(gil, after));
    const perPolicy = ["APPROVAL_PRESENCE", "APPROVAL_THRESHOLD"];
    expect(answer).toEqual([...perPolicy, ...perPolicy]);
  });
});
