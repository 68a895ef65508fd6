/**
 * Hashes as values, and the three ways Nix writes them: SRI, hex, and base32 after `algorithm:`.
 * Every parser accepts one form only, so that what was accepted prints back the same.
 */
import { createHash } from "node:crypto";
import { parse } from "ssri";
import { fail } from "../errors.js";
import { base32Length, decodeBase32, encodeBase32 } from "./base32.js";
import { excerpt } from "./excerpt.js";

export type HashAlgorithm = "md5" | "sha1" | "sha256" | "sha512";

export interface Hash {
  readonly algorithm: HashAlgorithm;
  /** Exactly as long as the algorithm's digest; never written to after it was made. */
  readonly digest: Uint8Array;
}

/** Digest length in bytes of every algorithm that Nix knows. */
export const DIGEST_SIZE: Readonly<Record<HashAlgorithm, number>> = {
  md5: 16,
  sha1: 20,
  sha256: 32,
  sha512: 64,
};

/** Longest text looked at: `sha512:` and 128 hex digits. */
const MAX_HASH_TEXT = 135;

/** A hash from raw digest bytes. Throws HASH_INVALID when the length is not the algorithm's. */
export function hashFromDigest(algorithm: HashAlgorithm, digest: Uint8Array): Hash {
  if (digest.length !== DIGEST_SIZE[algorithm]) {
    fail("HASH_INVALID", {
      expected: `${DIGEST_SIZE[algorithm]} bytes of ${algorithm}`,
      actual: `${digest.length} bytes`,
    });
  }
  return { algorithm, digest };
}

/** The hash of `data`. */
export function hashOf(algorithm: HashAlgorithm, data: Uint8Array | string): Hash {
  return { algorithm, digest: createHash(algorithm).update(data).digest() };
}

export function hashesEqual(a: Hash, b: Hash): boolean {
  return a.algorithm === b.algorithm && Buffer.compare(a.digest, b.digest) === 0;
}

/** Parses an algorithm's name. Throws HASH_INVALID. */
export function parseHashAlgorithm(text: string): HashAlgorithm {
  if (text === "md5" || text === "sha1" || text === "sha256" || text === "sha512") return text;
  return fail("HASH_INVALID", { expected: "md5, sha1, sha256 or sha512", actual: excerpt(text) });
}

/**
 * Parses `sha256-<base64>`, the form of flake.lock and `nix path-info --json`: exactly one hash, no options,
 * canonical base64. Throws HASH_INVALID.
 */
export function parseSri(text: string): Hash {
  // ssri answers null for an empty string, whatever its types say.
  if (text === "" || text.length > MAX_HASH_TEXT) refuse("an SRI hash", text);
  const { algorithm, digest } = parse(text, { single: true });
  if (!algorithm || !digest) refuse("an SRI hash", text);
  const hash = hashFromDigest(parseHashAlgorithm(algorithm), Buffer.from(digest, "base64"));
  // ssri trims, and takes options and lax base64; only what we would print is accepted.
  if (formatSri(hash) !== text) refuse(formatSri(hash), text);
  return hash;
}

export function formatSri(hash: Hash): string {
  return `${hash.algorithm}-${Buffer.from(hash.digest).toString("base64")}`;
}

/** Parses bare lower-case hex, as `sha256sum` prints it. Throws HASH_INVALID. */
export function parseHex(algorithm: HashAlgorithm, text: string): Hash {
  if (text.length !== DIGEST_SIZE[algorithm] * 2 || !/^[0-9a-f]*$/.test(text)) {
    refuse(`${DIGEST_SIZE[algorithm] * 2} lower-case hex digits`, text);
  }
  return { algorithm, digest: Buffer.from(text, "hex") };
}

/** Bare lower-case hex. */
export function formatHex(hash: Hash): string {
  return Buffer.from(hash.digest).toString("hex");
}

/** Parses `sha256:<base32>`, the form of narinfos and content addresses. Throws HASH_INVALID. */
export function parseNix32(text: string): Hash {
  const [algorithm, digits] = splitPrefix(text);
  if (digits.length !== base32Length(DIGEST_SIZE[algorithm])) {
    refuse(`${base32Length(DIGEST_SIZE[algorithm])} base32 digits`, text);
  }
  return hashFromDigest(algorithm, decodeBase32(digits));
}

/** `sha256:<base32>`. */
export function formatNix32(hash: Hash): string {
  return `${hash.algorithm}:${encodeBase32(hash.digest)}`;
}

/** Parses `sha256:<hex>`. Throws HASH_INVALID. */
export function parsePrefixedHex(text: string): Hash {
  const [algorithm, digits] = splitPrefix(text);
  return parseHex(algorithm, digits);
}

/** `sha256:<hex>`. */
export function formatPrefixedHex(hash: Hash): string {
  return `${hash.algorithm}:${formatHex(hash)}`;
}

/**
 * Parses `algorithm:` followed by hex or base32, told apart by length, for input whose form is not ours to
 * choose. The form is not kept. Throws HASH_INVALID.
 */
export function parsePrefixed(text: string): Hash {
  const [algorithm, digits] = splitPrefix(text);
  return digits.length === DIGEST_SIZE[algorithm] * 2 ? parsePrefixedHex(text) : parseNix32(text);
}

/** XOR-folds a digest to 20 bytes: the hash part of a store path (Nix's compressHash). */
export function fold20(hash: Hash): Uint8Array {
  const folded = new Uint8Array(20);
  hash.digest.forEach((byte, i) => {
    folded[i % 20]! ^= byte;
  });
  return folded;
}

function splitPrefix(text: string): [HashAlgorithm, string] {
  if (text.length > MAX_HASH_TEXT) refuse("algorithm:digest", text);
  const colon = text.indexOf(":");
  if (colon < 0) refuse("algorithm:digest", text);
  return [parseHashAlgorithm(text.slice(0, colon)), text.slice(colon + 1)];
}

function refuse(expected: string, text: string): never {
  return fail("HASH_INVALID", { expected, actual: excerpt(text) });
}
