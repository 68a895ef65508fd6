/** Secret keys that this program holds itself, and signing with them. Keys in tokens sign elsewhere (ops/sign/…). */
import { createPrivateKey, createPublicKey, type KeyObject, sign } from "node:crypto";
import { fail } from "../errors.js";
import { parseSecretKey, publicKeyFromBytes, type SecretKey } from "../nix/signature.js";
import { derFromRaw } from "./ecdsa.js";
import { ecdsaKey, ed25519Key, type VerificationKey } from "./keys.js";

/** Holds the secret inside a KeyObject only, so that it is not printed by accident. */
export interface SigningKey {
  readonly publicKey: VerificationKey;
  readonly key: KeyObject;
}

/** A key in Nix's form. */
export function signingKey(secret: SecretKey): SigningKey {
  return { publicKey: ed25519Key(secret.publicKey), key: secret.key };
}

/**
 * Parses a secret key: `name:base64` as Nix prints it, or PEM (PKCS #8 or SEC1, not encrypted) of Ed25519 or P-256, which
 * gets `name`. Throws KEY_INVALID; never repeats the text in the error.
 */
export function parseSigningKey(text: string, name: string): SigningKey {
  if (!text.startsWith("-----BEGIN ")) return signingKey(parseSecretKey(text.replace(/\n$/, "")));
  if (/ENCRYPTED|OPENSSH PRIVATE/.test(text)) {
    fail("KEY_INVALID", {
      subject: name,
      expected: "a secret key in PEM that is not encrypted",
      actual: text.includes("OPENSSH") ? "a key of OpenSSH" : "an encrypted key",
      hint: "Give keys of OpenSSH to --ssh-key. Sign with any other by its own program: --prepare, then --attach.",
    });
  }
  let key: KeyObject;
  try {
    key = createPrivateKey(text);
  } catch {
    // Its cause might repeat the text.
    return fail("KEY_INVALID", { subject: name, expected: "a secret key in PEM" });
  }
  const publicKey = createPublicKey(key);
  if (key.asymmetricKeyType === "ed25519") {
    const bytes = Buffer.from(publicKey.export({ format: "jwk" }).x ?? "", "base64url");
    return { key, publicKey: ed25519Key(publicKeyFromBytes(name, bytes)) };
  }
  if (key.asymmetricKeyType === "ec") return { key, publicKey: ecdsaKey(publicKey, name) };
  return fail("KEY_INVALID", {
    subject: name,
    expected: "a key of Ed25519 or P-256",
    actual: key.asymmetricKeyType ?? "another",
  });
}

/** In the form that `checkSignature` takes. */
export function signMessage(message: Uint8Array, { key, publicKey }: SigningKey): Buffer {
  if (publicKey.scheme === "ed25519") return sign(null, message, key);
  return derFromRaw(sign("sha256", message, { key, dsaEncoding: "ieee-p1363" }));
}
