import { describe, expect, it } from "vitest";
import { type Curve, steepening } from "./curve.js";
import { plotSvg } from "./plot.js";

const SIZES = [2500, 5000, 10_000, 20_000];

function curve(name: string, axis: Curve["axis"], seconds: (x: number) => number): Curve {
  return { name, axis, points: SIZES.map((x) => ({ x, seconds: seconds(x), peakMB: x / 50 })) };
}

describe("growth", () => {
  it("is what the last step costs beside the one before", () => {
    expect(steepening(curve("line", "paths", (x) => 0.7 + x / 10_000))).toBeCloseTo(1);
    expect(steepening(curve("square", "paths", (x) => 0.7 + (x / 10_000) ** 2))).toBeCloseTo(2.4);
    expect(steepening(curve("both", "paths", (x) => x / 1000 + (x / 10_000) ** 2))).toBeCloseTo(1.156, 3);
  });

  it("is none where a command takes about as long for any size", () => {
    expect(steepening(curve("constant", "paths", () => 0.5))).toBe(0);
    expect(steepening(curve("noise", "paths", (x) => 5 + 0.3 * (x % 3)))).toBe(0);
  });

  it("is never less for a step before that took no time", () => {
    const late = curve("late", "paths", (x) => (x === 20_000 ? 9 : 1));
    expect(steepening(late)).toBe(99);
  });
});

describe("the picture", () => {
  const curves = [
    curve("verify", "paths", (x) => x / 5000),
    curve('<inspect & "more">', "paths", (x) => x / 50_000),
    curve("verify", "bytes", (x) => x / 100),
  ];
  const svg = plotSvg(curves);

  it("has every point of every curve inside its panel, and the curves in a legend", () => {
    const circles = [...svg.matchAll(/<circle cx="([\d.]+)" cy="([\d.]+)"/g)];
    expect(circles.length).toBe(2 * 3 * SIZES.length);
    for (const [, x, y] of circles) {
      expect(Number(x)).toBeGreaterThan(64);
      expect(Number(x)).toBeLessThanOrEqual(404);
      expect(Number(y)).toBeGreaterThanOrEqual(34);
      expect(Number(y)).toBeLessThanOrEqual(216);
    }
    expect(svg).toContain("&lt;inspect &amp; &quot;more&quot;>");
    for (const title of ["Time by paths", "Memory by paths", "Time by bytes", "Memory by bytes"])
      expect(svg).toContain(title);
  });

  it("is well-formed, with every element closed", () => {
    const open: string[] = [];
    for (const [, slash, name, , self] of svg.matchAll(/<(\/?)([a-z]+)((?:\s[^<>]*?)?)(\/?)>/g)) {
      if (slash === "/") expect(open.pop()).toBe(name);
      else if (self !== "/") open.push(name!);
    }
    expect(open).toEqual([]);
  });

  it("is the same each time, and drawn also of nothing", () => {
    expect(plotSvg(curves)).toBe(svg);
    expect(plotSvg([])).toContain("</svg>");
    expect(svg).not.toContain("NaN");
    expect(plotSvg([])).not.toContain("NaN");
  });
});
