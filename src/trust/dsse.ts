/** DSSE: what is signed of a payload. Knows nothing of keys, nor of what the payload says. */

/** The only payload type of this format: in-toto statements. */
export const PAYLOAD_TYPE = "application/vnd.in-toto+json";

/**
 * Bytes of a file with one envelope, and so of its payload. A thousand such are read, and held, before anybody is trusted: this
 * times their number is what a stranger can make us hold. A real one has 2 KB.
 */
export const MAX_ENVELOPE = 64 * 1024;

/** Pre-authentication encoding (DSSE 1.0): `DSSEv1 <length> <type> <length> <payload>`, lengths in bytes. */
export function preAuthEncoding(payload: Uint8Array): Buffer {
  return Buffer.concat([headOf(payload.length), payload]);
}

/** The payload back; null for bytes that are no encoding of this payload type. */
export function payloadOf(encoding: Uint8Array): Buffer | null {
  const bytes = Buffer.from(encoding);
  const prefix = `DSSEv1 ${PAYLOAD_TYPE.length} ${PAYLOAD_TYPE} `;
  if (bytes.length > MAX_ENVELOPE || !bytes.toString("latin1").startsWith(prefix)) return null;
  const size = /^([0-9]{1,6}) /.exec(bytes.toString("latin1", prefix.length, prefix.length + 8))?.[1];
  if (size === undefined) return null;
  const payload = bytes.subarray(prefix.length + size.length + 1);
  return preAuthEncoding(payload).equals(bytes) ? payload : null;
}

function headOf(length: number): Buffer {
  return Buffer.from(`DSSEv1 ${PAYLOAD_TYPE.length} ${PAYLOAD_TYPE} ${length} `);
}
