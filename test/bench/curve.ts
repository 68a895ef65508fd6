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
  /** By x, at least two. */
  readonly points: readonly Point[];
}

/**
 * The power of x with which the seconds grow, by least squares over the logarithms; 1 is a straight line. `start`: what the
 * program takes for nothing at all.
 */
export function exponentOf({ points }: Curve, start: number): number {
  const logs = points.map(
    ({ x, seconds }) => [Math.log(x), Math.log(Math.max(seconds - start, 0.001))] as const,
  );
  const mean = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;
  const [meanX, meanY] = [mean(logs.map(([x]) => x)), mean(logs.map(([, y]) => y))];
  const slope = logs.reduce((sum, [x, y]) => sum + (x - meanX) * (y - meanY), 0);
  return slope / logs.reduce((sum, [x]) => sum + (x - meanX) ** 2, 0);
}
