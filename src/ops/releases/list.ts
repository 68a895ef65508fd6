/** releases list: what was restored into a store, and whether its GC roots are still there. Only reads. */
import { join } from "node:path";
import { AirgapError, exitOf, type Finding } from "../../errors.js";
import type { ReleaseRecord, ReleasesReport } from "../../generated/types.js";
import {
  countRoots,
  currentLink,
  currentName,
  linksDir,
  type ReadRecords,
  readRecords,
  rootNames,
} from "../../host/releases.js";
import { resolveStore, type TargetStore, visiblePlaces } from "../../host/store.js";
import type { Context } from "../context.js";
import { reportedFindings } from "../reports.js";

export interface ListOptions {
  /** As `nix --store` takes it; default: this machine's. */
  readonly store?: string;
}

/** Also of others than this user, where it may see them. @throws AirgapError USAGE for such a store, DISK */
export async function listReleases(options: ListOptions, { cwd, env }: Context): Promise<ReleasesReport> {
  const store = await resolveStore(options.store, cwd, env);
  const places = await readPlaces(store);
  const holders = countHolders(places.flatMap(({ records }) => records));
  const releases: Listed[] = [];
  const unlisted: string[] = [];
  const current: ReleasesReport["current"] = [];
  for (const { place, records, roots } of places) {
    const listed = await Promise.all(records.map((record) => describe(place, record, holders)));
    releases.push(...listed);
    const isListed = new Set(records.map(({ name }) => name));
    unlisted.push(...roots.filter((name) => !isListed.has(name)));
    for (const { isCurrent, product, name } of listed) {
      if (isCurrent) current.push({ product, name, link: currentLink(place, product) });
    }
  }
  const findings = [...places.flatMap((place) => place.findings), ...releases.flatMap(rootFindings)];
  return {
    format: "nix-airgap-releases",
    exit: exitOf(findings),
    store: store.uri,
    findings: reportedFindings(findings),
    releases,
    unlisted,
    current,
  };
}

interface Place extends ReadRecords {
  readonly place: TargetStore;
  /** Names of sets of GC roots. */
  readonly roots: readonly string[];
}

async function readPlaces(store: TargetStore): Promise<Place[]> {
  const places: Place[] = [];
  for (const place of visiblePlaces(store)) {
    try {
      places.push({ place, ...(await readRecords(place)), roots: await rootNames(place) });
    } catch (error) {
      // What others keep from us is not ours to see.
      if (!(place !== store && error instanceof AirgapError && error.code === "DISK")) throw error;
    }
  }
  return places;
}

type Listed = ReleasesReport["releases"][number];

async function describe(
  store: TargetStore,
  record: ReleaseRecord,
  holders: ReadonlyMap<string, number>,
): Promise<Listed> {
  const { name, product, release, sequence, systems, tier, sha256, at, by, outLink, paths } = record;
  const own = paths.filter(({ storePath }) => holders.get(storePath) === 1);
  return {
    name,
    product,
    release,
    sequence,
    systems,
    tier,
    sha256,
    at,
    by,
    isCurrent: (await currentName(store, product)) === name,
    paths: paths.length,
    narBytes: bytesOf(paths),
    ownNarBytes: bytesOf(own),
    gcRoots: await heldRoots(store, record),
    links: linksDir(store, name),
    outLink,
  };
}

/** How many of its GC roots are there. @throws DISK */
export async function heldRoots(
  store: TargetStore,
  { name, paths, rootCount }: ReleaseRecord,
): Promise<Listed["gcRoots"]> {
  const folder = join(store.rootsDir, name);
  const count = await countRoots(folder, new Set(paths.map(({ storePath }) => storePath)));
  return { folder, count, expected: rootCount };
}

export function rootFindings({ gcRoots }: Pick<Listed, "gcRoots">): Finding[] {
  const { folder, count, expected } = gcRoots;
  if (count >= expected) return [];
  return [{ code: "RELEASE_ROOTS", subject: folder, expected: `${expected} roots`, actual: `${count}` }];
}

/** By how many releases each path is held. */
function countHolders(records: readonly ReleaseRecord[]): Map<string, number> {
  const holders = new Map<string, number>();
  for (const { paths } of records) {
    for (const { storePath } of paths) holders.set(storePath, (holders.get(storePath) ?? 0) + 1);
  }
  return holders;
}

function bytesOf(paths: readonly { readonly narSize: number }[]): number {
  return paths.reduce((sum, { narSize }) => sum + narSize, 0);
}
