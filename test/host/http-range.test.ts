import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { entityTag, hasAlready, mayResume, selectRange } from "../../src/host/http-range.js";

const part = (start: number, length: number) => ({ kind: "part", start, length });
const ALL = { kind: "all" };
const NONE = { kind: "none" };

describe("a range of 10 bytes", () => {
  it.each([
    ["bytes=0-3", part(0, 4)],
    ["bytes=4-", part(4, 6)],
    ["bytes=9-9", part(9, 1)],
    ["bytes=3-999", part(3, 7)],
    ["bytes=-4", part(6, 4)],
    ["bytes=-999", part(0, 10)],
    ["bytes=10-", NONE],
    ["bytes=11-12", NONE],
    ["bytes=-0", NONE],
    // Not understood, or more than one: all of it.
    [undefined, ALL],
    ["", ALL],
    ["bytes=-", ALL],
    ["bytes=4-3", ALL],
    ["bytes=0-1,3-4", ALL],
    ["bytes= 0-1", ALL],
    ["bytes=0x1-2", ALL],
    ["bytes=+1-2", ALL],
    ["bytes=1e0-2", ALL],
    ["Bytes=0-1", ALL],
    ["items=0-1", ALL],
    [`bytes=${"9".repeat(400)}-`, ALL],
  ])("%s", (header, expected) => {
    expect(selectRange(header, 10)).toEqual(expected);
  });

  it("of nothing is never a part", () => {
    expect([selectRange("bytes=0-", 0), selectRange("bytes=-5", 0)]).toEqual([NONE, NONE]);
  });

  it("lies within the file, whatever is asked", () => {
    const number = fc.oneof(fc.nat(20), fc.maxSafeNat()).map(String);
    const header = fc
      .tuple(fc.option(number, { nil: "" }), fc.option(number, { nil: "" }))
      .map(([a, b]) => `bytes=${a}-${b}`);
    fc.assert(
      fc.property(fc.oneof(header, fc.string()), fc.nat(30), (text, size) => {
        const selection = selectRange(text, size);
        if (selection.kind !== "part") return;
        expect(selection.length).toBeGreaterThan(0);
        expect(selection.start).toBeGreaterThanOrEqual(0);
        expect(selection.start + selection.length).toBeLessThanOrEqual(size);
      }),
    );
  });
});

describe("an entity tag", () => {
  const tag = entityTag("aa");

  it.each([
    ['"aa"', true],
    ['W/"aa"', true],
    ['"bb", "aa"', true],
    ["*", true],
    ['"bb"', false],
    ["aa", false],
    ["", false],
    [undefined, false],
  ])("that the client has: %s", (header, expected) => {
    expect(hasAlready(header, tag)).toBe(expected);
  });

  it.each([
    [undefined, true],
    ['"aa"', true],
    ['W/"aa"', false],
    ['"bb"', false],
    ["Wed, 25 Nov 2026 15:50:52 GMT", false],
  ])("that a range is of: %s", (header, expected) => {
    expect(mayResume(header, tag)).toBe(expected);
  });
});
