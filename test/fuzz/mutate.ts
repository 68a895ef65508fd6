/**
 * Changes real data a little, so that much of it still reaches deep into a parser. The same seed gives the same
 * changes; nothing here knows a format, beyond words and mutations that it is given.
 */

import type { Random } from "../support/random.js";

/** May give its input back. */
export type Mutation = (bytes: Buffer, random: Random) => Buffer;

export interface Material {
  /** What the format's parser looks for. */
  readonly words: readonly Buffer[];
  /** Mutations that know the format: every second change is one of them. */
  readonly mutations: readonly Mutation[];
}

/** Inputs never grow over this: what only size does to a parser is asked with sizes of its own, elsewhere. */
export const MAX_INPUT = 96 * 1024;

/** One to eight changes of `bytes`; `other` lends pieces of itself. */
export function mutate(bytes: Buffer, other: Buffer, random: Random, { words, mutations }: Material): Buffer {
  let changed: Buffer = Buffer.from(bytes);
  do {
    if (mutations.length > 0 && random.oneIn(2)) changed = random.pick(mutations)(changed, random);
    else changed = random.pick(GENERAL)(changed, random, { words, other });
    if (changed.length > MAX_INPUT) changed = changed.subarray(0, MAX_INPUT);
  } while (random.oneIn(2));
  return changed;
}

type General = (
  bytes: Buffer,
  random: Random,
  lent: { readonly words: readonly Buffer[]; readonly other: Buffer },
) => Buffer;

const EDGE_BYTES = [
  0, 1, 9, 10, 13, 0x20, 0x22, 0x2c, 0x2d, 0x2e, 0x2f, 0x30, 0x3a, 0x5c, 0x7f, 0x80, 0xc3, 0xff,
];
const EDGE_NUMBERS = [
  "0",
  "-0",
  "-1",
  "00",
  "1",
  "127",
  "256",
  "4294967296",
  "9007199254740991",
  "9007199254740992",
  "9007199254740993",
  "18446744073709551615",
  "1e308",
  "1.5",
  "1".repeat(400),
];

const GENERAL: readonly General[] = [
  function flipBit(bytes, random) {
    if (bytes.length > 0) bytes[random.below(bytes.length)]! ^= 1 << random.below(8);
    return bytes;
  },
  function setByte(bytes, random) {
    if (bytes.length > 0)
      bytes[random.below(bytes.length)] = random.oneIn(2) ? random.below(256) : random.pick(EDGE_BYTES);
    return bytes;
  },
  function insertBytes(bytes, random) {
    const count = 1 + random.below(random.oneIn(8) ? 600 : 8);
    const same = random.oneIn(2) ? random.pick(EDGE_BYTES) : undefined;
    return insert(bytes, random, Buffer.from(Array.from({ length: count }, () => same ?? random.below(256))));
  },
  function remove(bytes, random) {
    const [from, to] = range(bytes, random);
    return Buffer.concat([bytes.subarray(0, from), bytes.subarray(to)]);
  },
  function truncate(bytes, random) {
    return bytes.subarray(0, random.below(bytes.length + 1));
  },
  function repeat(bytes, random) {
    const [from, to] = range(bytes, random);
    const times = 1 + random.below(random.oneIn(8) ? 300 : 4);
    const piece = bytes.subarray(from, Math.min(to, from + MAX_INPUT / times));
    return Buffer.concat([bytes.subarray(0, to), ...Array<Buffer>(times).fill(piece), bytes.subarray(to)]);
  },
  function move(bytes, random) {
    const [from, to] = range(bytes, random);
    const piece = Buffer.from(bytes.subarray(from, to));
    return insert(Buffer.concat([bytes.subarray(0, from), bytes.subarray(to)]), random, piece);
  },
  function splice(bytes, random, { other }) {
    const [from, to] = range(other, random);
    return insert(bytes, random, other.subarray(from, to));
  },
  function cross(bytes, random, { other }) {
    const head = bytes.subarray(0, random.below(bytes.length + 1));
    return Buffer.concat([head, other.subarray(random.below(other.length + 1))]);
  },
  function insertWord(bytes, random, { words }) {
    return words.length === 0 ? bytes : insert(bytes, random, random.pick(words));
  },
  function replaceByWord(bytes, random, { words }) {
    if (words.length === 0) return bytes;
    const gone = bytes.indexOf(random.pick(words));
    const word = random.pick(words);
    if (gone < 0) return bytes;
    return Buffer.concat([bytes.subarray(0, gone), word, bytes.subarray(gone + word.length)]);
  },
  function replaceNumber(bytes, random) {
    const start = random.below(bytes.length + 1);
    const isDigit = (at: number) => bytes[at]! >= 0x30 && bytes[at]! <= 0x39;
    let from = start;
    while (from < bytes.length && !isDigit(from)) from++;
    let to = from;
    while (to < bytes.length && isDigit(to)) to++;
    return Buffer.concat([
      bytes.subarray(0, from),
      Buffer.from(random.pick(EDGE_NUMBERS)),
      bytes.subarray(to),
    ]);
  },
  function changeLines(bytes, random) {
    const lines = bytes.toString("latin1").split("\n");
    const [a, b] = [random.below(lines.length), random.below(lines.length)];
    if (random.oneIn(3)) lines.splice(a, 1);
    else if (random.oneIn(2)) lines.splice(a, 0, lines[b]!);
    else [lines[a], lines[b]] = [lines[b]!, lines[a]!];
    return Buffer.from(lines.join("\n"), "latin1");
  },
];

function insert(bytes: Buffer, random: Random, piece: Buffer): Buffer {
  const at = random.below(bytes.length + 1);
  return Buffer.concat([bytes.subarray(0, at), piece, bytes.subarray(at)]);
}

/** Mostly short. */
function range(bytes: Buffer, random: Random): [from: number, to: number] {
  const from = random.below(bytes.length + 1);
  const longest = random.oneIn(4) ? bytes.length - from : Math.min(16, bytes.length - from);
  return [from, from + random.below(longest + 1)];
}
