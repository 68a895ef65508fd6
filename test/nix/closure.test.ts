import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  closure,
  dependencyOrder,
  missing,
  type ReferenceGraph,
  unneeded,
  whyNeeded,
} from "../../src/nix/closure.js";

function graphOf(edges: Record<string, string[]>): ReferenceGraph {
  return new Map(Object.entries(edges).map(([path, references]) => [path, { references }]));
}

const diamond = graphOf({
  app: ["app", "left", "right"],
  left: ["base"],
  right: ["base", "gone"],
  base: [],
  stray: ["base"],
});

describe("closure", () => {
  it("holds what the roots reach, absent paths too", () => {
    expect(closure(diamond, ["app"])).toEqual(["app", "base", "gone", "left", "right"]);
    expect(closure(diamond, ["base", "nowhere"])).toEqual(["base", "nowhere"]);
    expect(closure(diamond, [])).toEqual([]);
  });

  it("names what is missing, and who needs it", () => {
    const graph = graphOf({ a: ["x", "y", "x"], b: ["x"] });
    expect(missing(graph, ["a", "z", "x"])).toEqual([
      { path: "x", neededBy: ["a", "b"] },
      { path: "y", neededBy: ["a"] },
      { path: "z", neededBy: [] },
    ]);
    expect(missing(graphOf({ a: ["a"] }))).toEqual([]);
  });

  it("names what no root needs", () => {
    expect(unneeded(diamond, ["app"])).toEqual(["stray"]);
    expect(unneeded(diamond, [])).toEqual([...diamond.keys()].sort());
  });

  it("explains why a path is needed by a shortest chain", () => {
    expect(whyNeeded(diamond, "gone", ["app", "stray"])).toEqual(["app", "right", "gone"]);
    expect(whyNeeded(diamond, "base", ["app", "stray"])).toEqual(["stray", "base"]);
    expect(whyNeeded(diamond, "app", ["app"])).toEqual(["app"]);
    expect(whyNeeded(diamond, "stray", ["app"])).toBeUndefined();
  });
});

describe("dependency order", () => {
  it("puts references first, and ties in order of path", () => {
    expect(dependencyOrder(diamond)).toEqual(["base", "left", "right", "stray", "app"]);
    expect(dependencyOrder(diamond, ["app", "base"])).toEqual(["app", "base"]);
    expect(dependencyOrder(diamond, ["right", "base", "base"])).toEqual(["base", "right"]);
  });

  it("refuses a circle, and names it", () => {
    const graph = graphOf({ a: ["b"], b: ["c", "b"], c: ["d"], d: ["b"], e: ["e"] });
    const refused = expect.objectContaining({
      code: "CLOSURE_CYCLE",
      details: expect.objectContaining({ actual: "b → c → d → b" }),
    });
    expect(() => dependencyOrder(graph)).toThrow(refused);
  });

  it("names a circle when what references it waits too", () => {
    // z waits, since it references the circle, though it is not part of it.
    const graph = graphOf({ z: ["a"], a: ["b"], b: ["a"], "0": ["z"] });
    expect(() => dependencyOrder(graph)).toThrow(expect.objectContaining({ code: "CLOSURE_CYCLE" }));
  });

  it("holds for any acyclic graph, whatever order the graph comes in", () => {
    const edges = fc.array(fc.tuple(fc.nat(20), fc.nat(20)), { maxLength: 60 });
    fc.assert(
      fc.property(edges, fc.nat(), (pairs, rotation) => {
        const references = new Map<string, string[]>();
        for (let i = 0; i <= 20; i++) references.set(`p${i}`, []);
        // Only towards smaller numbers, or itself: no circle.
        for (const [a, b] of pairs) references.get(`p${Math.max(a, b)}`)!.push(`p${Math.min(a, b)}`);
        const entries = [...references].map(([path, list]) => [path, { references: list }] as const);
        const order = dependencyOrder(new Map(entries));
        expect([...order].sort()).toEqual([...references.keys()].sort());
        for (const [path, list] of references) {
          for (const reference of list)
            expect(order.indexOf(reference)).toBeLessThanOrEqual(order.indexOf(path));
        }
        const cut = rotation % entries.length;
        expect(dependencyOrder(new Map([...entries.slice(cut), ...entries.slice(0, cut)]))).toEqual(order);
      }),
    );
  });

  it("walks 20,000 levels without recursion, in linear time", () => {
    const count = 20_000;
    const name = (i: number) => `p${String(i).padStart(5, "0")}`;
    const graph: ReferenceGraph = new Map(
      Array.from({ length: count }, (_, i) => [name(i), { references: i > 0 ? [name(i), name(i - 1)] : [] }]),
    );
    const top = name(count - 1);
    const started = performance.now();
    expect(dependencyOrder(graph)[0]).toBe(name(0));
    expect(closure(graph, [top]).length).toBe(count);
    expect(whyNeeded(graph, name(0), [top])?.length).toBe(count);
    expect(unneeded(graph, [top])).toEqual([]);
    expect(performance.now() - started).toBeLessThan(3000);
  });
});
