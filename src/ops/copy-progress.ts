/**
 * How far a copy by Nix is, and the check of what it copied. Nix says when it begins a path and when it ends it; how far it is
 * in between follows from the bytes that its process has moved, which is all that Nix 2.8 lets one see.
 */
import type { CopyEvent } from "../host/nix/index.js";
import type { Done } from "./phase-clock.js";
import { Workload } from "./workload.js";

interface CopiedPath {
  readonly storePath: string;
  readonly narSize: number;
  /** Where its blob is copied out of a tar first. */
  readonly staged?: { readonly blob: string; readonly size: number; readonly cost: number };
  /** Paths that are copied before it. */
  readonly after?: readonly string[];
}

export interface CopyCosts {
  /** What a path costs beside its bytes, in bytes. */
  readonly perPath: number;
  /** Whether no two Nixes can do that part side by side. */
  readonly isSerial?: boolean;
  /** Bytes that Nix moves for each of a NAR. */
  readonly moves: number;
  /** Where each path is checked after its copy: what that costs, for each byte and for the path. */
  readonly check?: { readonly perByte: number; readonly perPath: number };
}

/** One Nix after the other. */
interface Lane {
  readonly running: Set<CopiedPath>;
  /** Of the bytes that the process has moved, those of paths that ended, and of what is no path. */
  settled: number;
  moved: number;
}

export class CopyProgress {
  readonly #work: Workload<string>;
  readonly #paths: ReadonlyMap<string, CopiedPath>;
  readonly #costs: CopyCosts;
  readonly #byBlob = new Map<string, CopiedPath>();
  readonly #lanes = new Map<number, Lane>();
  #last: string | undefined;
  /** How many paths Nix has ended, right or wrong. */
  copied = 0;

  /** `threads`: how many Nixes copy side by side. */
  constructor(paths: readonly CopiedPath[], costs: CopyCosts, threads = 1) {
    this.#costs = costs;
    this.#paths = new Map(paths.map((path) => [path.storePath, path]));
    for (const path of paths) if (path.staged !== undefined) this.#byBlob.set(path.staged.blob, path);
    const jobs = paths.map((path) => ({
      key: path.storePath,
      bytes: path.narSize,
      cost: this.#costOfCopy(path) + this.#costOfCheck(path),
      ...(costs.isSerial ? { serial: costs.perPath } : {}),
      ...(path.after === undefined ? {} : { after: path.after }),
    }));
    // Nix 2.8 copies one after the other; newer ones side by side, in an order of their own that keeps all threads busy.
    this.#work = new Workload(jobs, threads);
  }

  get totals(): Workload<string>["totals"] {
    return this.#work.totals;
  }

  get done(): Done {
    return { ...this.#work.done, ...(this.#last === undefined ? {} : { detail: this.#last }) };
  }

  /** Whether it told something new. `lane`: which Nix it is from. */
  take(event: CopyEvent, lane = 0): boolean {
    const from = this.#lanes.get(lane) ?? { running: new Set(), settled: 0, moved: 0 };
    this.#lanes.set(lane, from);
    if (event.type === "staged") {
      this.#stage(event);
    } else if (event.type === "moved") this.#move(from, event.bytes);
    else if (event.type === "started" && event.kind === "copy") this.#begin(from, event.subject);
    else if (event.type === "finished" && event.kind === "copy") this.#end(from, event.subject);
    else return false;
    return event.type !== "started";
  }

  /** So many bytes of the NAR of a path that was copied are checked. */
  checking(storePath: string, narBytes: number): void {
    const path = this.#paths.get(storePath);
    if (path === undefined) return;
    const done = (this.#costs.check?.perByte ?? 0) * narBytes;
    this.#work.advance(storePath, path.narSize, this.#costOfCopy(path) + done);
  }

  /** A path that was copied is checked, too. */
  checked(storePath: string): void {
    this.#work.end(storePath);
    this.#last = storePath;
  }

  #costOfCopy({ narSize, staged }: CopiedPath): number {
    return narSize + (staged?.cost ?? 0) + this.#costs.perPath;
  }

  #costOfCheck({ narSize }: CopiedPath): number {
    const { check } = this.#costs;
    return check === undefined ? 0 : check.perByte * narSize + check.perPath;
  }

  #stage({ blob, bytes }: Extract<CopyEvent, { type: "staged" }>): void {
    const path = this.#byBlob.get(blob);
    if (path?.staged === undefined) return;
    const { size, cost } = path.staged;
    this.#work.advance(path.storePath, 0, (bytes / size) * cost);
  }

  #begin({ running }: Lane, storePath: string): void {
    const path = this.#paths.get(storePath);
    if (path !== undefined) running.add(path);
  }

  #end(lane: Lane, storePath: string): void {
    const path = this.#paths.get(storePath);
    if (path === undefined) return;
    lane.running.delete(path);
    lane.settled += path.narSize * this.#costs.moves;
    this.copied += 1;
    if (this.#costs.check === undefined) this.checked(storePath);
    else this.#work.advance(storePath, path.narSize, this.#costOfCopy(path));
  }

  /** `bytes`: of one process, from its start. */
  #move(lane: Lane, bytes: number): void {
    if (bytes < lane.moved) lane.settled = 0; // the next process
    lane.moved = bytes;
    let open = 0;
    for (const { narSize } of lane.running) open += narSize * this.#costs.moves;
    // More than what runs can have taken was the database's, or was moved twice.
    lane.settled = Math.max(lane.settled, bytes - open);
    const part = open === 0 ? 0 : Math.max(0, bytes - lane.settled) / open;
    for (const { storePath, narSize, staged } of lane.running) {
      this.#work.advance(storePath, part * narSize, part * narSize + (staged?.cost ?? 0));
    }
  }
}
