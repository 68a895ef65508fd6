/** What was measured, beside what was wanted. Pure. */
import { median, type Sample } from "./timing.js";

/** What a figure counts; a ratio has none. */
export type Unit = "s" | "MB";

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
