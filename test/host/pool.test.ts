import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { build } from "esbuild";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { BlobJob } from "../../src/host/blob.js";
import type { DiskJob, FileJob } from "../../src/host/jobs.js";
import { type PoolOptions, type RunOptions, runJobs, WorkerPool } from "../../src/host/pool.js";
import { splitJobs } from "../../src/host/schedule.js";
import { writeNar } from "../../src/nix/nar-writer.js";
import { partOf } from "../../src/segments.js";

const dir = mkdtempSync(join(tmpdir(), "pool-test-"));
afterAll(() => rmSync(dir, { recursive: true, force: true }));
const nowhere = pathToFileURL(join(dir, "absent.mjs"));
const signal = new AbortController().signal;
const refusal = (code: string) => expect.objectContaining({ code });

/** A worker as the program has it, from its sources. */
let workerEntry: URL;
beforeAll(async () => {
  const outfile = join(dir, "worker.mjs");
  await build({
    entryPoints: [fileURLToPath(new URL("../../src/host/worker-main.ts", import.meta.url))],
    bundle: true,
    platform: "node",
    target: "node20",
    format: "esm",
    outfile,
    // ssri is CommonJS.
    banner: {
      js: 'import { createRequire } from "node:module"; const require = createRequire(import.meta.url);',
    },
  });
  workerEntry = pathToFileURL(outfile);
});

function script(name: string, text: string): URL {
  writeFileSync(join(dir, name), text);
  return pathToFileURL(join(dir, name));
}

/** One blob, in as many jobs as wanted. */
function blobJob(text: string, change: Partial<BlobJob> = {}, ...options: string[]): BlobJob {
  const contents = Buffer.from(text);
  const nar = writeNar({ kind: "regular", executable: false, contents });
  const blob = execFileSync("zstd", ["-q", "-c", "--no-check", ...options], { input: nar });
  const sha256 = createHash("sha256").update(blob).digest("hex");
  writeFileSync(join(dir, sha256), blob);
  return {
    kind: "blob",
    subject: text.slice(0, 20),
    file: partOf(join(dir, sha256), blob.length),
    blob: sha256,
    blobSize: blob.length,
    narHash: `sha256-${createHash("sha256").update(nar).digest("base64")}`,
    narSize: nar.length,
    ...change,
  };
}

const pathOf = ({ file }: BlobJob) => file.segments[0]!.path;
const run = (jobs: readonly BlobJob[], options: Partial<PoolOptions & RunOptions<BlobJob>> = {}) =>
  runJobs(jobs, { workerEntry, signal, threads: 2, ...options });

/** Enough for threads. */
const many = (job: BlobJob): BlobJob[] => Array.from({ length: 400 }, () => job);

describe("worker pool", () => {
  it("does what is urgent before what it was asked for earlier", async () => {
    const pool = new WorkerPool({ workerEntry, signal, threads: 1 });
    try {
      const order: string[] = [];
      const onResult = ({ subject }: BlobJob) => order.push(subject);
      const jobs = many(blobJob("earlier"));
      const urgent = [{ ...jobs[0]!, subject: "urgent" }];
      await Promise.all([pool.run(jobs, { onResult }), pool.run(urgent, { onResult, isUrgent: true })]);
      expect(order.length).toBe(401);
      expect(order.indexOf("urgent")).toBeLessThan(399);
      expect(order.slice(order.indexOf("urgent") + 1)).toContain("earlier");
    } finally {
      await pool.close();
    }
  });

  it("gives results in the order of the jobs, from threads as well as without", async () => {
    const base = [
      blobJob("small", { capture: [""] }),
      blobJob("x".repeat(5_000_000)),
      blobJob("wrong", { narHash: "sha256-x" }),
      blobJob("37xrjbmb2m563q3jb13jv6xnwwy4760n", { scan: true }),
    ];
    const jobs = Array.from({ length: 100 }, () => base).flat();
    const options = { hashParts: ["37xrjbmb2m563q3jb13jv6xnwwy4760n"] };
    const results = await run(jobs, options);
    expect(results.length).toBe(400);
    expect(new Set(results.map((result) => result.blobSha256)).size).toBe(4);
    results.forEach((result, i) => {
      expect(result.blobSha256).toBe(jobs[i]?.blob);
      expect(result.findings.map((finding) => finding.code)).toEqual(i % 4 === 2 ? ["NAR_HASH"] : []);
    });
    expect(Buffer.from(results[0]?.contents?.captured.get("") ?? []).toString()).toBe("small");
    expect(results[3]?.contents?.references).toEqual(options.hashParts);
    const [first, , third, fourth] = results;
    const here = await run([base[0]!, base[2]!, base[3]!], { ...options, workerEntry: nowhere });
    expect(here).toEqual([first, third, fourth]);
  });

  it("checks frames with large windows as well, wherever they stand", async () => {
    const ordinary = blobJob("o".repeat(3_000_000));
    const large = blobJob("l".repeat(2_000_000), {}, "--long=27");
    const wrong = { ...large, narHash: "sha256-x" };
    for (const jobs of [
      [ordinary, ordinary, ordinary, large, wrong, large],
      [large, wrong, large, ordinary],
      [large, wrong, large, wrong, large],
    ]) {
      const results = await run(jobs);
      expect(results.map(({ findings }) => findings.map(({ code }) => code))).toEqual(
        jobs.map((job) => (job === wrong ? ["NAR_HASH"] : [])),
      );
    }
  });

  it("gives the same answer of a blob that two threads share as of one that they do not", async () => {
    // 100 MB of text that is not all the same, with a store path across the slots of the pipe.
    const part = "37xrjbmb2m563q3jb13jv6xnwwy4760n";
    const line = `${part} ${"the quick brown fox ".repeat(50)}\n`;
    const big = blobJob(line.repeat(Math.ceil(100e6 / line.length)), { scan: true });
    const damaged = join(dir, "damaged");
    const bytes = readFileSync(pathOf(big));
    writeFileSync(damaged, Buffer.concat([bytes.subarray(0, bytes.length - 3), Buffer.from("xyz")]));
    const cut = partOf(pathOf(big), bytes.length - 1000);
    const wide = blobJob("w".repeat(100_000_000), {}, "--long=27");
    const cases: [BlobJob, string[]][] = [
      [big, []],
      [wide, []],
      [{ ...big, narHash: "sha256-x" }, ["NAR_HASH"]],
      [{ ...big, narSize: big.narSize - 8 }, ["NAR_SIZE"]],
      [{ ...big, narSize: big.narSize + 8 }, ["NAR_SIZE"]],
      [{ ...big, file: partOf(damaged, big.blobSize) }, ["BLOB_HASH"]],
      [{ ...big, file: cut }, ["BLOB_SIZE", "BLOB_HASH"]],
      [{ ...big, file: partOf(join(dir, "nothing"), big.blobSize) }, ["BLOB_MISSING"]],
    ];
    const hashParts = [part];
    for (const [job, codes] of cases) {
      expect(splitJobs([job], 2)).toEqual([0]);
      const progress: number[] = [];
      const onProgress = (_: BlobJob, narBytes: number) => progress.push(narBytes);
      const [shared] = await run([job], { hashParts, onProgress });
      const [alone] = await run([job], { hashParts, threads: 1 });
      expect(shared).toEqual(alone);
      expect(shared?.findings.map(({ code }) => code)).toEqual(codes);
      if (codes.length === 0) expect(progress).toEqual(progress.toSorted((a, b) => a - b));
    }
    const bad = { ...big, file: partOf(join(pathOf(big), "x"), big.blobSize) };
    await expect(run([bad])).rejects.toThrow(refusal("DISK"));
  });

  it("ends a pair on abort", async () => {
    const controller = new AbortController();
    const job = blobJob("x".repeat(400_000_000));
    const running = run([job], { signal: controller.signal, onProgress: () => controller.abort() });
    await expect(running).rejects.toThrow(refusal("INTERRUPTED"));
  });

  it("reports every job once, as it ends", async () => {
    const seen = new Map<BlobJob, number>();
    const base = blobJob("x");
    const jobs = Array.from({ length: 300 }, () => ({ ...base }));
    await run(jobs, {
      onResult: (job, result) => seen.set(job, (seen.get(job) ?? 0) + result.findings.length + 1),
    });
    expect(seen.size).toBe(300);
    expect([...seen.values()].every((times) => times === 1)).toBe(true);
  });

  it("has nothing to do", async () => {
    expect(await run([], { workerEntry: nowhere })).toEqual([]);
  });

  it("hashes paths on disk; null where there is nothing", async () => {
    writeFileSync(join(dir, "file"), "content");
    const jobs: DiskJob[] = Array.from({ length: 300 }, (_, i) => ({
      kind: "disk",
      path: join(dir, i % 2 === 0 ? "file" : "absent"),
      narSize: 100,
    }));
    const results = await runJobs(jobs, { workerEntry, signal, threads: 2 });
    const nar = execFileSync("nix-store", ["--dump", join(dir, "file")]);
    const narHash = `sha256-${createHash("sha256").update(nar).digest("base64")}`;
    expect(results.slice(0, 2)).toEqual([{ narHash, narSize: nar.length }, null]);
    expect(results.filter((result) => result === null).length).toBe(150);
    const fifo: DiskJob = { kind: "disk", path: "/dev/null", narSize: 1 };
    await expect(runJobs([...jobs, fifo], { workerEntry, signal })).rejects.toThrow(refusal("FILE_TYPE"));
    await expect(runJobs([fifo], { workerEntry, signal })).rejects.toThrow(refusal("FILE_TYPE"));
  });

  it("passes typed errors on, from threads as well as without", async () => {
    const good = blobJob("good");
    const bad = { ...good, file: partOf(join(pathOf(good), "x"), good.blobSize) };
    await expect(run([...many(good), bad])).rejects.toThrow(refusal("DISK"));
    await expect(run([good, bad])).rejects.toThrow(refusal("DISK"));
  });

  it("ends when a worker dies, however it does", async () => {
    const jobs = many(blobJob("x"));
    const deaths: readonly [URL, RegExp][] = [
      [nowhere, /absent\.mjs/],
      [script("throws.mjs", "throw new Error('broken');"), /broken/],
      [script("exits.mjs", "process.exit(7);"), /code 7/],
      [script("ends.mjs", ""), /code 0/],
      [
        script(
          "dies-later.mjs",
          "import { parentPort } from 'node:worker_threads'; parentPort.on('message', () => process.exit(9));",
        ),
        /code 9/,
      ],
    ];
    for (const [entry, message] of deaths) {
      await expect(run(jobs, { workerEntry: entry })).rejects.toThrow(message);
    }
  });

  it("ends on abort, before and while it runs", async () => {
    const jobs = many(blobJob("x".repeat(5_000_000)));
    await expect(run(jobs, { signal: AbortSignal.abort() })).rejects.toThrow(refusal("INTERRUPTED"));
    await expect(run(jobs.slice(0, 1), { signal: AbortSignal.abort() })).rejects.toThrow(
      refusal("INTERRUPTED"),
    );
    const controller = new AbortController();
    let done = 0;
    const running = run(jobs, {
      signal: controller.signal,
      onResult: () => {
        done++;
        controller.abort();
      },
    });
    await expect(running).rejects.toThrow(refusal("INTERRUPTED"));
    expect(done).toBeLessThan(400);
  });

  it("keeps its threads from run to run, each run with its own hash parts", async () => {
    const part = "37xrjbmb2m563q3jb13jv6xnwwy4760n";
    const jobs = many(blobJob(part, { scan: true }));
    const pool = new WorkerPool({ workerEntry, signal, threads: 2 });
    try {
      const runs = [[part], [], [part]].map((hashParts) => pool.run(jobs, { hashParts }));
      const found = (await Promise.all(runs)).map((results) => results.map((r) => r.contents?.references));
      expect(found.map((references) => references[0])).toEqual([[part], [], [part]]);
      for (const references of found) expect(new Set(references.map(String)).size).toBe(1);
    } finally {
      await pool.close();
    }
    await expect(pool.run(jobs)).rejects.toThrow("closed");
  });

  it("ends all runs when one fails", async () => {
    const good = blobJob("good");
    const bad = { ...good, file: partOf(join(pathOf(good), "x"), good.blobSize) };
    const pool = new WorkerPool({ workerEntry, signal, threads: 2 });
    const runs = [many(bad), many(good)].map((jobs) => pool.run(jobs));
    await Promise.all(runs.map((run) => expect(run).rejects.toThrow(refusal("DISK"))));
    await pool.close();
  });

  it("hashes parts of files; null where they are not all there", async () => {
    writeFileSync(join(dir, "part"), "0123456789");
    const part = (path: string, offset: number, size: number): FileJob => {
      return { kind: "file", file: partOf(join(dir, path), size, offset) };
    };
    const jobs = [part("part", 2, 3), part("part", 0, 11), part("absent", 0, 1), part(".", 0, 1)];
    const sha256 = createHash("sha256").update("234").digest("hex");
    for (const times of [1, 100]) {
      const all = Array.from({ length: times }, () => jobs).flat();
      const results = await runJobs(all, { workerEntry, signal, threads: 2 });
      expect(results.slice(-4)).toEqual([sha256, null, null, null]);
    }
  });

  it("passes an error of the callback on", async () => {
    const bug = new Error("bug");
    const onResult = () => {
      throw bug;
    };
    await expect(run(many(blobJob("x")), { onResult })).rejects.toBe(bug);
  });
});
