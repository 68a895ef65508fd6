/**
 * Where an operation stands, folded from its events: counts, bytes, rate, time left. Pure: the time of an event is
 * given. How it is drawn is show-progress.ts's.
 */
import type { Event } from "../../events.js";
import { formatBytes, formatCount, formatDuration } from "./text.js";

export interface PhaseState {
  readonly phase: string;
  /** Milliseconds, as given with the event. */
  readonly startedAt: number;
  readonly items: number;
  readonly bytes: number | null;
  readonly totalItems: number | null;
  readonly totalBytes: number | null;
  readonly detail: string | null;
  readonly rate: Rate;
}

/** Of bytes where they are counted, else of items. */
interface Rate {
  /** A second; null until there are two points. */
  readonly perSecond: number | null;
  readonly at: number;
  readonly done: number;
}

/** Phases that have begun and not ended: the last is the innermost. */
export type ProgressState = readonly PhaseState[];

/** A burst of this age has lost most of its weight. */
const SMOOTHING_MS = 5000;
/** Closer points say more of the clock than of the work. */
const MIN_STEP_MS = 250;
/** A forecast from less would jump. */
const MIN_FORECAST_MS = 2000;

export function fold(state: ProgressState, event: Event, now: number): ProgressState {
  switch (event.type) {
    case "phase.started":
      return [...state, begun(event, now)];
    case "phase.progress":
      return state.map((phase) => (phase.phase === event.phase ? advanced(phase, event, now) : phase));
    case "phase.finished":
      return state.filter((phase) => phase.phase !== event.phase);
    default:
      return state;
  }
}

function begun(event: Extract<Event, { type: "phase.started" }>, now: number): PhaseState {
  return {
    phase: event.phase,
    startedAt: now,
    items: 0,
    bytes: null,
    totalItems: event.items ?? null,
    totalBytes: event.bytes ?? null,
    detail: null,
    rate: { perSecond: null, at: now, done: 0 },
  };
}

function advanced(
  phase: PhaseState,
  event: Extract<Event, { type: "phase.progress" }>,
  now: number,
): PhaseState {
  const bytes = event.bytes ?? phase.bytes;
  const rate = nextRate(phase.rate, bytes ?? event.items, now);
  return { ...phase, items: event.items, bytes, detail: event.detail ?? null, rate };
}

/** Exponential smoothing, by the time that has passed. */
function nextRate(rate: Rate, done: number, now: number): Rate {
  const elapsed = now - rate.at;
  if (elapsed < MIN_STEP_MS) return rate;
  const current = (Math.max(0, done - rate.done) * 1000) / elapsed;
  const weight = 1 - Math.exp(-elapsed / SMOOTHING_MS);
  const perSecond = rate.perSecond === null ? current : rate.perSecond + weight * (current - rate.perSecond);
  return { perSecond, at: now, done };
}

/** Milliseconds, or null where nothing can be said. */
export function timeLeft(phase: PhaseState, now: number): number | null {
  const { perSecond } = phase.rate;
  const [done, total] =
    phase.bytes === null ? [phase.items, phase.totalItems] : [phase.bytes, phase.totalBytes];
  if (total === null || perSecond === null || perSecond <= 0) return null;
  if (now - phase.startedAt < MIN_FORECAST_MS || done >= total) return null;
  return ((total - done) / perSecond) * 1000;
}

/** `compress: 12/40, 1.2 GB of 3.4 GB, 110 MB/s, 20 s so far, 18 s left: nar/…` */
export function describePhase(phase: PhaseState, now: number): string {
  const left = timeLeft(phase, now);
  const parts = [
    ...amounts(phase),
    ...(phase.bytes !== null && phase.rate.perSecond !== null
      ? [`${formatBytes(phase.rate.perSecond)}/s`]
      : []),
    `${formatDuration(now - phase.startedAt)} so far`,
    ...(left === null ? [] : [`${formatDuration(left)} left`]),
  ];
  return `${phase.phase}: ${parts.join(", ")}${phase.detail === null ? "" : `: ${phase.detail}`}`;
}

/** `compress: done (40, 3.4 GB, 31 s)` */
export function describeFinished(phase: PhaseState, now: number): string {
  const parts = amounts({ ...phase, totalItems: null, totalBytes: null });
  return `${phase.phase}: done (${[...parts, formatDuration(now - phase.startedAt)].join(", ")})`;
}

function amounts({ items, totalItems, bytes, totalBytes }: PhaseState): string[] {
  const parts: string[] = [];
  if (totalItems !== null) parts.push(`${formatCount(items)}/${formatCount(totalItems)}`);
  else if (items > 0) parts.push(formatCount(items));
  if (totalBytes !== null && bytes !== null)
    parts.push(`${formatBytes(bytes)} of ${formatBytes(totalBytes)}`);
  else if (bytes !== null) parts.push(formatBytes(bytes));
  return parts;
}
