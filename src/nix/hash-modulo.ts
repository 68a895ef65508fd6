/**
 * The hash of a stream modulo references to itself: what a self-referencing content-addressed path is named by.
 *
 * Source: Nix's libstore/references.cc (HashModuloSink): every occurrence of the own hash part is hashed as zero
 * bytes, and, by the rule of Nix 2.8, after the stream the positions of all occurrences, each as `|<decimal>`. Measured on
 * 2.26.3 and 2.34.8, newer Nix leaves the positions out.
 */
import { createHash, type Hash as Hasher } from "node:crypto";
import { type Hash, type HashAlgorithm, hashFromDigest } from "./hash.js";
import { HASH_PART_LENGTH } from "./store-path.js";

/** Occurrences of the own hash part in one NAR; real ones have a few thousand. */
export const MAX_SELF_REFERENCES = 4_000_000;

/** The hashes that a path may be named by. */
export interface ModuloHashes {
  /** Nix 2.8. */
  readonly withPositions: Hash;
  /** Newer Nix. */
  readonly withoutPositions: Hash;
}

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
  digests(): ModuloHashes | null {
    if (this.#matches.length > MAX_SELF_REFERENCES) return null;
    this.#hasher.update(this.#tail);
    const withoutPositions = hashFromDigest(this.#algorithm, this.#hasher.copy().digest());
    for (const match of this.#matches) this.#hasher.update(`|${match}`);
    return { withPositions: hashFromDigest(this.#algorithm, this.#hasher.digest()), withoutPositions };
  }
}
