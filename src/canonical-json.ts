/**
 * The one encoding of every JSON file that the format defines (docs/format.md, section 2): what `jq -S .`
 * prints. What values mean is the caller's; strictness of reading is strict-json.ts.
 */
import { fail } from "./errors.js";
import { type JsonCaps, type JsonValue, parseStrictJson } from "./strict-json.js";

/**
 * Prints `value`, with a final newline. Linear in the output.
 * A value that the encoding cannot hold (a fraction, `undefined`, a class instance) is a bug: TypeError.
 */
export function formatJson(value: unknown): string {
  return `${print(value, "\n")}\n`;
}

/** The same on one line, with a final newline: what `jq -cS .` prints. For files that hold one value a line. */
export function formatCompactJson(value: unknown): string {
  return `${print(value, "")}\n`;
}

/**
 * Parses bytes that must be what `formatJson` prints, so that one value has one hash.
 * Throws what `parseStrictJson` throws, and JSON_NOT_CANONICAL with the first line that differs.
 */
export function parseCanonicalJson(bytes: Uint8Array, caps: JsonCaps): JsonValue {
  const value = parseStrictJson(bytes, caps);
  const canonical = Buffer.from(formatJson(value));
  if (Buffer.compare(canonical, bytes) !== 0) {
    fail("JSON_NOT_CANONICAL", {
      ...(caps.subject === undefined ? {} : { subject: caps.subject }),
      line: firstDifferentLine(canonical, bytes),
      expected: "the bytes that `jq -S .` prints",
    });
  }
  return value;
}

/** `newline` is a line feed and the indentation of the line that holds `value`; empty where all is on one line. */
function print(value: unknown, newline: string): string {
  if (typeof value === "string") return quote(value);
  if (value === null || typeof value === "boolean") return String(value);
  // String(-0) is "0": negative zero has no encoding of its own.
  if (Number.isSafeInteger(value)) return String(value);
  const inner = newline && `${newline}  `;
  const colon = newline ? ": " : ":";
  const block = (open: string, parts: readonly string[], close: string) =>
    parts.length === 0 ? open + close : open + inner + parts.join(`,${inner}`) + newline + close;
  if (Array.isArray(value)) {
    const parts = value.map((element) => print(element, inner));
    return block("[", parts, "]");
  }
  if (isPlainObject(value)) {
    const keys = Object.keys(value).sort(compareCodePoints);
    const parts = keys.map((key) => quote(key) + colon + print(value[key], inner));
    return block("{", parts, "}");
  }
  throw new TypeError(`not JSON of this format: ${typeof value} ${String(value)}`);
}

/** As JSON.stringify, but with U+007F escaped, since jq escapes it. Nearly all text needs no escape at all. */
function quote(text: string): string {
  if (/^[ !#-[\]-~]*$/.test(text)) return `"${text}"`;
  return JSON.stringify(text).replaceAll("\x7f", "\\u007f");
}

function isPlainObject(value: unknown): value is Record<string, unknown> {
  if (typeof value !== "object" || value === null) return false;
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === Object.prototype || prototype === null;
}

/** jq's order. It differs from `<` only where surrogates meet the code units above them. */
function compareCodePoints(a: string, b: string): number {
  if (!/[\ud800-\udfff]/.test(a) && !/[\ud800-\udfff]/.test(b)) return a < b ? -1 : 1;
  return Buffer.compare(Buffer.from(a), Buffer.from(b));
}

function firstDifferentLine(a: Uint8Array, b: Uint8Array): number {
  let line = 1;
  for (let i = 0; i < a.length && a[i] === b[i]; i++) if (a[i] === 0x0a) line++;
  return line;
}
