/** What decompresses, behind decoder.ts: zstd compiled to wasm, or Node's own. Both are handed the bytes of one frame only. */

/** Most bytes that one step puts out. */
export const MAX_OUTPUT_PIECE = 128 * 1024;
/** Most bytes that an engine is given at once. */
export const MAX_INPUT_PIECE = 256 * 1024;

export interface ZstdEngine {
  /** The next bytes of a frame, at most `MAX_INPUT_PIECE`; they stay as they are until all were taken. */
  setInput(bytes: Uint8Array): void;
  /** Decompresses on. After an error only `renew` may follow. */
  step(): ZstdStep;
  /** Ready for another frame, whatever became of the last; needed only where that did not end well. */
  renew(): void;
  /** Gives back all memory; then nothing may follow. */
  close(): void;
}

export interface ZstdStep {
  /** Bytes of the current input taken by this and earlier steps. */
  readonly taken: number;
  /** Valid until the next step. */
  readonly output: Uint8Array;
  /** A code of zstd_errors.h, or 0. */
  readonly error: number;
}
