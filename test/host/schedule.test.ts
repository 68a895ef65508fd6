import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { Job } from "../../src/host/jobs.js";
import { batchesOf, splitJobs, workOf } from "../../src/host/schedule.js";
import { partOf } from "../../src/segments.js";

const MIB = 1024 * 1024;

function blob(narSize: number): Job {
  const file = partOf("/x", 0);
  return { kind: "blob", file, blob: "", blobSize: 0, subject: "", narHash: "", narSize };
}

const blobs = (...sizes: number[]) => sizes.map((size) => blob(size * MIB));

describe("the order of jobs", () => {
  it("is the largest first, each once, tiny ones in batches of a bounded size", () => {
    fc.assert(
      fc.property(fc.array(fc.nat(20 * MIB)), fc.array(fc.nat(50), { maxLength: 3 }), (sizes, out) => {
        const jobs = sizes.map(blob);
        const without = [...new Set(out.filter((index) => index < jobs.length))];
        const batches = batchesOf(jobs, without);
        const order = batches.flat();
        expect([...order, ...without].sort((a, b) => a - b)).toEqual([...jobs.keys()]);
        const work = order.map((index) => workOf(jobs[index]!));
        expect(work).toEqual(work.toSorted((a, b) => b - a));
        for (const batch of batches.filter(({ length }) => length > 1)) {
          expect(batch.length).toBeLessThanOrEqual(64);
          expect(batch.reduce((sum, index) => sum + workOf(jobs[index]!), 0)).toBeLessThanOrEqual(4 * MIB);
        }
      }),
    );
  });
});

describe("a blob is split between two threads", () => {
  it("where it would outlast all others together", () => {
    expect(splitJobs(blobs(1, 2000, 10), 2)).toEqual([1]);
    expect(splitJobs(blobs(900, 900, 10), 4)).toEqual([0, 1]);
  });

  it("but not where others keep the threads busy meanwhile", () => {
    expect(splitJobs(blobs(1000, 1000), 2)).toEqual([]);
    expect(splitJobs(blobs(1000, 900, 100), 2)).toEqual([]);
    expect(splitJobs(blobs(2000, ...Array.from({ length: 3000 }, () => 1)), 2)).toEqual([]);
  });

  it("never where it is small, where it is no blob, or where there is one thread", () => {
    expect(splitJobs(blobs(60), 2)).toEqual([]);
    expect(splitJobs([{ kind: "disk", path: "/x", narSize: 2000 * MIB }], 2)).toEqual([]);
    expect(splitJobs(blobs(2000), 1)).toEqual([]);
    expect(splitJobs([], 8)).toEqual([]);
  });
});
