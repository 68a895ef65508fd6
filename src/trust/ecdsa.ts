/**
 * ECDSA signatures over P-256 in their two forms: DER (X9.62 Ecdsa-Sig-Value, what OpenSSL and cosign make), and r and s
 * beside each other (IEEE P1363, what tokens make). One encoding each: what DER allows to vary is refused.
 */

/** Bytes of r, and of s. */
const SIZE = 32;

/** 64 bytes as DER. Throws RangeError for another length. */
export function derFromRaw(raw: Uint8Array): Buffer {
  if (raw.length !== 2 * SIZE) throw new RangeError(`${raw.length} bytes are no r and s of P-256`);
  const body = Buffer.concat([integer(raw.subarray(0, SIZE)), integer(raw.subarray(SIZE))]);
  return Buffer.concat([Buffer.from([0x30, body.length]), body]);
}

/** DER as 64 bytes; null for what `derFromRaw` would not have made. */
export function rawFromDer(der: Uint8Array): Buffer | null {
  const raw = Buffer.alloc(2 * SIZE);
  let at = 2;
  for (const end of [SIZE, 2 * SIZE]) {
    const length = der[at + 1] ?? 0;
    const value = der.subarray(at + 2, at + 2 + length);
    const digits = value[0] === 0 ? value.subarray(1) : value;
    if (digits.length > SIZE) return null;
    raw.set(digits, end - digits.length);
    at += 2 + length;
  }
  return Buffer.compare(derFromRaw(raw), der) === 0 ? raw : null;
}

/** Big-endian bytes as a DER INTEGER. */
function integer(bytes: Uint8Array): Buffer {
  const first = bytes.findIndex((byte) => byte !== 0);
  const digits = first < 0 ? Buffer.from([0]) : Buffer.from(bytes.subarray(first));
  const positive = digits[0]! >= 0x80 ? Buffer.concat([Buffer.from([0]), digits]) : digits;
  return Buffer.concat([Buffer.from([0x02, positive.length]), positive]);
}
