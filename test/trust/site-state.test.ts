import { describe, expect, it } from "vitest";
import type { BundleDocument, Policy as PolicyDocument, SiteState } from "../../src/generated/types.js";
import { makeApproval } from "../../src/trust/approval.js";
import type { SigningKey } from "../../src/trust/signing.js";
import {
  askSite,
  formatState,
  newState,
  parseState,
  withRelease,
  withTime,
} from "../../src/trust/site-state.js";
import { rollbackStatement } from "../../src/trust/statement.js";
import { ada, bo, document, eve, NOW, readPolicy, wordOf } from "../support/people.js";

const policy = readPolicy();
const release = (sequence: number, change: Partial<BundleDocument> = {}): BundleDocument => ({
  ...document,
  sequence,
  created: "2026-11-01T00:00:00Z",
  ...change,
});
const id = (digit: string) => digit.repeat(64);
const fresh = newState(policy.reference, "2026-11-24T00:00:00Z");
/** A site that has taken sequence 17. */
const at17 = withRelease(fresh, release(17), id("7"), "2026-11-20T00:00:00Z");

function ask(
  next: BundleDocument,
  sha256: string,
  about: {
    state?: SiteState | null;
    now?: string;
    rollbacks?: ReadonlyMap<string, Uint8Array>;
    change?: (policy: PolicyDocument) => unknown;
  } = {},
) {
  const { state = at17, now = NOW, rollbacks = new Map(), change } = about;
  const answer = askSite(next, sha256, { policy: readPolicy(change), state, now, rollbacks });
  return {
    ...answer,
    codes: [...new Set(answer.findings.map(({ code }) => code))],
    expiredCodes: answer.expired.map(({ code }) => code),
  };
}

/** An authorization to go back to sequence 16. */
function authorized(
  signer: SigningKey = bo,
  about: { expires?: string; fromSequence?: number; sha256?: string; release?: BundleDocument } = {},
): Map<string, Buffer> {
  const { expires = "2026-12-31T00:00:00Z", fromSequence = 17, sha256 = id("6") } = about;
  const word = wordOf(signer, "rollback");
  const statement = rollbackStatement(word, about.release ?? release(16), { sha256, fromSequence, expires });
  const { fileName, bytes } = makeApproval(statement, signer);
  return new Map([[fileName, bytes]]);
}

describe("a site takes", () => {
  it("anything of a product that it never had", () => {
    expect(ask(release(1), id("1"), { state: fresh })).toMatchObject({ findings: [], expired: [] });
  });

  it("what it has, what is newer, and another variant of the same sequence", () => {
    expect(ask(release(17), id("7")).codes).toEqual([]);
    expect(ask(release(18), id("8")).codes).toEqual([]);
    expect(ask(release(17, { tier: "runtime" }), id("9")).codes).toEqual([]);
  });

  it("no older one", () => {
    expect(ask(release(16), id("6")).codes).toEqual(["ROLLBACK"]);
    expect(ask(release(16, { systems: ["aarch64-linux"] }), id("6")).codes).toEqual(["ROLLBACK"]);
  });

  it("no other bundle of a sequence and variant that it took, also one long ago", () => {
    expect(ask(release(17), id("a")).codes).toEqual(["EQUIVOCATION"]);
    const later = withRelease(at17, release(18), id("8"), NOW);
    expect(ask(release(17), id("a"), { state: later }).codes).toEqual(["EQUIVOCATION", "ROLLBACK"]);
  });

  it("nothing under the policy's minimum, whatever it remembers", () => {
    const change = (p: PolicyDocument) => {
      p.products[0]!.minSequence = 20;
    };
    expect(ask(release(18), id("8"), { change }).codes).toEqual(["SEQUENCE_MINIMUM"]);
    expect(ask(release(18), id("8"), { change, state: null }).codes).toEqual(["SEQUENCE_MINIMUM"]);
  });
});

describe("a way back", () => {
  it("is open to who was authorized, and is told", () => {
    const { codes, notes } = ask(release(16), id("6"), { rollbacks: authorized() });
    expect(codes).toEqual([]);
    expect(notes).toEqual(["taken back from sequence 17 to 16, as authorized"]);
  });

  it.each<[string, Map<string, Buffer>, string]>([
    ["has expired", authorized(bo, { expires: "2026-11-25T11:59:59Z" }), "ROLLBACK_REFUSED"],
    ["is for sites that are less far", authorized(bo, { fromSequence: 16 }), "ROLLBACK_REFUSED"],
    ["is for another bundle", authorized(bo, { sha256: id("5") }), "APPROVAL_SUBJECT"],
    ["names another release", authorized(bo, { release: release(15) }), "APPROVAL_BINDING"],
    ["is by somebody without the role", authorized(ada), "APPROVAL_ROLE"],
    ["is a stranger's", authorized(eve), "APPROVAL_UNTRUSTED"],
  ])("stays closed where the authorization %s", (_, rollbacks, code) => {
    const { codes } = ask(release(16), id("6"), { rollbacks });
    expect(codes[0]).toBe("ROLLBACK");
    expect(codes).toContain(code);
  });

  it("stays closed where the policy opens it to nobody, or asks for more", () => {
    const nobody = (p: PolicyDocument) => {
      p.rollback = null;
    };
    expect(ask(release(16), id("6"), { rollbacks: authorized(), change: nobody }).codes).toEqual([
      "ROLLBACK",
      "ROLLBACK_REFUSED",
    ]);
    const two = (p: PolicyDocument) => {
      p.rollback = { persons: 2 };
      p.signers[0]!.keys[0]!.roles = ["policy", "qa", "rollback"];
    };
    expect(ask(release(16), id("6"), { rollbacks: authorized(), change: two }).codes).toContain(
      "APPROVAL_THRESHOLD",
    );
    const both = new Map([...authorized(), ...authorized(ada)]);
    expect(ask(release(16), id("6"), { rollbacks: both, change: two }).codes).toEqual([]);
  });

  it("lowers what the site takes, and forgets nothing", () => {
    const back = withRelease(at17, release(16), id("6"), NOW);
    expect(back.products).toMatchObject([{ sequence: 16 }]);
    expect(back.products[0]!.accepted.map(({ sequence }) => sequence)).toEqual([17, 16]);
    expect(ask(release(17), id("a"), { state: back }).codes).toEqual(["EQUIVOCATION"]);
    expect(ask(release(15), id("5"), { state: back }).codes).toEqual(["ROLLBACK"]);
  });
});

describe("what has expired", () => {
  it("is told apart from what is wrong", () => {
    const change = (p: PolicyDocument) => {
      p.expires = "2026-11-25T11:59:59Z";
      p.products[0]!.maxAgeDays = 24;
    };
    const { codes, expiredCodes } = ask(release(18), id("8"), { change });
    expect(codes).toEqual([]);
    expect(expiredCodes).toEqual(["POLICY_EXPIRED"]);
    expect(ask(release(18, { created: "2026-10-31T00:00:00Z" }), id("8"), { change }).expiredCodes).toEqual([
      "POLICY_EXPIRED",
      "BUNDLE_EXPIRED",
    ]);
  });

  it("cannot be put off by a time to come", () => {
    const change = (p: PolicyDocument) => {
      p.products[0]!.maxAgeDays = 30;
    };
    const ahead = release(18, { created: "2031-01-01T00:00:00Z" });
    expect(ask(ahead, id("8"), { change }).expiredCodes).toEqual(["BUNDLE_FUTURE"]);
    // Clocks of two machines differ.
    const tomorrow = release(18, { created: "2026-11-26T00:00:00Z" });
    expect(ask(tomorrow, id("8"), { change }).expiredCodes).toEqual([]);
  });

  it("is asked where nobody remembers, too", () => {
    const change = (p: PolicyDocument) => {
      p.products[0]!.maxAgeDays = 1;
    };
    expect(ask(release(1), id("1"), { state: null, change }).expiredCodes).toEqual(["BUNDLE_EXPIRED"]);
  });
});

describe("the clock", () => {
  const state = withTime(at17, "2026-11-25T12:05:00Z");

  it("may drift by what the policy allows", () => {
    expect(ask(release(18), id("8"), { state, now: "2026-11-25T12:00:00Z" }).codes).toEqual([]);
  });

  it("may not be behind the last time seen", () => {
    expect(ask(release(18), id("8"), { state, now: "2026-11-25T11:59:59Z" }).codes).toEqual(["CLOCK_BEHIND"]);
  });

  it("never takes the time back by itself", () => {
    expect(withTime(state, "2020-01-01T00:00:00Z").lastSeen).toBe(state.lastSeen);
  });
});

describe("a state", () => {
  it("prints and reads back", () => {
    expect(parseState(Buffer.from(formatState(at17)), "s")).toEqual(at17);
  });

  it.each<[string, (state: SiteState) => string]>([
    ["another encoding", (state) => JSON.stringify(state)],
    ["a field that nobody knows", (state) => formatState({ ...state, more: 1 } as SiteState)],
    ["a time that does not exist", (state) => formatState({ ...state, lastSeen: "2026-02-30T00:00:00Z" })],
    ["half of it", (state) => formatState(state).slice(0, 100)],
    ["nothing", () => ""],
  ])("is refused with %s", (_, write) => {
    expect(() => parseState(Buffer.from(write(at17)), "s")).toThrow(
      expect.objectContaining({ code: "STATE_INVALID" }),
    );
  });
});
