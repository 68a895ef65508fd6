import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  block,
  formatBytes,
  formatCount,
  formatDuration,
  formatLines,
  formatReport,
  table,
  visible,
} from "../../src/cli/render/text.js";

describe("text from outside", () => {
  it.each([
    ["\x1b[2J", "\\u{1b}[2J"],
    ["a\nb\rc\td", "a\\nb\\rc\\td"],
    ["\x9b31m", "\\u{9b}31m"],
    ["safe\u202etxt.exe", "safe\\u{202e}txt.exe"],
    ["\u2028", "\\u{2028}"],
    ["\ud800", "\\u{d800}"],
    ["größe 日本", "größe 日本"],
  ])("%j is shown as %s", (text, shown) => {
    expect(visible(text)).toBe(shown);
  });

  it("never reaches a terminal as anything but printable text", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary" }), (text) => {
        expect(formatLines([text], false)).toMatch(/^[^\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]*\n$/u);
      }),
    );
  });

  it("is coloured outside of what it says, and only when asked", () => {
    expect(formatLines([{ text: "x\x1by", style: "bad" }], true)).toBe("\x1b[31;1mx\\u{1b}y\x1b[0m\n");
    expect(formatLines([{ text: "x", style: "bad" }], false)).toBe("x\n");
  });
});

describe("a report as JSON", () => {
  it("means the same, and holds nothing that a terminal obeys", () => {
    fc.assert(
      fc.property(fc.jsonValue(), fc.string({ unit: "binary" }), (value, text) => {
        const report = JSON.parse(JSON.stringify({ value, text, tag: "\u{e0041}" }));
        const printed = formatReport(report);
        expect(JSON.parse(printed)).toEqual(report);
        expect(printed).toMatch(/^[^\p{Cf}\p{Cs}\p{Zl}\p{Zp}\u0000-\u0009\u000b-\u001f\u007f-\u009f]*$/u);
      }),
    );
  });
});

it("indents the further lines of a text", () => {
  expect(block("found", "one\ntwo\n", 8)).toEqual(["  found:    one", "            two"]);
});

it("aligns columns by what is shown", () => {
  expect(
    table([
      ["a\n", "x"],
      ["long", "y", ""],
    ]),
  ).toEqual(["a\\n   x", "long  y"]);
});

it.each([
  [0, "0 B"],
  [999, "999 B"],
  [1000, "1.0 kB"],
  [999_949, "999.9 kB".replace("999.9", "1000")],
  [999_950, "1.0 MB"],
  [123_456_789, "123 MB"],
  [5_000_000_000, "5.0 GB"],
  [9_007_199_254_740_991, "9.0 PB"],
])("%d bytes are %s", (bytes, text) => {
  expect(formatBytes(bytes)).toBe(text);
});

it.each([
  [0, "0 s"],
  [59_499, "59 s"],
  [59_500, "1 min 00 s"],
  [3_599_000, "59 min 59 s"],
  [3_600_000, "1 h 00 min"],
])("%d ms are %s", (milliseconds, text) => {
  expect(formatDuration(milliseconds)).toBe(text);
});

it("groups digits", () => {
  expect([0, 999, 1000, 1234567].map(formatCount)).toEqual(["0", "999", "1,000", "1,234,567"]);
});
