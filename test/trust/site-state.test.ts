import { createHash } from "node:crypto";
import { describe, expect, it } from "vitest";
import { formatDocument } from "../../src/bundle/document.js";
import { formatJson } from "../../src/canonical-json.js";
import type { BundleDocument, SiteState } from "../../src/generated/types.js";
import type { ApprovalFile } from "../../src/trust/approval.js";
import type { Policy } from "../../src/trust/policy.js";
import {
  askSite,
  formatState,
  MAX_STATE_SIZE,
  newState,
  parseState,
  type SiteQuestion,
  withRelease,
  withTime,
} from "../../src/trust/site-state.js";
import { bundleStatement, type PersonalWord, rollbackStatement } from "../../src/trust/statement.js";
import { sampleDocument } from "../support/document.js";
import {
  changedPolicy,
  filesOf,
  firstPolicy,
  type Holder,
  person,
  signedFile,
  word,
} from "../support/people.js";

/** A release of the sample product. */
function release(sequence: number, given: Partial<BundleDocument> = {}): BundleDocument {
  return { ...sampleDocument(), sequence, release: `1.${sequence}.0`, ...given };
}
function idOf(document: BundleDocument): string {
  return createHash("sha256").update(formatDocument(document)).digest("hex");
}

const NOW = "2026-02-10T12:00:00Z";
const ada = person("ada", ["policy", "qa", "rollback"]);
const bob = person("bob", ["rollback"]);
const stranger = person("sly", ["rollback"]);
const qa = { approvals: [{ role: "qa", persons: 1 }] };
const policy = firstPolicy([ada, bob], {
  ...qa,
  expires: "2027-01-01T00:00:00Z",
  maxAgeDays: 30,
  rollbackSigners: 2,
});

/** What a site remembers that took these, one after another. */
function took(...documents: readonly BundleDocument[]): SiteState {
  const state = newState(policy.reference, "2026-02-01T00:00:00Z");
  return documents.reduce((before, document) => withRelease(before, document, idOf(document), NOW), state);
}

function ask(document: BundleDocument, given: Partial<SiteQuestion> = {}) {
  const question = { policy, state: took(), now: NOW, rollbacks: new Map(), ...given };
  const answer = askSite(document, idOf(document), question);
  const codesOf = (findings: typeof answer.findings) => findings.map(({ code }) => code);
  return { ...answer, codes: codesOf(answer.findings), expiredCodes: codesOf(answer.expired) };
}

describe("a site that remembers", () => {
  it("takes a first release, a newer one, and the same again", () => {
    expect(ask(release(17))).toMatchObject({ findings: [], expired: [], notes: [] });
    const state = took(release(16), release(17));
    for (const one of [release(17), release(18), release(40)])
      expect(ask(one, { state }).findings).toEqual([]);
  });

  it("takes no older one", () => {
    expect(ask(release(16), { state: took(release(17)) }).findings).toEqual([
      {
        code: "ROLLBACK",
        subject: "acme-pump 1.16.0",
        expected: "sequence 17 or higher",
        actual: "sequence 16",
      },
    ]);
    // Nor one that it took itself once.
    expect(ask(release(16), { state: took(release(16), release(17)) }).codes).toEqual(["ROLLBACK"]);
  });

  it("keeps the sequences of each product for itself", () => {
    expect(ask(release(1, { product: "acme-valve" }), { state: took(release(17)) }).findings).toEqual([]);
  });

  it("takes no other bytes of a sequence that it took, the latest or an older one", () => {
    const other = release(17, { release: "evil" });
    const [finding] = ask(other, { state: took(release(17)) }).findings;
    expect(finding).toEqual({
      code: "EQUIVOCATION",
      subject: "acme-pump evil",
      expected: `${idOf(release(17))}, taken ${NOW} as sequence 17`,
      actual: idOf(other),
    });
    expect(ask(other, { state: took(release(17), release(18)) }).codes).toEqual(["EQUIVOCATION", "ROLLBACK"]);
  });

  it("takes another tier, or other systems, of the same sequence", () => {
    const state = took(release(17));
    const variants = [{ tier: "source" as const }, { systems: ["aarch64-linux"] }];
    for (const variant of variants) expect(ask(release(17, variant), { state }).findings).toEqual([]);
    const both = took(release(17), release(17, { tier: "source" }));
    expect(ask(release(17), { state: both }).findings).toEqual([]);
    expect(ask(release(17, { tier: "source", release: "evil" }), { state: both }).codes).toEqual([
      "EQUIVOCATION",
    ]);
  });

  it("takes none below what the policy asks for, whoever remembers", () => {
    const by = changedPolicy(policy, (p) => (p.products[0]!.minSequence = 17));
    for (const state of [null, took()]) {
      expect(ask(release(16), { policy: by, state }).findings).toMatchObject([
        { code: "SEQUENCE_MINIMUM", expected: "sequence 17 or higher", actual: "sequence 16" },
      ]);
      expect(ask(release(17), { policy: by, state }).findings).toEqual([]);
    }
  });

  it("takes nothing while its clock is behind the last time seen, but for a drift", () => {
    const state = { ...took(), lastSeen: NOW };
    const clock = (now: string, by: Policy = policy) => ask(release(17), { state, now, policy: by }).codes;
    expect(clock(NOW)).toEqual([]);
    expect(clock("2026-02-10T11:55:00Z")).toEqual([]);
    expect(clock("2026-02-10T11:54:59Z")).toEqual(["CLOCK_BEHIND"]);
    expect(clock("2026-01-31T13:00:00Z")).toEqual(["CLOCK_BEHIND"]);
    const exact = changedPolicy(policy, (p) => (p.limits.clockDriftSeconds = 0));
    expect(clock(NOW, exact)).toEqual([]);
    expect(clock("2026-02-10T11:59:59Z", exact)).toEqual(["CLOCK_BEHIND"]);
  });

  it("says at once all that is wrong", () => {
    const by = changedPolicy(policy, (p) => (p.products[0]!.minSequence = 17));
    const state = { ...took(release(16), release(17)), lastSeen: "2027-02-01T00:00:00Z" };
    const answer = ask(release(16, { release: "evil" }), { policy: by, state, now: "2027-01-15T00:00:00Z" });
    expect(answer.codes).toEqual(["SEQUENCE_MINIMUM", "CLOCK_BEHIND", "EQUIVOCATION", "ROLLBACK"]);
    expect(answer.expiredCodes).toEqual(["POLICY_EXPIRED", "BUNDLE_EXPIRED"]);
  });
});

describe("what has expired", () => {
  it("is apart from what nobody may pass over: a policy past its end", () => {
    const at = (now: string) => ask(release(17, { created: now }), { now, state: null });
    expect(at("2027-01-01T00:00:00Z").expired).toEqual([]);
    expect(at("2027-01-01T00:00:01Z")).toMatchObject({
      findings: [],
      expired: [{ code: "POLICY_EXPIRED", expected: "before 2027-01-01T00:00:00Z" }],
    });
  });

  it("is a bundle older than the policy allows, in whole days", () => {
    const at = (now: string) => ask(release(17, { created: "2026-01-31T12:00:00Z" }), { now });
    expect(at("2026-03-03T11:59:59Z").expired).toEqual([]);
    expect(at("2026-03-03T12:00:00Z")).toMatchObject({
      findings: [],
      expired: [
        {
          code: "BUNDLE_EXPIRED",
          subject: "acme-pump 1.17.0",
          expected: "at most 30 days old",
          actual: "31 days, created 2026-01-31T12:00:00Z",
        },
      ],
    });
  });

  it("is a bundle of more than a day ahead of the clock, whose age would never end", () => {
    const at = (created: string) => ask(release(17, { created })).expired.map(({ code }) => code);
    expect(at("2026-02-11T12:00:00Z")).toEqual([]);
    expect(at("2026-02-11T12:00:01Z")).toEqual(["BUNDLE_FUTURE"]);
    const expired = [
      { code: "BUNDLE_FUTURE", expected: `created before ${NOW}`, actual: "2026-06-01T00:00:00Z" },
    ];
    expect(ask(release(17, { created: "2026-06-01T00:00:00Z" }))).toMatchObject({ findings: [], expired });
  });

  it("is nothing where the policy says of neither", () => {
    const by = firstPolicy([ada], qa);
    expect(ask(release(17), { policy: by, now: "9999-12-31T23:59:59Z" }).expired).toEqual([]);
  });
});

describe("a way back", () => {
  const target = release(16);
  const state = took(target, release(17));
  const ABOUT = { fromSequence: 17, expires: "2026-03-01T00:00:00Z" };

  function authorized(
    holder: Holder,
    given: Partial<typeof ABOUT> & {
      to?: BundleDocument;
      sha256?: string;
      word?: Partial<PersonalWord>;
    } = {},
  ): ApprovalFile {
    const { to = target, sha256 = idOf(to), word: said = {}, ...about } = given;
    const statement = rollbackStatement(word(holder, "rollback", said), to, { ...ABOUT, ...about, sha256 });
    return signedFile(statement, holder.key);
  }
  const back = (files: readonly ApprovalFile[], given: Partial<SiteQuestion> = {}) =>
    ask(target, { state, rollbacks: filesOf(...files), ...given });

  it("is taken with the word of enough of those who may say it, and noted", () => {
    expect(back([authorized(ada), authorized(bob)])).toMatchObject({
      findings: [],
      notes: ["taken back from sequence 17 to 16, as authorized"],
    });
  });

  it("is open until the moment that was said, and from the sequence that was said or lower", () => {
    const both = [authorized(ada), authorized(bob)];
    expect(back(both, { now: ABOUT.expires, state: null }).findings).toEqual([]);
    expect(back(both, { now: ABOUT.expires }).findings).toEqual([]);
    const further = [ada, bob].map((holder) => authorized(holder, { fromSequence: 20 }));
    expect(back(further).findings).toEqual([]);
  });

  const both = (given: Parameters<typeof authorized>[1]) =>
    [ada, bob].map((holder) => authorized(holder, given));
  it.each<[string, readonly ApprovalFile[], string[]]>([
    ["by too few", [authorized(ada)], ["APPROVAL_THRESHOLD"]],
    ["by a stranger", [authorized(stranger)], ["APPROVAL_UNTRUSTED", "APPROVAL_THRESHOLD"]],
    ["by one of two, and a stranger", [authorized(ada), authorized(stranger)], ["APPROVAL_THRESHOLD"]],
    [
      "for other bytes",
      both({ sha256: "0".repeat(64) }),
      ["APPROVAL_SUBJECT", "APPROVAL_SUBJECT", "APPROVAL_THRESHOLD"],
    ],
    [
      "for another release",
      both({ to: release(15) }),
      ["APPROVAL_SUBJECT", "APPROVAL_SUBJECT", "APPROVAL_THRESHOLD"],
    ],
    [
      "with fields that are not the document's",
      both({ to: release(15), sha256: idOf(target) }),
      [...Array(4).fill("APPROVAL_BINDING"), "APPROVAL_THRESHOLD"],
    ],
    [
      "from too low a sequence",
      both({ fromSequence: 16 }),
      ["ROLLBACK_REFUSED", "ROLLBACK_REFUSED", "APPROVAL_THRESHOLD"],
    ],
    [
      "that has expired",
      both({ expires: "2026-02-10T11:59:59Z" }),
      ["ROLLBACK_REFUSED", "ROLLBACK_REFUSED", "APPROVAL_THRESHOLD"],
    ],
    [
      "one of which has expired",
      [authorized(ada), authorized(bob, { expires: "2026-02-10T11:59:59Z" })],
      ["ROLLBACK_REFUSED", "APPROVAL_THRESHOLD"],
    ],
    [
      "that one of them rejects",
      [authorized(ada), authorized(bob, { word: { decision: "rejected" } })],
      ["APPROVAL_REJECTED", "APPROVAL_THRESHOLD"],
    ],
    [
      "in another's name",
      [authorized(ada), authorized({ ...ada, key: bob.key })],
      ["APPROVAL_SIGNER", "APPROVAL_THRESHOLD"],
    ],
    ["in another role", [authorized(bob), authorized(ada, { word: { role: "qa" } })], ["APPROVAL_THRESHOLD"]],
    [
      "that are approvals of the bundle",
      [signedFile(bundleStatement(word(ada, "rollback"), target, idOf(target)), ada.key), authorized(bob)],
      ["APPROVAL_MALFORMED", "APPROVAL_THRESHOLD"],
    ],
  ])("is not taken with authorizations %s", (_, files, codes) => {
    const answer = back(files);
    expect(answer.codes).toEqual(["ROLLBACK", ...codes]);
    expect(answer.notes).toEqual([]);
  });

  it("is not taken with an authorization under another file name", () => {
    const files = filesOf(authorized(ada), authorized(bob));
    const [[name, bytes]] = [...files] as [[string, Buffer]];
    files.delete(name);
    files.set("rollback.sigstore.json", bytes);
    expect(ask(target, { state, rollbacks: files }).codes).toContain("APPROVAL_NAME");
  });

  it("is not taken where the policy lets nobody authorize it, or revoked who did", () => {
    const files = [authorized(ada), authorized(bob)];
    const nobody = changedPolicy(policy, (p) => (p.rollback = null));
    expect(back(files, { policy: nobody }).codes).toEqual(["ROLLBACK", "ROLLBACK_REFUSED"]);
    const without = changedPolicy(policy, (p) => {
      p.rollback = { persons: 1 };
      for (const { keys } of p.signers.filter(({ id }) => id === "bob"))
        keys[0]!.revoked = { at: NOW, keepEarlier: false, reason: "lost" };
    });
    expect(back([authorized(bob)], { policy: without }).codes).toEqual([
      "ROLLBACK",
      "APPROVAL_REVOKED",
      "APPROVAL_THRESHOLD",
    ]);
    expect(back(files, { policy: without }).codes).toEqual([]);
  });

  it("is no way past other bytes, a minimum or a clock set back", () => {
    const evil = release(16, { release: "evil" });
    const files = both({ to: evil });
    expect(ask(evil, { state, rollbacks: filesOf(...files) }).codes).toEqual(["EQUIVOCATION"]);
    const minimum = changedPolicy(policy, (p) => (p.products[0]!.minSequence = 17));
    expect(back(both({}), { policy: minimum }).codes).toEqual(["SEQUENCE_MINIMUM"]);
    const ahead = { ...state, lastSeen: "2026-02-11T00:00:00Z" };
    expect(back(both({}), { state: ahead }).codes).toEqual(["CLOCK_BEHIND"]);
  });

  it("is not asked for where the release is not older, whatever was brought", () => {
    const junk = new Map([["rollback-0.sigstore.json", Buffer.from("{")]]);
    expect(ask(release(17), { state, rollbacks: junk }).findings).toEqual([]);
  });
});

describe("a state", () => {
  const document = release(17);
  const state = took(document);

  it("of a new site remembers nothing but its policy and the time", () => {
    expect(newState(policy.reference, NOW)).toEqual({
      audit: null,
      format: "nix-airgap-state",
      formatVersion: "1.0",
      lastSeen: NOW,
      policy: policy.reference,
      products: [],
    });
  });

  it("sees time go forward only", () => {
    const later = withTime(state, NOW);
    expect(later).toEqual({ ...state, lastSeen: NOW });
    expect(withTime(later, "2026-02-10T11:59:59Z")).toBe(later);
    expect(withTime(later, NOW)).toBe(later);
  });

  it("takes a release: each once, in the order in which they came", () => {
    const { release: name, systems, tier } = document;
    const accepted = [{ at: NOW, release: name, sequence: 17, sha256: idOf(document), systems, tier }];
    expect(state.products).toEqual([{ accepted, product: "acme-pump", sequence: 17 }]);
    expect(withRelease(state, document, idOf(document), "2026-03-01T00:00:00Z")).toEqual(state);
    expect(took(release(17), release(18)).products[0]).toMatchObject({
      accepted: [{ sequence: 17 }, { sequence: 18 }],
      sequence: 18,
    });
    expect(newState(policy.reference, NOW).products).toEqual([]);
  });

  it("sorts products, and changes no other", () => {
    const all = took(
      release(3, { product: "b" }),
      release(5, { product: "c" }),
      release(7, { product: "a" }),
    );
    expect(all.products.map(({ product, sequence }) => [product, sequence])).toEqual([
      ["a", 7],
      ["b", 3],
      ["c", 5],
    ]);
  });

  it("goes down with what a way back led to, and forgets nothing", () => {
    const back = took(release(15), release(16), release(17), release(15));
    expect(back.products[0]!.sequence).toBe(15);
    expect(back.products[0]!.accepted.map(({ sequence }) => sequence)).toEqual([15, 16, 17]);
    for (const sequence of [15, 16, 17, 18])
      expect(ask(release(sequence), { state: back }).findings).toEqual([]);
    expect(ask(release(14), { state: back }).codes).toEqual(["ROLLBACK"]);
    expect(ask(release(17, { release: "evil" }), { state: back }).codes).toEqual(["EQUIVOCATION"]);
    expect(
      ask(release(14), { state: took(release(15), release(17), release(14), release(17)) }).codes,
    ).toEqual(["ROLLBACK"]);
  });

  it("prints and reads back", () => {
    const whole = { ...state, audit: { number: 3, sha256: "a".repeat(64) } };
    for (const one of [took(), state, whole]) {
      expect(parseState(Buffer.from(formatState(one)), "state.json")).toEqual(one);
    }
  });

  type Changed = readonly [what: string, change: (state: SiteState) => unknown];
  const change = (...[what, edit]: Changed): [string, Buffer] => {
    const copy = structuredClone(state);
    edit(copy);
    return [what, Buffer.from(formatJson(copy))];
  };
  const text = formatState(state);
  it.each<[string, Buffer]>([
    ["on one line", Buffer.from(JSON.stringify(state))],
    ["without its last newline", Buffer.from(text.trimEnd())],
    ["with carriage returns", Buffer.from(text.replaceAll("\n", "\r\n"))],
    ["with a key twice", Buffer.from(text.replace("{", '{\n  "audit": null,'))],
    ["cut short", Buffer.from(text.slice(0, -20))],
    ["empty", Buffer.alloc(0)],
    ["of zeros, as a power cut leaves it", Buffer.alloc(text.length)],
    ["larger than its cap", Buffer.alloc(MAX_STATE_SIZE + 1, " ")],
    change("with an unknown field", (s) => Object.assign(s, { trusted: true })),
    change("with an unknown field of a release", (s) =>
      Object.assign(s.products[0]!.accepted[0]!, { by: "x" }),
    ),
    change("of another format", (s) => Object.assign(s, { format: "nix-airgap-policy" })),
    change("of a version to come", (s) => Object.assign(s, { formatVersion: "2.0", more: 1 })),
    change("without its policy", (s) => delete (s as Partial<SiteState>).policy),
    change("with a product of nothing", (s) => (s.products[0]!.accepted = [])),
    change("with a sequence below 0", (s) => (s.products[0]!.sequence = -1)),
    change("last seen at a time that does not exist", (s) => (s.lastSeen = "2026-02-30T00:00:00Z")),
    change("last seen at another time zone's", (s) => (s.lastSeen = "2026-02-10T12:00:00+01:00")),
  ])("is refused %s", (_, bytes) => {
    expect(() => parseState(bytes, "state.json")).toThrow(
      expect.objectContaining({
        code: "STATE_INVALID",
        details: expect.objectContaining({ subject: "state.json" }),
      }),
    );
  });
});
