/** What was measured, beside what was wanted. Pure. */
import { type Axis, type Curve, steepening } from "./curve.js";
import { median, type Sample } from "./timing.js";

/** What a figure counts; a ratio has none. */
export type Unit = "s" | "MB" | "times";

/** Of a line that is straight, with what the machine adds. Of a square it were 2.4. */
const MAX_STEEPENING = 1.25;

export interface Goal {
  /** What must not be exceeded: the ratio, or where it stands alone the figure of ours. */
  readonly of: "ratio" | "ours";
  readonly limit: number;
}

export interface Side {
  readonly label: string;
  /** Of each run, in `unit`. */
  readonly values: readonly number[];
  readonly median: number;
  /** User and system seconds, the median; null where time is not what is measured. */
  readonly cpuSeconds: number | null;
}

export interface Result {
  readonly id: string;
  readonly what: string;
  readonly unit: Unit;
  readonly ours: Side;
  /** What it is compared with. */
  readonly against: Side | null;
  /** Of ours to the other in the same turn; none where nothing is compared. */
  readonly ratios: readonly number[];
  /** Their median. */
  readonly ratio: number | null;
  readonly goal: Goal | null;
  readonly verdict: Verdict | null;
  /** What the figure was found from. */
  readonly curve?: Curve;
}

export interface Verdict {
  readonly met: boolean;
  /** What was measured over the limit, as a part of it: 0.1 is 10 % too much, -0.1 is 10 % to spare. */
  readonly over: number;
}

export interface Measured {
  readonly label: string;
  readonly samples: readonly Sample[];
}

export function timeResult(
  id: string,
  what: string,
  {
    ours,
    against,
    goal = null,
  }: { readonly ours: Measured; readonly against: Measured | null; readonly goal?: Goal | null },
): Result {
  return resultOf({
    id,
    what,
    unit: "s",
    ours: timeSide(ours),
    against: against === null ? null : timeSide(against),
    goal,
  });
}

/** Bytes of memory at the most, of each run. The largest counts, not the median. */
export function peakResult(id: string, what: string, peaks: readonly number[], limitMB: number): Result {
  const values = peaks.map((bytes) => bytes / 1e6);
  const most = Math.max(...values);
  const ours: Side = { label: "peak memory", values, median: most, cpuSeconds: null };
  return resultOf({ id, what, unit: "MB", ours, against: null, goal: { of: "ours", limit: limitMB } });
}

/** How straight a line is: see `steepening`. */
export function curveResult(curve: Curve): Result {
  const value = steepening(curve);
  const last = curve.points.at(-1)!;
  const ours: Side = { label: "last step", values: [value], median: value, cpuSeconds: null };
  const figures = `${last.seconds.toFixed(1)} s, ${Math.round(last.peakMB)} MB`;
  const what = `${curve.name}, up to ${sizeOf(last.x, curve.axis)}: ${figures}`;
  const goal: Goal = { of: "ours", limit: MAX_STEEPENING };
  return {
    ...resultOf({ id: `growth-${curve.axis}-${curve.name}`, what, unit: "times", ours, against: null, goal }),
    curve,
  };
}

/** "20,000 paths", "100.0 GB". */
export function sizeOf(x: number, axis: Axis): string {
  return axis === "paths" ? `${x.toLocaleString("en-US")} paths` : `${(x / 1e9).toFixed(1)} GB`;
}

function timeSide({ label, samples }: Measured): Side {
  const values = samples.map(({ seconds }) => seconds);
  const cpuSeconds = median(samples.map((sample) => sample.cpuSeconds));
  return { label, values, median: median(values), cpuSeconds };
}

function resultOf(parts: Omit<Result, "ratios" | "ratio" | "verdict">): Result {
  const { ours, against, goal } = parts;
  const ratios = against === null ? [] : ours.values.map((value, i) => value / against.values[i]!);
  const ratio = ratios.length === 0 ? null : median(ratios);
  const verdict = goal === null ? null : judge(goal.of === "ratio" ? ratio! : ours.median, goal.limit);
  return { ...parts, ratios, ratio, verdict };
}

export function judge(value: number, limit: number): Verdict {
  return { met: value <= limit, over: value / limit - 1 };
}
