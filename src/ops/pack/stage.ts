/**
 * Makes the bundle's blobs: lets Nix copy the planned paths into binary caches of their own beside the output,
 * then takes the compressed NARs over under their SHA-256. A second run finds what the first has finished.
 */
import { existsSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from "node:fs";
import { mkdir, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { onDiskSync } from "../../bundle/disk.js";
import { blobName, narinfoName } from "../../bundle/layout.js";
import { AirgapError, EXIT, fail } from "../../errors.js";
import type { Path } from "../../generated/types.js";
import { exists, removeTree, withDiskErrors } from "../../host/files.js";
import { inLanes, type Task } from "../../host/lanes.js";
import { withLock } from "../../host/lock.js";
import * as nix from "../../host/nix/index.js";
import { inTurns } from "../../host/turns.js";
import { formatHex, formatSri } from "../../nix/hash.js";
import { type NarInfo, parseNarInfo } from "../../nix/narinfo.js";
import type { Progress } from "../phase-clock.js";
import { borrowedNarInfos, copyRounds, isBorrowed } from "./lanes.js";
import type { PlannedPath } from "./plan.js";

/** Blobs between two reports of progress. */
const REPORT_EVERY = 200;

export interface Stage {
  /** All of it; removed when the bundle is there. */
  readonly dir: string;
  /** Nix's binary caches, one for each lane. */
  readonly cache: string;
  /** The bundle as a directory. */
  readonly bundle: string;
  /** And as a tar. */
  readonly tar: string;
  /** And as parts of one. */
  readonly parts: string;
}

/** What finished blobs depend on: with another recipe they are thrown away. */
export interface StageRecipe {
  readonly compressionLevel: number;
  readonly nixVersion: string;
  readonly lanes: number;
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

/** Under the lock. `recipe`: what the blobs depend on, such as a `StageRecipe`. @throws AirgapError OUT_EXISTS, DISK, NO_SPACE */
export async function openStage(out: string, recipe: object): Promise<Stage> {
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
      parts: join(dir, "parts"),
    };
    // Of blobs something may be kept; these are written anew.
    await rm(stage.tar, { force: true });
    await removeTree(stage.parts);
    await mkdir(stage.cache, { recursive: true });
    await mkdir(join(stage.bundle, "blobs", "sha256"), { recursive: true });
    await writeFile(recipeFile, text);
    return stage;
  });
}

/**
 * Has Nix fill the lanes' caches, side by side. `tempDir`: a folder whose path has no characters that Nix's URLs would
 * mistake.
 *
 * @throws AirgapError NIX_FAILED
 */
export async function fillLanes(
  context: nix.NixContext,
  stage: Stage,
  lanes: readonly (readonly PlannedPath[])[],
  options: {
    readonly recipe: StageRecipe;
    readonly tempDir: string;
    readonly onEvent: (event: nix.CopyEvent, lane: number) => void;
  },
): Promise<void> {
  const tasks = lanes.map(
    (): Task => (lane, signal) => fillLane({ ...context, signal }, stage, lanes, { ...options, lane }),
  );
  await inLanes(lanes.length, context.signal, () => tasks.shift() ?? null);
}

async function fillLane(
  context: nix.NixContext,
  stage: Stage,
  lanes: readonly (readonly PlannedPath[])[],
  options: Parameters<typeof fillLanes>[3] & { readonly lane: number },
): Promise<void> {
  const { lane, recipe, tempDir, onEvent } = options;
  const paths = lanes[lane]!;
  const cache = laneCache(stage, lane);
  await withDiskErrors(cache, () => mkdir(cache, { recursive: true }));
  await dropStale(cache, paths);
  await inTurns(borrowedNarInfos(paths, lanes.flat()), ([name, text]) => {
    const file = join(cache, name);
    if (!existsSync(file)) writeFileSync(file, text);
  });
  const link = join(tempDir, `lane-${lane}`);
  await withDiskErrors(link, () => symlink(cache, link));
  for (const round of copyRounds(paths)) {
    await nix.copy(context, round, {
      to: `file://${link}?compression=zstd&compression-level=${recipe.compressionLevel}`,
      recursive: false,
      onEvent: (event) => onEvent(event, lane),
    });
  }
}

function laneCache({ cache }: Stage, lane: number): string {
  return join(cache, String(lane));
}

/**
 * Takes the blobs over from the caches; in the order of `paths`.
 *
 * @throws AirgapError NIX_FAILED where the store changed since it was planned; DISK
 */
export async function takeBlobs(
  stage: Stage,
  paths: readonly PlannedPath[],
  lanes: readonly (readonly PlannedPath[])[],
  progress: Progress,
): Promise<Path[]> {
  const cacheOf = new Map(
    lanes.flatMap((lane, i) => lane.map(({ storePath }) => [storePath, laneCache(stage, i)] as const)),
  );
  const staged: Path[] = [];
  await inTurns(paths, (path) => {
    const cache = cacheOf.get(path.storePath)!;
    const info = plannedNarInfo(cache, path);
    const blob = formatHex(info.fileHash);
    takeOver(join(cache, info.url), join(stage.bundle, blobName(blob)), info);
    staged.push({ ...path, blob, blobSize: info.fileSize });
    if (staged.length % REPORT_EVERY === 0)
      progress({ items: staged.length, share: staged.length / paths.length });
  });
  return staged;
}

/** The blob of a path that a lane has copied; null where it has not. @throws AirgapError DISK, codes of narinfos */
export function blobInLane(
  stage: Stage,
  lane: number,
  storePath: string,
): { readonly blob: string; readonly bytes: number } | null {
  const file = join(laneCache(stage, lane), narinfoName(storePath));
  if (!existsSync(file)) return null;
  const { fileHash, fileSize } = readNarInfo(file);
  return { blob: formatHex(fileHash), bytes: fileSize };
}

/**
 * Nix skips what its cache has: so what is of an earlier run, before the path was built anew, must not be there, nor what
 * only stood for a path of another lane.
 */
async function dropStale(cache: string, paths: readonly PlannedPath[]): Promise<void> {
  await inTurns(paths, (path) => {
    const file = narinfoFile(cache, path);
    if (existsSync(file) && !isAsPlanned(file, path)) onDiskSync(file, () => rmSync(file));
  });
}

function isAsPlanned(file: string, path: PlannedPath): boolean {
  try {
    const info = readNarInfo(file);
    return !isBorrowed(info) && differences(info, path) === null;
  } catch (error) {
    if (error instanceof AirgapError && error.exit === EXIT.malformed) return false;
    throw error;
  }
}

function plannedNarInfo(cache: string, path: PlannedPath): NarInfo {
  const info = readNarInfo(narinfoFile(cache, path));
  const differs = differences(info, path);
  if (differs === null) return info;
  return fail("NIX_FAILED", {
    subject: path.storePath,
    ...differs,
    hint: "The store changed while it was packed; run pack again.",
  });
}

function narinfoFile(cache: string, path: PlannedPath): string {
  return join(cache, narinfoName(path.storePath));
}

function readNarInfo(file: string): NarInfo {
  return parseNarInfo(onDiskSync(file, () => readFileSync(file, "latin1")));
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
function takeOver(from: string, to: string, info: NarInfo): void {
  onDiskSync(from, () => {
    if (existsSync(to)) rmSync(from, { force: true });
    else renameSync(from, to);
  });
  const { size } = onDiskSync(to, () => statSync(to));
  if (size !== info.fileSize) {
    onDiskSync(to, () => rmSync(to, { force: true }));
    fail("DISK", {
      subject: to,
      expected: `${info.fileSize} bytes`,
      actual: `${size}`,
      hint: "Remove the .partial folder and run pack again.",
    });
  }
}
