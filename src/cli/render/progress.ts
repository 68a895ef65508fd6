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
  /** Of the phase's time, from 0 to 1; null where nothing tells. */
  readonly share: number | null;
  readonly detail: string | null;
  readonly pace: Pace;
}

/** How fast the share grows. */
interface Pace {
  /** A millisecond; 0 until there are two points. */
  readonly perMs: number;
  /** When it last grew. */
  readonly at: number;
  readonly share: number;
}

/** Phases that have begun and not ended: the last is the innermost. */
export type ProgressState = readonly PhaseState[];

/**
 * How much more the present counts than the past, whatever the scale: with 1 the pace is the average since the start, slow
 * to see that a disk has become slower; from 2 on it takes every burst for a trend.
 */
const RECENCY = 1.25;
/** A forecast from less would jump. */
const MIN_FORECAST_MS = 2000;
/** For so long a forecast holds without news; in a long phase, for so much of the time that has passed. */
const MIN_SILENCE_MS = 5000;
const SILENT_PART = 0.25;

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
    share: null,
    detail: null,
    pace: { perMs: 0, at: now, share: 0 },
  };
}

function advanced(
  phase: PhaseState,
  event: Extract<Event, { type: "phase.progress" }>,
  now: number,
): PhaseState {
  return {
    ...phase,
    items: event.items,
    bytes: event.bytes ?? phase.bytes,
    share: event.share ?? phase.share,
    detail: event.detail ?? null,
    pace: nextPace(phase, event.share ?? 0, now),
  };
}

/** An average since the start, in which each moment counts by its age: see RECENCY. */
function nextPace({ startedAt, pace }: PhaseState, share: number, now: number): Pace {
  const elapsed = now - pace.at;
  if (share <= pace.share || elapsed <= 0) return pace;
  const current = (share - pace.share) / elapsed;
  const past = ((pace.at - startedAt) / (now - startedAt)) ** RECENCY;
  return { perMs: past * pace.perMs + (1 - past) * current, at: now, share };
}

/** Milliseconds, or null where nothing can be said: also of a phase that should have ended, or come further. */
export function timeLeft({ startedAt, share, pace }: PhaseState, now: number): number | null {
  const elapsed = now - startedAt;
  if (share === null || share >= 1 || pace.perMs === 0 || elapsed < MIN_FORECAST_MS) return null;
  const silence = now - pace.at;
  if (silence > Math.max(MIN_SILENCE_MS, elapsed * SILENT_PART)) return null;
  const left = (1 - share) / pace.perMs - silence;
  return left > 0 ? left : null;
}

/** Bytes a second over the whole of the phase, what is still to come included: so it fits what is said beside it. */
export function averageRate(phase: PhaseState, now: number): number | null {
  const { bytes, totalBytes, startedAt } = phase;
  const elapsed = now - startedAt;
  if (bytes === null || elapsed <= 0) return null;
  const left = timeLeft(phase, now);
  if (left === null || totalBytes === null) return (bytes * 1000) / elapsed;
  return (totalBytes * 1000) / (elapsed + left);
}

/** `compress: 12/40, 1.2 GB of 3.4 GB, 110 MB/s, 20 s so far, 18 s left: nar/…` */
export function describePhase(phase: PhaseState, now: number): string {
  const left = timeLeft(phase, now);
  const rate = averageRate(phase, now);
  const parts = [
    ...amounts(phase),
    ...(rate === null ? [] : [`${formatBytes(rate)}/s`]),
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
