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
const progress = (items: number, more: { bytes?: number; share?: number; detail?: string } = {}): Event => ({
  type: "phase.progress",
  phase: "compress",
  items,
  ...more,
});

describe("progress", () => {
  it("has counts, bytes, rate and time left", () => {
    const [phase] = folded(
      [0, started({ items: 40, bytes: 4e9 })],
      [10_000, progress(10, { bytes: 1e9, share: 0.25, detail: "a.nar" })],
    );
    expect(describePhase(phase!, 10_000)).toBe(
      "compress: 10/40, 1.0 GB of 4.0 GB, 100 MB/s, 10 s so far, 30 s left: a.nar",
    );
  });

  it("says a rate that fits the time left, though most bytes come first", () => {
    const [phase] = folded(
      [0, started({ items: 40, bytes: 4e9 })],
      [10_000, progress(2, { bytes: 3e9, share: 0.25 })],
    );
    expect(describePhase(phase!, 10_000)).toBe(
      "compress: 2/40, 3.0 GB of 4.0 GB, 100 MB/s, 10 s so far, 30 s left",
    );
  });

  it("forecasts nothing where nothing tells how far it is, without movement, at the start and at the end", () => {
    const left = (...events: readonly At[]) => timeLeft(folded(...events)[0]!, events.at(-1)![0]);
    expect(left([0, started({ items: 40 })], [10_000, progress(10)])).toBeNull();
    expect(left([0, started()], [10_000, progress(0, { share: 0 })])).toBeNull();
    expect(left([0, started()], [1000, progress(1, { share: 0.5 })])).toBeNull();
    expect(left([0, started()], [9000, progress(4, { share: 1 })])).toBeNull();
    expect(left([0, started()], [9000, progress(4, { share: 0.5 })])).toBe(9000);
  });

  it("counts down without news, and says nothing once it should have come further", () => {
    const [phase] = folded([0, started()], [40_000, progress(1, { share: 0.8 })]);
    expect([41, 45, 49, 49.9].map((at) => Math.round(timeLeft(phase!, at * 1000)!))).toEqual([
      9000, 5000, 1000, 100,
    ]);
    expect(timeLeft(phase!, 50_000)).toBeNull();
    const [slow] = folded([0, started()], [40_000, progress(1, { share: 0.1 })]);
    expect(timeLeft(slow!, 50_000)).toBe(350_000);
    expect(timeLeft(slow!, 56_000)).toBeNull();
    expect(describePhase(slow!, 56_000)).toBe("compress: 1, 56 s so far");
  });

  it("takes bursts as such, and follows a lasting change", () => {
    const at = (seconds: number, share: number): At => [seconds * 1000, progress(0, { share })];
    const left = (...events: readonly At[]) => timeLeft(folded([0, started()], ...events)[0]!, 50_000)!;
    const steady = Array.from({ length: 50 }, (_, i) => at(i + 1, (i + 1) / 100));
    expect(left(...steady)).toBeCloseTo(50_000);
    // Ten times as much in a second as before.
    const burst = left(...steady.slice(0, 49), at(50, 0.59));
    expect(burst / 1000).toBeGreaterThan(30);
    // Five times as fast since 15 of 50 seconds.
    const faster = Array.from({ length: 50 }, (_, i) =>
      at(i + 1, (i < 15 ? i + 1 : 15 + (i - 14) * 5) / 500),
    );
    expect(left(...faster) / ((310 / 5) * 1000)).toBeLessThan(4 / 3);
  });

  it("says the last that is known when a phase ends", () => {
    const [phase] = folded([0, started({ items: 40 })], [5000, progress(40, { bytes: 1e6 })]);
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
