/**
 * Nix's base32: its own alphabet, least significant digit first, printed reversed. Knows nothing of what
 * the bytes mean.
 */
import { fail } from "../errors.js";
import { excerpt } from "./excerpt.js";

/** Digits and letters without e, o, t and u. */
export const BASE32_ALPHABET = "0123456789abcdfghijklmnpqrsvwxyz";

/** Value of each character code, -1 where it is not a digit of the alphabet. */
const VALUE = new Int8Array(256).fill(-1);
for (let i = 0; i < 32; i++) VALUE[BASE32_ALPHABET.charCodeAt(i)] = i;

/** Longest text decoded: nothing that Nix prints is longer than a SHA-512 (103 digits). */
const MAX_BASE32_LENGTH = 1024;

/** Digits that `byteLength` bytes print as. */
export function base32Length(byteLength: number): number {
  return Math.ceil((byteLength * 8) / 5);
}

/** Bytes to Nix base32. */
export function encodeBase32(bytes: Uint8Array): string {
  let text = "";
  for (let n = base32Length(bytes.length) - 1; n >= 0; n--) {
    const byte = (n * 5) >> 3;
    const bit = (n * 5) & 7;
    const pair = bytes[byte]! | ((bytes[byte + 1] ?? 0) << 8);
    text += BASE32_ALPHABET[(pair >> bit) & 31]!;
  }
  return text;
}

/**
 * Nix base32 to bytes.
 * Throws BASE32_INVALID for a character outside the alphabet, a length that no number of bytes prints as,
 * and bits left over that are not zero: text that is accepted is what `encodeBase32` prints.
 */
export function decodeBase32(text: string): Uint8Array {
  const size = Math.floor((text.length * 5) / 8);
  if (text.length > MAX_BASE32_LENGTH || base32Length(size) !== text.length) {
    fail("BASE32_INVALID", {
      expected: "a length that whole bytes print as",
      actual: `${text.length} characters`,
    });
  }
  const bytes = new Uint8Array(size);
  for (let n = 0; n < text.length; n++) {
    const offset = text.length - 1 - n;
    const value = VALUE[text.charCodeAt(offset)] ?? -1;
    if (value < 0)
      fail("BASE32_INVALID", { expected: "a base32 digit", actual: excerpt(text[offset]!), offset });
    const byte = (n * 5) >> 3;
    const shifted = value << ((n * 5) & 7);
    bytes[byte] = (bytes[byte] ?? 0) | shifted;
    const carry = shifted >> 8;
    if (byte + 1 < size) bytes[byte + 1] = carry;
    else if (carry !== 0)
      fail("BASE32_INVALID", { expected: "zero bits beyond the last byte", actual: excerpt(text), offset });
  }
  return bytes;
}
