import { expect, it } from "vitest";
import { importRounds } from "../../src/host/import.js";

const GRAPH: Readonly<Record<string, readonly string[]>> = {
  source: [],
  "a.drv": ["source"],
  "b.drv": ["a.drv", "source"],
  output: ["output", "source"],
  "keeps-drv": ["b.drv", "output"],
  "uses-that.drv": ["keeps-drv"],
};
const referencesOf = (path: string) => GRAPH[path] ?? [];

it("outputs and .drv files are imported in turns, each after what it refers to", () => {
  expect(importRounds(Object.keys(GRAPH), { referencesOf })).toEqual([
    ["source", "output"],
    ["a.drv", "b.drv"],
    ["keeps-drv"],
    ["uses-that.drv"],
  ]);
});

it("what is there already does not count", () => {
  expect(importRounds(["b.drv", "output"], { referencesOf })).toEqual([["output"], ["b.drv"]]);
});
