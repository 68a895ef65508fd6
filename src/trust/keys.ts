/**
 * The keys that approvals are signed with: reading a public one in the forms that are in use, its hash, and whether it made
 * a signature. Which keys to trust is the caller's. Ed25519 in Nix's form is in nix/signature.ts, OpenSSH's in ssh-*.ts.
 */
import { createPublicKey, type KeyObject, verify } from "node:crypto";
import { fail } from "../errors.js";
import { formatHex, hashOf } from "../nix/hash.js";
import {
  formatPublicKey,
  type PublicKey,
  parsePublicKey,
  publicKeyFromBytes,
  toSpkiDer,
  toSpkiPem,
} from "../nix/signature.js";
import { rawFromDer } from "./ecdsa.js";
import { formatSshPublicKey, parseSshPublicKey, type SshPublicKey } from "./ssh-key.js";
import { verifySshSignature } from "./ssh-signature.js";

const MAX_KEY_TEXT = 4096;
/** DER before the 32 bytes of an Ed25519 key (RFC 8410). */
const ED25519_SPKI = Buffer.from("302a300506032b6570032100", "hex");
/** DER before the 65 bytes of a P-256 key, an uncompressed point (RFC 5480). */
const P256_SPKI = Buffer.from("3059301306072a8648ce3d020106082a8648ce3d030107034200", "hex");

/** What ssh-keygen calls the namespace (-n) of every signature of this format. */
export const SSH_NAMESPACE = "nix-airgap";

interface AnyKey {
  /** A short name for people; never a proof. */
  readonly name: string;
  /** What names the key in file names and reports: hex SHA-256 of its SubjectPublicKeyInfo in DER; of an SSH key, of its wire form. */
  readonly hash: string;
}

export type VerificationKey =
  | (AnyKey & { readonly scheme: "ed25519"; readonly ed25519: PublicKey })
  | (AnyKey & { readonly scheme: "ecdsa-p256"; readonly key: KeyObject })
  | (AnyKey & { readonly scheme: "ssh"; readonly ssh: SshPublicKey });

export type SignatureCheck =
  /** `touch`, `pin`: what a FIDO key says of its holder; null for keys that cannot say. */
  | { readonly holds: true; readonly touch: boolean | null; readonly pin: boolean | null }
  | { readonly holds: false };

/**
 * Parses a public key: `name:base64` as Nix prints it, PEM (SubjectPublicKeyInfo) of Ed25519 or P-256, or a line as
 * ssh-keygen prints it; one newline may follow. What has no name gets `name`, which for a file is the file's.
 * Throws KEY_INVALID, also for other algorithms, other encodings of the same key, and points of small order.
 */
export function parseVerificationKey(text: string, name: string): VerificationKey {
  if (text.length > MAX_KEY_TEXT) {
    fail("KEY_INVALID", { expected: "one public key", actual: `${text.length} characters` });
  }
  if (text.startsWith("-----BEGIN ")) return parsePem(text, name);
  if (/^(ssh-|ecdsa-|sk-)[^:]* /.test(text)) return sshKey(parseSshPublicKey(text), name);
  return ed25519Key(parsePublicKey(text.replace(/\n$/, "")));
}

/** The one text of a key, which `parseVerificationKey` reads back. */
export function formatVerificationKey(key: VerificationKey): string {
  switch (key.scheme) {
    case "ed25519":
      return formatPublicKey(key.ed25519);
    case "ecdsa-p256":
      return key.key.export({ format: "pem", type: "spki" }).toString();
    case "ssh":
      return formatSshPublicKey(key.ssh);
  }
}

export function ed25519Key(key: PublicKey): VerificationKey {
  return { scheme: "ed25519", name: key.name, hash: keyHash(key), ed25519: key };
}

/** A P-256 key as OpenSSL holds it. Throws KEY_INVALID for any other. */
export function ecdsaKey(key: KeyObject, name: string): VerificationKey {
  const der = key.export({ format: "der", type: "spki" });
  if (der.length !== P256_SPKI.length + 65 || !der.subarray(0, P256_SPKI.length).equals(P256_SPKI)) {
    fail("KEY_INVALID", { subject: name, expected: "a key of Ed25519 or P-256" });
  }
  return { scheme: "ecdsa-p256", name, hash: formatHex(hashOf("sha256", der)), key };
}

function sshKey(key: SshPublicKey, name: string): VerificationKey {
  return { scheme: "ssh", name, hash: formatHex(hashOf("sha256", key.blob)), ssh: key };
}

/** SHA-256 of the key's SubjectPublicKeyInfo in DER, as hex. */
export function keyHash(key: PublicKey): string {
  return formatHex(hashOf("sha256", toSpkiDer(key)));
}

/** A key's hash as Sigstore's hint: standard base64. */
export function hintOf(hash: string): string {
  return Buffer.from(hash, "hex").toString("base64");
}

/** The bytes that make two entries the same key, whatever its scheme or form: hex. */
export function keyMaterial(key: VerificationKey): string {
  if (key.scheme === "ed25519") return Buffer.from(key.ed25519.bytes).toString("hex");
  const { crv, x, y } = (key.scheme === "ssh" ? key.ssh.key : key.key).export({ format: "jwk" });
  const bytes = [x, y].map((part) => Buffer.from(part ?? "", "base64url"));
  return (crv === "Ed25519" ? bytes[0]! : Buffer.concat([Buffer.from([4]), ...bytes])).toString("hex");
}

/** Whether this key made this signature over exactly these bytes. ECDSA's is DER, SSH's a whole SSHSIG. */
export function checkSignature(
  key: VerificationKey,
  message: Uint8Array,
  signature: Uint8Array,
): SignatureCheck {
  switch (key.scheme) {
    case "ed25519":
      return plain(verify(null, message, key.ed25519.key, signature));
    case "ecdsa-p256": {
      const raw = rawFromDer(signature);
      return plain(
        raw !== null && verify("sha256", message, { key: key.key, dsaEncoding: "ieee-p1363" }, raw),
      );
    }
    case "ssh":
      return verifySshSignature(message, signature, { key: key.ssh, namespace: SSH_NAMESPACE });
  }
}

function plain(holds: boolean): SignatureCheck {
  return holds ? { holds, touch: null, pin: null } : { holds };
}

function parsePem(text: string, name: string): VerificationKey {
  const [, base64 = ""] =
    /^-----BEGIN PUBLIC KEY-----\n([A-Za-z0-9+/=\n]+)\n-----END PUBLIC KEY-----\n?$/.exec(text) ?? [];
  const der = Buffer.from(base64, "base64");
  const key = der.subarray(0, ED25519_SPKI.length).equals(ED25519_SPKI)
    ? ed25519Key(publicKeyFromBytes(name, der.subarray(ED25519_SPKI.length)))
    : der.subarray(0, P256_SPKI.length).equals(P256_SPKI)
      ? ecdsaKey(p256(der, name), name)
      : // The text may be a secret key: name the form, never the text.
        fail("KEY_INVALID", {
          subject: name,
          expected: "a PEM public key of Ed25519 or P-256 (BEGIN PUBLIC KEY)",
        });
  const pem = key.scheme === "ed25519" ? toSpkiPem(key.ed25519) : formatVerificationKey(key);
  if (pem.trimEnd() !== text.trimEnd()) {
    fail("KEY_INVALID", { subject: name, expected: "PEM as OpenSSL prints it" });
  }
  return key;
}

/** OpenSSL refuses points that are not on the curve. */
function p256(der: Buffer, name: string): KeyObject {
  try {
    return createPublicKey({ key: der, format: "der", type: "spki" });
  } catch (error) {
    return fail(
      "KEY_INVALID",
      { subject: name, expected: "a point of the curve P-256" },
      { cause: error as Error },
    );
  }
}
