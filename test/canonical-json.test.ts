import { spawnSync } from "node:child_process";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { formatCompactJson, formatJson, parseCanonicalJson } from "../src/canonical-json.js";

const CAPS = { maxBytes: 1 << 20 };

/** JSON of this format: no fractions, no lone surrogates, no `__proto__`. */
const value = fc.letrec((tie) => ({
  any: fc.oneof(
    { depthSize: "small" },
    fc.constant(null),
    fc.boolean(),
    fc.maxSafeInteger(),
    fc.string({ unit: "binary" }),
    fc.array(tie("any")),
    fc.dictionary(
      fc.string({ unit: "binary" }).filter((key) => key !== "__proto__"),
      tie("any"),
    ),
  ),
})).any;

describe("canonical JSON", () => {
  it.each([
    ["jq -S .", ["-S"], formatJson],
    ["jq -cS .", ["-c", "-S"], formatCompactJson],
  ])("prints what `%s` prints", (_, options, format) => {
    const values = fc.sample(value, { numRuns: 300, seed: 7 });
    values.push({ "\u{1F600}": '\x7f\u2028\0\\/"', "\uffee": [], a: {}, b: Number.MAX_SAFE_INTEGER });
    const jq = spawnSync("jq", [...options, "."], { input: values.map((v) => JSON.stringify(v)).join("\n") });
    expect(jq.status).toBe(0);
    expect(values.map(format).join("")).toBe(jq.stdout.toString());
  });

  it("reads back what it prints", () => {
    fc.assert(
      fc.property(value, (v) => {
        const text = formatJson(v);
        expect(formatJson(parseCanonicalJson(Buffer.from(text), CAPS))).toBe(text);
      }),
    );
  });

  it.each([
    ["another indentation", '{\n    "a": 1\n}\n', 2],
    ["unsorted keys", '{\n  "b": 1,\n  "a": 1\n}\n', 2],
    ["no final newline", "{}", 1],
    ["a needless escape", '"\\u0061"\n', 1],
    ["an upper-case escape", '"\\u001F"\n', 1],
    ["an empty list over two lines", "[\n]\n", 1],
    ["a carriage return", "{}\r\n", 1],
  ])("refuses %s and says on which line", (_, text, line) => {
    expect(() => parseCanonicalJson(Buffer.from(text), CAPS)).toThrow(
      expect.objectContaining({
        code: "JSON_NOT_CANONICAL",
        details: expect.objectContaining({ line }),
      }),
    );
  });

  it("refuses what is not JSON under that code", () => {
    expect(() => parseCanonicalJson(Buffer.from('{"a":1,"a":1}'), CAPS)).toThrow(
      expect.objectContaining({ code: "JSON_INVALID" }),
    );
  });

  it.each([0.5, Number.NaN, 2 ** 53, undefined, new Date(0), { a: undefined }])(
    "treats %s as a bug of its caller",
    (bad) => {
      expect(() => formatJson(bad)).toThrow(TypeError);
    },
  );
});
