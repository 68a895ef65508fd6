/** The phases of an operation: reports them as they come and go, says again where it stands, and keeps their seconds. */
import type { Context } from "./context.js";

/** Whoever watches must see something move. */
const HEARTBEAT_MS = 2000;

export type Progress = (items: number, bytes?: number, detail?: string) => void;

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
    let last: Parameters<Progress> = [0];
    const say = () => {
      const [items, bytes, detail] = last;
      report({
        type: "phase.progress",
        phase,
        items,
        ...(bytes === undefined ? {} : { bytes }),
        ...(detail === undefined ? {} : { detail }),
      });
    };
    const heartbeat = setInterval(say, HEARTBEAT_MS);
    try {
      const result = await work((...progress) => {
        last = progress;
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
