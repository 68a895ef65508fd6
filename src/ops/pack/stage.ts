/**
 * Makes the bundle's blobs: lets Nix copy the planned paths into a binary cache of their own beside the output,
 * then takes the compressed NARs over under their SHA-256. A second run finds what the first has finished.
 */
import { mkdir, readFile, rename, rm, stat, symlink, writeFile } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { blobName, narinfoName } from "../../bundle/layout.js";
import { AirgapError, EXIT, fail } from "../../errors.js";
import type { Path } from "../../generated/types.js";
import { exists, removeTree, withDiskErrors } from "../../host/files.js";
import { withLock } from "../../host/lock.js";
import * as nix from "../../host/nix/index.js";
import { formatHex, formatSri } from "../../nix/hash.js";
import { type NarInfo, parseNarInfo } from "../../nix/narinfo.js";
import type { Progress } from "../phase-clock.js";
import type { PlannedPath } from "./plan.js";

export interface Stage {
  /** All of it; removed when the bundle is there. */
  readonly dir: string;
  /** Nix's binary cache. */
  readonly cache: string;
  /** The bundle as a directory. */
  readonly bundle: string;
  /** And as a tar. */
  readonly tar: string;
}

/** What finished blobs depend on: with another recipe they are thrown away. */
export interface StageRecipe {
  readonly compressionLevel: number;
  readonly nixVersion: string;
}

/** Runs `action` while no other pack works on the same output. @throws AirgapError LOCKED, DISK, NO_SPACE */
export function withStageLock<T>(out: string, action: () => Promise<T>): Promise<T> {
  return withLock(lockOf(out), action);
}

function lockOf(out: string): string {
  return join(dirname(out), `.${basename(out)}.lock`);
}

/** The staging folder for an output, next to it: on the same disk, under a name that no bundle has. */
export function stageOf(out: string): string {
  return join(dirname(out), `.${basename(out)}.partial`);
}

/** Removes what a run left that was killed when its output had the final name already. @throws AirgapError LOCKED, DISK */
export async function dropAbandonedStage(out: string): Promise<void> {
  if (!(await exists(stageOf(out))) && !(await exists(lockOf(out)))) return;
  await withStageLock(out, () => removeTree(stageOf(out)));
}

/** Under the lock. @throws AirgapError OUT_EXISTS, DISK, NO_SPACE */
export async function openStage(out: string, recipe: StageRecipe): Promise<Stage> {
  const dir = stageOf(out);
  if (await exists(out)) {
    // Another pack was quicker.
    await removeTree(dir);
    fail("OUT_EXISTS", { subject: out });
  }
  const recipeFile = join(dir, "recipe.json");
  const text = `${JSON.stringify(recipe)}\n`;
  return withDiskErrors(dir, async () => {
    if ((await readFile(recipeFile, "utf8").catch(() => "")) !== text) await removeTree(dir);
    const stage = {
      dir,
      cache: join(dir, "cache"),
      bundle: join(dir, "bundle"),
      tar: join(dir, "bundle.tar"),
    };
    // Of blobs something may be kept; this is written anew.
    await rm(stage.tar, { force: true });
    await mkdir(stage.cache, { recursive: true });
    await mkdir(join(stage.bundle, "blobs", "sha256"), { recursive: true });
    await writeFile(recipeFile, text);
    return stage;
  });
}

/**
 * Has Nix fill its cache. `tempDir`: a folder whose path has no characters that Nix's URLs would mistake.
 *
 * @throws AirgapError NIX_FAILED
 */
export async function fillCache(
  context: nix.NixContext,
  stage: Stage,
  paths: readonly PlannedPath[],
  options: {
    readonly recipe: StageRecipe;
    readonly tempDir: string;
    readonly onEvent: (event: nix.CopyEvent) => void;
  },
): Promise<void> {
  await dropStale(stage, paths);
  const link = join(options.tempDir, "cache");
  await symlink(stage.cache, link);
  await nix.copy(
    context,
    paths.map((path) => path.storePath),
    {
      to: `file://${link}?compression=zstd&compression-level=${options.recipe.compressionLevel}`,
      onEvent: options.onEvent,
    },
  );
}

/** Takes the blobs over from the cache. @throws AirgapError NIX_FAILED where the store changed since it was planned; DISK */
export async function takeBlobs(
  stage: Stage,
  paths: readonly PlannedPath[],
  progress: Progress,
): Promise<Path[]> {
  const staged: Path[] = [];
  for (const path of paths) {
    const info = await plannedNarInfo(stage, path);
    const blob = formatHex(info.fileHash);
    await takeOver(join(stage.cache, info.url), join(stage.bundle, blobName(blob)), info);
    staged.push({ ...path, blob, blobSize: info.fileSize });
    progress({ items: staged.length, share: staged.length / paths.length });
  }
  return staged;
}

/** Nix skips what its cache has: so what is of an earlier run, before the path was built anew, must not be there. */
async function dropStale(stage: Stage, paths: readonly PlannedPath[]): Promise<void> {
  for (const path of paths) {
    const file = narinfoFile(stage, path);
    if ((await exists(file)) && !(await isAsPlanned(file, path))) await withDiskErrors(file, () => rm(file));
  }
}

async function isAsPlanned(file: string, path: PlannedPath): Promise<boolean> {
  try {
    return differences(await readNarInfo(file), path) === null;
  } catch (error) {
    if (error instanceof AirgapError && error.exit === EXIT.malformed) return false;
    throw error;
  }
}

async function plannedNarInfo(stage: Stage, path: PlannedPath): Promise<NarInfo> {
  const info = await readNarInfo(narinfoFile(stage, path));
  const differs = differences(info, path);
  if (differs === null) return info;
  return fail("NIX_FAILED", {
    subject: path.storePath,
    ...differs,
    hint: "The store changed while it was packed; run pack again.",
  });
}

function narinfoFile(stage: Stage, path: PlannedPath): string {
  return join(stage.cache, narinfoName(path.storePath));
}

async function readNarInfo(file: string): Promise<NarInfo> {
  return parseNarInfo(await withDiskErrors(file, () => readFile(file, "latin1")));
}

function differences(info: NarInfo, path: PlannedPath): { expected: string; actual: string } | null {
  const told = {
    narHash: formatSri(info.narHash),
    narSize: info.narSize,
    references: [...info.references].sort().join(" "),
  };
  const planned = { narHash: path.narHash, narSize: path.narSize, references: path.references.join(" ") };
  const [expected, actual] = [JSON.stringify(planned), JSON.stringify(told)];
  return expected === actual ? null : { expected, actual };
}

/** Paths with the same NAR share a blob, so it may have moved already; in this run or in one before. */
async function takeOver(from: string, to: string, info: NarInfo): Promise<void> {
  if (await exists(to)) {
    await rm(from, { force: true });
  } else {
    await withDiskErrors(from, () => rename(from, to));
  }
  const { size } = await withDiskErrors(to, () => stat(to));
  if (size !== info.fileSize) {
    await rm(to, { force: true });
    fail("DISK", {
      subject: to,
      expected: `${info.fileSize} bytes`,
      actual: `${size}`,
      hint: "Remove the .partial folder and run pack again.",
    });
  }
}
