/**
 * The hash of a stream modulo references to itself: what a self-referencing content-addressed path is named by.
 *
 * Source: Nix's libstore/references.cc (HashModuloSink): every occurrence of the own hash part is hashed as zero
 * bytes, and after the stream the positions of all occurrences, each as `|<decimal>`.
 */
import { createHash, type Hash as Hasher } from "node:crypto";
import { type Hash, type HashAlgorithm, hashFromDigest } from "./hash.js";
import { HASH_PART_LENGTH } from "./store-path.js";

/** Occurrences of the own hash part in one NAR; real ones have a few thousand. */
export const MAX_SELF_REFERENCES = 4_000_000;

export class HashModulo {
  readonly #algorithm: HashAlgorithm;
  readonly #hasher: Hasher;
  readonly #pattern: Buffer;
  /** The end of what was seen, too short to hold the pattern: it may begin here. */
  #tail = Buffer.alloc(0);
  /** Position in the stream of the tail's first byte. */
  #position = 0;
  readonly #matches: number[] = [];

  constructor(algorithm: HashAlgorithm, selfHashPart: string) {
    this.#algorithm = algorithm;
    this.#hasher = createHash(algorithm);
    this.#pattern = Buffer.from(selfHashPart, "latin1");
  }

  update(chunk: Uint8Array): void {
    const bytes = Buffer.concat([this.#tail, chunk]);
    let at = bytes.indexOf(this.#pattern);
    while (at >= 0) {
      if (this.#matches.length <= MAX_SELF_REFERENCES) this.#matches.push(this.#position + at);
      bytes.fill(0, at, at + HASH_PART_LENGTH);
      at = bytes.indexOf(this.#pattern, at + HASH_PART_LENGTH);
    }
    const done = Math.max(0, bytes.length - (HASH_PART_LENGTH - 1));
    this.#hasher.update(bytes.subarray(0, done));
    this.#tail = Buffer.from(bytes.subarray(done));
    this.#position += done;
  }

  /** Null where there are more than `MAX_SELF_REFERENCES`. Ends the stream. */
  digest(): Hash | null {
    if (this.#matches.length > MAX_SELF_REFERENCES) return null;
    this.#hasher.update(this.#tail);
    for (const match of this.#matches) this.#hasher.update(`|${match}`);
    return hashFromDigest(this.#algorithm, this.#hasher.digest());
  }
}
