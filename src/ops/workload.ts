/**
 * How far jobs are that several threads do side by side: items and bytes for people, and the share of the time that has
 * passed, foreseen from what jobs cost. Knows no clock; what is made of it is the command line's.
 */
import type { Done, PhaseTotals } from "./phase-clock.js";

export interface ForeseenJob<K> {
  readonly key: K;
  /** What people see counted. */
  readonly bytes: number;
  /** What its time grows with, in any unit that is the same for all: bytes, and a constant for opening and closing. */
  readonly cost: number;
  /** The part of it that jobs cannot do side by side. */
  readonly serial?: number;
  /** Jobs that must have ended before it begins; unknown ones have. */
  readonly after?: readonly K[];
}

/** Part of a thread's time that a job takes, for its place to matter: smaller ones fill what gaps there are. */
const LARGE = 0.05;
/** Part of a thread's time below which a job is never looked at: there may be thousands that have begun. */
const TINY = 0.001;

/** Large jobs whose waiting for others is looked at: as many as fit in a number's bits. */
const MAX_CHAINS = 30;

/** A large job, and what is left of all that must end before it. */
interface Chain<K> {
  readonly key: K;
  cost: number;
  serial: number;
}

interface Begun {
  readonly bytes: number;
  readonly cost: number;
}

export class Workload<K> {
  readonly totals: Required<PhaseTotals>;
  readonly #threads: number;
  /** The costliest first. */
  readonly #order: readonly ForeseenJob<K>[];
  readonly #jobs: ReadonlyMap<K, ForeseenJob<K>>;
  readonly #ended = new Set<K>();
  /** What is done of jobs that have begun and not ended. */
  readonly #begun = new Map<K, Begun>();
  /** Those of them that are not tiny. */
  readonly #running = new Set<K>();
  /** The first in `#order` that may have neither begun nor ended. */
  #first = 0;
  readonly #chains: readonly Chain<K>[];
  /** Of each job the chains that wait for it, a bit for each. */
  readonly #waitedForBy = new Map<K, number>();
  #serialLeft: number;
  /** Thread-time that all takes, and wall time. */
  readonly #cost: number;
  readonly #whole: number;
  #doneCost = 0;
  #doneBytes = 0;
  /** No share is ever lower than one that was told. */
  #share = 0;

  constructor(jobs: readonly ForeseenJob<K>[], threads: number) {
    this.#threads = threads;
    this.#order = [...jobs].sort((a, b) => b.cost - a.cost);
    this.#jobs = new Map(jobs.map((job) => [job.key, job]));
    this.#cost = jobs.reduce((sum, { cost }) => sum + cost, 0);
    this.#serialLeft = jobs.reduce((sum, { serial = 0 }) => sum + serial, 0);
    this.#chains = this.#makeChains();
    this.#whole = this.#timeLeft();
    this.totals = { items: jobs.length, bytes: jobs.reduce((sum, { bytes }) => sum + bytes, 0) };
  }

  /**
   * So many of a job's bytes are done, and so much of its cost: never less than before. Nothing happens to one that is
   * unknown, or has ended.
   */
  advance(key: K, bytes: number, cost?: number): void {
    const job = this.#jobs.get(key);
    if (job === undefined || this.#ended.has(key)) return;
    const done = Math.min(bytes, job.bytes);
    const spent = cost ?? (job.bytes === 0 ? 0 : (done / job.bytes) * job.cost);
    this.#count(key, { bytes: done, cost: Math.min(spent, job.cost) });
  }

  end(key: K): void {
    const job = this.#jobs.get(key);
    if (job === undefined || this.#ended.has(key)) return;
    this.#count(key, job);
    this.#begun.delete(key);
    this.#running.delete(key);
    this.#ended.add(key);
  }

  get done(): Done {
    if (this.#whole > 0) this.#share = Math.max(this.#share, 1 - this.#timeLeft() / this.#whole);
    return { items: this.#ended.size, bytes: Math.round(this.#doneBytes), share: this.#share };
  }

  #makeChains(): Chain<K>[] {
    const least = (this.#cost / this.#threads) * LARGE;
    return this.#order
      .slice(0, MAX_CHAINS)
      .filter(({ cost, after }) => cost > least && after !== undefined)
      .map(({ key, after = [] }, i) => {
        const chain = { key, cost: 0, serial: 0 };
        const stack = [...after];
        for (let before = stack.pop(); before !== undefined; before = stack.pop()) {
          const job = this.#jobs.get(before);
          const chains = this.#waitedForBy.get(before) ?? 0;
          if (job === undefined || before === key || (chains & (1 << i)) !== 0) continue;
          this.#waitedForBy.set(before, chains | (1 << i));
          chain.cost += job.cost;
          chain.serial += job.serial ?? 0;
          stack.push(...(job.after ?? []));
        }
        return chain;
      });
  }

  #count(key: K, { bytes, cost }: Begun): void {
    const before = this.#begun.get(key) ?? { bytes: 0, cost: 0 };
    const now = { bytes: Math.max(bytes, before.bytes), cost: Math.max(cost, before.cost) };
    this.#doneBytes += now.bytes - before.bytes;
    this.#begun.set(key, now);
    this.#spend(key, now.cost - before.cost);
    const { cost: whole } = this.#jobs.get(key)!;
    if (whole > (this.#cost / this.#threads) * TINY) this.#running.add(key);
  }

  #spend(key: K, cost: number): void {
    const job = this.#jobs.get(key)!;
    const serial = job.cost === 0 ? 0 : (cost / job.cost) * (job.serial ?? 0);
    this.#doneCost += cost;
    this.#serialLeft -= serial;
    const chains = this.#waitedForBy.get(key) ?? 0;
    if (chains === 0) return;
    for (const [i, chain] of this.#chains.entries()) {
      if ((chains & (1 << i)) === 0) continue;
      chain.cost -= cost;
      chain.serial -= serial;
    }
  }

  /**
   * No thread can help another with its job, so that the last large ones may outlast all others together, the more so where
   * they have to wait for others to end.
   */
  #timeLeft(): number {
    const even = (this.#cost - this.#doneCost) / this.#threads;
    if (this.#threads === 1) return even;
    const chains = this.#chains.map(
      ({ key, cost, serial }) => Math.max(cost / this.#threads, serial) + this.#left(key),
    );
    const loads = [...this.#running].map((key) => this.#left(key));
    while (loads.length < this.#threads) loads.push(0);
    for (const cost of this.#waiting(even * LARGE)) {
      const free = loads.indexOf(Math.min(...loads));
      loads[free] = loads[free]! + cost;
    }
    return Math.max(even, this.#serialLeft, ...loads, ...chains);
  }

  /** What is left of the cost of a job. */
  #left(key: K): number {
    return this.#ended.has(key) ? 0 : this.#jobs.get(key)!.cost - (this.#begun.get(key)?.cost ?? 0);
  }

  /** Costs of jobs that have not begun, down to a size; the largest first. */
  #waiting(least: number): number[] {
    const costs: number[] = [];
    const isWaiting = ({ key }: ForeseenJob<K>) => !this.#ended.has(key) && !this.#begun.has(key);
    while (this.#first < this.#order.length && !isWaiting(this.#order[this.#first]!)) this.#first++;
    for (let at = this.#first; at < this.#order.length; at++) {
      const job = this.#order[at]!;
      if (job.cost < least) break;
      if (isWaiting(job)) costs.push(job.cost);
    }
    return costs;
  }
}
