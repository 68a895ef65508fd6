/** Compares what lies on disk in a store with the document, byte for byte by NAR hash: the database is not asked. */
import type { Finding } from "../errors.js";
import type { Path } from "../generated/types.js";
import { runJobs } from "../host/pool.js";
import { realPath, type TargetStore } from "../host/store.js";
import type { Context } from "./context.js";
import type { Progress } from "./phase-clock.js";

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

/** NAR hashes (SRI) by store path, of those that lie there. @throws AirgapError DISK, FILE_TYPE, INTERRUPTED */
export async function hashOnDisk(
  store: TargetStore,
  paths: readonly { readonly storePath: string; readonly narSize: number }[],
  context: Context,
  progress: Progress,
): Promise<Map<string, string>> {
  const { workerEntry, signal, threads } = context;
  let items = 0;
  let bytes = 0;
  const jobs = paths.map(({ storePath, narSize }) => ({
    kind: "disk" as const,
    path: realPath(store, storePath),
    narSize,
  }));
  const results = await runJobs(jobs, {
    workerEntry,
    signal,
    ...(threads === undefined ? {} : { threads }),
    onResult(job) {
      items += 1;
      bytes += job.narSize;
      progress(items, bytes);
    },
  });
  return new Map(
    paths.flatMap(({ storePath }, i) => {
      const result = results[i];
      return result ? [[storePath, result.narHash] as const] : [];
    }),
  );
}
