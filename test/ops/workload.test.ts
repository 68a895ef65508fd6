import { describe, expect, it } from "vitest";
import { Workload } from "../../src/ops/workload.js";

const jobs = (...costs: readonly number[]) => costs.map((cost, key) => ({ key, bytes: cost * 10, cost }));

describe("a workload", () => {
  it("counts items and bytes, also of jobs that have not ended", () => {
    const work = new Workload(jobs(6, 2, 2), 1);
    expect(work.totals).toEqual({ items: 3, bytes: 100 });
    work.end(1);
    work.advance(0, 30);
    expect(work.done).toEqual({ items: 1, bytes: 50, share: 0.5 });
    for (const key of [0, 1, 2]) work.end(key);
    expect(work.done).toEqual({ items: 3, bytes: 100, share: 1 });
  });

  it("counts by cost, where bytes tell little", () => {
    const tiny = Array.from({ length: 90 }, (_, i) => ({ key: i, bytes: 1, cost: 1 }));
    const work = new Workload([...tiny, { key: 90, bytes: 1000, cost: 10 }], 1);
    work.end(90);
    expect(work.done.share).toBeCloseTo(0.1);
  });

  it("knows that one large job outlasts all others, however many threads there are", () => {
    const work = new Workload(jobs(60, ...new Array(20).fill(1)), 4);
    for (let key = 1; key <= 20; key++) work.end(key);
    expect(work.done.share).toBe(0);
    work.advance(0, 300);
    expect(work.done.share).toBeCloseTo(0.5);
  });

  it("knows that a large job may have to wait for a thread", () => {
    // Two threads: 3 beside 2, then 2 after the shorter.
    const work = new Workload(jobs(3, 2, 2), 2);
    work.advance(0, 20);
    work.end(1);
    expect(work.done.share).toBeCloseTo(0.5);
  });

  it("knows that a large job has to wait for others, at any depth", () => {
    const small = [0, 1, 2, 3].map((key) => ({
      key,
      bytes: 1,
      cost: 1,
      ...(key > 0 ? { after: [key - 1] } : {}),
    }));
    const work = new Workload([...small, { key: 9, bytes: 1, cost: 8, after: [3, 9, "unknown"] }], 2);
    // Two threads do the small ones in 2, and then one of them works for 8.
    for (const key of [0, 1, 2, 3]) work.end(key);
    expect(work.done.share).toBeCloseTo(0.2);
  });

  it("knows what cannot be done side by side", () => {
    const small = jobs(1, 1, 1, 1).map((job) => ({ ...job, serial: 1 }));
    const work = new Workload([...small, { key: 9, bytes: 1, cost: 2, after: [0, 1, 2, 3] }], 4);
    for (const key of [0, 1]) work.end(key);
    expect(work.done.share).toBeCloseTo(2 / 6);
    expect(new Workload(small, 4).done.share).toBe(0);
  });

  it("never takes back what it said, and knows no other jobs than its own", () => {
    const work = new Workload(jobs(5, 5), 1);
    work.advance(0, 40);
    work.advance(0, 10);
    work.advance(7, 10);
    work.end(7);
    expect(work.done).toEqual({ items: 0, bytes: 40, share: expect.closeTo(0.4) });
    work.end(0);
    work.advance(0, 10);
    work.end(0);
    expect(work.done).toEqual({ items: 1, bytes: 50, share: 0.5 });
  });

  it("is not troubled by having nothing to do", () => {
    expect(new Workload([], 2).done).toEqual({ items: 0, bytes: 0, share: 0 });
    const empty = new Workload([{ key: "", bytes: 0, cost: 1 }], 1);
    empty.advance("", 0);
    empty.end("");
    expect(empty.done.share).toBe(1);
  });
});
