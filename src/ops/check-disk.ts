/**
 * Compares a store with the document: what lies on disk, byte for byte by NAR hash, for which the database is not asked;
 * and what the database says, which decides what Nix copies, collects and shows to builders.
 */
import type { Finding } from "../errors.js";
import type { Path } from "../generated/types.js";
import { type NixContext, pathInfo } from "../host/nix/index.js";
import { defaultThreads, runJobs } from "../host/pool.js";
import { realPath, type TargetStore } from "../host/store.js";
import type { Context } from "./context.js";
import type { PhaseTotals, Progress } from "./phase-clock.js";
import { Workload } from "./workload.js";

/** What a path costs beside the bytes of its NAR, in such bytes. */
const COST_OF_PATH = 128 * 1024;

/** What `progress` counts up to. */
export function totalsOf(paths: readonly { readonly narSize: number }[]): Required<PhaseTotals> {
  return { items: paths.length, bytes: paths.reduce((sum, { narSize }) => sum + narSize, 0) };
}

/** A finding for each path that is not there (STORE_PATH_ABSENT) or not what the document says (STORE_CONTENT). */
export async function checkOnDisk(
  store: TargetStore,
  paths: readonly Path[],
  context: Context,
  progress: Progress,
): Promise<Finding[]> {
  const hashes = await hashOnDisk(store, paths, context, progress);
  const findings: Finding[] = [];
  for (const { storePath, narHash } of paths) {
    const actual = hashes.get(storePath);
    if (actual === undefined)
      findings.push({ code: "STORE_PATH_ABSENT", subject: storePath, expected: narHash });
    else if (actual !== narHash)
      findings.push({ code: "STORE_CONTENT", subject: storePath, expected: narHash, actual });
  }
  return findings;
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
  const { workerEntry, signal, threads } = context;
  const jobs = paths.map(({ storePath, narSize }) => ({
    kind: "disk" as const,
    path: realPath(store, storePath),
    narSize,
  }));
  const foreseen = jobs.map((job) => ({
    key: job,
    bytes: job.narSize,
    cost: job.narSize + COST_OF_PATH,
  }));
  const work = new Workload(foreseen, threads ?? defaultThreads());
  const results = await runJobs(jobs, {
    workerEntry,
    signal,
    ...(threads === undefined ? {} : { threads }),
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
