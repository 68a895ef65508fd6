/**
 * The policy of a site (docs/policy.md): whom it trusts with what. Read, checked for meaning, and its keys made usable.
 * Whether approvals meet it is judge.ts; which policy a site has, and how it changes, is chain.ts.
 */
import { parseCanonicalJson } from "../canonical-json.js";
import { AirgapError, type Finding, fail } from "../errors.js";
import type {
  Policy as PolicyDocument,
  PolicyKey,
  PolicyReference,
  PolicyRequirement,
  PolicySigner,
} from "../generated/types.js";
import { validatePolicy } from "../generated/validators.js";
import { excerpt } from "../nix/excerpt.js";
import { formatHex, hashOf } from "../nix/hash.js";
import { type PublicKey, parsePublicKey } from "../nix/signature.js";
import { firstProblem } from "../schema-problem.js";
import type { JsonValue } from "../strict-json.js";
import { isTime } from "../time.js";
import { otherVersion } from "./format-version.js";
import { formatVerificationKey, keyMaterial, parseVerificationKey, type VerificationKey } from "./keys.js";

export const MAX_POLICY_SIZE = 4 * 1024 * 1024;

/** Whoever holds a key with this role may sign the next policy. */
export const POLICY_ROLE = "policy";
/** Whoever holds a key with this role may let a site take an older release. */
export const ROLLBACK_ROLE = "rollback";
const RESERVED: ReadonlySet<string> = new Set([POLICY_ROLE, ROLLBACK_ROLE]);

/** A key as the policy has it: whose it is, what it may do, and what checks a signature by it. */
export interface TrustedKey {
  readonly verification: VerificationKey;
  readonly signer: PolicySigner;
  readonly entry: PolicyKey;
}

/** A policy whose every key can be used, and which somebody can meet. */
export interface Policy {
  readonly document: PolicyDocument;
  readonly reference: PolicyReference;
  /** By hash. */
  readonly keys: ReadonlyMap<string, TrustedKey>;
  readonly builderKeys: readonly PublicKey[];
}

/** Throws POLICY_INVALID with the first of what is wrong; `subject` names the file. */
export function parsePolicy(bytes: Uint8Array, subject: string): Policy {
  const refuse = (details: Omit<Finding, "code" | "subject">, cause?: unknown): never =>
    fail("POLICY_INVALID", { ...details, subject }, { cause });
  let json: JsonValue;
  try {
    json = parseCanonicalJson(bytes, { maxBytes: MAX_POLICY_SIZE });
  } catch (error) {
    if (!(error instanceof AirgapError)) throw error;
    return refuse(
      {
        ...error.details,
        ...(error.code === "JSON_NOT_CANONICAL"
          ? { hint: "Write it in the one encoding: jq -S . POLICY > NEW" }
          : {}),
      },
      error,
    );
  }
  const newer = otherVersion(json, "nix-airgap-policy");
  if (newer !== null) return refuse(newer);
  const value: unknown = json;
  if (!validatePolicy(value)) {
    const unknown: unknown = validatePolicy.errors?.[0]?.params["additionalProperty"];
    return refuse({
      expected: `a policy whose ${firstProblem(validatePolicy.errors)}`,
      ...(typeof unknown === "string" ? { actual: excerpt(unknown) } : {}),
    });
  }
  const keys = new Map<string, TrustedKey>();
  const [problem] = problemsOf(value, keys);
  if (problem !== undefined) return refuse({ expected: problem.expected, actual: problem.actual });
  return {
    document: value,
    reference: { sha256: formatHex(hashOf("sha256", bytes)), version: value.version },
    keys,
    builderKeys: value.builderKeys.map((text) => parsePublicKey(text)),
  };
}

/** What is found once a policy is past its end. `now`: as `time.ts` writes it. */
export function checkExpiry({ document: { expires } }: Policy, now: string): Finding[] {
  if (expires === null || now <= expires) return [];
  return [{ code: "POLICY_EXPIRED", subject: "the policy", expected: `before ${expires}`, actual: now }];
}

/** All keys, for whatever anybody may have signed. */
export function verificationKeys({ keys }: Policy): VerificationKey[] {
  return [...keys.values()].map(({ verification }) => verification);
}

/** How a role that the policy may not list is to be held. */
export function roleOf({ roles }: PolicyDocument, role: string) {
  const listed = roles.find((entry) => entry.role === role);
  return listed ?? { kind: "person" as const, pin: false, role, touch: false };
}

interface Problem {
  readonly expected: string;
  readonly actual: string;
}

/** What the schema cannot say. Fills `keys`. */
function* problemsOf(policy: PolicyDocument, keys: Map<string, TrustedKey>): Generator<Problem> {
  const { signers, roles, products, withdrawn, builderKeys } = policy;
  if ((policy.version === 1) !== (policy.previous === null)) {
    yield problem("previous: null in version 1 alone", `version ${policy.version}, ${policy.previous}`);
  }
  yield* times(policy);
  yield* ascending(
    "signers, by id",
    signers.map(({ id }) => id),
  );
  yield* ascending(
    "roles",
    roles.map(({ role }) => role),
  );
  yield* ascending(
    "products",
    products.map(({ product }) => product),
  );
  yield* ascending(
    "withdrawn, by sha256",
    withdrawn.map(({ sha256 }) => sha256),
  );
  yield* ascending("builderKeys", builderKeys);
  for (const text of builderKeys) yield* keyProblem("builderKeys", () => parsePublicKey(text));
  for (const { role, kind } of roles) {
    if (RESERVED.has(role) && kind !== "person") yield problem(`role ${role}: held by persons`, kind);
  }
  for (const signer of signers) for (const entry of signer.keys) yield* entryProblems(entry, signer, policy);
  yield* trustKeys(policy, keys);
  yield* requirements(policy);
}

function* times(policy: PolicyDocument): Generator<Problem> {
  const { created, expires, signers } = policy;
  const all = [created, expires];
  for (const { keys } of signers) {
    for (const { validFrom, validUntil, revoked } of keys) {
      all.push(validFrom, validUntil, revoked?.at ?? null);
      if (validFrom !== null && validUntil !== null && validFrom >= validUntil) {
        yield problem("validFrom before validUntil", `${validFrom} and ${validUntil}`);
      }
    }
  }
  for (const time of all) if (time !== null && !isTime(time)) yield problem("a time that exists", time);
  if (expires !== null && expires <= created) yield problem(`expires after created, ${created}`, expires);
}

function* entryProblems(entry: PolicyKey, signer: PolicySigner, policy: PolicyDocument): Generator<Problem> {
  yield* ascending(`the roles of a key of ${signer.id}`, entry.roles);
  for (const role of entry.roles) {
    if (!RESERVED.has(role) && !policy.roles.some((listed) => listed.role === role)) {
      yield problem(`a role of the list "roles" for ${signer.id}`, role);
    }
    const { kind, touch, pin } = roleOf(policy, role);
    if (kind !== signer.kind)
      yield problem(`role ${role}: held by a ${kind}`, `${signer.id}, a ${signer.kind}`);
    // A revoked one stays listed, from before the role asked for it.
    if ((touch || pin) && entry.revoked === null && !/^sk-/.test(entry.publicKey)) {
      yield problem(
        `role ${role}: a FIDO key (sk-…), since it asks for touch or PIN`,
        `a key of ${signer.id}`,
      );
    }
  }
}

/** Every key usable, in its one text, and nobody's twice: else one key would count for two persons. */
function* trustKeys({ signers }: PolicyDocument, keys: Map<string, TrustedKey>): Generator<Problem> {
  const owners = new Map<string, string>();
  for (const signer of signers) {
    for (const [i, entry] of signer.keys.entries()) {
      let verification: VerificationKey;
      try {
        verification = parseVerificationKey(entry.publicKey, `${signer.id}#${i + 1}`);
      } catch (error) {
        yield keyProblemOf(`key ${i + 1} of ${signer.id}`, error);
        continue;
      }
      if (formatVerificationKey(verification).trimEnd() !== entry.publicKey) {
        yield problem(
          `key ${i + 1} of ${signer.id} without comment or newline at its end`,
          excerpt(entry.publicKey),
        );
      }
      if (verification.scheme !== entry.scheme) {
        yield problem(`scheme ${verification.scheme} for key ${i + 1} of ${signer.id}`, entry.scheme);
      }
      const material = keyMaterial(verification);
      const owner = owners.get(material);
      if (owner !== undefined) yield problem(`each key once`, `one of ${owner} and of ${signer.id}`);
      owners.set(material, signer.id);
      keys.set(verification.hash, { verification, signer, entry });
    }
  }
}

/** What is asked for can be had. */
function* requirements(policy: PolicyDocument): Generator<Problem> {
  const { products, flakeLocks, policySigners, rollback } = policy;
  for (const { product, approvals, persons, requiredDocuments } of products) {
    yield* requirement(`product ${product}`, approvals, persons, policy);
    yield* ascending(`requiredDocuments of ${product}`, requiredDocuments);
  }
  if (flakeLocks !== null) yield* requirement("flakeLocks", flakeLocks.approvals, flakeLocks.persons, policy);
  yield* enough("policySigners", POLICY_ROLE, policySigners.persons, policy);
  if (rollback !== null) yield* enough("rollback", ROLLBACK_ROLE, rollback.persons, policy);
}

function* requirement(
  what: string,
  approvals: readonly PolicyRequirement[],
  persons: number,
  policy: PolicyDocument,
): Generator<Problem> {
  yield* ascending(
    `approvals of ${what}`,
    approvals.map(({ role }) => role),
  );
  const able = new Set<string>();
  for (const { role, persons: needed } of approvals) {
    if (RESERVED.has(role) || !policy.roles.some((listed) => listed.role === role)) {
      yield problem(`${what}: a role of the list "roles"`, role);
    }
    yield* enough(what, role, needed, policy);
    for (const { id, kind } of holders(role, policy)) if (kind === "person") able.add(id);
  }
  if (able.size < persons)
    yield problem(`${what}: ${persons} persons with keys for its roles`, `${able.size}`);
}

function* enough(what: string, role: string, needed: number, policy: PolicyDocument): Generator<Problem> {
  const { length } = holders(role, policy);
  if (length < needed) yield problem(`${what}: ${needed} signers with a key for role ${role}`, `${length}`);
}

/** Whoever has a key for this role that is not revoked. */
function holders(role: string, { signers }: PolicyDocument): PolicySigner[] {
  return signers.filter(({ keys }) =>
    keys.some(({ roles, revoked }) => revoked === null && roles.includes(role)),
  );
}

function* ascending(what: string, values: readonly string[]): Generator<Problem> {
  const at = values.findIndex((value, i) => i > 0 && value <= values[i - 1]!);
  if (at > 0)
    yield problem(`${what}: sorted, each once`, `${excerpt(values[at - 1]!)}, ${excerpt(values[at]!)}`);
}

function* keyProblem(what: string, parse: () => unknown): Generator<Problem> {
  try {
    parse();
  } catch (error) {
    yield keyProblemOf(what, error);
  }
}

function keyProblemOf(what: string, error: unknown): Problem {
  if (!(error instanceof AirgapError)) throw error;
  return problem(`${what}: ${error.details.expected ?? "a usable key"}`, error.details.actual ?? "another");
}

function problem(expected: string, actual: string): Problem {
  return { expected, actual };
}
