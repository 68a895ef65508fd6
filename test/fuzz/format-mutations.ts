/** Mutations that keep enough of a format for the next check behind it to be reached: framing, checksums, signatures. */
import { formatJson } from "../../src/canonical-json.js";
import type { SecretKey } from "../../src/nix/signature.js";
import { preAuthEncoding } from "../../src/trust/dsse.js";
import { signingKey, signMessage } from "../../src/trust/signing.js";
import type { Random } from "../support/random.js";
import type { Mutation } from "./mutate.js";

const EDGE_LENGTHS = [
  0n,
  1n,
  7n,
  8n,
  13n,
  14n,
  255n,
  256n,
  4095n,
  4096n,
  2n ** 32n,
  2n ** 48n,
  2n ** 53n + 1n,
  2n ** 63n,
];

/** Takes away, repeats, swaps and changes whole tokens of a NAR, or their lengths. */
export const narTokens: Mutation = (bytes, random) => {
  const tokens = splitTokens(bytes);
  const a = random.below(tokens.length);
  const b = random.below(tokens.length);
  switch (random.below(6)) {
    case 0:
      tokens.splice(a, 1 + random.below(4));
      break;
    case 1:
      tokens.splice(b, 0, ...tokens.slice(a, a + 1 + random.below(12)));
      break;
    case 2:
      [tokens[a], tokens[b]] = [tokens[b]!, tokens[a]!];
      break;
    case 3:
      tokens[a] = token(Buffer.alloc(random.below(random.oneIn(4) ? 5000 : 20), 0x61 + random.below(26)));
      break;
    case 4:
      tokens[a] = token(tokens[b]!.subarray(8, 8 + random.below(tokens[b]!.length)));
      break;
    default: {
      const changed = Buffer.from(tokens[a]!);
      if (changed.length >= 8) changed.writeBigUInt64LE(random.pick(EDGE_LENGTHS));
      tokens[a] = changed;
    }
  }
  return Buffer.concat(tokens);
};

/** As far as the bytes are tokens; the rest is the last. Never empty. */
function splitTokens(bytes: Buffer): Buffer[] {
  const tokens: Buffer[] = [];
  let at = 0;
  while (at + 8 <= bytes.length) {
    const length = bytes.readBigUInt64LE(at);
    if (length > BigInt(bytes.length - at - 8)) break;
    const end = at + 8 + Math.ceil(Number(length) / 8) * 8;
    tokens.push(bytes.subarray(at, end));
    at = end;
  }
  tokens.push(bytes.subarray(at));
  return tokens;
}

function token(body: Buffer): Buffer {
  const bytes = Buffer.alloc(8 + Math.ceil(body.length / 8) * 8);
  bytes.writeBigUInt64LE(BigInt(body.length));
  bytes.set(body, 8);
  return bytes;
}

/** Offset and size of the fields of a tar header. */
const TAR_FIELDS = [
  [0, 100],
  [100, 8],
  [108, 8],
  [124, 12],
  [136, 12],
  [156, 1],
  [157, 100],
  [257, 8],
  [329, 8],
  [345, 155],
] as const;
const EDGE_SIZES = [-1n, -512n, -(2n ** 63n), 0n, 1n, 511n, 512n, 2n ** 33n, 2n ** 53n - 1n, 2n ** 62n];

/** Changes a field of a header and makes its checksum true again. */
export const tarHeaders: Mutation = (bytes, random) => {
  const block = random.below(Math.floor(bytes.length / 512) + 1) * 512;
  if (block + 512 > bytes.length) return bytes;
  const header = bytes.subarray(block, block + 512);
  const [at, size] = random.pick(TAR_FIELDS);
  if (random.oneIn(3)) {
    header[124] = random.oneIn(2) ? 0x80 : 0xff;
    header.fill(header[124] === 0xff ? 0xff : 0, 125, 128);
    header.writeBigInt64BE(random.pick(EDGE_SIZES), 128);
  } else {
    header[at + random.below(size)] = random.oneIn(2) ? random.below(256) : 0x30 + random.below(8);
  }
  header.write("        ", 148, "latin1");
  const sum = header.reduce((total, byte) => total + byte, 0);
  header.write(`${sum.toString(8).padStart(6, "0")} \0`, 148, "latin1");
  return bytes;
};

/** Takes away, repeats, swaps whole members of a tar, or gives one another's contents, headers being left exact. */
export const tarMembers: Mutation = (bytes, random) => {
  const members: Buffer[] = [];
  let at = 0;
  while (at + 512 <= bytes.length && bytes[at] !== 0) {
    const size = Number.parseInt(bytes.toString("latin1", at + 124, at + 135), 8);
    const end = at + 512 + Math.ceil((Number.isSafeInteger(size) ? size : 0) / 512) * 512;
    members.push(bytes.subarray(at, end));
    at = Math.max(end, at + 512);
  }
  if (members.length === 0) return bytes;
  const [a, b] = [random.below(members.length), random.below(members.length)];
  if (random.oneIn(4)) members.splice(a, 1);
  else if (random.oneIn(3)) members.splice(a, 0, members[b]!);
  else if (random.oneIn(2)) [members[a], members[b]] = [members[b]!, members[a]!];
  else members[a] = Buffer.concat([members[a]!.subarray(0, 512), members[b]!.subarray(512)]);
  return Buffer.concat([...members, bytes.subarray(at)]);
};

/** Repeats or swaps strings and tuples of an ATerm, with the commas right. */
export const atermMembers: Mutation = (bytes, random) => {
  const text = bytes.toString("latin1");
  const members = [...text.matchAll(random.oneIn(2) ? ATERM_STRING : ATERM_TUPLE)];
  if (members.length === 0) return bytes;
  const [a, b] = [random.pick(members), random.pick(members)].sort((x, y) => x.index - y.index) as [
    RegExpExecArray,
    RegExpExecArray,
  ];
  const afterA = a.index + a[0].length;
  const changed =
    random.oneIn(2) || a === b
      ? `${text.slice(0, afterA)},${a[0]}${text.slice(afterA)}`
      : text.slice(0, a.index) +
        b[0] +
        text.slice(afterA, b.index) +
        a[0] +
        text.slice(b.index + b[0].length);
  return Buffer.from(changed, "latin1");
};
const ATERM_STRING = /"(?:[^"\\]|\\.)*"/g;
const ATERM_TUPLE = /\((?:"(?:[^"\\]|\\.)*"|[^()"])*\)/g;

/** Spells base64 in another way that Buffer reads as the same bytes. */
export const looseBase64: Mutation = (bytes, random) => {
  const text = bytes.toString("latin1");
  const words = [...text.matchAll(/[A-Za-z0-9+/]{20,}={0,2}/g)];
  if (words.length === 0) return bytes;
  const word = random.pick(words);
  const end = word.index + word[0].length;
  const last = text.slice(word.index, end).replace(/=*$/, "");
  const next = String.fromCharCode(last.charCodeAt(last.length - 1) + 1);
  const spelled = random.pick([
    `${last.slice(0, -1)}${next}${word[0].slice(last.length)}`,
    last,
    `${word[0]}=`,
  ]);
  return Buffer.from(text.slice(0, word.index) + spelled + text.slice(end), "latin1");
};

type Json = null | boolean | number | string | Json[] | { [key: string]: Json };

const EDGE_VALUES: readonly Json[] = [
  null,
  true,
  false,
  0,
  -1,
  1,
  2 ** 31,
  2 ** 53 - 1,
  "",
  "a",
  ".",
  "..",
  "/",
  "\0",
  "\n",
  "\u007f",
  "\u{1f600}",
  "x".repeat(300),
  [],
  {},
];

/** Changes one value, key or member of a JSON text, and prints it as the format has it. */
export const jsonValues: Mutation = (bytes, random) => printJson(changeJson(parseJson(bytes), random), bytes);

/** As `jsonValues`; then `repair` makes right what every change makes wrong. */
export function jsonRepaired(repair: (value: Record<string, Json>) => void): Mutation {
  return (bytes, random) => {
    const value = changeJson(parseJson(bytes), random);
    try {
      repair(value as Record<string, Json>);
    } catch (error) {
      // What it looks for may be what was changed.
      if (!(error instanceof TypeError)) throw error;
    }
    return printJson(value, bytes);
  };
}

/** Changes what an approval says, and signs it again. */
export function signedAgain(key: SecretKey): Mutation {
  return (bytes, random) => {
    const approval = parseJson(bytes) as {
      dsseEnvelope?: { payload?: string; signatures?: { sig?: string }[] };
    };
    const payload = approval?.dsseEnvelope?.payload;
    const signature = approval?.dsseEnvelope?.signatures?.[0];
    if (typeof payload !== "string" || typeof signature !== "object" || signature === null) return bytes;
    const changed = jsonValues(Buffer.from(payload, "base64"), random);
    approval.dsseEnvelope!.payload = changed.toString("base64");
    signature.sig = signMessage(preAuthEncoding(changed), signingKey(key)).toString("base64");
    return printJson(approval as Json, bytes);
  };
}

/** Undefined for what is no JSON. */
function parseJson(bytes: Buffer): Json | undefined {
  try {
    return JSON.parse(bytes.toString()) as Json;
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
}

function printJson(value: Json | undefined, otherwise: Buffer): Buffer {
  if (value === undefined) return otherwise;
  try {
    return Buffer.from(formatJson(value));
  } catch (error) {
    // A fraction, or nested too deep, which the canonical printer has no form for.
    if (error instanceof TypeError || error instanceof RangeError) return otherwise;
    throw error;
  }
}

function changeJson(value: Json | undefined, random: Random): Json | undefined {
  if (value === undefined) return undefined;
  const containers: (Json[] | { [key: string]: Json })[] = [];
  const collect = (each: Json) => {
    if (typeof each !== "object" || each === null) return;
    containers.push(each);
    for (const member of Object.values(each)) collect(member);
  };
  collect(value);
  const target = containers.length > 0 ? random.pick(containers) : undefined;
  if (target === undefined) return random.pick(EDGE_VALUES);
  const borrowed = random.pick(containers);
  const anything = () =>
    structuredClone(
      random.oneIn(2) ? random.pick(EDGE_VALUES) : (random.pick(Object.values(borrowed)) ?? null),
    );
  if (Array.isArray(target)) changeList(target, random, anything);
  else changeObject(target, random, anything);
  return value;
}

function changeList(list: Json[], random: Random, anything: () => Json): void {
  const at = random.below(list.length + 1);
  const other = random.below(list.length + 1);
  switch (random.below(4)) {
    case 0:
      list.splice(at, 1);
      return;
    case 1:
      list.splice(at, 0, structuredClone(list[other] ?? null));
      return;
    case 2:
      list.splice(at, 1, anything());
      return;
    default:
      if (at < list.length && other < list.length) [list[at], list[other]] = [list[other]!, list[at]!];
  }
}

function changeObject(object: { [key: string]: Json }, random: Random, anything: () => Json): void {
  const keys = Object.keys(object);
  const key = keys.length > 0 ? random.pick(keys) : "a";
  const value = object[key];
  switch (random.below(4)) {
    case 0:
      delete object[key];
      return;
    case 1:
      object[random.pick([`${key}x`, "", "constructor", "toString", "length", "0"])] = anything();
      return;
    default:
      object[key] = typeof value === "string" && random.oneIn(2) ? changeText(value, random) : anything();
  }
}

function changeText(text: string, random: Random): string {
  const at = random.below(text.length + 1);
  const piece = random.pick([
    "",
    "/",
    "-",
    ".",
    "a",
    "0",
    "=",
    "\n",
    "\u00e9",
    text.slice(random.below(text.length + 1)),
  ]);
  return text.slice(0, at) + piece + text.slice(at + random.below(3));
}
