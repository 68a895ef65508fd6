import { describe, expect, it } from "vitest";
import { formatTime, isTime } from "../src/time.js";

describe("times", () => {
  it("prints a flake's lastModified", () => {
    expect(formatTime(0)).toBe("1970-01-01T00:00:00Z");
    expect(formatTime(1769860800)).toBe("2026-01-31T12:00:00Z");
  });

  it("refuses years of more than four digits", () => {
    expect(() => formatTime(253402300800)).toThrow(RangeError);
  });

  it("accepts times that exist, in the one spelling", () => {
    expect(["2024-02-29T23:59:59Z", "0001-01-01T00:00:00Z"].filter((t) => !isTime(t))).toEqual([]);
    const bad = [
      "2023-02-29T00:00:00Z",
      "2024-04-31T00:00:00Z",
      "2024-01-01T24:00:00Z",
      "2024-01-01T00:00:60Z",
      "2024-01-01T00:00:00.0Z",
      "2024-01-01T00:00:00",
      "2024-01-01T00:00:00+00:00",
      "2024-01-01 00:00:00Z",
    ];
    expect(bad.filter(isTime)).toEqual([]);
  });
});
