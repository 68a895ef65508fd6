import { describe, expect, it } from "vitest";
import { formatPublicKey, generateSecretKey } from "../../src/nix/signature.js";
import { parsePolicy } from "../../src/trust/policy.js";
import type { DraftOptions } from "../../src/trust/policy-draft.js";
import { draftPolicy } from "../../src/trust/policy-draft.js";
import {
  changedPolicy,
  DRAFTED,
  draft,
  ed25519,
  firstPolicy,
  machine,
  nextPolicy,
  person,
  SIGNED,
} from "../support/people.js";

const ada = person("ada", ["qa", "policy", "qa"]);
const bob = person("bob", ["release"]);
const packer = machine("packer", ["packer"]);
const approvals = [
  { role: "release", persons: 1 },
  { role: "packer", persons: 1 },
  { role: "qa", persons: 1 },
];
const first = firstPolicy([bob, packer, ada], {
  approvals,
  requiredDocuments: ["sbom.json", "a.txt", "a.txt"],
});

describe("a first policy", () => {
  it("has version 1, none before it, and the defaults of one", () => {
    expect(first.document).toMatchObject({
      builderKeys: [],
      created: DRAFTED,
      expires: null,
      flakeLocks: null,
      limits: { clockDriftSeconds: 300, maxNarBytes: null, maxPaths: null },
      name: "site policy",
      policySigners: { persons: 1 },
      previous: null,
      rollback: null,
      version: 1,
      withdrawn: [],
    });
  });

  it("asks of a product what was said, sorted, and that nobody stands for two persons", () => {
    expect(first.document.products).toEqual([
      {
        approvals: [
          { role: "packer", persons: 1 },
          { role: "qa", persons: 1 },
          { role: "release", persons: 1 },
        ],
        maxAgeDays: null,
        minSequence: 0,
        persons: 2,
        product: "acme-pump",
        requiredDocuments: ["a.txt", "sbom.json"],
      },
    ]);
  });

  it("lists who holds which role, by whom it is held, and each key without its comment", () => {
    expect(first.document.signers.map(({ id, kind, keys }) => [id, kind, keys[0]!.roles])).toEqual([
      ["ada", "person", ["policy", "qa"]],
      ["bob", "person", ["release"]],
      ["packer", "machine", ["packer"]],
    ]);
    expect(first.document.roles).toEqual([
      { kind: "machine", pin: false, role: "packer", touch: false },
      { kind: "person", pin: false, role: "qa", touch: false },
      { kind: "person", pin: false, role: "release", touch: false },
    ]);
  });

  it("asks for as many people as new approvals do, and for fewer only where that is said", () => {
    const first = firstPolicy([ada, bob], { approvals: [{ role: "qa", persons: 1 }] });
    const persons = (given: Parameters<typeof nextPolicy>[2]) =>
      nextPolicy(first, [], { products: ["acme-pump"], ...given }).document.products[0]!.persons;
    const both = [
      { role: "qa", persons: 1 },
      { role: "release", persons: 1 },
    ];
    expect(first.document.products[0]!.persons).toBe(1);
    expect(persons({ approvals: both })).toBe(2);
    expect(persons({ approvals: both, persons: 1 })).toBe(1);
    expect(persons({ approvals: [] })).toBe(1);
  });

  it("takes every option", () => {
    const builder = formatPublicKey(generateSecretKey("b-1", Buffer.alloc(32, 5)).publicKey);
    const { document } = firstPolicy([ada, bob, person("cyn", ["rollback"])], {
      approvals: [{ role: "qa", persons: 1 }],
      builderKeys: [builder, builder],
      expires: "2027-01-01T00:00:00Z",
      lockApprovals: [
        { role: "release", persons: 1 },
        { role: "qa", persons: 1 },
      ],
      maxAgeDays: 90,
      name: "site 7",
      persons: 0,
      policySigners: 1,
      products: ["b", "a"],
      rollbackSigners: 1,
      withdraw: [
        { sha256: "2".repeat(64), reason: "two" },
        { sha256: "1".repeat(64), reason: "one" },
      ],
    });
    expect(document).toMatchObject({
      builderKeys: [builder],
      expires: "2027-01-01T00:00:00Z",
      flakeLocks: { approvals: [{ role: "qa" }, { role: "release" }], persons: 2 },
      name: "site 7",
      policySigners: { persons: 1 },
      products: [
        { product: "a", persons: 0, maxAgeDays: 90 },
        { product: "b", persons: 0, maxAgeDays: 90 },
      ],
      rollback: { persons: 1 },
      withdrawn: [{ reason: "one" }, { reason: "two" }],
    });
  });

  it("is the same bytes for the same inputs, in whatever order", () => {
    const one = draft([bob, packer, ada], { products: ["b", "a"], approvals });
    const two = draft([ada, bob, packer], { products: ["a", "b"], approvals: [...approvals].reverse() });
    const bytes = draftPolicy(one, null, DRAFTED);
    expect(draftPolicy(one, null, DRAFTED)).toEqual(bytes);
    expect(draftPolicy(two, null, DRAFTED)).toEqual(bytes);
    expect(parsePolicy(bytes, "policy.json").reference.version).toBe(1);
  });
});

describe("the next policy", () => {
  it("follows the one before, and changes nothing that it was not told to", () => {
    const next = nextPolicy(first);
    expect(next.document).toEqual({
      ...first.document,
      created: SIGNED,
      previous: first.reference.sha256,
      version: 2,
    });
    expect(nextPolicy(next).document).toMatchObject({ previous: next.reference.sha256, version: 3 });
    expect(first.document.version).toBe(1);
  });

  it("has one more key for whoever is known, and keeps the others", () => {
    const second = person("ada", ["qa"], ed25519("ada-second"));
    const { document } = nextPolicy(first, [second, person("cyn", ["release"])]);
    expect(document.signers.map(({ id, keys }) => [id, keys.length])).toEqual([
      ["ada", 2],
      ["bob", 1],
      ["cyn", 1],
      ["packer", 1],
    ]);
    expect(document.signers[0]!.keys[0]).toEqual(first.document.signers[0]!.keys[0]);
  });

  it.each([
    ["another name", { ...ada, name: "Ada Other" }],
    ["another kind", { ...ada, kind: "machine" as const }],
  ])("knows nobody by the same id and %s", (_, holder) => {
    const added = { ...holder, key: ed25519("ada-second") };
    expect(() => nextPolicy(first, [added])).toThrow(expect.objectContaining({ code: "USAGE" }));
  });

  it("revokes by a key's hash, at once and for everything it ever signed", () => {
    const cyn = person("cyn", ["policy", "qa"]);
    const revoke = [{ keyHash: ada.key.publicKey.hash, reason: "lost" }];
    const next = nextPolicy(first, [cyn], { revoke });
    const revoked = { at: SIGNED, keepEarlier: false, reason: "lost" };
    expect(next.keys.get(ada.key.publicKey.hash)?.entry.revoked).toEqual(revoked);
    expect(next.keys.get(bob.key.publicKey.hash)?.entry.revoked).toBeNull();
    const again = nextPolicy(next, [], { revoke: [{ keyHash: ada.key.publicKey.hash, reason: "found" }] });
    expect(again.keys.get(ada.key.publicKey.hash)?.entry.revoked).toEqual(revoked);
  });

  it.each([
    ["of nobody's key", "0".repeat(64)],
    ["cut short", ada.key.publicKey.hash.slice(0, 32)],
    ["in capitals", ada.key.publicKey.hash.toUpperCase()],
  ])("revokes nothing by a hash %s", (_, keyHash) => {
    const revoke = [{ keyHash, reason: "lost" }];
    expect(() => nextPolicy(first, [], { revoke })).toThrow(
      expect.objectContaining({
        code: "USAGE",
        details: expect.objectContaining({ subject: "--revoke", actual: keyHash }),
      }),
    );
  });

  it("is not one where nobody is left to sign the next, or to approve", () => {
    for (const holder of [ada, bob, packer]) {
      const revoke = [{ keyHash: holder.key.publicKey.hash, reason: "lost" }];
      expect(() => nextPolicy(first, [], { revoke })).toThrow(
        expect.objectContaining({ code: "POLICY_INVALID" }),
      );
    }
  });

  it("withdraws bundles, beside those withdrawn before", () => {
    const one = nextPolicy(first, [], { withdraw: [{ sha256: "2".repeat(64), reason: "wrong" }] });
    const two = nextPolicy(one, [], { withdraw: [{ sha256: "1".repeat(64), reason: "worse" }] });
    expect(two.document.withdrawn).toEqual([
      { sha256: "1".repeat(64), reason: "worse" },
      { sha256: "2".repeat(64), reason: "wrong" },
    ]);
  });

  it("changes a product that it names, and keeps what it does not name of it", () => {
    const { document } = nextPolicy(first, [], {
      products: ["acme-pump", "acme-valve"],
      maxAgeDays: 30,
      approvals: [{ role: "qa", persons: 1 }],
      persons: 1,
    });
    const [pump, valve] = document.products;
    expect(pump).toEqual({
      approvals: [{ role: "qa", persons: 1 }],
      maxAgeDays: 30,
      minSequence: 0,
      persons: 1,
      product: "acme-pump",
      requiredDocuments: ["a.txt", "sbom.json"],
    });
    expect(valve).toMatchObject({ product: "acme-valve", persons: 1, requiredDocuments: [] });
  });

  it("keeps of a product what no option says", () => {
    const minimum = changedPolicy(first, (p) => (p.products[0]!.minSequence = 17));
    const { document } = nextPolicy(minimum, [], { products: ["acme-pump"], maxAgeDays: 30 });
    expect(document.products[0]).toEqual({ ...first.document.products[0], maxAgeDays: 30, minSequence: 17 });
  });

  it("keeps the persons it asks for, where only roles are said anew", () => {
    const fewer = { products: ["acme-pump"], approvals: [{ role: "qa", persons: 1 }] };
    expect(() => nextPolicy(first, [], fewer)).toThrow(expect.objectContaining({ code: "POLICY_INVALID" }));
    const cyn = person("cyn", ["qa"]);
    expect(nextPolicy(first, [cyn], fewer).document.products[0]).toMatchObject({ persons: 2 });
  });

  it.each<[string, Partial<DraftOptions>]>([
    ["--require", { approvals: [{ role: "qa", persons: 2 }] }],
    ["--persons", { persons: 2 }],
    ["--max-age-days", { maxAgeDays: 30 }],
    ["--required-document", { requiredDocuments: ["sbom.cdx.json"] }],
  ])("does not pass over %s without a product", (option, given) => {
    const details = expect.objectContaining({ expected: expect.stringContaining(option) });
    expect(() => nextPolicy(first, [], given)).toThrow(expect.objectContaining({ code: "USAGE", details }));
  });

  it("makes a role ask for touch and PIN", () => {
    const { document } = nextPolicy(first, [], { touch: ["signoff"], pin: ["signoff", "rollback"] });
    expect(document.roles.filter(({ pin }) => pin)).toEqual([
      { kind: "person", pin: true, role: "rollback", touch: false },
      { kind: "person", pin: true, role: "signoff", touch: true },
    ]);
  });
});
