/** The variables that a flake is evaluated with, for tables of what a bundle is. */

/** None for a pure evaluation, which needs no words. */
export function variableRows(env: readonly { readonly name: string; readonly value: string }[]): string[][] {
  return env.map(({ name, value }, i) => [i === 0 ? "evaluated with" : "", `${name}=${value}`]);
}
