/**
 * How far a copy by Nix is. Nix says when it begins a path and when it ends it; how far it is in between follows from
 * the bytes that its process has moved, which is all that Nix 2.8 lets one see.
 */
import type { CopyEvent } from "../host/nix/index.js";
import type { Done } from "./phase-clock.js";
import { Workload } from "./workload.js";

interface CopiedPath {
  readonly storePath: string;
  readonly narSize: number;
  /** Where its blob is copied out of a tar first. */
  readonly staged?: { readonly blob: string; readonly size: number; readonly cost: number };
}

export interface CopyCosts {
  /** What a path costs beside its bytes, in bytes. */
  readonly perPath: number;
  /** Bytes that Nix moves for each of a NAR. */
  readonly moves: number;
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
  readonly #moves: number;
  readonly #byBlob = new Map<string, CopiedPath>();
  readonly #lanes: readonly Lane[];
  #last: string | undefined;

  /** `lanes`: how many Nixes copy side by side. */
  constructor(paths: readonly CopiedPath[], { perPath, moves }: CopyCosts, lanes = 1) {
    this.#lanes = Array.from({ length: lanes }, () => ({ running: new Set(), settled: 0, moved: 0 }));
    this.#moves = moves;
    this.#paths = new Map(paths.map((path) => [path.storePath, path]));
    for (const path of paths) if (path.staged !== undefined) this.#byBlob.set(path.staged.blob, path);
    const jobs = paths.map(({ storePath, narSize, staged }) => ({
      key: storePath,
      bytes: narSize,
      cost: narSize + (staged?.cost ?? 0) + perPath,
    }));
    // Nix 2.8 copies one after the other; newer ones side by side, in an order of their own that keeps all threads busy.
    this.#work = new Workload(jobs, lanes);
  }

  get totals(): Workload<string>["totals"] {
    return this.#work.totals;
  }

  get done(): Done {
    return { ...this.#work.done, ...(this.#last === undefined ? {} : { detail: this.#last }) };
  }

  /** Whether it told something new. `lane`: which Nix it is from. */
  take(event: CopyEvent, lane = 0): boolean {
    const from = this.#lanes[lane]!;
    if (event.type === "staged") {
      this.#stage(event);
    } else if (event.type === "moved") this.#move(from, event.bytes);
    else if (event.type === "started" && event.kind === "copy") this.#begin(from, event.subject);
    else if (event.type === "finished" && event.kind === "copy") this.#end(from, event.subject);
    else return false;
    return event.type !== "started";
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
    lane.settled += path.narSize * this.#moves;
    this.#work.end(storePath);
    this.#last = storePath;
  }

  /** `bytes`: of one process, from its start. */
  #move(lane: Lane, bytes: number): void {
    if (bytes < lane.moved) lane.settled = 0; // the next process
    lane.moved = bytes;
    let open = 0;
    for (const { narSize } of lane.running) open += narSize * this.#moves;
    // More than what runs can have taken was the database's, or was moved twice.
    lane.settled = Math.max(lane.settled, bytes - open);
    const part = open === 0 ? 0 : Math.max(0, bytes - lane.settled) / open;
    for (const { storePath, narSize, staged } of lane.running) {
      this.#work.advance(storePath, part * narSize, part * narSize + (staged?.cost ?? 0));
    }
  }
}
