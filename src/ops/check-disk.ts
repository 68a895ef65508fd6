/**
 * Compares a store with the document: what lies on disk, byte for byte by NAR hash, for which the database is not asked;
 * and what the database says, which decides what Nix copies, collects and shows to builders.
 */
import type { Finding } from "../errors.js";
import type { Path } from "../generated/types.js";
import type { DiskJob, JobResult } from "../host/jobs.js";
import { type NixContext, pathInfo } from "../host/nix/index.js";
import { defaultThreads, runJobs, WorkerPool } from "../host/pool.js";
import { realPath, type TargetStore } from "../host/store.js";
import type { Context } from "./context.js";
import type { PhaseTotals, Progress } from "./phase-clock.js";
import { Workload } from "./workload.js";

/** What a path costs beside the bytes of its NAR, in such bytes. */
const COST_OF_PATH = 128 * 1024;

/** Takes a thread a moment: a second for a gigabyte and a half. */
const LARGE = 64 * 1024 * 1024;

/** What `progress` counts up to. */
export function totalsOf(paths: readonly { readonly narSize: number }[]): Required<PhaseTotals> {
  return { items: paths.length, bytes: paths.reduce((sum, { narSize }) => sum + narSize, 0) };
}

/** What must lie on disk. */
type PathOnDisk = Pick<Path, "storePath" | "narHash" | "narSize">;

/** A finding for each path that is not there (STORE_PATH_ABSENT) or not what the document says (STORE_CONTENT). */
export async function checkOnDisk(
  store: TargetStore,
  paths: readonly PathOnDisk[],
  context: Context,
  progress: Progress,
): Promise<Finding[]> {
  const hashes = await hashOnDisk(store, paths, context, progress);
  return paths.flatMap((path) => differenceOf(path, hashes.get(path.storePath)));
}

export interface DiskCheckListener {
  /** So many bytes of a path's NAR are hashed. */
  readonly onProgress: (path: Path, narBytes: number) => void;
  readonly onChecked: (path: Path, findings: readonly Finding[]) => void;
}

/** As `checkOnDisk`, of paths that come by and by. Must be closed. */
export class DiskCheck {
  readonly #store: TargetStore;
  readonly #pool: WorkerPool;
  readonly #listener: DiskCheckListener;
  readonly #runs: Promise<unknown>[] = [];
  readonly #findings: Finding[] = [];

  constructor(store: TargetStore, context: Context, listener: DiskCheckListener) {
    this.#store = store;
    this.#pool = new WorkerPool(context);
    this.#listener = listener;
  }

  /** Begins to check these; large ones first, which take longest by themselves. */
  add(paths: readonly Path[]): void {
    const isLarge = ({ narSize }: Path) => narSize >= LARGE;
    this.#check(paths.filter(isLarge), true);
    this.#check(
      paths.filter((path) => !isLarge(path)),
      false,
    );
  }

  #check(paths: readonly Path[], isUrgent: boolean): void {
    if (paths.length === 0) return;
    const jobs = new Map(paths.map((path) => [jobOf(this.#store, path), path]));
    const onResult = (job: DiskJob, result: JobResult<DiskJob>): void => {
      const path = jobs.get(job)!;
      const findings = differenceOf(path, result?.narHash);
      this.#findings.push(...findings);
      this.#listener.onChecked(path, findings);
    };
    const onProgress = (job: DiskJob, narBytes: number) =>
      this.#listener.onProgress(jobs.get(job)!, narBytes);
    const run = this.#pool.run([...jobs.keys()], { onResult, onProgress, isUrgent });
    // A failure is for `finish` to throw.
    run.catch(() => {});
    this.#runs.push(run);
  }

  /** The findings on all that was added, by store path. @throws AirgapError DISK, FILE_TYPE, INTERRUPTED */
  async finish(): Promise<Finding[]> {
    await Promise.all(this.#runs);
    return this.#findings.sort((a, b) => (a.subject! < b.subject! ? -1 : 1));
  }

  close(): Promise<void> {
    return this.#pool.close();
  }
}

function jobOf(store: TargetStore, { storePath, narSize }: Pick<Path, "storePath" | "narSize">): DiskJob {
  return { kind: "disk", path: realPath(store, storePath), narSize };
}

function differenceOf({ storePath, narHash }: PathOnDisk, actual: string | undefined): Finding[] {
  const about = { subject: storePath, expected: narHash };
  if (actual === undefined) return [{ code: "STORE_PATH_ABSENT", ...about }];
  return actual === narHash ? [] : [{ code: "STORE_CONTENT", ...about, actual }];
}

/**
 * STORE_RECORD for each of these valid paths of which the database has another hash or other references. A .drv's
 * references follow from its content.
 *
 * @throws AirgapError NIX_FAILED, INTERRUPTED
 */
export async function checkRecords(
  nix: NixContext,
  store: TargetStore,
  paths: readonly Path[],
): Promise<Finding[]> {
  const asked = paths.filter(({ storePath }) => !storePath.endsWith(".drv"));
  const infos = await pathInfo(
    nix,
    asked.map(({ storePath }) => storePath),
    { store: store.uri },
  );
  const records = new Map(infos.map((info) => [info.storePath, recordOf(info)]));
  return asked.flatMap((path): Finding[] => {
    const [expected, actual] = [recordOf(path), records.get(path.storePath) ?? "nothing"];
    return actual === expected ? [] : [{ code: "STORE_RECORD", subject: path.storePath, expected, actual }];
  });
}

function recordOf({
  narHash,
  references,
}: {
  readonly narHash: string;
  readonly references: readonly string[];
}): string {
  const names = references.map((path) => path.slice(path.lastIndexOf("/") + 1));
  return `${narHash}, refers to ${names.length === 0 ? "nothing" : names.join(" ")}`;
}

/** NAR hashes (SRI) by store path, of those that lie there. @throws AirgapError DISK, FILE_TYPE, INTERRUPTED */
export async function hashOnDisk(
  store: TargetStore,
  paths: readonly { readonly storePath: string; readonly narSize: number }[],
  context: Context,
  progress: Progress,
): Promise<Map<string, string>> {
  const jobs = paths.map((path) => jobOf(store, path));
  const foreseen = jobs.map((job) => ({
    key: job,
    bytes: job.narSize,
    cost: job.narSize + COST_OF_PATH,
  }));
  const work = new Workload(foreseen, context.threads ?? defaultThreads());
  const results = await runJobs(jobs, {
    ...context,
    onProgress(job, narBytes) {
      work.advance(job, narBytes);
      progress(work.done);
    },
    onResult(job) {
      work.end(job);
      progress(work.done);
    },
  });
  return new Map(
    paths.flatMap(({ storePath }, i) => {
      const result = results[i];
      return result ? [[storePath, result.narHash] as const] : [];
    }),
  );
}
