import { describe, expect, it } from "vitest";
import type { CopyEvent } from "../../src/host/nix/index.js";
import { CopyProgress } from "../../src/ops/copy-progress.js";

const copy = (type: "started" | "finished", subject: string): CopyEvent => ({ type, kind: "copy", subject });
const moved = (bytes: number): CopyEvent => ({ type: "moved", bytes });
const paths = [
  { storePath: "a", narSize: 100 },
  { storePath: "b", narSize: 900 },
];

function afterEvents(progress: CopyProgress, ...events: readonly CopyEvent[]) {
  for (const event of events) progress.take(event);
  return progress.done;
}

describe("the progress of a copy", () => {
  it("counts paths as they end, and says which was the last", () => {
    const progress = new CopyProgress(paths, { perPath: 0, moves: 1 });
    expect(progress.totals).toEqual({ items: 2, bytes: 1000 });
    expect(progress.take(copy("started", "a"))).toBe(false);
    expect(progress.take(copy("finished", "a"))).toBe(true);
    expect(progress.done).toEqual({ items: 1, bytes: 100, share: expect.closeTo(0.1), detail: "a" });
    expect(progress.take({ type: "message", level: 1, text: "" })).toBe(false);
    expect(progress.take({ type: "finished", kind: "build", subject: "b" })).toBe(false);
  });

  it("goes on within a path by what the process has moved", () => {
    const progress = new CopyProgress(paths, { perPath: 0, moves: 1 });
    const a = [copy("started", "a"), copy("finished", "a")];
    expect(afterEvents(progress, ...a, copy("started", "b"), moved(550)).bytes).toBe(550);
    expect(afterEvents(progress, moved(1000)).bytes).toBe(1000);
    // More was moved than there was: the last path has not ended for all that.
    expect(afterEvents(progress, moved(5000))).toEqual({ items: 1, bytes: 1000, share: 1, detail: "a" });
  });

  it("does not take for NARs what else was moved before", () => {
    const progress = new CopyProgress(paths, { perPath: 0, moves: 1 });
    const done = afterEvents(progress, moved(5000), copy("started", "b"), moved(5000), moved(5450));
    expect(done.bytes).toBe(450);
  });

  it("knows that Nix moves some bytes twice", () => {
    const progress = new CopyProgress(paths, { perPath: 0, moves: 1.5 });
    expect(afterEvents(progress, copy("started", "b"), moved(900)).bytes).toBe(600);
    const next = [copy("finished", "b"), copy("started", "a"), moved(900 * 1.5 + 75)];
    expect(afterEvents(progress, ...next).bytes).toBe(950);
  });

  it("begins anew with each process", () => {
    const progress = new CopyProgress(paths, { perPath: 0, moves: 1 });
    afterEvents(progress, copy("started", "a"), moved(5000), copy("finished", "a"));
    expect(afterEvents(progress, copy("started", "b"), moved(90)).bytes).toBe(190);
  });

  it("counts what is copied out of a tar first as work, but not as bytes", () => {
    const staged = { blob: "hex", size: 10, cost: 1000 };
    const progress = new CopyProgress([paths[0]!, { ...paths[1]!, staged }], { perPath: 0, moves: 1 });
    const done = afterEvents(progress, { type: "staged", blob: "hex", bytes: 5 });
    expect(done).toEqual({ items: 0, bytes: 0, share: 0.25 });
    expect(afterEvents(progress, copy("started", "b"), moved(450))).toEqual({
      items: 0,
      bytes: 450,
      share: expect.closeTo(0.725),
    });
  });

  it("ends a path that is checked afterwards once that is done", () => {
    const progress = new CopyProgress(paths, { perPath: 0, moves: 1, check: { perByte: 1, perPath: 0 } });
    const copied = afterEvents(progress, copy("started", "b"), copy("finished", "b"));
    expect(copied).toEqual({ items: 0, bytes: 900, share: expect.closeTo(0.45) });
    expect(progress.copied).toBe(1);
    progress.checking("b", 450);
    expect(progress.done.share).toBeCloseTo(0.675);
    progress.checked("b");
    expect(progress.done).toEqual({ items: 1, bytes: 900, share: expect.closeTo(0.9), detail: "b" });
  });
});
