import { createHash } from "node:crypto";
import { describe, expect, it } from "vitest";
import { formatJson } from "../../src/canonical-json.js";
import { AirgapError } from "../../src/errors.js";
import type { Policy as PolicyDocument } from "../../src/generated/types.js";
import { formatPublicKey, generateSecretKey } from "../../src/nix/signature.js";
import { formatVerificationKey } from "../../src/trust/keys.js";
import { MAX_POLICY_SIZE, parsePolicy, roleOf, verificationKeys } from "../../src/trust/policy.js";
import { draftPolicy } from "../../src/trust/policy-draft.js";
import {
  DRAFTED,
  draft,
  ed25519,
  fido,
  firstPolicy,
  machine,
  p256,
  person,
  policyBytes,
  sameKeyOfSsh,
} from "../support/people.js";

const ada = person("ada", ["policy", "qa", "rollback"]);
const bob = person("bob", ["qa", "release"], p256("bob.pem"));
const eve = person("eve", ["signoff"], fido({ touch: true, pin: true }));
const packer = machine("packer", ["packer"]);
const builder = generateSecretKey("builder-1", Buffer.alloc(32, 9)).publicKey;

const options = draft([ada, bob, eve, packer], {
  products: ["acme-pump"],
  approvals: [
    { role: "packer", persons: 1 },
    { role: "qa", persons: 2 },
    { role: "release", persons: 1 },
  ],
  persons: 2,
  lockApprovals: [{ role: "qa", persons: 1 }],
  rollbackSigners: 1,
  requiredDocuments: ["notice.txt", "sbom.json"],
  touch: ["signoff"],
  expires: "2027-01-01T00:00:00Z",
  builderKeys: [formatPublicKey(builder)],
  withdraw: [
    { sha256: "1".repeat(64), reason: "wrong" },
    { sha256: "2".repeat(64), reason: "worse" },
  ],
});
const BYTES = draftPolicy(options, null, DRAFTED);
const good = parsePolicy(BYTES, "policy.json");

/** What is said of bytes that are no policy. */
function refusal(bytes: Uint8Array): AirgapError {
  try {
    parsePolicy(bytes, "policy.json");
  } catch (error) {
    if (error instanceof AirgapError) return error;
    throw error;
  }
  throw new Error("it was read");
}

describe("a policy", () => {
  it("is read: its document, its hash, and its keys by their hashes", () => {
    expect(good.document).toEqual(JSON.parse(BYTES.toString()));
    expect(good.reference).toEqual({ version: 1, sha256: createHash("sha256").update(BYTES).digest("hex") });
    const keys = [ada, bob, eve, packer].map(({ key }) => key.publicKey);
    expect([...good.keys.keys()]).toEqual(keys.map(({ hash }) => hash));
    expect(good.builderKeys.map(({ name }) => name)).toEqual(["builder-1"]);
    for (const { id, key, roles } of [ada, bob, eve, packer]) {
      const { signer, entry, verification } = good.keys.get(key.publicKey.hash)!;
      expect([signer.id, entry.roles, verification.scheme]).toEqual([id, roles, key.publicKey.scheme]);
    }
    expect(verificationKeys(good).map(({ hash }) => hash)).toEqual(keys.map(({ hash }) => hash));
  });

  it("says how a role is held: those of its own as persons do, where it is silent", () => {
    expect(roleOf(good.document, "signoff")).toEqual({
      kind: "person",
      pin: false,
      role: "signoff",
      touch: true,
    });
    expect(roleOf(good.document, "packer").kind).toBe("machine");
    expect(roleOf(good.document, "policy")).toEqual({
      kind: "person",
      pin: false,
      role: "policy",
      touch: false,
    });
  });

  it("may say how its own roles are held, by persons", () => {
    const change = (p: PolicyDocument) =>
      p.roles.splice(1, 0, { kind: "person", pin: false, role: "policy", touch: false });
    expect(parsePolicy(policyBytes(good, change), "policy.json").reference.version).toBe(1);
  });

  it("may have comments, no nobody for rollbacks, no rule for locks", () => {
    const change = (p: PolicyDocument) =>
      Object.assign(p, { comment: "for site 7", rollback: null, flakeLocks: null, expires: null });
    expect(parsePolicy(policyBytes(good, change), "policy.json").document.comment).toBe("for site 7");
  });
});

type Change = (policy: PolicyDocument) => unknown;
const signerOf = (policy: PolicyDocument, id: string) => policy.signers.find((signer) => signer.id === id)!;
const keyOf = (policy: PolicyDocument, id: string) => signerOf(policy, id).keys[0]!;
const product = (policy: PolicyDocument) => policy.products[0]!;
const text = (holder: typeof ada) => formatVerificationKey(holder.key.publicKey).trimEnd();
const another = (policy: PolicyDocument, publicKey: string, scheme: "ed25519" | "ecdsa-p256" | "ssh") => ({
  ...keyOf(policy, "bob"),
  publicKey,
  scheme,
});
const REVOKED = { at: DRAFTED, keepEarlier: false, reason: "lost" };

const NUMBERS: readonly [rule: string, change: Change, words: string][] = [
  ["a threshold of 0 in a role", (p) => (product(p).approvals[1]!.persons = 0), "/persons"],
  ["a threshold of 0 for locks", (p) => (p.flakeLocks!.approvals[0]!.persons = 0), "/flakeLocks"],
  ["a threshold of 0 for policies", (p) => (p.policySigners.persons = 0), "/policySigners/persons"],
  ["a threshold of 0 for rollbacks", (p) => (p.rollback!.persons = 0), "/rollback"],
  ["a threshold below 0", (p) => (product(p).persons = -1), "/persons"],
  ["a product that nobody approves", (p) => (product(p).approvals = []), "/approvals"],
  [
    "a role that too few hold",
    (p) => (product(p).approvals[1]!.persons = 3),
    "product acme-pump: 3 signers with a key for role qa",
  ],
  ["too few persons over all", (p) => (product(p).persons = 3), "product acme-pump: 3 persons"],
  [
    "persons asked for where machines sign",
    (p) => Object.assign(product(p), { approvals: [{ persons: 1, role: "packer" }], persons: 1 }),
    "product acme-pump: 1 persons",
  ],
  ["locks that too few approve", (p) => (p.flakeLocks!.approvals[0]!.persons = 3), "flakeLocks: 3 signers"],
  ["locks with too few persons", (p) => (p.flakeLocks!.persons = 3), "flakeLocks: 3 persons"],
  [
    "too few who sign policies",
    (p) => (p.policySigners.persons = 2),
    "policySigners: 2 signers with a key for role policy",
  ],
  [
    "too few who authorize rollbacks",
    (p) => (p.rollback!.persons = 2),
    "rollback: 2 signers with a key for role rollback",
  ],
  [
    "a role whose only key is revoked",
    (p) => (keyOf(p, "packer").revoked = REVOKED),
    "product acme-pump: 1 signers with a key for role packer",
  ],
];

const KEYS: readonly [rule: string, change: Change, words: string][] = [
  [
    "the same key for two",
    (p) => Object.assign(keyOf(p, "bob"), { publicKey: text(ada), scheme: "ed25519" }),
    "each key once",
  ],
  ["the same key twice for one", (p) => signerOf(p, "bob").keys.push(keyOf(p, "bob")), "each key once"],
  [
    "the same key under another name",
    (p) => signerOf(p, "bob").keys.push(another(p, text(ada).replace("ada-1", "bob-1"), "ed25519")),
    "each key once",
  ],
  [
    "the same key as one of OpenSSH",
    (p) =>
      signerOf(p, "bob").keys.push(another(p, formatVerificationKey(sameKeyOfSsh(ada.key.publicKey)), "ssh")),
    "each key once",
  ],
  ["a key with a comment", (p) => (keyOf(p, "eve").publicKey += " eve@desk"), "key 1 of eve without comment"],
  [
    "a key with a newline",
    (p) => (keyOf(p, "bob").publicKey += "\n"),
    "key 1 of bob without comment or newline",
  ],
  [
    "a scheme that is not the key's",
    (p) => (keyOf(p, "ada").scheme = "ssh"),
    "scheme ed25519 for key 1 of ada",
  ],
  ["an unknown scheme", (p) => (keyOf(p, "ada").scheme = "rsa" as "ssh"), "/scheme"],
  ["a key that is none", (p) => (keyOf(p, "ada").publicKey = "ada-1:AAAA"), "key 1 of ada"],
  [
    "a key of small order",
    (p) => (keyOf(p, "ada").publicKey = `ada-1:${Buffer.alloc(32).toString("base64")}`),
    "key 1 of ada: a usable Ed25519 public key",
  ],
  ["a builder's key that is none", (p) => (p.builderKeys = ["x"]), "builderKeys"],
  ["a person without a key", (p) => (signerOf(p, "eve").keys = []), "/keys"],
  ["a key without a role", (p) => (keyOf(p, "ada").roles = []), "/roles"],
];

const ROLES: readonly [rule: string, change: Change, words: string][] = [
  [
    "a machine in a person's role",
    (p) => (keyOf(p, "packer").roles = ["packer", "qa"]),
    "role qa: held by a person",
  ],
  [
    "a person in a machine's role",
    (p) => (keyOf(p, "bob").roles = ["packer", "qa", "release"]),
    "role packer: held by a machine",
  ],
  [
    "a machine that signs policies",
    (p) => (keyOf(p, "packer").roles = ["packer", "policy"]),
    "role policy: held by a person",
  ],
  [
    "machines made to sign policies",
    (p) => p.roles.splice(1, 0, { kind: "machine", pin: false, role: "policy", touch: false }),
    "role policy: held by persons",
  ],
  [
    "machines made to authorize rollbacks",
    (p) => p.roles.splice(3, 0, { kind: "machine", pin: false, role: "rollback", touch: false }),
    "role rollback: held by persons",
  ],
  [
    "a plain key in a role with touch",
    (p) => (p.roles.find(({ role }) => role === "qa")!.touch = true),
    "role qa: a FIDO key",
  ],
  [
    "a plain key in a role with PIN",
    (p) => (p.roles.find(({ role }) => role === "release")!.pin = true),
    "role release: a FIDO key",
  ],
  [
    "a role that is not listed",
    (p) => (keyOf(p, "bob").roles = ["aid", "qa", "release"]),
    'of the list "roles" for bob',
  ],
  [
    "an approval in a role that is not listed",
    (p) => (product(p).approvals[1]!.role = "qb"),
    'product acme-pump: a role of the list "roles"',
  ],
  [
    "an approval in the role of policies",
    (p) => (product(p).approvals = [{ persons: 1, role: "policy" }]),
    'product acme-pump: a role of the list "roles"',
  ],
  [
    "an approval in the role of policies, though that is listed",
    (p) => {
      p.roles.splice(1, 0, { kind: "person", pin: false, role: "policy", touch: false });
      product(p).approvals = [{ persons: 1, role: "policy" }];
      product(p).persons = 1;
    },
    'product acme-pump: a role of the list "roles"',
  ],
  [
    "a lock in a role that is not listed",
    (p) => (p.flakeLocks!.approvals[0]!.role = "qb"),
    'flakeLocks: a role of the list "roles"',
  ],
];

const ORDER: readonly [rule: string, change: Change, words: string][] = [
  ["signers", (p) => p.signers.reverse(), "signers, by id: sorted"],
  [
    "the same signer twice",
    (p) => p.signers.splice(1, 0, signerOf(p, "ada")),
    "signers, by id: sorted, each once",
  ],
  ["roles", (p) => p.roles.reverse(), "roles: sorted"],
  ["the same role twice", (p) => p.roles.splice(1, 0, p.roles[0]!), "roles: sorted, each once"],
  ["products", (p) => p.products.push({ ...product(p), product: "a" }), "products: sorted"],
  ["the same product twice", (p) => p.products.push(product(p)), "products: sorted, each once"],
  ["withdrawn", (p) => p.withdrawn.reverse(), "withdrawn, by sha256: sorted"],
  ["builderKeys", (p) => p.builderKeys.push(p.builderKeys[0]!), "builderKeys: sorted, each once"],
  ["a key's roles", (p) => keyOf(p, "ada").roles.reverse(), "the roles of a key of ada: sorted"],
  ["approvals", (p) => product(p).approvals.reverse(), "approvals of product acme-pump: sorted"],
  [
    "the same approval twice",
    (p) => product(p).approvals.push(product(p).approvals[2]!),
    "approvals of product acme-pump: sorted, each once",
  ],
  [
    "a lock's approvals",
    (p) => p.flakeLocks!.approvals.push({ persons: 1, role: "qa" }),
    "approvals of flakeLocks: sorted",
  ],
  [
    "required documents",
    (p) => product(p).requiredDocuments.reverse(),
    "requiredDocuments of acme-pump: sorted",
  ],
];

const PLACE: readonly [rule: string, change: Change, words: string][] = [
  ["version 0", (p) => (p.version = 0), "/version"],
  ["version 1 with one before it", (p) => (p.previous = "0".repeat(64)), "previous: null in version 1 alone"],
  ["version 2 with none before it", (p) => (p.version = 2), "previous: null in version 1 alone"],
  ["a creation that did not happen", (p) => (p.created = "2026-02-30T00:00:00Z"), "a time that exists"],
  ["an end that will not come", (p) => (p.expires = "2027-02-29T00:00:00Z"), "a time that exists"],
  ["an end before its beginning", (p) => (p.expires = DRAFTED), "expires after created"],
  [
    "a key valid from no time",
    (p) => (keyOf(p, "ada").validFrom = "2026-02-30T00:00:00Z"),
    "a time that exists",
  ],
  [
    "a key valid until no time",
    (p) => (keyOf(p, "ada").validUntil = "2026-02-30T00:00:00Z"),
    "a time that exists",
  ],
  [
    "a key revoked at no time",
    (p) => (keyOf(p, "bob").revoked = { ...REVOKED, at: "2026-02-30T00:00:00Z" }),
    "a time that exists",
  ],
  [
    "a key valid for no time",
    (p) => Object.assign(keyOf(p, "ada"), { validFrom: DRAFTED, validUntil: DRAFTED }),
    "validFrom before validUntil",
  ],
  ["a drift of more than a day", (p) => (p.limits.clockDriftSeconds = 86401), "/limits/clockDriftSeconds"],
  ["another format", (p) => Object.assign(p, { format: "nix-airgap-bundle" }), "/format"],
  ["an unknown field", (p) => Object.assign(p, { threshold: 1 }), '"threshold"'],
  [
    "an unknown field of a key",
    (p) => Object.assign(keyOf(p, "ada"), { trust: "always" }),
    "additional properties",
  ],
  [
    "an unknown field of a product",
    (p) => Object.assign(product(p), { skip: true }),
    "additional properties",
  ],
  ["a field missing", (p) => delete (p as Partial<PolicyDocument>).limits, "limits"],
  ["a name with a line break", (p) => (p.name = "a\nb"), "/name"],
  ["a person's name with brackets", (p) => (signerOf(p, "ada").name = "Ada <root>"), "/name"],
  ["a reason that turns the text around", (p) => (p.withdrawn[0]!.reason = "\u202e"), "/reason"],
];

describe("a policy is refused, in words that say why, with", () => {
  it.each([...NUMBERS, ...KEYS, ...ROLES, ...PLACE])("%s", (_, change, words) => {
    const error = refusal(policyBytes(good, change));
    expect(error.code).toBe("POLICY_INVALID");
    expect(error.details.subject).toBe("policy.json");
    expect(error.message).toContain(words);
  });

  it("a version of the format to come, before what that may have besides", () => {
    const error = refusal(policyBytes(good, (p) => Object.assign(p, { formatVersion: "2.0", quorum: 3 })));
    expect(error).toMatchObject({ code: "POLICY_INVALID", details: { expected: "formatVersion 1.0" } });
    expect(error.details.hint).toContain("newer nix-airgap");
  });

  it.each(ORDER)("%s out of order", (_, change, words) => {
    const error = refusal(policyBytes(good, change));
    expect(error.code).toBe("POLICY_INVALID");
    expect(error.message).toContain(words);
  });

  it.each([
    ["on one line", (value: unknown) => JSON.stringify(value)],
    ["indented by four", (value: unknown) => `${JSON.stringify(value, null, 4)}\n`],
    ["without its last newline", (value: unknown) => formatJson(value).trimEnd()],
    ["with carriage returns", (value: unknown) => formatJson(value).replaceAll("\n", "\r\n")],
    ["with an escape that need not be", (value: unknown) => formatJson(value).replace("ada", "\\u0061da")],
  ])("another encoding: %s; and the hint says what writes the right one", (_, print) => {
    const error = refusal(Buffer.from(print(good.document)));
    expect(error.code).toBe("POLICY_INVALID");
    expect(error.details.hint).toContain("jq -S .");
  });

  it.each([
    ["a key twice", Buffer.from(BYTES.toString().replace('"version": 1', '"version": 1,\n  "version": 1'))],
    ["__proto__", Buffer.from(BYTES.toString().replace("{", '{\n  "__proto__": {},'))],
    ["text behind", Buffer.concat([BYTES, Buffer.from("{}")])],
    ["a byte order mark", Buffer.concat([Buffer.from("\ufeff"), BYTES])],
    ["nothing in it", Buffer.alloc(0)],
    ["more bytes than a policy has", Buffer.alloc(MAX_POLICY_SIZE + 1, " ")],
  ])("%s", (_, bytes) => {
    const error = refusal(bytes);
    expect(error.code).toBe("POLICY_INVALID");
    expect(error.details.hint).toBeUndefined();
    expect(error.cause).toMatchObject({ code: "JSON_INVALID" });
  });
});

describe("a role that asks for touch", () => {
  it("keeps what it had: a key without touch that is revoked", () => {
    const plain = person("gus", ["signoff"], ed25519("gus"));
    const before = firstPolicy([ada, plain], { approvals: [{ role: "signoff", persons: 1 }] });
    const revoke = [{ keyHash: plain.key.publicKey.hash, reason: "given back" }];
    const gus = person("gus", ["signoff"], fido({ touch: true, pin: false }));
    const bytes = draftPolicy(draft([gus], { revoke, touch: ["signoff"] }), before, "2026-02-01T00:00:00Z");
    expect(parsePolicy(bytes, "policy.json").keys.size).toBe(3);
  });
});
