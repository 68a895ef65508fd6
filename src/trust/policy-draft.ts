/** A policy in the making: the first from people and keys, or the next from the one before. What it means is policy.ts. */
import { formatJson } from "../canonical-json.js";
import { fail } from "../errors.js";
import type { Policy as PolicyDocument, PolicyRequirement, PolicySigner } from "../generated/types.js";
import { formatVerificationKey, parseVerificationKey, type VerificationKey } from "./keys.js";
import { POLICY_ROLE, type Policy, ROLLBACK_ROLE } from "./policy.js";

export interface DraftSigner {
  readonly id: string;
  readonly name: string;
  readonly kind: "person" | "machine";
  readonly key: VerificationKey;
  readonly roles: readonly string[];
}

/** Absent: what the policy before has, or the default of the first. */
export interface DraftOptions {
  readonly name?: string;
  readonly signers: readonly DraftSigner[];
  readonly products: readonly string[];
  /** For every product named. */
  readonly approvals: readonly PolicyRequirement[];
  readonly persons?: number;
  readonly maxAgeDays?: number;
  readonly requiredDocuments: readonly string[];
  readonly lockApprovals: readonly PolicyRequirement[];
  readonly policySigners?: number;
  readonly rollbackSigners?: number;
  readonly expires?: string;
  /** Roles that ask for a FIDO key's touch, or PIN. */
  readonly touch: readonly string[];
  readonly pin: readonly string[];
  readonly builderKeys: readonly string[];
  /** Hashes of keys, and why. */
  readonly revoke: readonly { readonly keyHash: string; readonly reason: string }[];
  /** Bundle ids, and why. */
  readonly withdraw: readonly { readonly sha256: string; readonly reason: string }[];
}

/** The bytes of the policy after `before`, or of a first one. `now`: as `time.ts` writes it. @throws USAGE */
export function draftPolicy(options: DraftOptions, before: Policy | null, now: string): Buffer {
  checkProductOptions(options);
  const old = before?.document ?? firstPolicy(now);
  const signers = addSigners(old.signers, options.signers).map((signer) => revokeKeys(signer, options, now));
  checkRevoked(options, signers);
  const document: PolicyDocument = {
    ...old,
    builderKeys: sorted([...old.builderKeys, ...options.builderKeys]),
    created: now,
    expires: options.expires ?? old.expires,
    flakeLocks:
      options.lockApprovals.length > 0
        ? { approvals: byRole(options.lockApprovals), persons: personsOf(options.lockApprovals) }
        : old.flakeLocks,
    name: options.name ?? old.name,
    policySigners: {
      persons: options.policySigners ?? (before === null ? fewSigners(signers) : old.policySigners.persons),
    },
    previous: before?.reference.sha256 ?? null,
    products: addProducts(old.products, options, signers),
    roles: addRoles(old.roles, options),
    rollback: options.rollbackSigners === undefined ? old.rollback : { persons: options.rollbackSigners },
    signers,
    version: (before?.reference.version ?? 0) + 1,
    withdrawn: [...old.withdrawn, ...options.withdraw].sort((a, b) => (a.sha256 < b.sha256 ? -1 : 1)),
  };
  return Buffer.from(formatJson(document));
}

/** What is for products named is for none where none is: that must not pass in silence. */
function checkProductOptions({ products, ...options }: DraftOptions): void {
  const given = [
    ["--require", options.approvals.length > 0],
    ["--persons", options.persons !== undefined],
    ["--max-age-days", options.maxAgeDays !== undefined],
    ["--required-document", options.requiredDocuments.length > 0],
  ] as const;
  const lost = given.flatMap(([option, isGiven]) => (isGiven ? [option] : []));
  if (products.length > 0 || lost.length === 0) return;
  fail("USAGE", {
    subject: "--product",
    expected: `the products that ${lost.join(", ")} is for`,
    actual: "none",
  });
}

/** Nobody alone, where there are others. */
function fewSigners(signers: readonly PolicySigner[]): number {
  const able = signers.filter(({ keys }) => keys.some(({ roles }) => roles.includes(POLICY_ROLE)));
  return Math.max(1, Math.min(2, able.length));
}

function firstPolicy(now: string): PolicyDocument {
  return {
    builderKeys: [],
    created: now,
    expires: null,
    flakeLocks: null,
    format: "nix-airgap-policy",
    formatVersion: "1.0",
    limits: { clockDriftSeconds: 300, maxNarBytes: null, maxPaths: null },
    name: "site policy",
    policySigners: { persons: 1 },
    previous: null,
    products: [],
    roles: [],
    rollback: null,
    signers: [],
    version: 1,
    withdrawn: [],
  };
}

/** One more key for those who are known, by id; the others are new. */
function addSigners(before: readonly PolicySigner[], added: readonly DraftSigner[]): PolicySigner[] {
  const signers = new Map(before.map((signer) => [signer.id, signer]));
  for (const { id, name, kind, key, roles } of added) {
    const known = signers.get(id) ?? { id, keys: [], kind, name };
    if (known.name !== name || known.kind !== kind) {
      fail("USAGE", {
        subject: id,
        expected: `${known.name}, a ${known.kind}`,
        actual: `${name}, a ${kind}`,
      });
    }
    const entry = {
      publicKey: formatVerificationKey(key).trimEnd(),
      revoked: null,
      roles: sorted(roles),
      scheme: key.scheme,
      validFrom: null,
      validUntil: null,
    };
    signers.set(id, { ...known, keys: [...known.keys, entry] });
  }
  return [...signers.values()].sort((a, b) => (a.id < b.id ? -1 : 1));
}

function revokeKeys(signer: PolicySigner, { revoke }: DraftOptions, now: string): PolicySigner {
  return {
    ...signer,
    keys: signer.keys.map((key) => {
      const revocation = revoke.find(({ keyHash }) => hashOfEntry(key.publicKey) === keyHash);
      if (revocation === undefined || key.revoked !== null) return key;
      return { ...key, revoked: { at: now, keepEarlier: false, reason: revocation.reason } };
    }),
  };
}

function hashOfEntry(publicKey: string): string {
  return parseVerificationKey(publicKey, "key").hash;
}

function checkRevoked({ revoke }: DraftOptions, signers: readonly PolicySigner[]): void {
  const known = new Set(signers.flatMap(({ keys }) => keys.map(({ publicKey }) => hashOfEntry(publicKey))));
  const unknown = revoke.find(({ keyHash }) => !known.has(keyHash));
  if (unknown === undefined) return;
  fail("USAGE", {
    subject: "--revoke",
    expected: "the hash of a key of the policy",
    actual: unknown.keyHash,
  });
}

function addRoles(before: PolicyDocument["roles"], options: DraftOptions): PolicyDocument["roles"] {
  const roles = new Map(before.map((entry) => [entry.role, entry]));
  for (const { kind, roles: held } of options.signers) {
    for (const role of held) {
      if (role === POLICY_ROLE || role === ROLLBACK_ROLE || roles.has(role)) continue;
      roles.set(role, { kind, pin: false, role, touch: false });
    }
  }
  for (const [what, listed] of [
    ["touch", options.touch],
    ["pin", options.pin],
  ] as const) {
    for (const role of listed) {
      const entry = roles.get(role) ?? { kind: "person" as const, pin: false, role, touch: false };
      roles.set(role, { ...entry, [what]: true });
    }
  }
  return [...roles.values()].sort((a, b) => (a.role < b.role ? -1 : 1));
}

function addProducts(
  before: PolicyDocument["products"],
  options: DraftOptions,
  signers: readonly PolicySigner[],
): PolicyDocument["products"] {
  const products = new Map(before.map((entry) => [entry.product, entry]));
  for (const product of options.products) {
    const known = products.get(product);
    const approvals = options.approvals.length > 0 ? byRole(options.approvals) : (known?.approvals ?? []);
    const people = options.approvals.filter(({ role }) => isHeldByPersons(role, signers));
    // New approvals ask for as many people; it is lowered only where that is said.
    const persons = options.persons ?? Math.max(known?.persons ?? 0, personsOf(people));
    products.set(product, {
      approvals,
      maxAgeDays: options.maxAgeDays ?? known?.maxAgeDays ?? null,
      minSequence: known?.minSequence ?? 0,
      persons,
      product,
      requiredDocuments:
        options.requiredDocuments.length > 0
          ? sorted(options.requiredDocuments)
          : (known?.requiredDocuments ?? []),
    });
  }
  return [...products.values()].sort((a, b) => (a.product < b.product ? -1 : 1));
}

function isHeldByPersons(role: string, signers: readonly PolicySigner[]): boolean {
  return signers.some(
    ({ kind, keys }) => kind === "person" && keys.some(({ roles }) => roles.includes(role)),
  );
}

/** Nobody stands for two of them: the safe default. */
function personsOf(approvals: readonly PolicyRequirement[]): number {
  return approvals.reduce((sum, { persons }) => sum + persons, 0);
}

function byRole(approvals: readonly PolicyRequirement[]): PolicyRequirement[] {
  return [...approvals].sort((a, b) => (a.role < b.role ? -1 : 1));
}

function sorted(values: readonly string[]): string[] {
  return [...new Set(values)].sort();
}
