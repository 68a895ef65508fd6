/**
 * What a store remembers of the releases that were restored into it, as files:
 *
 *     releases/<name>/record.json     who restored what, when; its GC roots; each path with its hash
 *     releases/<name>/links/<short>   symlinks to the outputs
 *     current/<product>               the one symlink that says which is current: to releases/<name>/links
 *
 * Changes are for who holds the store's lock. What they mean is for callers.
 */
import { lstat, mkdir, readdir, readlink, rm } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { formatJson, parseCanonicalJson } from "../canonical-json.js";
import { AirgapError, type Finding, fail } from "../errors.js";
import type { ReleaseRecord } from "../generated/types.js";
import { validateReleaseRecord } from "../generated/validators.js";
import { firstProblem } from "../schema-problem.js";
import {
  errorCode,
  readSmallFile,
  removeTree,
  syncDirectory,
  withDiskErrors,
  writeFileAtomic,
} from "./files.js";
import { replaceSymlink, writeOutLinks } from "./out-links.js";
import { realPath, type TargetStore } from "./store.js";

/** About 200 bytes for each path, of which there are at most 300,000. */
const MAX_RECORD = 128 * 1024 * 1024;
const NAME = /^[A-Za-z0-9][A-Za-z0-9._+-]{0,199}$/;

export interface ReadRecords {
  /** By product, then sequence, then name. */
  readonly records: readonly ReleaseRecord[];
  /** RELEASE_RECORD for each that cannot be read. */
  readonly findings: readonly Finding[];
}

/** @throws DISK */
export async function readRecords(store: TargetStore): Promise<ReadRecords> {
  const findings: Finding[] = [];
  const records: ReleaseRecord[] = [];
  for (const name of await namesIn(join(store.keptDir, "releases"))) {
    try {
      const record = await readRecord(store, name);
      if (record !== null) records.push(record);
    } catch (error) {
      if (!(error instanceof AirgapError) || error.code !== "RELEASE_RECORD") throw error;
      findings.push({ ...error.details, code: error.code });
    }
  }
  const order = ({ product, sequence, name }: ReleaseRecord) =>
    `${product}\n${String(sequence).padStart(16, "0")}\n${name}`;
  return { records: records.sort((a, b) => (order(a) < order(b) ? -1 : 1)), findings };
}

/** Null where no release has that name. @throws RELEASE_RECORD, DISK */
export async function readRecord(store: TargetStore, name: string): Promise<ReleaseRecord | null> {
  const path = join(releaseDir(store, name), "record.json");
  const bytes = await readSmallFile(path, MAX_RECORD);
  if (bytes === null) return null;
  try {
    const value: unknown = parseCanonicalJson(bytes, { maxBytes: MAX_RECORD });
    if (validateReleaseRecord(value) && value.name === name) return value;
  } catch (error) {
    if (!(error instanceof AirgapError)) throw error;
    fail("RELEASE_RECORD", { ...error.details, subject: path }, { cause: error });
  }
  const problem = firstProblem(validateReleaseRecord.errors);
  return fail("RELEASE_RECORD", { subject: path, expected: `a record of ${name}: ${problem}` });
}

/** The links first, the record last. @throws DISK, NO_SPACE */
export async function writeRelease(store: TargetStore, record: ReleaseRecord): Promise<void> {
  const links = linksDir(store, record.name);
  await writeOutLinks(links, new Map(record.links.map(({ name, path }) => [name, linkTarget(store, path)])));
  const names = new Set(record.links.map(({ name }) => name));
  for (const name of await namesIn(links)) {
    if (!names.has(name)) await removeTree(join(links, name));
  }
  await syncDirectory(links);
  await writeFileAtomic(join(dirname(links), "record.json"), formatJson(record));
}

/** The record last: a removal that was interrupted can be done again. @throws DISK */
export async function removeRelease(store: TargetStore, name: string): Promise<void> {
  await removeTree(linksDir(store, name));
  await removeTree(releaseDir(store, name));
}

/** Where an output lies for who follows a link: in a chroot store's folder. */
export function linkTarget(store: TargetStore, storePath: string): string {
  return store.kind === "chroot" ? realPath(store, storePath) : storePath;
}

export function linksDir(store: TargetStore, name: string): string {
  return join(releaseDir(store, name), "links");
}

function releaseDir({ keptDir }: TargetStore, name: string): string {
  return join(keptDir, "releases", name);
}

/** The link that follows what is current of a product. */
export function currentLink({ keptDir }: TargetStore, product: string): string {
  return join(keptDir, "current", product);
}

/** The name of the release that is current; null where none is. @throws DISK */
export async function currentName(store: TargetStore, product: string): Promise<string | null> {
  const target = await withDiskErrors(store.keptDir, () =>
    readlink(currentLink(store, product)).catch((error: unknown) => {
      if (["ENOENT", "EINVAL"].includes(errorCode(error))) return null;
      throw error;
    }),
  );
  const name = target === null ? null : basename(dirname(target));
  return name !== null && NAME.test(name) ? name : null;
}

/** In one rename, which survives a power cut. @throws DISK, NO_SPACE */
export async function makeCurrent(
  store: TargetStore,
  { product, name }: Pick<ReleaseRecord, "product" | "name">,
): Promise<void> {
  const link = currentLink(store, product);
  await withDiskErrors(link, () => mkdir(dirname(link), { recursive: true }));
  // Relative, so that it holds wherever a chroot store is mounted.
  await replaceSymlink(link, join("../releases", name, "links"));
  await syncDirectory(dirname(link));
}

/** @throws DISK */
export async function makeNoneCurrent(store: TargetStore, product: string): Promise<void> {
  const link = currentLink(store, product);
  await withDiskErrors(link, () => rm(link, { force: true }));
}

/** How many symlinks to these paths lie in a folder of GC roots, at any depth. @throws DISK */
export async function countRoots(folder: string, paths: ReadonlySet<string>): Promise<number> {
  let count = 0;
  for (const name of await namesIn(folder)) {
    const path = join(folder, name);
    const stats = await withDiskErrors(path, () => lstat(path));
    if (stats.isDirectory()) count += await countRoots(path, paths);
    else if (stats.isSymbolicLink() && paths.has(await withDiskErrors(path, () => readlink(path))))
      count += 1;
  }
  return count;
}

/** Names of sets of GC roots. @throws DISK */
export async function rootNames({ rootsDir }: TargetStore): Promise<string[]> {
  return (await namesIn(rootsDir)).filter((name) => NAME.test(name));
}

/** Sorted; none where there is no such folder. */
async function namesIn(folder: string): Promise<string[]> {
  const names = await withDiskErrors(folder, () =>
    readdir(folder).catch((error: unknown) => {
      if (errorCode(error) === "ENOENT") return [];
      throw error;
    }),
  );
  return names.sort();
}
