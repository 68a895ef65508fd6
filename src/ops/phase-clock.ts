/** The phases of an operation: reports them as they come and go, says again where it stands, and keeps their seconds. */
import type { Event } from "../events.js";
import type { Context } from "./context.js";

/** Whoever watches must see something move. */
const HEARTBEAT_MS = 2000;

/** What an event of progress says: see events.ts. */
export type Done = Omit<Extract<Event, { type: "phase.progress" }>, "type" | "phase">;

export type Progress = (done: Done) => void;

export interface PhaseTotals {
  readonly items?: number;
  readonly bytes?: number;
}

export class PhaseClock {
  /** Those that ended, also by an error, in order. */
  readonly phases: { phase: string; seconds: number }[] = [];
  readonly #context: Pick<Context, "report" | "now">;

  constructor(context: Pick<Context, "report" | "now">) {
    this.#context = context;
  }

  async phase<T>(phase: string, totals: PhaseTotals, work: (progress: Progress) => Promise<T>): Promise<T> {
    const { report, now } = this.#context;
    const start = now().getTime();
    report({ type: "phase.started", phase, ...totals });
    let last: Done = { items: 0 };
    const say = () => report({ type: "phase.progress", phase, ...last });
    const heartbeat = setInterval(say, HEARTBEAT_MS);
    try {
      const result = await work((done) => {
        last = done;
        say();
      });
      report({ type: "phase.finished", phase });
      return result;
    } finally {
      clearInterval(heartbeat);
      this.phases.push({ phase, seconds: (now().getTime() - start) / 1000 });
    }
  }
}
