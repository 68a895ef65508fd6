import { createHash } from "node:crypto";
import { describe, expect, it } from "vitest";
import { formatDocument } from "../../src/bundle/document.js";
import type { Policy as PolicyDocument, Statement } from "../../src/generated/types.js";
import { type ApprovalFile, bundleSubject, checkApprovals } from "../../src/trust/approval.js";
import { judge, type Requirement } from "../../src/trust/judge.js";
import { type Policy, verificationKeys } from "../../src/trust/policy.js";
import { bundleStatement, machineStatement, type PersonalWord } from "../../src/trust/statement.js";
import { sampleDocument } from "../support/document.js";
import {
  changedPolicy,
  fido,
  filesOf,
  firstPolicy,
  type HeldKey,
  type Holder,
  machine,
  p256,
  person,
  signedFile,
  word,
} from "../support/people.js";

const document = sampleDocument();
const sha256 = createHash("sha256").update(formatDocument(document)).digest("hex");

const ada = person("ada", ["policy", "qa", "release"]);
const adaAgain = person("ada", ["qa"], p256("ada.pem"));
const bob = person("bob", ["qa"]);
const cyn = person("cyn", ["release"]);
const packer = machine("packer", ["packer"]);
const twoQa = { approvals: [{ role: "qa", persons: 2 }], persons: 2 };
const oneQa = { approvals: [{ role: "qa", persons: 1 }], persons: 1 };
const policy = firstPolicy([ada, adaAgain, bob, cyn, packer], {
  approvals: [
    { role: "packer", persons: 1 },
    { role: "qa", persons: 2 },
    { role: "release", persons: 1 },
  ],
  persons: 2,
});
const rule = policy.document.products[0]!;

function says(holder: Holder, role = "qa", given: Partial<PersonalWord> = {}): ApprovalFile {
  return signedFile(bundleStatement(word(holder, role, given), document, sha256), holder.key);
}

function packed(key: HeldKey = packer.key, role = "packer"): ApprovalFile {
  const about = { document, documentSha256: sha256, role, signedAt: document.created };
  return signedFile(machineStatement({ ...about, keyName: key.publicKey.name }), key);
}

/** What a policy makes of these files, all of which were signed by its keys. */
function judged(files: readonly ApprovalFile[], requirement: Requirement, by: Policy = policy) {
  const checked = checkApprovals(filesOf(...files), bundleSubject(sha256), verificationKeys(by));
  expect(checked.findings).toEqual([]);
  const valid = checked.approvals.filter((approval) => approval.state === "valid");
  const { judged, findings } = judge(valid, requirement, by);
  expect(judged).toHaveLength(files.length);
  return {
    codes: findings.map(({ code }) => code),
    findings,
    objections: judged.flatMap(({ objection }) => (objection === null ? [] : [objection.code])),
  };
}

const MET = { codes: [], findings: [], objections: [] };
const keyOf = (p: PolicyDocument, id: string) => p.signers.find((signer) => signer.id === id)!.keys[0]!;
const changed = (change: (p: PolicyDocument) => unknown) => changedPolicy(policy, change);

describe("a requirement", () => {
  it("is met by enough persons in each role, and over all", () => {
    expect(judged([packed(), says(ada), says(bob), says(cyn, "release")], rule)).toEqual(MET);
    // Ada stands in two roles, but over all there are two persons.
    expect(judged([packed(), says(ada), says(bob), says(ada, "release")], rule)).toEqual(MET);
  });

  it.each([
    ["no machine", [says(ada), says(bob), says(cyn, "release")], ["role packer"]],
    ["one person too few in a role", [packed(), says(ada), says(cyn, "release")], ["role qa"]],
    ["nobody in a role", [packed(), says(ada), says(bob)], ["role release"]],
    [
      "one person in every role",
      [packed(), says(ada), says(ada, "release")],
      ["role qa", "all roles together"],
    ],
    ["machines alone", [packed()], ["role qa", "role release", "all roles together"]],
  ])("is not met by %s", (_, files, subjects) => {
    const { findings, codes } = judged(files, rule);
    expect(new Set(codes)).toEqual(new Set(["APPROVAL_THRESHOLD"]));
    expect(findings.map(({ subject }) => subject)).toEqual(subjects);
  });

  it("is not met by nothing", () => {
    const { findings } = judge([], rule, policy);
    expect(findings.map(({ subject }) => subject)).toEqual([
      "role packer",
      "role qa",
      "role release",
      "all roles together",
    ]);
  });

  it("counts a person with two keys once", () => {
    const { findings } = judged([says(ada), says(adaAgain)], twoQa);
    expect(findings).toMatchObject([
      {
        code: "APPROVAL_THRESHOLD",
        subject: "role qa",
        expected: expect.stringContaining("2"),
        actual: "ada",
      },
      { code: "APPROVAL_THRESHOLD", subject: "all roles together", actual: "ada" },
    ]);
    expect(judged([says(ada), says(adaAgain), says(bob)], twoQa)).toEqual(MET);
  });

  it("counts the same signature once, whatever folder it lies in", () => {
    const { fileName, bytes } = says(ada);
    const files = new Map([
      [fileName, bytes],
      [`approvals/${fileName}`, bytes],
    ]);
    const { approvals } = checkApprovals(files, bundleSubject(sha256), verificationKeys(policy));
    const valid = approvals.filter((approval) => approval.state === "valid");
    expect(valid).toHaveLength(2);
    expect(judge(valid, twoQa, policy).findings.map(({ code }) => code)).toEqual([
      "APPROVAL_THRESHOLD",
      "APPROVAL_THRESHOLD",
    ]);
  });

  it("counts no machine among the persons over all roles", () => {
    const requirement = { ...rule, approvals: rule.approvals.filter(({ role }) => role !== "qa") };
    const { findings } = judged([packed(), says(cyn, "release")], requirement);
    expect(findings).toMatchObject([{ subject: "all roles together", actual: "cyn" }]);
  });

  it("counts nobody for a role that it does not ask for", () => {
    const { findings } = judged([says(ada), says(cyn, "release")], { ...oneQa, persons: 2 });
    expect(findings).toMatchObject([{ subject: "all roles together", actual: "ada" }]);
  });

  it("hears nobody whom the policy does not name", () => {
    const stranger = person("eve", ["qa"]);
    const keys = [...verificationKeys(policy), stranger.key.publicKey];
    const { approvals } = checkApprovals(filesOf(says(stranger)), bundleSubject(sha256), keys);
    const valid = approvals.filter((approval) => approval.state === "valid");
    expect(valid).toHaveLength(1);
    const { judged, findings } = judge(valid, oneQa, policy);
    expect(judged).toEqual([]);
    expect(findings.map(({ code }) => code)).toEqual(["APPROVAL_THRESHOLD", "APPROVAL_THRESHOLD"]);
  });
});

/** An approval that does not count: by whom, under which policy, and why. */
type Objection = readonly [why: string, file: ApprovalFile, policy: Policy, code: string];

const signsWith = (statement: Statement, { key }: Holder) => signedFile(statement, key);
const BEFORE = "2026-01-31T23:59:59Z";
const AT = "2026-02-01T00:00:00Z";
const AFTER = "2026-02-01T00:00:01Z";
/** Since one of two in QA is not to count then, the product asks for none of them. */
const revoked = (keepEarlier: boolean) =>
  changed((p) => {
    Object.assign(p.products[0]!, { approvals: [{ persons: 1, role: "release" }] });
    keyOf(p, "bob").revoked = { at: AT, keepEarlier, reason: "lost" };
  });
const valid = (validFrom: string | null, validUntil: string | null) =>
  changed((p) => Object.assign(keyOf(p, "bob"), { validFrom, validUntil }));
const byMachine = machineStatement({
  document,
  documentSha256: sha256,
  role: "qa",
  signedAt: document.created,
  keyName: "bob",
});

const OBJECTIONS: readonly Objection[] = [
  ["a key outside its role", says(bob, "release"), policy, "APPROVAL_ROLE"],
  ["a person's key in a machine's role", says(bob, "packer"), policy, "APPROVAL_ROLE"],
  ["a machine's key in a person's role", packed(packer.key, "qa"), policy, "APPROVAL_ROLE"],
  ["a key in a role that the policy does not list", says(bob, "signoff"), policy, "APPROVAL_ROLE"],
  ["a revoked key", says(bob, "qa", { signedAt: AFTER }), revoked(false), "APPROVAL_REVOKED"],
  ["a key revoked later", says(bob, "qa", { signedAt: BEFORE }), revoked(false), "APPROVAL_REVOKED"],
  ["a key given back at that moment", says(bob, "qa", { signedAt: AT }), revoked(true), "APPROVAL_REVOKED"],
  ["a key given back before", says(bob, "qa", { signedAt: AFTER }), revoked(true), "APPROVAL_REVOKED"],
  ["a key not valid yet", says(bob, "qa", { signedAt: BEFORE }), valid(AT, null), "APPROVAL_TIME"],
  ["a key not valid any more", says(bob, "qa", { signedAt: AFTER }), valid(null, AT), "APPROVAL_TIME"],
  ["another id", says({ ...ada, key: bob.key }), policy, "APPROVAL_SIGNER"],
  ["another name", says({ ...bob, name: "Bob Other" }), policy, "APPROVAL_SIGNER"],
  ["a name in other letters", says({ ...bob, name: "BOB EXAMPLE" }), policy, "APPROVAL_SIGNER"],
  ["a machine's statement for a person's role", signsWith(byMachine, bob), policy, "APPROVAL_SIGNER"],
];

describe("an approval by", () => {
  it.each(OBJECTIONS)("%s does not count", (_, file, by, code) => {
    const { codes, objections } = judged([file], oneQa, by);
    expect(objections).toEqual([code]);
    expect(codes).toEqual([code, "APPROVAL_THRESHOLD", "APPROVAL_THRESHOLD"]);
  });

  it.each(OBJECTIONS)("%s is no finding where others are enough", (_, file, by, code) => {
    const { codes, objections } = judged([file, says(ada)], oneQa, by);
    expect([codes, objections]).toEqual([[], [code]]);
  });

  it.each([
    ["a key given back later, where what it signed is to stand", BEFORE, revoked(true)],
    ["a key from when it is valid", AT, valid(AT, null)],
    ["a key until when it is valid", AT, valid(null, AT)],
    ["a key within the time in which it is valid", AT, valid(BEFORE, AFTER)],
  ])("%s counts", (_, signedAt, by) => {
    expect(judged([says(bob, "qa", { signedAt })], oneQa, by)).toEqual(MET);
  });
});

describe("a role that asks for touch or PIN", () => {
  const CASES = ["sk-ssh-ed25519@openssh.com", "sk-ecdsa-sha2-nistp256@openssh.com"].flatMap((type) =>
    [true, false].flatMap((touch) => [true, false].map((pin) => ({ type, touch, pin }))),
  );

  it.each(CASES)("takes what a FIDO key says: $type, touch $touch, PIN $pin", ({ type, touch, pin }) => {
    const holder = person("fay", ["signoff"], fido({ touch, pin }, type as "sk-ssh-ed25519@openssh.com"));
    const requirement = { approvals: [{ role: "signoff", persons: 1 }], persons: 1 };
    for (const asks of [
      {},
      { touch: ["signoff"] },
      { pin: ["signoff"] },
      { touch: ["signoff"], pin: ["signoff"] },
    ]) {
      const by = firstPolicy([ada, holder], { approvals: requirement.approvals, ...asks });
      const { codes, findings } = judged([says(holder, "signoff")], requirement, by);
      const isEnough = (touch || !("touch" in asks)) && (pin || !("pin" in asks));
      expect([asks, codes[0]]).toEqual([asks, isEnough ? undefined : "APPROVAL_PRESENCE"]);
      if (!isEnough) expect(findings[0]!.actual).toBe(touch ? "touch only" : pin ? "PIN only" : "neither");
    }
  });

  it("takes no signature of a machine's statement by a key that was touched", () => {
    const holder = person("fay", ["qa"], fido({ touch: true, pin: true }));
    const by = firstPolicy([person("ada", ["policy"]), holder], {
      approvals: oneQa.approvals,
      touch: ["qa"],
    });
    expect(judged([signsWith(byMachine, holder)], oneQa, by).codes[0]).toBe("APPROVAL_SIGNER");
  });
});

describe("a machine", () => {
  const requirement = { approvals: [{ role: "packer", persons: 1 }], persons: 0 };

  it("approves in its role, by its key's statement or by its id and name", () => {
    expect(judged([packed()], requirement)).toEqual(MET);
    expect(judged([says(packer, "packer")], requirement)).toEqual(MET);
  });

  it("does not approve in the name of a person", () => {
    const { codes } = judged([says({ ...packer, id: "ada" }, "packer")], requirement);
    expect(codes).toEqual(["APPROVAL_SIGNER", "APPROVAL_THRESHOLD"]);
  });
});

describe("a rejection", () => {
  const rejected = { decision: "rejected" as const, meaning: "the SBOM lacks a part" };

  it("is a finding, however many approve", () => {
    const { findings } = judged([says(ada), says(bob), says(cyn, "release", rejected), packed()], {
      ...twoQa,
    });
    expect(findings).toMatchObject([
      { code: "APPROVAL_REJECTED", actual: "cyn Example <cyn>: the SBOM lacks a part" },
    ]);
  });

  it("is no approval", () => {
    const { codes } = judged([says(ada), says(bob, "qa", rejected)], twoQa);
    expect(codes).toEqual(["APPROVAL_REJECTED", "APPROVAL_THRESHOLD", "APPROVAL_THRESHOLD"]);
  });

  it("by the same person with another key is one all the same", () => {
    const { codes } = judged([says(ada), says(adaAgain, "qa", rejected), says(bob)], twoQa);
    expect(codes).toEqual(["APPROVAL_REJECTED"]);
  });

  it("by a key that does not count is none: a stolen one must not stop a release", () => {
    const by = revoked(false);
    const { codes, objections } = judged([says(ada), says(bob, "qa", rejected)], oneQa, by);
    expect([codes, objections]).toEqual([[], ["APPROVAL_REVOKED"]]);
  });
});
