/** The parts of a bundle in parts, each against the index that lies beside it: which medium is bad, before anything else is read. */
import type { MediumPart } from "../../bundle/parts.js";
import type { Finding } from "../../errors.js";
import type { FileJob } from "../../host/jobs.js";
import type { WorkerPool } from "../../host/pool.js";
import { partOf } from "../../segments.js";
import type { Context } from "../context.js";

/** PART_HASH of those that lie there with their size, and are something else. @throws AirgapError INTERRUPTED */
export async function checkParts(
  parts: readonly MediumPart[],
  pool: WorkerPool,
  { report }: Pick<Context, "report">,
): Promise<Finding[]> {
  const there = parts.flatMap((part) => (part.path === null ? [] : [{ ...part, path: part.path }]));
  const jobs = there.map(({ path, size }): FileJob => ({ kind: "file", file: partOf(path, size) }));
  const phase = "parts";
  const bytes = jobs.reduce((sum, { file }) => sum + file.size, 0);
  report({ type: "phase.started", phase, items: jobs.length, bytes });
  const done = { items: 0, bytes: 0 };
  const hashes = await pool.run(jobs, {
    onResult: ({ file }) => {
      done.items++;
      done.bytes += file.size;
      report({ type: "phase.progress", phase, ...done, share: done.bytes / bytes });
    },
  });
  report({ type: "phase.finished", phase });
  return there.flatMap(({ label: subject, sha256: expected, path }, i): Finding[] => {
    const actual = hashes[i] ?? "bytes that cannot be read to their end";
    return actual === expected
      ? []
      : [{ code: "PART_HASH", subject, expected, actual: `${actual}, in ${path}` }];
  });
}
