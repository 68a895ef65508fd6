import { PassThrough } from "node:stream";
import { afterEach, describe, expect, it, vi } from "vitest";
import {
  describeFinished,
  describePhase,
  fold,
  type ProgressState,
  timeLeft,
} from "../../src/cli/render/progress.js";
import { type ProgressOptions, showProgress } from "../../src/cli/render/show-progress.js";
import type { Event } from "../../src/events.js";

type At = readonly [at: number, event: Event];

function folded(...events: readonly At[]): ProgressState {
  return events.reduce((state, [at, event]) => fold(state, event, at), [] as ProgressState);
}

const started = (totals = {}): Event => ({ type: "phase.started", phase: "compress", ...totals });
const progress = (items: number, bytes?: number, detail?: string): Event => ({
  type: "phase.progress",
  phase: "compress",
  items,
  ...(bytes === undefined ? {} : { bytes }),
  ...(detail === undefined ? {} : { detail }),
});

describe("progress", () => {
  it("has counts, bytes, rate and time left", () => {
    const [phase] = folded([0, started({ items: 40, bytes: 4e9 })], [10_000, progress(10, 1e9, "a.nar")]);
    expect(describePhase(phase!, 10_000)).toBe(
      "compress: 10/40, 1.0 GB of 4.0 GB, 100 MB/s, 10 s so far, 30 s left: a.nar",
    );
  });

  it("forecasts by items where bytes are not counted", () => {
    const [phase] = folded([0, started({ items: 40 })], [10_000, progress(10)]);
    expect(timeLeft(phase!, 10_000)).toBe(30_000);
  });

  it("forecasts nothing without a total, without movement, at the start and at the end", () => {
    const left = (...events: readonly At[]) => timeLeft(folded(...events)[0]!, events.at(-1)![0]);
    expect(left([0, started()], [10_000, progress(10)])).toBeNull();
    expect(left([0, started({ items: 4 })], [10_000, progress(0)])).toBeNull();
    expect(left([0, started({ items: 4 })], [1000, progress(1)])).toBeNull();
    expect(left([0, started({ items: 4 })], [9000, progress(4)])).toBeNull();
  });

  it("smooths bursts, and follows a lasting change", () => {
    const steady: [number, Event][] = Array.from({ length: 20 }, (_, i) => [
      (i + 1) * 1000,
      progress(0, (i + 1) * 100),
    ]);
    const before = folded([0, started()], ...steady);
    const rate = (state: ProgressState) => state[0]!.rate.perSecond!;
    expect(rate(before)).toBeCloseTo(100);
    const burst = fold(before, progress(0, 2000 + 1000), 21_000);
    expect(rate(burst)).toBeLessThan(300);
    let state = before;
    for (let i = 1; i <= 30; i++) state = fold(state, progress(0, 2000 + i * 1000), 20_000 + i * 1000);
    expect(rate(state)).toBeGreaterThan(990);
  });

  it("says the last that is known when a phase ends", () => {
    const [phase] = folded([0, started({ items: 40 })], [5000, progress(40, 1e6)]);
    expect(describeFinished(phase!, 61_000)).toBe("compress: done (40, 1.0 MB, 1 min 01 s)");
  });

  it("keeps the outer phase while an inner one runs", () => {
    const inner: Event = { type: "phase.started", phase: "blobs" };
    const state = folded([0, started()], [1, inner], [2, { type: "phase.finished", phase: "blobs" }]);
    expect(state.map(({ phase }) => phase)).toEqual(["compress"]);
  });
});

describe("plain progress", () => {
  afterEach(() => vi.useRealTimers());

  async function shown(options: Partial<ProgressOptions> = {}) {
    vi.useFakeTimers({ now: 0 });
    const stderr = new PassThrough();
    const now = () => new Date();
    const progress = await showProgress({
      stderr,
      style: "lines",
      color: false,
      verbose: false,
      now,
      ...options,
    });
    return {
      progress,
      lines: () =>
        String(stderr.read() ?? "")
          .split("\n")
          .slice(0, -1),
    };
  }

  it("moves at least every five seconds, though nothing is reported", async () => {
    const { progress, lines } = await shown();
    progress.report(started());
    expect(lines()).toEqual(["compress ..."]);
    for (let i = 0; i < 6; i++) {
      vi.advanceTimersByTime(5000);
      expect(lines().length).toBeGreaterThan(0);
    }
    progress.report({ type: "phase.finished", phase: "compress" });
    expect(lines()).toEqual(["compress: done (30 s)"]);
    progress.close();
    expect(vi.getTimerCount()).toBe(0);
  });

  it("does not print every step", async () => {
    const { progress, lines } = await shown();
    progress.report(started());
    for (let i = 0; i < 1000; i++) progress.report(progressOf(i));
    expect(lines()).toHaveLength(1);
    progress.close();
    expect(lines()).toEqual(["compress: 999, 0 s so far: stopped"]);
  });

  it("shows notes always, and what Nix prints only when asked", async () => {
    const note: Event = { type: "note", text: "look\x1b[2J" };
    const log: Event = { type: "nix.log", line: "building" };
    for (const [options, expected] of [
      [{}, ["note: look\\u{1b}[2J"]],
      [{ style: "none" }, ["note: look\\u{1b}[2J"]],
      [{ verbose: true }, ["note: look\\u{1b}[2J", "building"]],
    ] as const) {
      const { progress, lines } = await shown(options);
      progress.report(note);
      progress.report(log);
      progress.close();
      expect(lines()).toEqual(expected);
    }
  });

  it("says nothing of phases when asked to be quiet", async () => {
    const { progress, lines } = await shown({ style: "none" });
    progress.report(started());
    vi.advanceTimersByTime(20_000);
    progress.report({ type: "phase.finished", phase: "compress" });
    progress.close();
    expect(lines()).toEqual([]);
  });

  const progressOf = (items: number): Event => progress(items);
});

describe("the spinner", () => {
  it("leaves a line for every phase, and notes between them", async () => {
    const stderr = Object.assign(new PassThrough(), {
      isTTY: true,
      columns: 60,
      clearLine() {},
      cursorTo() {},
      moveCursor() {},
    });
    const now = () => new Date(0);
    const shown = await showProgress({ stderr, style: "spinner", color: false, verbose: false, now });
    shown.report(started());
    shown.report({ type: "note", text: "mind this" });
    shown.report({ type: "phase.finished", phase: "compress" });
    shown.report({ type: "phase.started", phase: "write" });
    shown.close();
    const text = String(stderr.read());
    expect(text).toContain("mind this\n");
    expect(text).toContain("✔ compress: done (0 s)\n");
    expect(text).toContain("✖ write: 0 s so far\n");
  });
});
