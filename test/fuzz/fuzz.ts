/**
 * The fuzzing loop: feeds one target mutated data, and judges what it does. An input is accepted, or refused by an
 * `AirgapError` of a code that the target may give; anything else is a failure, as is taking long, or much memory.
 *
 * No fuzzer from npm is used. @jazzer.js/core is kept up, and installs without a download, but its binaries want a C
 * library newer than that of Debian 12, where the tests run; jsfuzz is not kept up, and does not read our JavaScript.
 * In place of their coverage this loop has what a strict parser tells by itself: where it refused, and what it expected
 * there. An input that gives an answer not seen before becomes a seed.
 */
import { AirgapError, CODES, type Code, type Details } from "../../src/errors.js";
import { Random } from "../support/random.js";
import { MAX_INPUT, type Material, mutate } from "./mutate.js";

/** A "no", thrown or returned. */
export type Refusal = Pick<Details, "expected" | "offset" | "line"> & { readonly code: Code };

export interface Target extends Material {
  readonly name: string;
  /** Real data. Longer ones than `MAX_INPUT` are cut. */
  readonly seeds: readonly Buffer[];
  /** The codes that may refuse. */
  readonly codes: ReadonlySet<Code>;
  /** How many inputs it gets where a fast one gets 1: reading from a disk is slow. */
  readonly share: number;
  /**
   * Returns why `bytes` are refused, or throws it as an AirgapError. What is accepted is checked here against the law
   * of its format; a law that does not hold throws any other error.
   */
  run(bytes: Buffer): readonly Refusal[] | Promise<readonly Refusal[]>;
}

export interface Failure {
  readonly bytes: Buffer;
  readonly reason: string;
}

export interface FuzzResult {
  readonly inputs: number;
  readonly accepted: number;
  readonly refused: ReadonlyMap<Code, number>;
  readonly slowestMs: number;
  /** Of the process, and over what it was before. */
  readonly peakRss: number;
  readonly rssGrowth: number;
  /** Inputs that became seeds. */
  readonly found: number;
  readonly failures: readonly Failure[];
}

export interface FuzzOptions {
  readonly inputs: number;
  readonly seed: number;
  /** Before an input runs: where it can be seen by who ends a run that hangs. */
  readonly onInput?: (bytes: Buffer) => void;
}

export const MAX_RUN_MS = 1000;
export const MAX_RSS_GROWTH = 256 * 1024 * 1024;
const MAX_FOUND = 2000;
const MAX_FAILURES = 10;
/** Asking the system for memory takes longer than most inputs. */
const INPUTS_A_LOOK = 64;

export async function fuzz(target: Target, { inputs, seed, onInput }: FuzzOptions): Promise<FuzzResult> {
  const random = new Random(seed);
  const seeds = target.seeds.map((bytes) => bytes.subarray(0, MAX_INPUT));
  const found: Buffer[] = [];
  const seen = new Set<string>();
  const refused = new Map<Code, number>();
  const failures: Failure[] = [];
  const rssBefore = process.memoryUsage.rss();
  let peakRss = rssBefore;
  let accepted = 0;
  let slowestMs = 0;
  let done = 0;
  while (done < inputs && failures.length < MAX_FAILURES) {
    const parent = pickParent(seeds, found, random);
    const bytes = done < seeds.length ? seeds[done]! : mutate(parent, random.pick(seeds), random, target);
    onInput?.(bytes);
    const outcome = await judge(target, bytes);
    done++;
    slowestMs = Math.max(slowestMs, outcome.ms);
    if (done % INPUTS_A_LOOK === 0) peakRss = Math.max(peakRss, process.memoryUsage.rss());
    if (outcome.failure !== undefined) failures.push({ bytes: Buffer.from(bytes), reason: outcome.failure });
    else if (peakRss - rssBefore > MAX_RSS_GROWTH) {
      failures.push({ bytes: Buffer.from(bytes), reason: `memory grew by ${peakRss - rssBefore} bytes` });
      break;
    }
    const [refusal] = outcome.refusals;
    if (refusal === undefined) accepted++;
    else refused.set(refusal.code, (refused.get(refusal.code) ?? 0) + 1);
    if (isNew(outcome.refusals, seen) && found.length < MAX_FOUND) found.push(Buffer.from(bytes));
  }
  const rssGrowth = peakRss - rssBefore;
  return { inputs: done, accepted, refused, slowestMs, peakRss, rssGrowth, found: found.length, failures };
}

interface Outcome {
  readonly ms: number;
  /** None for what was accepted. */
  readonly refusals: readonly Refusal[];
  readonly failure: string | undefined;
}

/** Runs one input. One that took long runs again: the machine may have been busy elsewhere. */
export async function judge(target: Target, bytes: Buffer): Promise<Outcome> {
  const first = await runOnce(target, bytes);
  if (first.ms <= MAX_RUN_MS) return first;
  const second = await runOnce(target, bytes);
  if (second.ms <= MAX_RUN_MS) return second;
  return { ...second, failure: second.failure ?? `took ${Math.round(second.ms)} ms` };
}

async function runOnce(target: Target, bytes: Buffer): Promise<Outcome> {
  const started = performance.now();
  let refusals: readonly Refusal[] = [];
  let failure: string | undefined;
  try {
    const answer = target.run(bytes);
    refusals = answer instanceof Promise ? await answer : answer;
  } catch (error) {
    if (error instanceof AirgapError) refusals = [{ ...error.details, code: error.code }];
    else failure = error instanceof Error ? (error.stack ?? error.message) : String(error);
  }
  const ms = performance.now() - started;
  const wrong = refusals.find((refusal) => problemOf(refusal, bytes, target) !== undefined);
  if (wrong !== undefined) failure ??= problemOf(wrong, bytes, target);
  return { ms, refusals, failure };
}

/** A refusal has a code of the target's, and a place that lies in the input. */
function problemOf({ code, offset, line }: Refusal, bytes: Buffer, target: Target): string | undefined {
  if (!Object.hasOwn(CODES, code)) return `${code} is not in the registry`;
  if (!target.codes.has(code)) return `${code} is not a code of ${target.name}`;
  if (offset !== undefined && !(offset >= 0 && offset <= bytes.length)) return `${code} at byte ${offset}`;
  if (line !== undefined && !(line >= 1 && line <= bytes.length + 1)) return `${code} in line ${line}`;
  return undefined;
}

function pickParent(seeds: readonly Buffer[], found: readonly Buffer[], random: Random): Buffer {
  return found.length > 0 && random.oneIn(2) ? random.pick(found) : random.pick(seeds);
}

/** Places count roughly: by powers of two. */
function isNew(refusals: readonly Refusal[], seen: Set<string>): boolean {
  const signature = refusals
    .slice(0, 8)
    .map(({ code, expected, offset, line }) => `${code} ${expected} ${Math.clz32((offset ?? line ?? 0) + 1)}`)
    .join();
  if (seen.has(signature)) return false;
  seen.add(signature);
  return true;
}
