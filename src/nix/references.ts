/**
 * Finds which of given store paths occur in a stream of bytes, as Nix's scanner does: by hash part, wherever
 * it starts, also right after other base32 characters. What a found path means is for others.
 */
import { fail } from "../errors.js";
import { BASE32_ALPHABET } from "./base32.js";
import { excerpt } from "./excerpt.js";
import { HASH_PART_LENGTH, isHashPart } from "./store-path.js";

/** Digit value of each byte, -1 where it is no base32 digit. */
const VALUE = new Int8Array(256).fill(-1);
for (let i = 0; i < 32; i++) VALUE[BASE32_ALPHABET.charCodeAt(i)] = i;

/** Four digits index a bitmap of the hash parts' last four, which spares most lookups in the set. */
const SUFFIX_MASK = (1 << 20) - 1;

export class ReferenceScanner {
  readonly #hashParts: ReadonlySet<string>;
  readonly #suffixes = new Uint8Array((SUFFIX_MASK + 1) / 8);
  readonly #found = new Set<string>();
  /** The last bytes seen, at most 31: a hash part may straddle two chunks. */
  #tail = Buffer.alloc(0);

  /** `hashParts`: 32 base32 digits each. Throws STORE_PATH_INVALID. */
  constructor(hashParts: Iterable<string>) {
    this.#hashParts = new Set(hashParts);
    for (const hashPart of this.#hashParts) {
      if (!isHashPart(hashPart)) {
        fail("STORE_PATH_INVALID", { expected: "32 base32 digits", actual: excerpt(hashPart) });
      }
      let suffix = 0;
      for (let i = HASH_PART_LENGTH - 4; i < HASH_PART_LENGTH; i++) {
        suffix = (suffix << 5) | VALUE[hashPart.charCodeAt(i)]!;
      }
      this.#suffixes[suffix >> 3]! |= 1 << (suffix & 7);
    }
  }

  update(chunk: Uint8Array): void {
    const bytes = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.length);
    const overlap = HASH_PART_LENGTH - 1;
    if (this.#tail.length > 0) this.#scan(Buffer.concat([this.#tail, bytes.subarray(0, overlap)]));
    this.#scan(bytes);
    // Copied, since the caller may reuse the chunk's memory.
    this.#tail =
      bytes.length >= overlap
        ? Buffer.from(bytes.subarray(bytes.length - overlap))
        : Buffer.concat([this.#tail, bytes]).subarray(-overlap);
  }

  /** Hash parts found since the start or the last `reset`, sorted. */
  found(): string[] {
    return [...this.#found].sort();
  }

  /** Ready for another stream, with the same hash parts. */
  reset(): void {
    this.#found.clear();
    this.#tail = Buffer.alloc(0);
  }

  #scan(bytes: Buffer): void {
    const suffixes = this.#suffixes;
    let start = 0;
    // Bytes from `start` up to here are known to be digits.
    let known = 0;
    while (start + HASH_PART_LENGTH <= bytes.length) {
      // From the end of the window: one byte that is no digit rules out every start up to it.
      const end = start + HASH_PART_LENGTH;
      let at = end - 1;
      while (at >= known && VALUE[bytes[at]!]! >= 0) at--;
      if (at >= known) {
        start = at + 1;
        known = end;
        continue;
      }
      // Slide through the run of digits, one start at a time.
      let suffix = suffixAt(bytes, end);
      let last = end;
      for (;;) {
        if ((suffixes[suffix >> 3]! >> (suffix & 7)) & 1) this.#look(bytes, last);
        const value = last < bytes.length ? VALUE[bytes[last]!]! : -1;
        if (value < 0) break;
        suffix = ((suffix << 5) | value) & SUFFIX_MASK;
        last++;
      }
      start = last + 1;
      known = start;
    }
  }

  #look(bytes: Buffer, end: number): void {
    const hashPart = bytes.toString("latin1", end - HASH_PART_LENGTH, end);
    if (this.#hashParts.has(hashPart)) this.#found.add(hashPart);
  }
}

/** The four digits before `end`, as a number. */
function suffixAt(bytes: Buffer, end: number): number {
  let suffix = 0;
  for (let i = end - 4; i < end; i++) suffix = (suffix << 5) | VALUE[bytes[i]!]!;
  return suffix;
}
