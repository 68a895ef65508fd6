import { describe, expect, it } from "vitest";
import type { Policy as PolicyDocument } from "../../src/generated/types.js";
import { generateSecretKey, toSpkiPem } from "../../src/nix/signature.js";
import { parsePolicy } from "../../src/trust/policy.js";
import { ada, policyBytes, policyDocument, readPolicy } from "../support/people.js";

const refusal = (bytes: Buffer): string => {
  try {
    parsePolicy(bytes, "p.json");
  } catch (error) {
    const { code, details } = error as {
      code: string;
      details: { expected?: string; actual?: string; hint?: string };
    };
    return `${code}: ${details.expected} | ${details.actual} | ${details.hint ?? ""}`;
  }
  return "accepted";
};
const refused = (change: (policy: PolicyDocument) => unknown) => refusal(policyBytes(policyDocument(change)));

describe("a policy", () => {
  it("is read, with every key by its hash", () => {
    const { keys, reference } = readPolicy();
    expect(keys.size).toBe(5);
    expect(keys.get(ada.publicKey.hash)).toMatchObject({ signer: { id: "ada@example.org" } });
    expect(reference.version).toBe(1);
  });

  it("may say why, in comments", () => {
    const change = (policy: PolicyDocument) => {
      policy.comment = "all of it";
      policy.signers[0]!.keys[0]!.comment = "in the safe";
    };
    expect(readPolicy(change).document.comment).toBe("all of it");
  });

  it("has one encoding, and says how to get it", () => {
    expect(refusal(Buffer.from(JSON.stringify(policyDocument())))).toMatch(/jq -S/);
  });

  const [product, qa, adas] = [
    (p: PolicyDocument) => p.products[0]!,
    (p: PolicyDocument) => p.roles[1]!,
    (p: PolicyDocument) => p.signers[0]!,
  ];
  const adasPem = toSpkiPem(generateSecretKey("ada-1", Buffer.alloc(32, 2)).publicKey).trimEnd();
  const HALF = Buffer.alloc(31).toString("base64");
  it.each<[string, (policy: PolicyDocument) => unknown, RegExp]>([
    ["a threshold of 0", (p) => (product(p).approvals[1]!.persons = 0), /persons/],
    ["no approvals at all", (p) => (product(p).approvals = []), /approvals/],
    [
      "more signers than there are",
      (p) => (product(p).approvals[1]!.persons = 2),
      /2 signers with a key for role qa/,
    ],
    ["more persons than there are", (p) => (product(p).persons = 3), /3 persons/],
    ["more policy signers than there are", (p) => (p.policySigners.persons = 3), /policySigners: 3/],
    ["a way back that nobody can authorize", (p) => (p.rollback = { persons: 2 }), /rollback: 2/],
    ["a role that is not listed", (p) => (product(p).approvals[1]!.role = "quality"), /"roles"/],
    ["a reserved role to approve in", (p) => (product(p).approvals[1]!.role = "policy"), /"roles"/],
    ["a key with a role that is not listed", (p) => (adas(p).keys[0]!.roles = ["policy", "zz"]), /zz/],
    ["a machine in a person's role", (p) => (p.signers[3]!.keys[0]!.roles = ["qa"]), /held by a person/],
    ["a person in a machine's role", (p) => (adas(p).keys[0]!.roles = ["packer"]), /held by a machine/],
    [
      "machines that sign policies",
      (p) => p.roles.splice(1, 0, { ...qa(p), kind: "machine", role: "policy" }),
      /persons/,
    ],
    ["a plain key where touch is asked", (p) => (qa(p).touch = true), /FIDO/],
    ["one key twice", (p) => (adas(p).keys[1]!.publicKey = adas(p).keys[0]!.publicKey), /each key once/],
    [
      "one key for two",
      (p) =>
        Object.assign(p.signers[1]!.keys[0]!, {
          ...adas(p).keys[0]!,
          roles: ["policy", "release", "rollback"],
        }),
      /each key once/,
    ],
    ["a key in another form", (p) => (adas(p).keys[0]!.publicKey += "\n"), /without comment or newline/],
    [
      "a key of PEM where Nix's form is the one",
      (p) => (adas(p).keys[0]!.publicKey = adasPem),
      /without comment/,
    ],
    ["another scheme than the key's", (p) => (adas(p).keys[0]!.scheme = "ssh"), /scheme ed25519/],
    [
      "a point of small order",
      (p) => (adas(p).keys[0]!.publicKey = `a:${Buffer.alloc(32).toString("base64")}`),
      /usable/,
    ],
    ["a key that is too short", (p) => (adas(p).keys[0]!.publicKey = `a:${HALF}`), /key 1 of ada/],
    [
      "lax base64",
      (p) => (adas(p).keys[0]!.publicKey = adas(p).keys[0]!.publicKey.replace(/=$/, "")),
      /key 1 of ada/,
    ],
    ["signers out of order", (p) => p.signers.reverse(), /signers, by id/],
    ["products twice", (p) => p.products.push(product(p)), /products/],
    ["roles of a key out of order", (p) => adas(p).keys[0]!.roles.reverse(), /roles of a key/],
    ["version 2 without one before", (p) => (p.version = 2), /previous/],
    ["version 1 with one before", (p) => (p.previous = "a".repeat(64)), /previous/],
    ["a time that does not exist", (p) => (p.created = "2026-02-30T00:00:00Z"), /a time that exists/],
    ["an end before its beginning", (p) => (p.expires = "2025-01-01T00:00:00Z"), /expires after created/],
    [
      "a key that ends before it begins",
      (p) =>
        Object.assign(adas(p).keys[0]!, {
          validFrom: "2026-02-01T00:00:00Z",
          validUntil: "2026-01-01T00:00:00Z",
        }),
      /validFrom/,
    ],
    ["a builder key that is none", (p) => (p.builderKeys = ["cache:x"]), /builderKeys/],
    ["a field that nobody knows", (p) => Object.assign(p, { allowAll: true }), /additional/],
    ["a newer format", (p) => Object.assign(p, { formatVersion: "2.0" }), /formatVersion/],
    ["control characters in a name", (p) => (adas(p).name = "Ada\u001b[2J"), /name/],
    ["text that runs the other way", (p) => (adas(p).name = "Ada \u202e"), /name/],
  ])("is refused with %s", (_, change, words) => {
    const said = refused(change);
    expect(said).toMatch(/^POLICY_INVALID/);
    expect(said).toMatch(words);
  });
});
