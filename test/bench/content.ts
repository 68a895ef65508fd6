/**
 * Contents that are to zstd what real software is, made from a seed: the same seed, the same bytes.
 *
 * Everything is cut out of three pools: words of a vocabulary in lines (sources, documents), instructions with operands
 * and tables (code), and noise (what is compressed already). A pool is larger than zstd's window at level 3 (2 MiB), so
 * pieces of it do not help to compress each other more than files of one package would.
 *
 * Measured beside 400 MB of Debian's /usr/lib as one tar, at level 3: that is compressed to 0.33 and decompressed by
 * `zstd -dc` at 1.2 GB/s; text here to 0.28, code to 0.41, both at 1.3 GB/s; the NARs of the large flake to 0.36.
 */

import { Random } from "../support/random.js";

export type ContentKind = "text" | "code" | "noise";

export class Content {
  readonly #pools: Readonly<Record<ContentKind, Buffer>>;

  /** `poolSize`: of each pool, in bytes. */
  constructor(seed: number, poolSize: number = POOL_SIZE) {
    this.#pools = {
      text: textPool(new Random(seed), poolSize),
      code: codePool(new Random(seed + 1), poolSize),
      noise: noisePool(new Random(seed + 2), poolSize),
    };
  }

  /** `size` bytes in pieces that live only until the next is asked for: do not keep them. */
  *pieces(kind: ContentKind, size: number, random: Random): Generator<Buffer> {
    for (let left = size; left > 0; ) {
      const pool = this.#pools[kind === "code" ? mixed(random) : kind];
      const length = Math.min(left, pool.length >> 1, MIN_PIECE + random.below(MAX_PIECE - MIN_PIECE));
      const start = random.below(pool.length - length);
      yield pool.subarray(start, start + length);
      left -= length;
    }
  }

  bytes(kind: ContentKind, size: number, random: Random): Buffer {
    return Buffer.concat([...this.pieces(kind, size, random)]);
  }
}

const POOL_SIZE = 24 * 2 ** 20;
const MIN_PIECE = 16 * 2 ** 10;
const MAX_PIECE = 256 * 2 ** 10;

/** A program holds messages and images too. */
function mixed(random: Random): ContentKind {
  const share = random.unit();
  return share < 0.05 ? "noise" : share < 0.25 ? "text" : "code";
}

function noisePool(random: Random, size: number): Buffer {
  const pool = Buffer.alloc(size);
  for (let at = 0; at + 4 <= size; at += 4) pool.writeUInt32LE(random.bits(), at);
  return pool;
}

const WORDS = 20_000;
const PHRASES = 6000;

function textPool(random: Random, size: number): Buffer {
  const letters = "eeeeeettttaaaaooooiiinnnssrrhhlldducmfpgwybvk_";
  const word = () =>
    Array.from({ length: 2 + random.below(9) }, () => letters[random.below(letters.length)]!);
  const words = Array.from({ length: WORDS }, () => `${word().join("")}${frequent(random, MARKS)}`);
  const phrase = () => Array.from({ length: 2 + random.below(7) }, () => frequent(random, words));
  const phrases = Array.from({ length: PHRASES }, () => Buffer.from(phrase().join("")));
  const singles = words.map((text) => Buffer.from(text));
  const newline = Buffer.from("\n    ");
  return fill(size, () => {
    const choice = random.unit();
    if (choice < 0.12) return newline;
    return frequent(random, choice < 0.24 ? phrases : singles);
  });
}

const MARKS = [" ", " ", " ", ", ", ". ", " = ", "(", ")", "; ", "."];

const INSTRUCTIONS = 4000;
const SEQUENCES = 6000;

function codePool(random: Random, size: number): Buffer {
  const bytes = (length: number) => Buffer.from(Array.from({ length }, () => random.below(256)));
  const instructions = Array.from({ length: INSTRUCTIONS }, () => bytes(2 + random.below(5)));
  const sequence = () => Array.from({ length: 3 + random.below(10) }, () => frequent(random, instructions));
  const sequences = Array.from({ length: SEQUENCES }, () => Buffer.concat(sequence()));
  const operand = Buffer.alloc(4);
  const table = Buffer.alloc(24);
  return fill(size, () => {
    const choice = random.unit();
    if (choice < 0.22) return frequent(random, sequences);
    if (choice < 0.76) return frequent(random, instructions);
    if (choice < 0.97) {
      operand.writeUInt32LE(random.below(random.unit() < 0.5 ? 2 ** 8 : 2 ** 18));
      return operand;
    }
    // A row of a symbol table: an address, a size, and zeros.
    table.writeUInt32LE(0x400000 + random.below(2 ** 16) * 16, 0);
    table.writeUInt32LE(random.below(2 ** 9), 8);
    return table;
  });
}

/** The first of `items` far more often than the last. */
function frequent<T>(random: Random, items: readonly T[]): T {
  const unit = random.unit();
  // Roots are exact on every machine, powers are not.
  return items[Math.floor(unit * unit * Math.sqrt(unit) * items.length)]!;
}

function fill(size: number, next: () => Buffer): Buffer {
  const pool = Buffer.alloc(size);
  for (let at = 0; at < size; ) at += next().copy(pool, at);
  return pool;
}
