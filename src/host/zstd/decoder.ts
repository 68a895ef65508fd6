/**
 * Decompresses exactly one zstd frame, in pieces, behind a synchronous loop: a frame that is allowed, all of it, and
 * nothing after it. Reading files, hashing and the cap on the output belong to the caller.
 */
import { fail } from "../../errors.js";
import { MAX_INPUT_PIECE, MAX_OUTPUT_PIECE, type ZstdEngine } from "./engine.js";
import { checkHeader, FrameEnd, ORDINARY_WINDOW } from "./frame.js";
import { hasNativeZstd, NativeZstd } from "./native.js";
import { WasmZstd } from "./wasm.js";

/** The fastest that this Node.js has. */
function fastestEngine(): ZstdEngine {
  return hasNativeZstd() ? new NativeZstd() : new WasmZstd();
}

/** One per thread. `reset`, then `decode` the file's bytes in pieces of any size, then `end`; over and over. */
export class ZstdDecoder {
  readonly #makeEngine: () => ZstdEngine;
  #engine: ZstdEngine;
  /** The engine has decompressed with a larger window than Nix's. */
  #isSwollen = false;
  #subject: string | undefined;
  /** The first bytes, until the frame's header is whole. */
  #head: Uint8Array = new Uint8Array(0);
  /** Null until then. */
  #end: FrameEnd | null = null;
  /** All of the frame's content was put out. */
  #done = false;
  /** Compressed bytes taken so far. */
  #taken = 0;

  /** `makeEngine` is for tests: all engines behave alike. */
  constructor(makeEngine = fastestEngine) {
    this.#makeEngine = makeEngine;
    this.#engine = makeEngine();
  }

  /** Ready for another frame, whatever became of the last. `subject` names the file in errors. */
  reset(subject?: string): void {
    // Only before a frame's first byte, and right after its last, is zstd ready for another.
    if (this.#end !== null && !this.#done) this.#engine.renew();
    this.#subject = subject;
    this.#head = new Uint8Array(0);
    this.#end = null;
    this.#done = false;
    this.#taken = 0;
  }

  /**
   * Takes the next compressed bytes; yields what they decompress to, in views of at most `MAX_OUTPUT_PIECE`
   * bytes, each valid until the next. May be left early; then only `reset` can follow.
   *
   * @throws ZSTD_INVALID, ZSTD_WINDOW; ZSTD_TRAILING, after all of the frame's content was yielded.
   */
  *decode(chunk: Uint8Array): Generator<Uint8Array, void, undefined> {
    let input = chunk;
    if (this.#end === null) {
      if (this.#head.length > 0) input = Buffer.concat([this.#head, chunk]);
      const header = checkHeader(input, this.#subject);
      if (header === null) {
        this.#head = Uint8Array.from(input);
        return;
      }
      this.#end = new FrameEnd(header);
      this.#prepare(header.window);
    }
    const size = this.#end.take(input);
    for (let at = 0; at < size; at += MAX_INPUT_PIECE) {
      yield* this.#decodePiece(input.subarray(at, Math.min(size, at + MAX_INPUT_PIECE)));
    }
    this.#done = this.#end.isReached;
    if (size < input.length) {
      fail("ZSTD_TRAILING", { ...this.#at(), expected: "the end of the file", actual: "more bytes" });
    }
  }

  /** @throws ZSTD_INVALID where the frame is not complete. */
  end(): void {
    if (!this.#done) fail("ZSTD_INVALID", { ...this.#at(), expected: "more bytes", actual: "the end" });
  }

  /** An engine keeps what it once needed; that of a large window is given back when the next frame does not need it. */
  #prepare(window: number): void {
    const isLarge = window > ORDINARY_WINDOW;
    if (this.#isSwollen && !isLarge) {
      this.#engine.close();
      this.#engine = this.#makeEngine();
    }
    this.#isSwollen = isLarge;
  }

  *#decodePiece(piece: Uint8Array): Generator<Uint8Array, void, undefined> {
    const engine = this.#engine;
    engine.setInput(piece);
    for (let before = 0; ; ) {
      const { taken, output, error } = engine.step();
      this.#taken += taken - before;
      if (error !== 0) this.#refuse(ERRORS.get(error) ?? `zstd's error ${error}`);
      if (output.length > 0) yield output;
      // Less than it could have put out: there is no more.
      if (taken === piece.length && output.length < MAX_OUTPUT_PIECE) return;
      if (taken === before && output.length === 0) this.#refuse("bytes that lead nowhere");
      before = taken;
    }
  }

  #refuse(actual: string): never {
    return fail("ZSTD_INVALID", { ...this.#at(), expected: "a zstd frame", actual });
  }

  #at(): { offset: number; subject?: string } {
    return { offset: this.#taken, ...(this.#subject === undefined ? {} : { subject: this.#subject }) };
  }
}

/** The codes of zstd_errors.h that corrupt input leads to. */
const ERRORS = new Map([
  [14, "a frame that uses what this zstd does not know"],
  [20, "corrupt data"],
  [22, "a wrong checksum"],
  [72, "a frame of another size than it says"],
]);
