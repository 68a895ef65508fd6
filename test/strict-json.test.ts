import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { AirgapError } from "../src/errors.js";
import { type JsonCaps, parseStrictJson } from "../src/strict-json.js";

const parse = (text: string | Uint8Array, caps: Partial<JsonCaps> = {}) =>
  parseStrictJson(Buffer.from(text as string), { maxBytes: 64 * 1024 * 1024, ...caps });
const invalid = (line?: number) =>
  expect.objectContaining({
    code: "JSON_INVALID",
    ...(line === undefined ? {} : { details: expect.objectContaining({ line }) }),
  });

const isWellFormed = (text: string) => !/\p{Surrogate}/u.test(text);

describe("strict JSON", () => {
  it("gives what JSON.parse gives, for all that is strict", () => {
    const strict = (value: unknown): boolean => {
      if (typeof value === "string") return isWellFormed(value);
      if (typeof value === "number") return Number.isSafeInteger(value) && !Object.is(value, -0);
      if (typeof value !== "object" || value === null) return true;
      return Object.entries(value).every(
        ([key, each]) => key !== "__proto__" && isWellFormed(key) && strict(each),
      );
    };
    fc.assert(
      fc.property(fc.jsonValue(), fc.constantFrom(0, 2), (value, indent) => {
        const text = JSON.stringify(value, null, indent);
        const again: unknown = JSON.parse(text);
        if (strict(again)) expect(parse(text)).toEqual(again);
        else expect(() => parse(text)).toThrow(invalid());
      }),
      { numRuns: 500 },
    );
  });

  it("accepts nothing that JSON.parse refuses", () => {
    const base = '{"a":[1,-20,"x\\u00e9\\n",true,null],"b":{"c":"\u20ac"}}';
    fc.assert(
      fc.property(fc.nat(base.length - 1), fc.constantFrom(...'{}[]",:\\ \n0-.eutx\u0001'), (at, unit) => {
        const text = base.slice(0, at) + unit + base.slice(at + 1);
        try {
          expect(parse(text)).toEqual(JSON.parse(text));
        } catch (error) {
          if (!(error instanceof AirgapError)) throw error;
          expect(error.code).toBe("JSON_INVALID");
        }
      }),
      { numRuns: 1000 },
    );
  });

  it.each<[string, string | Uint8Array, number]>([
    ["a key twice", '{"a":1,\n"a":1}', 2],
    ["a key twice, once escaped", '{"a":1,"\\u0061":1}', 1],
    ["__proto__", '\n{"__proto__":{"x":1}}', 2],
    ["__proto__, escaped", '{"\\u005f_proto__":{"x":1}}', 1],
    ["a byte order mark", "\ufeff{}", 1],
    [
      "bytes that are no UTF-8",
      Buffer.concat([Buffer.from('{\n\n"a":"'), Buffer.from([0xc3, 0x28]), Buffer.from('"}')]),
      3,
    ],
    ["a surrogate as UTF-8", Buffer.from([0x22, 0xed, 0xa0, 0x80, 0x22]), 1],
    ["an overlong form", Buffer.from([0x22, 0xc0, 0x80, 0x22]), 1],
    ["a lone high surrogate, escaped", '"\\ud800"', 1],
    ["a lone surrogate in a key", '{"\\udbff":1}', 1],
    ["a high surrogate before a pair", '"\\ud800\\ud83d\\ude00"', 1],
    ["a lone low surrogate, escaped", '"\\udc00\\ud800"', 1],
    ["__proto__ as a word", '{"__proto__":0}', 1],
    ["__proto__ further down", '{"a":\n[{"__proto__":{"x":1}}]}', 2],
    ["2^53", "9007199254740992", 1],
    ["-2^53", "-9007199254740992", 1],
    ["a fraction that rounds to an integer", "9007199254740991.4", 1],
    ["a huge integer", "1".repeat(400), 1],
    ["-0", "-0", 1],
    ["a fraction", "[1.5]", 1],
    ["an exponent", "1e3", 1],
    ["a leading zero", "01", 1],
    ["a plus sign", "+1", 1],
    ["a lone minus", "-", 1],
    ["NaN", "NaN", 1],
    ["a second byte order mark", "{}\ufeff", 1],
    ["UTF-16", Buffer.from("\ufeff{}", "utf16le"), 1],
    ["trailing data", "{}\n\n{}", 3],
    ["trailing NUL", "{}\0", 1],
    ["a trailing comma", "[1,\n]", 2],
    ["a comment", "{} // x", 1],
    ["a raw control character", '"\t"', 1],
    ["an unknown escape", '"\\x41"', 1],
    ["a short escape", '"\\u12"', 1],
    ["single quotes", "{'a':1}", 1],
    ["an open string", '"abc', 1],
    ["an open string at an escape", '"abc\\', 1],
    ["nothing", "", 1],
    ["another white space", "\u00a01", 1],
  ])("refuses %s", (_, text, line) => {
    expect(() => parse(text)).toThrow(invalid(line));
    expect(({} as Record<string, unknown>)["x"]).toBeUndefined();
  });

  it("leaves every object as it was", () => {
    const names = Object.getOwnPropertyNames(Object.prototype);
    const value = parse('{"constructor":{"prototype":{"x":1}},"prototype":{"x":1},"x":2}');
    expect(value).toMatchObject({ x: 2 });
    expect(({} as Record<string, unknown>)["x"]).toBeUndefined();
    expect(Object.getOwnPropertyNames(Object.prototype)).toEqual(names);
  });

  it("takes members named like those that every object has", () => {
    expect(parse('{"constructor":1,"toString":2,"hasOwnProperty":3}')).toEqual({
      constructor: 1,
      toString: 2,
      hasOwnProperty: 3,
    });
  });

  it("takes integers up to 2^53 - 1, and fractions where they are allowed", () => {
    expect(parse("[9007199254740991,-9007199254740991]")).toEqual([9007199254740991, -9007199254740991]);
    expect(parse("[1.5,1e3,-2.5E-2]", { fractions: true })).toEqual([1.5, 1000, -0.025]);
    expect(() => parse("1e999", { fractions: true })).toThrow(invalid());
    expect(() => parse("9007199254740993", { fractions: true })).toThrow(invalid());
  });

  it("bounds depth and size", () => {
    const nested = (depth: number) => "[".repeat(depth) + "]".repeat(depth);
    expect(parse(nested(64))).toBeInstanceOf(Array);
    expect(() => parse(nested(65))).toThrow(invalid());
    expect(() => parse("[".repeat(1_000_000))).toThrow(invalid());
    expect(() => parse(nested(1_000_000))).toThrow(invalid());
    expect(() => parse('[{"a":'.repeat(1_000_000))).toThrow(invalid());
    expect(() => parse('{"a":'.repeat(1_000_000))).toThrow(invalid());
    expect(() => parse(nested(3), { maxDepth: 2 })).toThrow(invalid());
    expect(() => parse("[1,2,3]", { maxBytes: 6 })).toThrow(invalid());
    expect(() => parse(`[${"0,".repeat(4_000_000)}0]`, { maxBytes: 1e8 })).toThrow(invalid());
  });

  it("throws the code and subject that it was given", () => {
    expect(() => parse("{", { code: "FLAKE_LOCK_INVALID", subject: "flake.lock" })).toThrow(
      expect.objectContaining({
        code: "FLAKE_LOCK_INVALID",
        details: expect.objectContaining({ subject: "flake.lock" }),
      }),
    );
  });

  it("reads 30 MB and one endless line without delay", () => {
    const path = {
      storePath: "/nix/store/00000000000000000000000000000000-x",
      narSize: 123456,
      references: ["a", "b"],
      deriver: null,
    };
    const member = JSON.stringify(path);
    const document = `[${Array.from({ length: Math.ceil(30e6 / member.length) }, () => member).join(",")}]`;
    const started = performance.now();
    expect(parse(document)).toHaveLength(Math.ceil(30e6 / member.length));
    expect(() => parse(`"${"x".repeat(10_000_000)}`)).toThrow(invalid(1));
    expect(() => parse("0".repeat(10_000_000))).toThrow(invalid(1));
    // Generous: other tests share the machine. Alone it takes about a second.
    expect(performance.now() - started).toBeLessThan(10_000);
  });
});
