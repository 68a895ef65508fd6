/**
 * The keys that approvals are signed with: reading a trusted one in either form that is in use, and its hash.
 * Ed25519 itself and the `name:base64` form are in nix/signature.ts; which keys to trust is the caller's.
 */
import { fail } from "../errors.js";
import { formatHex, hashOf } from "../nix/hash.js";
import {
  type PublicKey,
  parsePublicKey,
  publicKeyFromBytes,
  toSpkiDer,
  toSpkiPem,
} from "../nix/signature.js";

const MAX_KEY_TEXT = 4096;
/** DER before the 32 bytes of an Ed25519 key (RFC 8410). */
const SPKI_PREFIX = Buffer.from("302a300506032b6570032100", "hex");

/**
 * Parses a public key: `name:base64` as Nix prints it, or PEM (SubjectPublicKeyInfo) of Ed25519; one newline may
 * follow. PEM has no name: it gets `name`, which for a file is the file's.
 * Throws KEY_INVALID, also for other algorithms, other encodings of the same key, and points of small order.
 */
export function parseTrustedKey(text: string, name: string): PublicKey {
  if (text.length > MAX_KEY_TEXT) {
    fail("KEY_INVALID", { expected: "one public key", actual: `${text.length} characters` });
  }
  return text.startsWith("-----BEGIN ") ? parsePem(text, name) : parsePublicKey(text.replace(/\n$/, ""));
}

/** SHA-256 of the key's SubjectPublicKeyInfo in DER, as hex: what names a key in file names and reports. */
export function keyHash(key: PublicKey): string {
  return formatHex(hashOf("sha256", toSpkiDer(key)));
}

/** The same hash as Sigstore's hint: standard base64. */
export function keyHint(key: PublicKey): string {
  return Buffer.from(keyHash(key), "hex").toString("base64");
}

function parsePem(text: string, name: string): PublicKey {
  const [, base64] =
    /^-----BEGIN PUBLIC KEY-----\n([A-Za-z0-9+/=]+)\n-----END PUBLIC KEY-----\n?$/.exec(text) ?? [];
  const der = Buffer.from(base64 ?? "", "base64");
  if (!der.subarray(0, SPKI_PREFIX.length).equals(SPKI_PREFIX)) {
    // The text may be a secret key: name the form, never the text.
    fail("KEY_INVALID", { subject: name, expected: "a PEM public key of Ed25519 (BEGIN PUBLIC KEY)" });
  }
  const key = publicKeyFromBytes(name, der.subarray(SPKI_PREFIX.length));
  if (toSpkiPem(key).trimEnd() !== text.trimEnd()) {
    fail("KEY_INVALID", { subject: name, expected: "PEM as OpenSSL prints it" });
  }
  return key;
}
