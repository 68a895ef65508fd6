/**
 * Nix 2.8 compresses one path after the other. So the planned paths are spread over lanes: caches that as many Nixes fill
 * side by side, each with paths of its own. Pure.
 */
import { narinfoName } from "../../bundle/layout.js";
import { dependencyOrder } from "../../nix/closure.js";
import { parseContentAddress } from "../../nix/content-address.js";
import { parseSri } from "../../nix/hash.js";
import { formatNarInfo } from "../../nix/narinfo.js";
import type { PlannedPath } from "./plan.js";

/** More keep no disk busier, and each takes a hundred MB. */
const MAX_LANES = 8;
/** Less than this is not worth a process. */
const MIN_LANE_COST = 32 * 1024 * 1024;
/** What a path costs beside its bytes, in bytes. */
const COST_OF_PATH = 128 * 1024;

/** At most `processors` lanes of about the same work; each in dependency order. The same paths give the same lanes. */
export function lanesOf(paths: readonly PlannedPath[], processors: number): PlannedPath[][] {
  const costs = new Map(paths.map((path) => [path.storePath, path.narSize + COST_OF_PATH]));
  const total = [...costs.values()].reduce((sum, cost) => sum + cost, 0);
  const count = Math.max(1, Math.min(processors, MAX_LANES, Math.floor(total / MIN_LANE_COST)));
  const loads = new Array<number>(count).fill(0);
  const laneOf = new Map<string, number>();
  for (const [storePath, cost] of [...costs].sort(([, a], [, b]) => b - a)) {
    const lane = loads.indexOf(Math.min(...loads));
    loads[lane]! += cost;
    laneOf.set(storePath, lane);
  }
  const byPath = new Map(paths.map((path) => [path.storePath, path]));
  const lanes = loads.map((): PlannedPath[] => []);
  for (const storePath of dependencyOrder(byPath))
    lanes[laneOf.get(storePath)!]!.push(byPath.get(storePath)!);
  return lanes;
}

/**
 * Nix 2.8 cannot take .drv files and other paths in one call, so they go in turns: first what refers to no .drv, then
 * .drv files, then what refers to those, and so on; seldom more than two rounds. `lane`: in dependency order.
 */
export function copyRounds(lane: readonly Pick<PlannedPath, "storePath" | "references">[]): string[][] {
  const rounds: string[][] = [];
  const roundOf = new Map<string, number>();
  for (const { storePath, references } of lane) {
    const parity = storePath.endsWith(".drv") ? 1 : 0;
    let round = parity;
    for (const reference of references) {
      // A reference of the other kind is in a round of the other parity, so one more is ours again.
      const before = reference === storePath ? undefined : roundOf.get(reference);
      if (before !== undefined) round = Math.max(round, before % 2 === parity ? before : before + 1);
    }
    roundOf.set(storePath, round);
    while (rounds.length <= round) rounds.push([]);
    rounds[round]!.push(storePath);
  }
  return rounds.filter((paths) => paths.length > 0);
}

/** Where the blob of a path in another lane is said to be: nowhere. */
const ELSEWHERE = "nar/elsewhere";

/**
 * Narinfos, by file name, of what a lane's paths refer to and other lanes hold: Nix adds to a cache only what has its
 * references there.
 */
export function borrowedNarInfos(
  lane: readonly PlannedPath[],
  all: readonly PlannedPath[],
): Map<string, string> {
  const own = new Set(lane.map(({ storePath }) => storePath));
  const wanted = new Set(lane.flatMap(({ references }) => references).filter((path) => !own.has(path)));
  return new Map(
    all
      .filter(({ storePath }) => wanted.has(storePath))
      .map((path) => {
        const narHash = parseSri(path.narHash);
        const info = {
          ...path,
          url: ELSEWHERE,
          narHash,
          fileHash: narHash,
          fileSize: path.narSize,
          signatures: [],
        };
        const { deriver: _, ca, ...rest } = info;
        const text = formatNarInfo(ca === null ? rest : { ...rest, ca: parseContentAddress(ca) });
        return [narinfoName(path.storePath), text];
      }),
  );
}

export function isBorrowed({ url }: { readonly url: string }): boolean {
  return url === ELSEWHERE;
}
