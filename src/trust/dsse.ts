/** DSSE: what is signed, signing and checking. Knows nothing of what the payload says. */
import { sign, verify } from "node:crypto";
import type { PublicKey, SecretKey } from "../nix/signature.js";

/** The only payload type of this format: in-toto statements. */
export const PAYLOAD_TYPE = "application/vnd.in-toto+json";

/**
 * Bytes of a file with one envelope, and so of its payload. A thousand such are read, and held, before anybody is trusted: this
 * times their number is what a stranger can make us hold. A real one has 1.3 KB.
 */
export const MAX_ENVELOPE = 64 * 1024;

/** Pre-authentication encoding (DSSE 1.0): `DSSEv1 <length> <type> <length> <payload>`, lengths in bytes. */
export function preAuthEncoding(payload: Uint8Array): Buffer {
  const head = `DSSEv1 ${PAYLOAD_TYPE.length} ${PAYLOAD_TYPE} ${payload.length} `;
  return Buffer.concat([Buffer.from(head), payload]);
}

/** The 64 bytes of Ed25519. */
export function signPayload(payload: Uint8Array, secret: SecretKey): Buffer {
  return sign(null, preAuthEncoding(payload), secret.key);
}

/** Whether this key made this signature over exactly these bytes. */
export function verifyPayload(payload: Uint8Array, signature: Uint8Array, key: PublicKey): boolean {
  return verify(null, preAuthEncoding(payload), key.key, signature);
}
