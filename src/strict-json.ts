/**
 * Strict JSON: one meaning for every reader, or refused. Parsed values only; what they mean is the caller's.
 *
 * RFC 8259, narrowed: UTF-8 without BOM, no duplicate keys, no `__proto__`, no lone surrogates, integers that a
 * double holds exactly, bounded size, depth and number of values, nothing after the value. Linear in the input.
 */
import { type Code, fail } from "./errors.js";

export type JsonValue = null | boolean | number | string | readonly JsonValue[] | JsonObject;
export interface JsonObject {
  readonly [key: string]: JsonValue;
}

export interface JsonCaps {
  readonly maxBytes: number;
  /** Arrays and objects within each other. Default: 64. */
  readonly maxDepth?: number;
  /** Whether numbers may have a fraction or an exponent. Default: only integers. */
  readonly fractions?: boolean;
  /** What a refusal throws. Default: JSON_INVALID. */
  readonly code?: Code;
  /** Names the text in errors. */
  readonly subject?: string;
}

const MAX_DEPTH = 64;
/** Values in one text, whatever their size: one of two bytes takes thirty in memory. */
const MAX_VALUES = 4_000_000;

/** @throws AirgapError with `caps.code`, and the line (by LF, from 1) where the text goes wrong. */
export function parseStrictJson(bytes: Uint8Array, caps: JsonCaps): JsonValue {
  const refuse = (line: number, expected: string, actual: string): never =>
    fail(caps.code ?? "JSON_INVALID", {
      line,
      expected,
      actual,
      ...(caps.subject === undefined ? {} : { subject: caps.subject }),
    });
  if (bytes.length > caps.maxBytes) refuse(1, `at most ${caps.maxBytes} bytes`, `${bytes.length} bytes`);
  if (bytes[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf) {
    refuse(1, "UTF-8 without byte order mark", "a byte order mark");
  }
  return new Parser(decode(bytes, refuse), caps, refuse).document();
}

/** Is it an object, neither an array nor null? */
export function isJsonObject(value: JsonValue | undefined): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

type Refuse = (line: number, expected: string, actual: string) => never;

function decode(bytes: Uint8Array, refuse: Refuse): string {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
    return refuse(lineOfBadUtf8(bytes), "UTF-8", "bytes that are not");
  }
}

/** The first line that is not UTF-8 alone: no sequence crosses a line feed. */
function lineOfBadUtf8(bytes: Uint8Array): number {
  const decoder = new TextDecoder("utf-8", { fatal: true });
  let line = 1;
  for (let from = 0; from < bytes.length; line++) {
    const feed = bytes.indexOf(0x0a, from);
    const end = feed < 0 ? bytes.length : feed;
    try {
      decoder.decode(bytes.subarray(from, end));
    } catch (error) {
      if (!(error instanceof TypeError)) throw error;
      return line;
    }
    from = end + 1;
  }
  return line;
}

class Parser {
  readonly #text: string;
  readonly #maxDepth: number;
  readonly #fractions: boolean;
  readonly #fail: Refuse;
  #at = 0;
  #values = 0;

  constructor(text: string, caps: JsonCaps, refuse: Refuse) {
    this.#text = text;
    this.#maxDepth = caps.maxDepth ?? MAX_DEPTH;
    this.#fractions = caps.fractions ?? false;
    this.#fail = refuse;
  }

  document(): JsonValue {
    const value = this.#value(0);
    if (this.#next() !== END) this.#refuse("the end");
    return value;
  }

  /** Recursion is bounded by the cap on depth. */
  #value(depth: number): JsonValue {
    if (++this.#values > MAX_VALUES) this.#refuse(`at most ${MAX_VALUES} values`, "more");
    switch (this.#next()) {
      case OBJECT:
        return this.#object(this.#deeper(depth));
      case ARRAY:
        return this.#array(this.#deeper(depth));
      case QUOTE:
        return this.#string();
      case 0x74:
        return this.#word("true", true);
      case 0x66:
        return this.#word("false", false);
      case 0x6e:
        return this.#word("null", null);
      default:
        return this.#number();
    }
  }

  #deeper(depth: number): number {
    if (depth >= this.#maxDepth) this.#refuse(`at most ${this.#maxDepth} levels`, "more");
    return depth + 1;
  }

  #object(depth: number): JsonObject {
    const object: Record<string, JsonValue> = {};
    this.#at++;
    if (this.#next() === OBJECT_END) {
      this.#at++;
      return object;
    }
    for (;;) {
      if (this.#next() !== QUOTE) this.#refuse("a key");
      const start = this.#at;
      const key = this.#string();
      if (key === "__proto__" || Object.hasOwn(object, key)) {
        this.#at = start;
        this.#refuse("each key once, and none named __proto__", this.#show());
      }
      if (this.#next() !== COLON) this.#refuse('":"');
      this.#at++;
      object[key] = this.#value(depth);
      const after = this.#next();
      if (after !== COMMA && after !== OBJECT_END) this.#refuse('"," or "}"');
      this.#at++;
      if (after === OBJECT_END) return object;
    }
  }

  #array(depth: number): JsonValue[] {
    const array: JsonValue[] = [];
    this.#at++;
    if (this.#next() === ARRAY_END) {
      this.#at++;
      return array;
    }
    for (;;) {
      array.push(this.#value(depth));
      const after = this.#next();
      if (after !== COMMA && after !== ARRAY_END) this.#refuse('"," or "]"');
      this.#at++;
      if (after === ARRAY_END) return array;
    }
  }

  #string(): string {
    const text = this.#text;
    const start = this.#at;
    let escaped = false;
    let at = start + 1;
    for (; ; at++) {
      const unit = text.charCodeAt(at);
      if (unit === QUOTE) break;
      if (unit === BACKSLASH) {
        escaped = true;
        at++;
      } else if (!(unit >= 0x20)) {
        // Also NaN, the end of the text.
        this.#at = Math.min(at, text.length);
        this.#refuse("a string without control characters, and its closing quote");
      }
    }
    this.#at = at + 1;
    if (!escaped) return text.slice(start + 1, at);
    return this.#unescape(start, text.slice(start, at + 1));
  }

  /** `quoted` has no raw control characters, and ends at its first unescaped quote: the escapes are left to judge. */
  #unescape(start: number, quoted: string): string {
    let value: unknown;
    try {
      value = JSON.parse(quoted);
    } catch (error) {
      if (!(error instanceof SyntaxError)) throw error;
    }
    // UTF-8 has no surrogates, so that a lone one was escaped.
    if (typeof value === "string" && !LONE_SURROGATE.test(value)) return value;
    this.#at = start;
    return this.#refuse("valid escapes, surrogates in pairs", this.#show());
  }

  #word<T extends JsonValue>(word: string, value: T): T {
    if (!this.#text.startsWith(word, this.#at)) this.#refuse("a value");
    this.#at += word.length;
    return value;
  }

  #number(): number {
    NUMBER.lastIndex = this.#at;
    const match = NUMBER.exec(this.#text);
    if (match === null) return this.#refuse("a value");
    const value = Number(match[0]);
    if (match[1] === undefined) {
      if (!Number.isSafeInteger(value) || Object.is(value, -0)) {
        this.#refuse("an integer below 2^53", this.#show());
      }
    } else if (!this.#fractions) {
      this.#refuse("an integer without fraction or exponent", this.#show());
    } else if (!Number.isFinite(value)) {
      this.#refuse("a number that a double holds", this.#show());
    }
    this.#at += match[0].length;
    return value;
  }

  /** The code unit after white space, not taken; END at the end. */
  #next(): number {
    const text = this.#text;
    let at = this.#at;
    let unit = text.charCodeAt(at);
    while (unit === 0x20 || unit === 0x0a || unit === 0x0d || unit === 0x09) unit = text.charCodeAt(++at);
    this.#at = at;
    return at < text.length ? unit : END;
  }

  #show(): string {
    if (this.#at >= this.#text.length) return "the end";
    // Escapes all but ASCII: half a surrogate pair must not reach a terminal, nor a control sequence.
    return JSON.stringify(this.#text.slice(this.#at, this.#at + 40)).replace(
      /[\x7f-\uffff]/g,
      (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`,
    );
  }

  #refuse(expected: string, actual = this.#show()): never {
    return this.#fail(this.#line(), expected, actual);
  }

  #line(): number {
    let line = 1;
    for (let at = this.#text.indexOf("\n"); at >= 0 && at < this.#at; at = this.#text.indexOf("\n", at + 1))
      line++;
    return line;
  }
}

const END = -1;
const QUOTE = 0x22;
const COMMA = 0x2c;
const COLON = 0x3a;
const ARRAY = 0x5b;
const BACKSLASH = 0x5c;
const ARRAY_END = 0x5d;
const OBJECT = 0x7b;
const OBJECT_END = 0x7d;
/** Group 1: fraction or exponent. */
const NUMBER = /-?(?:0|[1-9][0-9]*)((?:\.[0-9]+)(?:[eE][+-]?[0-9]+)?|[eE][+-]?[0-9]+)?/y;
const LONE_SURROGATE = /\p{Surrogate}/u;
