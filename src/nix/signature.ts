/**
 * Nix's Ed25519 keys and signatures as text (`name:base64`), signing and checking. What is signed comes from
 * narinfo.ts (`fingerprint`); which keys to trust is policy, elsewhere.
 */
import { createPrivateKey, createPublicKey, type KeyObject, randomBytes, sign, verify } from "node:crypto";
import { type Code, fail } from "../errors.js";
import { excerpt } from "./excerpt.js";

export interface PublicKey {
  readonly name: string;
  /** The 32 bytes of RFC 8032. */
  readonly bytes: Uint8Array;
  readonly key: KeyObject;
}

/** Holds the seed inside a KeyObject only, so that it is not printed by accident. */
export interface SecretKey {
  readonly publicKey: PublicKey;
  readonly key: KeyObject;
}

export interface Signature {
  /** Name of the key that claims to have signed: a hint, not a proof. */
  readonly name: string;
  readonly bytes: Uint8Array;
}

const SEED_SIZE = 32;
const PUBLIC_SIZE = 32;
const SIGNATURE_SIZE = 64;
const MAX_KEY_NAME_LENGTH = 200;

/** DER before the 32 bytes (RFC 8410): SubjectPublicKeyInfo, and PKCS #8. */
const SPKI_PREFIX = Buffer.from("302a300506032b6570032100", "hex");
const PKCS8_PREFIX = Buffer.from("302e020100300506032b657004220420", "hex");

/**
 * The y coordinates, little-endian, of the eight points of small order; the sign bit is masked before
 * comparing, which covers the encodings with a wrong sign too. Under such a key anyone can make a signature
 * that OpenSSL accepts. The encodings y + p of 0 and 1 fall to the check that y < p.
 */
const SMALL_ORDER_Y = new Set([
  "0000000000000000000000000000000000000000000000000000000000000000", // order 4
  "0100000000000000000000000000000000000000000000000000000000000000", // order 1
  "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f", // order 2
  "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05", // order 8
  "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a", // order 8
]);

/**
 * Parses `name:base64` with 32 bytes; no surrounding white space.
 * Throws KEY_INVALID, also for points of small order and encodings that are not canonical.
 */
export function parsePublicKey(text: string): PublicKey {
  const { name, bytes } = parseNamed(text, PUBLIC_SIZE, "KEY_INVALID");
  return publicKeyFromBytes(name, bytes);
}

export function formatPublicKey(key: PublicKey): string {
  return formatNamed(key.name, key.bytes);
}

/** A public key from its 32 bytes. Throws KEY_INVALID as `parsePublicKey` does. */
export function publicKeyFromBytes(name: string, bytes: Uint8Array): PublicKey {
  checkKeyName(name, "KEY_INVALID");
  const problem = publicKeyProblem(bytes);
  if (problem)
    fail("KEY_INVALID", { subject: name, expected: "a usable Ed25519 public key", actual: problem });
  return { name, bytes, key: createPublicKey({ key: spki(bytes), format: "der", type: "spki" }) };
}

/**
 * Parses `name:base64` with the 32-byte seed and the 32-byte public key, as `nix key generate-secret` prints it.
 * Throws KEY_INVALID, also when the halves do not belong together; never repeats the text in the error.
 */
export function parseSecretKey(text: string): SecretKey {
  const { name, bytes } = parseNamed(text, SEED_SIZE + PUBLIC_SIZE, "KEY_INVALID");
  const key = generateSecretKey(name, bytes.subarray(0, SEED_SIZE));
  if (Buffer.compare(key.publicKey.bytes, bytes.subarray(SEED_SIZE)) !== 0) {
    fail("KEY_INVALID", { subject: name, expected: "a secret key whose public half belongs to its seed" });
  }
  return key;
}

/** The text form. It is the secret: for a file of mode 0600, nothing else. */
export function formatSecretKey(secret: SecretKey): string {
  const pkcs8 = secret.key.export({ format: "der", type: "pkcs8" });
  const seed = pkcs8.subarray(PKCS8_PREFIX.length);
  return formatNamed(secret.publicKey.name, Buffer.concat([seed, secret.publicKey.bytes]));
}

/** A new key pair, or the one of a given 32-byte seed. Throws KEY_INVALID for a bad name or seed. */
export function generateSecretKey(name: string, seed: Uint8Array = randomBytes(SEED_SIZE)): SecretKey {
  if (seed.length !== SEED_SIZE) fail("KEY_INVALID", { subject: name, expected: "a seed of 32 bytes" });
  const key = createPrivateKey({ key: Buffer.concat([PKCS8_PREFIX, seed]), format: "der", type: "pkcs8" });
  const spkiDer = createPublicKey(key).export({ format: "der", type: "spki" });
  return { key, publicKey: publicKeyFromBytes(name, spkiDer.subarray(SPKI_PREFIX.length)) };
}

/** SubjectPublicKeyInfo (RFC 8410): what OpenSSL and Sigstore's key hints are made of. */
export function toSpkiDer(key: PublicKey): Uint8Array {
  return spki(key.bytes);
}

/** The same as PEM, with a final newline. */
export function toSpkiPem(key: PublicKey): string {
  return key.key.export({ format: "pem", type: "spki" }).toString();
}

/** Parses `name:base64` with 64 bytes, a narinfo's `Sig:` value. Throws SIGNATURE_INVALID. */
export function parseSignature(text: string): Signature {
  return parseNamed(text, SIGNATURE_SIZE, "SIGNATURE_INVALID");
}

export function formatSignature(signature: Signature): string {
  return formatNamed(signature.name, signature.bytes);
}

/** Signs a fingerprint as Nix does; returns `name:base64`. */
export function signFingerprint(fingerprint: string, secret: SecretKey): string {
  return formatNamed(secret.publicKey.name, sign(null, Buffer.from(fingerprint), secret.key));
}

/**
 * Whether `signature` (`name:base64`) is this key's over this fingerprint. One that names another key is not.
 * Throws SIGNATURE_INVALID when it is not in the form of a signature.
 */
export function verifyFingerprint(fingerprint: string, signature: string, key: PublicKey): boolean {
  const { name, bytes } = parseSignature(signature);
  return name === key.name && verify(null, Buffer.from(fingerprint), key.key, bytes);
}

/** The same on a thread of Node's own: each takes 60 µs. */
export function verifyFingerprintAside(
  fingerprint: string,
  signature: string,
  key: PublicKey,
): Promise<boolean> {
  const { name, bytes } = parseSignature(signature);
  if (name !== key.name) return Promise.resolve(false);
  return new Promise((resolve, reject) => {
    verify(null, Buffer.from(fingerprint), key.key, bytes, (error, holds) => {
      if (error === null) resolve(holds);
      else reject(error);
    });
  });
}

function parseNamed(text: string, size: number, code: Code): { name: string; bytes: Buffer } {
  const base64Length = Math.ceil(size / 3) * 4;
  const colon = text.indexOf(":");
  if (colon < 0 || text.length - colon - 1 !== base64Length) {
    // The text may be a secret key: name the form, never the text.
    fail(code, { expected: `name:base64 of ${size} bytes`, actual: `${text.length} characters` });
  }
  const name = text.slice(0, colon);
  checkKeyName(name, code);
  const bytes = Buffer.from(text.slice(colon + 1), "base64");
  // Buffer.from skips what is not base64 and ignores left-over bits.
  if (bytes.length !== size || formatNamed(name, bytes) !== text) {
    fail(code, { subject: name, expected: `canonical base64 of ${size} bytes` });
  }
  return { name, bytes };
}

function formatNamed(name: string, bytes: Uint8Array): string {
  return `${name}:${Buffer.from(bytes).toString("base64")}`;
}

/** Nix takes anything before the first colon; printable ASCII is what keeps a line of a narinfo one field. */
function checkKeyName(name: string, code: Code): void {
  if (name.length > MAX_KEY_NAME_LENGTH || !/^[!-9;-~]+$/.test(name)) {
    fail(code, { expected: "a key name of printable ASCII without colon or space", actual: excerpt(name) });
  }
}

function publicKeyProblem(bytes: Uint8Array): string | undefined {
  if (bytes.length !== PUBLIC_SIZE) return `${bytes.length} bytes`;
  const y = Buffer.from(bytes);
  y[PUBLIC_SIZE - 1]! &= 0x7f;
  if (SMALL_ORDER_Y.has(y.toString("hex"))) return "a point of small order";
  // p = 2^255 - 19: y >= p exactly when all bytes but the first are at their largest.
  if (y[0]! >= 0xed && y[31] === 0x7f && y.subarray(1, 31).every((byte) => byte === 0xff))
    return "y is not reduced";
  return undefined;
}

function spki(bytes: Uint8Array): Buffer {
  return Buffer.concat([SPKI_PREFIX, bytes]);
}
