/**
 * A NAR whose bytes one thread decompresses and another one reads: a ring of shared memory between them, with all waiting
 * done by Atomics. For one NAR that would outlast all others; which, is schedule.ts's.
 */
import { type MessagePort, receiveMessageOnPort } from "node:worker_threads";
import type { NarOutcome, NarReading, NarSink } from "./nar-reading.js";

const SLOTS = 16;
/** As much as a decoder puts out at once. */
const SLOT_SIZE = 128 * 1024;

/** Places in the control words: slots written and read so far, and flags; then the sizes of the slots. */
const WRITTEN = 0;
const READ = 1;
const STATE = 2;
/** The reader wants no more. */
const STOPPED = 3;
const ANSWERED = 4;
/** Changes with each news from the front, for the reader to wait on. */
const NEWS = 5;
const SIZES = 6;
const CONTROL_BYTES = 4 * (SIZES + SLOTS);

/** What STATE says: more may come; that was all; that was not all, but all there will be. */
const OPEN = 0;
const WHOLE = 1;
const BROKEN = 2;

/** One end of a pipe, as it is given to a thread. */
export interface NarPipe {
  readonly memory: SharedArrayBuffer;
  readonly port: MessagePort;
}

/** Both ends; each port must be transferred to the thread that gets it. */
export function makeNarPipe(): { readonly front: NarPipe; readonly back: NarPipe } {
  const memory = new SharedArrayBuffer(CONTROL_BYTES + SLOTS * SLOT_SIZE);
  const { port1, port2 } = new MessageChannel();
  return { front: { memory, port: port1 }, back: { memory, port: port2 } };
}

/** The front end: takes bytes as a `NarReading` does, and gives the answer of the one behind. */
export class NarPipeFront implements NarSink {
  readonly subject: string;
  readonly #port: MessagePort;
  readonly #control: Int32Array;
  readonly #slots: Uint8Array;
  #written = 0;
  #size = 0;
  #isEnded = false;

  constructor(subject: string, { memory, port }: NarPipe) {
    this.subject = subject;
    this.#port = port;
    this.#control = new Int32Array(memory, 0, SIZES + SLOTS);
    this.#slots = new Uint8Array(memory, CONTROL_BYTES);
  }

  get size(): number {
    return this.#size;
  }

  update(bytes: Uint8Array): boolean {
    for (let at = 0; at < bytes.length; at += SLOT_SIZE) this.#put(bytes.subarray(at, at + SLOT_SIZE));
    this.#size += bytes.length;
    return Atomics.load(this.#control, STOPPED) === 0;
  }

  finish(whole: boolean): NarOutcome {
    this.#end(whole ? WHOLE : BROKEN);
    Atomics.wait(this.#control, ANSWERED, 0);
    const answer = receiveMessageOnPort(this.#port);
    this.#port.close();
    // Posted before ANSWERED was set, by `readFromPipe`.
    return (answer as { message: NarOutcome }).message;
  }

  /** Lets the other end go, where nothing was finished. */
  abandon(): void {
    if (this.#isEnded) return;
    this.#end(BROKEN);
    this.#port.close();
  }

  #put(bytes: Uint8Array): void {
    const control = this.#control;
    for (;;) {
      const read = Atomics.load(control, READ);
      if (this.#written - read < SLOTS) break;
      Atomics.wait(control, READ, read);
    }
    const slot = this.#written % SLOTS;
    this.#slots.set(bytes, slot * SLOT_SIZE);
    control[SIZES + slot] = bytes.length;
    this.#written++;
    Atomics.store(control, WRITTEN, this.#written);
    this.#tell();
  }

  #end(state: typeof WHOLE | typeof BROKEN): void {
    this.#isEnded = true;
    Atomics.store(this.#control, STATE, state);
    this.#tell();
  }

  #tell(): void {
    Atomics.add(this.#control, NEWS, 1);
    Atomics.notify(this.#control, NEWS);
  }
}

/** The back end: reads all that comes, on this thread, and answers. */
export function readFromPipe(nar: NarReading, { memory, port }: NarPipe): void {
  const control = new Int32Array(memory, 0, SIZES + SLOTS);
  const slots = new Uint8Array(memory, CONTROL_BYTES);
  for (let read = 0; ; ) {
    const news = Atomics.load(control, NEWS);
    // In this order: after the state was set nothing more is written.
    const state = Atomics.load(control, STATE);
    if (read < Atomics.load(control, WRITTEN)) {
      const slot = read % SLOTS;
      const bytes = slots.subarray(slot * SLOT_SIZE, slot * SLOT_SIZE + control[SIZES + slot]!);
      if (Atomics.load(control, STOPPED) === 0 && !nar.update(bytes)) Atomics.store(control, STOPPED, 1);
      read++;
      Atomics.store(control, READ, read);
      Atomics.notify(control, READ);
    } else if (state === OPEN) {
      Atomics.wait(control, NEWS, news);
    } else {
      port.postMessage(nar.finish(state === WHOLE));
      Atomics.store(control, ANSWERED, 1);
      Atomics.notify(control, ANSWERED);
      port.close();
      return;
    }
  }
}
