/**
 * Questions about a graph of store paths and their references: what is reachable, missing, unneeded, needed
 * by whom, and in which order to import. Knows nothing of contents. Every walk is iterative and linear
 * (apart from sorting), since a hostile graph may be as deep as it has paths.
 */
import { fail } from "../errors.js";

/** By store path; a path may reference itself. Paths that are referenced but are not keys are missing. */
export type ReferenceGraph = ReadonlyMap<string, { readonly references: readonly string[] }>;

export interface MissingPath {
  readonly path: string;
  /** The paths that reference it, sorted; empty for a root that nothing references. */
  readonly neededBy: readonly string[];
}

/** Everything reachable from the roots, the roots included; absent paths too. Sorted. */
export function closure(graph: ReferenceGraph, roots: Iterable<string>): string[] {
  const reached = new Set(roots);
  // A Set's iteration also visits what is added while it runs.
  for (const path of reached) {
    for (const reference of graph.get(path)?.references ?? []) reached.add(reference);
  }
  return [...reached].sort();
}

/** Paths that are referenced, or roots, but absent. Sorted by path. */
export function missing(graph: ReferenceGraph, roots: Iterable<string> = []): MissingPath[] {
  const neededBy = new Map<string, Set<string>>();
  for (const root of roots) {
    if (!graph.has(root)) neededBy.set(root, new Set());
  }
  for (const [path, { references }] of graph) {
    for (const reference of references) {
      if (graph.has(reference)) continue;
      const users = neededBy.get(reference);
      if (users) users.add(path);
      else neededBy.set(reference, new Set([path]));
    }
  }
  return [...neededBy.keys()].sort().map((path) => ({ path, neededBy: [...neededBy.get(path)!].sort() }));
}

/** Paths of the graph that no root needs. Sorted. */
export function unneeded(graph: ReferenceGraph, roots: Iterable<string>): string[] {
  const needed = new Set(closure(graph, roots));
  return [...graph.keys()].filter((path) => !needed.has(path)).sort();
}

/**
 * Orders `paths` (default: the whole graph) so that references come before what references them: by the
 * length of the longest chain of references below a path, then by path. References to itself and to paths
 * outside `paths` do not count. Throws CLOSURE_CYCLE, naming one circle.
 */
export function dependencyOrder(graph: ReferenceGraph, paths: Iterable<string> = graph.keys()): string[] {
  const referrers = new Map<string, string[]>();
  for (const path of paths) referrers.set(path, []);
  const waiting = new Map<string, number>();
  for (const path of referrers.keys()) {
    const references = relevantReferences(graph, path, referrers);
    waiting.set(path, references.length);
    for (const reference of references) referrers.get(reference)!.push(path);
  }

  const order: string[] = [];
  let wave = [...referrers.keys()].filter((path) => waiting.get(path) === 0);
  while (wave.length > 0) {
    wave.sort();
    const next: string[] = [];
    for (const path of wave) {
      order.push(path);
      waiting.delete(path);
      for (const referrer of referrers.get(path)!) {
        const left = waiting.get(referrer)! - 1;
        waiting.set(referrer, left);
        if (left === 0) next.push(referrer);
      }
    }
    wave = next;
  }
  if (waiting.size > 0) failWithCycle(graph, waiting);
  return order;
}

/**
 * A shortest chain of references from a root to `path`, both included; undefined when no root needs it.
 * `path` may be absent from the graph.
 */
export function whyNeeded(
  graph: ReferenceGraph,
  path: string,
  roots: Iterable<string>,
): string[] | undefined {
  const cameFrom = new Map<string, string | undefined>();
  for (const root of [...roots].sort()) cameFrom.set(root, undefined);
  // A Map's iteration also visits what is added while it runs: breadth first.
  for (const current of cameFrom.keys()) {
    if (current === path) return chainTo(path, cameFrom);
    for (const reference of graph.get(current)?.references ?? []) {
      if (!cameFrom.has(reference)) cameFrom.set(reference, current);
    }
  }
  return undefined;
}

function chainTo(path: string, cameFrom: ReadonlyMap<string, string | undefined>): string[] {
  const chain: string[] = [];
  for (let at: string | undefined = path; at !== undefined; at = cameFrom.get(at)) chain.push(at);
  return chain.reverse();
}

function relevantReferences(
  graph: ReferenceGraph,
  path: string,
  among: ReadonlyMap<string, unknown>,
): string[] {
  const references = new Set(graph.get(path)?.references ?? []);
  return [...references].filter((reference) => reference !== path && among.has(reference));
}

/** Every path that still waits references another that waits, so that walking ends in a circle. */
function failWithCycle(graph: ReferenceGraph, waiting: ReadonlyMap<string, number>): never {
  const walked = new Map<string, number>();
  let at = [...waiting.keys()].sort()[0]!;
  while (!walked.has(at)) {
    walked.set(at, walked.size);
    at = relevantReferences(graph, at, waiting).sort()[0]!;
  }
  const circle = [...walked.keys()].slice(walked.get(at)!);
  const shown = circle.length > 5 ? [...circle.slice(0, 5), `… ${circle.length - 5} more`] : circle;
  return fail("CLOSURE_CYCLE", { subject: at, expected: "no circle", actual: [...shown, at].join(" → ") });
}
