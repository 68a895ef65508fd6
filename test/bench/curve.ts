/** How what a command takes grows with the size of a bundle. Pure. */

export type Axis = "paths" | "bytes";

export interface Point {
  /** Paths, or bytes of NARs. */
  readonly x: number;
  readonly seconds: number;
  readonly peakMB: number;
}

export interface Curve {
  readonly name: string;
  readonly axis: Axis;
  /** By x, at least three. */
  readonly points: readonly Point[];
}

/** Less than this part of the whole is no growth: no figure of it would mean anything. */
const MIN_GROWTH = 0.2;

/** More says no more. */
const MAX_STEEPENING = 99;

/**
 * What the last step costs beside all before it, for the same number of paths or bytes: 1 for a straight line, whatever the
 * command takes for nothing; 2.4 for a square where each of four sizes is twice the one before. 0 for what hardly grows.
 */
export function steepening({ points }: Curve): number {
  const [first, before, last] = [points[0], points.at(-2), points.at(-1)];
  if (first === undefined || before === undefined || last === undefined || first === before)
    throw new Error("a curve of less than three points");
  if (last.seconds - first.seconds < MIN_GROWTH * last.seconds) return 0;
  const slope = (from: Point, to: Point) => (to.seconds - from.seconds) / (to.x - from.x);
  const [early, late] = [slope(first, before), slope(before, last)];
  return early * MAX_STEEPENING <= late ? MAX_STEEPENING : Math.max(0, late / early);
}
