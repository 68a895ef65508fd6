/**
 * Draws progress on stderr: a spinner (ora) on a terminal, plain lines elsewhere, and something moves at least every
 * five seconds in either. What is said is progress.ts's.
 */
import type { Writable } from "node:stream";
import type { Event } from "../../events.js";
import { describeFinished, describePhase, fold, type PhaseState, type ProgressState } from "./progress.js";
import { visible } from "./text.js";

export interface ProgressOptions {
  readonly stderr: Writable & { readonly columns?: number };
  readonly style: "spinner" | "lines" | "none";
  readonly color: boolean;
  /** Show what Nix and builders print. */
  readonly verbose: boolean;
  readonly now: () => Date;
}

export interface ShownProgress {
  report(event: Event): void;
  /** Ends the drawing; a phase that is still open has failed. */
  close(): void;
}

/** Draws phases; all text is harmless already. */
interface Painter {
  started(text: string): void;
  moved(text: string): void;
  finished(text: string): void;
  failed(text: string): void;
  /** A line that stays. */
  say(text: string): void;
}

const TICK_MS = 1000;
/** Plain lines: half of what a watcher may be kept waiting, and one late tick. */
const LINE_EVERY_MS = 4000;

export async function showProgress(options: ProgressOptions): Promise<ShownProgress> {
  const { verbose, now } = options;
  const painter = await painterOf(options);
  const time = () => now().getTime();
  let state: ProgressState = [];
  const paint = (draw: (text: string) => void, describe: typeof describePhase, phase = state.at(-1)) => {
    if (phase !== undefined) draw(visible(describe(phase, time())));
  };
  const tick = setInterval(() => paint(painter.moved, describePhase), TICK_MS);

  const report = (event: Event): void => {
    const ended = state.find((phase) => event.type === "phase.finished" && phase.phase === event.phase);
    state = fold(state, event, time());
    if (event.type === "note") painter.say(visible(`note: ${event.text}`));
    else if (event.type === "request.answered") painter.say(visible(event.line));
    else if (event.type === "nix.log") {
      if (verbose) painter.say(visible(event.line));
    } else if (event.type === "phase.started") painter.started(visible(event.phase));
    else if (event.type === "phase.progress") paint(painter.moved, describePhase);
    else {
      paint(painter.finished, describeFinished, ended);
      // The one around it goes on.
      if (state.length > 0) painter.started(visible(innermost(state).phase));
    }
  };
  const close = (): void => {
    clearInterval(tick);
    paint(painter.failed, describePhase);
  };
  return { report, close };
}

function innermost(state: ProgressState): PhaseState {
  return state[state.length - 1]!;
}

async function painterOf(options: ProgressOptions): Promise<Painter> {
  if (options.style === "spinner") return spinnerPainter(options);
  return options.style === "lines" ? linePainter(options) : silentPainter(options);
}

function silentPainter({ stderr }: ProgressOptions): Painter {
  const nothing = (): void => {};
  const say = (text: string) => void stderr.write(`${text}\n`);
  return { started: nothing, moved: nothing, finished: nothing, failed: nothing, say };
}

function linePainter({ stderr, now }: ProgressOptions): Painter {
  let lastAt = 0;
  const say = (text: string): void => {
    lastAt = now().getTime();
    stderr.write(`${text}\n`);
  };
  return {
    started: (text) => say(`${text} ...`),
    moved: (text) => {
      if (now().getTime() - lastAt >= LINE_EVERY_MS) say(text);
    },
    finished: say,
    failed: (text) => say(`${text}: stopped`),
    say,
  };
}

async function spinnerPainter({ stderr, color }: ProgressOptions): Promise<Painter> {
  const { default: ora } = await import("ora");
  // Its own handling of stdin would take Ctrl-C away from us.
  const spinner = ora({
    stream: stderr,
    discardStdin: false,
    isEnabled: true,
    color: color ? "cyan" : false,
  });
  const cut = (text: string): string => {
    const width = Math.max(20, (stderr.columns || 80) - 4);
    return text.length > width ? `${text.slice(0, width - 1)}…` : text;
  };
  const start = (text: string) => void spinner.start(cut(text));
  const keep = (symbol: string, text: string) => void spinner.stopAndPersist({ symbol, text });
  return {
    started: start,
    moved: (text) => {
      spinner.text = cut(text);
    },
    finished: (text) => keep("✔", text),
    failed: (text) => keep("✖", text),
    say: (text) => {
      const { isSpinning, text: current } = spinner;
      keep(" ", text);
      if (isSpinning) start(current);
    },
  };
}
