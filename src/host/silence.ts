/**
 * Notices a program that hangs: one that says nothing new, reads nothing and hardly computes for a while. Where the system
 * does not tell what a process does, what it says is all that counts.
 */
import { readFileSync } from "node:fs";

/** Looked so often within the time. */
const LOOKS = 20;
/** Clock ticks of a second, of which proc(5) counts. */
const TICKS = 100;
/** A process that waits still wakes now and then. */
const LEAST_SHARE = 0.01;

interface Activity {
  readonly bytesRead: number;
  readonly ticks: number;
}

export class Silence {
  readonly #timer: NodeJS.Timeout;
  #last = Date.now();
  #before: Activity = { bytesRead: 0, ticks: 0 };

  /** Calls `onSilent` once, after at least `ms` without a sign of life. */
  constructor(pid: number, ms: number, onSilent: () => void) {
    const idleTicks = (ms / LOOKS / 1000) * TICKS * LEAST_SHARE;
    this.#timer = setInterval(() => {
      const now = activityOf(pid) ?? this.#before;
      const isReading = now.bytesRead > this.#before.bytesRead;
      if (isReading || now.ticks - this.#before.ticks > idleTicks) this.heard();
      this.#before = now;
      if (Date.now() - this.#last < ms) return;
      this.end();
      onSilent();
    }, ms / LOOKS);
  }

  /** The program has said something. */
  heard(): void {
    this.#last = Date.now();
  }

  end(): void {
    clearInterval(this.#timer);
  }
}

/** What it writes is not asked: that may be the same words again and again. Source: proc(5), /proc/pid/io and /proc/pid/stat. */
function activityOf(pid: number): Activity | null {
  try {
    const bytesRead = /^rchar: (\d+)$/m.exec(readFileSync(`/proc/${pid}/io`, "latin1"))?.[1];
    const stat = readFileSync(`/proc/${pid}/stat`, "latin1");
    // The name, which stands in brackets, may hold anything; utime and stime are the 12th and 13th after it.
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    return { bytesRead: Number(bytesRead), ticks: Number(fields[11]) + Number(fields[12]) };
  } catch {
    return null;
  }
}
