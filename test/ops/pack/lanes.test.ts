import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { narinfoName } from "../../../src/bundle/layout.js";
import { parseNarInfo } from "../../../src/nix/narinfo.js";
import { borrowedNarInfos, copyRounds, isBorrowed, lanesOf } from "../../../src/ops/pack/lanes.js";
import type { PlannedPath } from "../../../src/ops/pack/plan.js";

const NAR_HASH = `sha256-${Buffer.alloc(32, 7).toString("base64")}`;
const MIB = 1024 * 1024;

function storePath(i: number): string {
  return `/nix/store/${String(i).padStart(32, "0")}-p${i}`;
}

/** Path `i` refers to itself and to `references[i]`, which are below `i`. */
function planned(sizes: readonly number[], references: readonly (readonly number[])[] = []): PlannedPath[] {
  return sizes.map((narSize, i) => ({
    ca: null,
    cause: null,
    compression: "zstd",
    deriver: null,
    kinds: ["output"],
    narHash: NAR_HASH,
    narSize,
    references: [...new Set([i, ...(references[i] ?? [])])].map(storePath).sort(),
    signatures: [],
    storePath: storePath(i),
  }));
}

const anyPlan = fc
  .array(fc.record({ size: fc.nat(400 * MIB), refs: fc.array(fc.nat(200), { maxLength: 4 }) }), {
    minLength: 1,
    maxLength: 60,
  })
  .map((items) =>
    planned(
      items.map(({ size }) => size),
      items.map(({ refs }, i) => (i === 0 ? [] : refs.map((ref) => ref % i))),
    ),
  );

describe("lanes", () => {
  it("hold every path once, each after what it refers to", () => {
    fc.assert(
      fc.property(anyPlan, fc.integer({ min: 1, max: 12 }), (paths, processors) => {
        const lanes = lanesOf(paths, processors);
        expect(lanes.length).toBeLessThanOrEqual(Math.min(processors, 8));
        const all = lanes.flat().map((path) => path.storePath);
        expect(all.toSorted()).toEqual(paths.map((path) => path.storePath).toSorted());
        for (const lane of lanes) {
          const place = new Map(lane.map((path, i) => [path.storePath, i]));
          for (const [i, { references }] of lane.entries())
            for (const reference of references) expect(place.get(reference) ?? -1).toBeLessThanOrEqual(i);
        }
        expect(lanesOf(paths, processors)).toEqual(lanes);
      }),
    );
  });

  it("have about the same work, and are no more than it is worth", () => {
    const sizes = Array.from({ length: 100 }, (_, i) => (i % 10) * 10 * MIB);
    const loads = lanesOf(planned(sizes), 4).map((lane) => lane.reduce((sum, path) => sum + path.narSize, 0));
    expect(loads.length).toBe(4);
    expect(Math.max(...loads) - Math.min(...loads)).toBeLessThan(50 * MIB);
    expect(lanesOf(planned([MIB, MIB]), 4).length).toBe(1);
    expect(lanesOf([], 4)).toEqual([[]]);
  });

  it("borrow a narinfo for each reference into another lane, and for nothing else", () => {
    const paths = planned([80 * MIB, 80 * MIB, 1000], [[], [0], [0, 1]]);
    const [first, second, third] = paths as [PlannedPath, PlannedPath, PlannedPath];
    const borrowed = borrowedNarInfos([first, third], paths);
    expect([...borrowed.keys()]).toEqual([narinfoName(second.storePath)]);
    const info = parseNarInfo([...borrowed.values()][0]!);
    expect(isBorrowed(info)).toBe(true);
    expect([info.storePath, info.references]).toEqual([second.storePath, second.references]);
    expect(borrowedNarInfos(paths, paths).size).toBe(0);
  });
});

describe("the calls for one lane", () => {
  const paths = Object.entries({
    source: [],
    output: ["output", "source"],
    "a.drv": ["source"],
    "b.drv": ["a.drv", "source"],
    "keeps-drv": ["b.drv", "output"],
    "uses-that.drv": ["keeps-drv"],
  }).map(([storePath, references]) => ({ storePath, references }));

  it("take outputs and .drv files in turns, each after what it refers to", () => {
    expect(copyRounds(paths)).toEqual([
      ["source", "output"],
      ["a.drv", "b.drv"],
      ["keeps-drv"],
      ["uses-that.drv"],
    ]);
  });

  it("do not count what is in another lane", () => {
    expect(copyRounds(paths.filter(({ storePath }) => ["b.drv", "output"].includes(storePath)))).toEqual([
      ["output"],
      ["b.drv"],
    ]);
  });
});
