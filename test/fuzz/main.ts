/**
 * `npm run fuzz -- [--inputs N] [--target NAME] [--seed N]`: the long run, by hand. Each target runs in a thread with a
 * heap of its own, watched from here: one that hangs, or runs out of memory, is ended, and what it was reading is known.
 * A failing input is saved as a vector, and the exit is 1.
 */
import { createHash } from "node:crypto";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { isMainThread, parentPort, Worker, workerData } from "node:worker_threads";
import { type Failure, type FuzzResult, fuzz, MAX_RSS_GROWTH, type Target } from "./fuzz.js";
import { MAX_INPUT } from "./mutate.js";
import { vectorFolder } from "./seeds.js";
import { targets } from "./targets/index.js";

interface Job {
  readonly name: string;
  readonly inputs: number;
  readonly seed: number;
  /** Number of inputs so far, length of the current one, and its bytes. */
  readonly current: SharedArrayBuffer;
}

const HEAD = 8;
const HANG_MS = 20_000;
const LOOK_MS = 100;

if (isMainThread) process.exitCode = await main();
else parentPort!.postMessage(await work(workerData as Job));

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      inputs: { type: "string", default: "10000" },
      target: { type: "string", multiple: true },
      seed: { type: "string", default: "1" },
    },
  });
  const [inputs, seed] = [Number(values.inputs), Number(values.seed)];
  const chosen = targets.filter(({ name }) => values.target === undefined || values.target.includes(name));
  if (chosen.length === 0 || !Number.isSafeInteger(inputs) || !Number.isSafeInteger(seed)) {
    console.error(
      `usage: npm run fuzz -- [--inputs N] [--seed N] [--target ${targets.map(({ name }) => name).join("|")}]`,
    );
    return 2;
  }
  console.log(`seed ${seed}, ${inputs} inputs for a target of share 1`);
  let failed = false;
  for (const target of chosen) {
    const started = performance.now();
    const result = await watch(target, Math.ceil(inputs * target.share), seed);
    printResult(target, result, performance.now() - started);
    for (const failure of result.failures) printFailure(target, failure);
    failed ||= result.failures.length > 0;
  }
  return failed ? 1 : 0;
}

type Watched = Pick<FuzzResult, "failures"> & Partial<FuzzResult>;

function watch(target: Target, inputs: number, seed: number): Promise<Watched> {
  const current = new SharedArrayBuffer(HEAD + MAX_INPUT);
  const numbers = new Int32Array(current, 0, 2);
  const job: Job = { name: target.name, inputs, seed, current };
  const worker = new Worker(fileURLToPath(import.meta.url), {
    workerData: job,
    resourceLimits: { maxOldGenerationSizeMb: MAX_RSS_GROWTH / 2 ** 20, maxYoungGenerationSizeMb: 16 },
  });
  const fail = (reason: string): Watched => {
    const bytes = Buffer.from(Buffer.from(current, HEAD, Atomics.load(numbers, 1)));
    return { inputs: Atomics.load(numbers, 0), failures: [{ bytes, reason }] };
  };
  return new Promise((done) => {
    let [last, since] = [-1, performance.now()];
    const timer = setInterval(() => {
      const now = Atomics.load(numbers, 0);
      if (now !== last) [last, since] = [now, performance.now()];
      else if (performance.now() - since > HANG_MS) end(fail(`hangs: no answer in ${HANG_MS} ms`));
    }, LOOK_MS);
    const end = (result: Watched) => {
      clearInterval(timer);
      void worker.terminate().then(() => done(result));
    };
    worker.once("message", (result: FuzzResult) => end(result));
    worker.once("error", (error) => end(fail(error.stack ?? error.message)));
  });
}

async function work({ name, inputs, seed, current }: Job): Promise<FuzzResult> {
  const target = targets.find((each) => each.name === name)!;
  const numbers = new Int32Array(current, 0, 2);
  const shown = new Uint8Array(current, HEAD);
  return await fuzz(target, {
    inputs,
    seed,
    onInput(bytes) {
      shown.set(bytes);
      Atomics.store(numbers, 1, bytes.length);
      Atomics.add(numbers, 0, 1);
    },
  });
}

function printResult({ name }: Target, result: Watched, ms: number): void {
  const { inputs, accepted, refused, slowestMs, peakRss, rssGrowth, found } = result;
  console.log(`\n${name}: ${inputs} inputs in ${(ms / 1000).toFixed(1)} s`);
  // Of a thread that was ended nothing more is known.
  if (refused === undefined) return;
  const megabytes = (bytes = 0) => `${Math.round(bytes / 2 ** 20)} MiB`;
  const codes = [...refused].sort(([, a], [, b]) => b - a).map(([code, count]) => `${code} ${count}`);
  console.log(`  ${accepted} accepted, ${found} became seeds; slowest ${slowestMs?.toFixed(1)} ms`);
  console.log(`  peak RSS ${megabytes(peakRss)}, ${megabytes(rssGrowth)} over the start`);
  console.log(`  ${codes.join(", ")}`);
}

function printFailure({ name }: Target, { bytes, reason }: Failure): void {
  const folder = vectorFolder(`fuzz/${name}`);
  const path = join(folder, createHash("sha256").update(bytes).digest("hex").slice(0, 16));
  mkdirSync(folder, { recursive: true });
  writeFileSync(path, Buffer.from(bytes));
  console.log(`  FAILED, saved as ${path}: ${reason}`);
}
