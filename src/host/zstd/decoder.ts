/**
 * Decompresses exactly one zstd frame, in pieces: zstd's own decoder, compiled to wasm, behind a synchronous loop.
 *
 * Source of the format: RFC 8878; what a blob may be: docs/format.md, section 4. Reading files, hashing and the
 * cap on the output belong to the caller. The wasm is zstddec's; its own loop is not used, since that never ends
 * on corrupt input and ignores what follows a frame.
 */
import { fail } from "../errors.js";
import { ZSTD_WASM_BASE64 } from "../generated/zstd-wasm.js";

/** Largest window that a frame may ask for, in bytes. */
export const MAX_WINDOW = 2 ** 27;
/** Most bytes that one piece of output has. */
export const MAX_OUTPUT_PIECE = 128 * 1024;
const MAX_INPUT_PIECE = 256 * 1024;
/** Largest window of the frames that Nix writes, at any level; what wants more is for one thread at a time. */
export const ORDINARY_WINDOW = 2 ** 23;
/** The wasm's memory never shrinks; grown above this, it is given back when the next frame does not need it. */
const MAX_IDLE_MEMORY = 48 * 1024 * 1024;

/** One per thread. `reset`, then `decode` the file's bytes in pieces of any size, then `end`; over and over. */
export class ZstdDecoder {
  #zstd = new Zstd();
  #subject: string | undefined;
  /** The first bytes, until the frame's header is whole; null once it was checked. */
  #head: Uint8Array | null = new Uint8Array(0);
  #done = false;
  /** Compressed bytes taken so far. */
  #taken = 0;

  /** Ready for another frame, whatever became of the last. `subject` names the file in errors. */
  reset(subject?: string): void {
    // Only before a frame's first byte, and right after its last, is zstd ready for another.
    if (this.#head === null && !this.#done) this.#zstd.renewContext();
    this.#subject = subject;
    this.#head = new Uint8Array(0);
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
    if (this.#head !== null) {
      if (this.#head.length > 0) input = Buffer.concat([this.#head, chunk]);
      const window = checkHeader(input, this.#subject);
      if (window === null) {
        this.#head = Uint8Array.from(input);
        return;
      }
      this.#head = null;
      // Until it is collected the old memory counts as well: from one large frame to the next it is kept.
      if (window <= ORDINARY_WINDOW && this.#zstd.memorySize > MAX_IDLE_MEMORY) this.#zstd = new Zstd();
    }
    let at = 0;
    while (at < input.length && !this.#done) {
      at += yield* this.#decodePiece(input.subarray(at, at + MAX_INPUT_PIECE));
    }
    if (at < input.length) {
      fail("ZSTD_TRAILING", { ...this.#at(), expected: "the end of the file", actual: "more bytes" });
    }
  }

  /** @throws ZSTD_INVALID where the frame is not complete. */
  end(): void {
    if (!this.#done) fail("ZSTD_INVALID", { ...this.#at(), expected: "more bytes", actual: "the end" });
  }

  /** Returns how many bytes of `piece` belong to the frame: all, unless it ends in them. */
  *#decodePiece(piece: Uint8Array): Generator<Uint8Array, number, undefined> {
    const zstd = this.#zstd;
    zstd.setInput(piece);
    let taken = 0;
    for (;;) {
      const step = zstd.step();
      this.#taken += step.taken - taken;
      if (step.error !== 0) {
        const actual = ERRORS.get(step.error) ?? `zstd's error ${step.error}`;
        fail("ZSTD_INVALID", { ...this.#at(), expected: "a zstd frame", actual });
      }
      if (step.output.length > 0) yield step.output;
      if (step.ended) this.#done = true;
      if (step.ended || (step.taken === piece.length && step.output.length < MAX_OUTPUT_PIECE))
        return step.taken;
      if (step.taken === taken && step.output.length === 0) {
        fail("ZSTD_INVALID", { ...this.#at(), expected: "a zstd frame", actual: "bytes that lead nowhere" });
      }
      taken = step.taken;
    }
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
const ERROR_MEMORY = 64;

/** Whether what begins with these bytes is a frame with a larger window than Nix's have. */
export function wantsLargeWindow(bytes: Uint8Array): boolean {
  const view = viewOf(bytes);
  return isFrame(view) && (parseHeader(view)?.window ?? 0) > ORDINARY_WINDOW;
}

/**
 * Refuses, before zstd sees it, a frame that the format does not allow. Gives its window; null where the header is
 * not complete yet: it has at most 18 bytes.
 */
function checkHeader(bytes: Uint8Array, subject: string | undefined): number | null {
  const view = viewOf(bytes);
  if (view.byteLength < 5) return null;
  const named = subject === undefined ? {} : { subject };
  if (!isFrame(view)) {
    const magic = view.getUint32(0, true);
    const actual = (magic & 0xfffffff0) >>> 0 === 0x184d2a50 ? "a skippable frame" : "something else";
    fail("ZSTD_INVALID", { ...named, offset: 0, expected: "a zstd frame", actual });
  }
  const header = parseHeader(view);
  if (header === null) return null;
  const { window, dictionaryId } = header;
  if (window > MAX_WINDOW) {
    fail("ZSTD_WINDOW", {
      ...named,
      expected: `a window of at most ${MAX_WINDOW} bytes`,
      actual: `${window} bytes`,
    });
  }
  if (dictionaryId.some((byte) => byte !== 0)) {
    fail("ZSTD_WINDOW", { ...named, expected: "no dictionary", actual: "the id of a dictionary" });
  }
  return window;
}

function viewOf({ buffer, byteOffset, byteLength }: Uint8Array): DataView {
  return new DataView(buffer, byteOffset, byteLength);
}

function isFrame(view: DataView): boolean {
  return view.byteLength >= 5 && view.getUint32(0, true) === 0xfd2fb528;
}

interface FrameHeader {
  readonly window: number;
  readonly dictionaryId: Uint8Array;
}

/** What follows a frame's magic number (RFC 8878, section 3.1.1.1); null where it is not complete. */
function parseHeader(view: DataView): FrameHeader | null {
  const descriptor = view.getUint8(4);
  const singleSegment = (descriptor & 0x20) !== 0;
  const contentSizeFlag = descriptor >> 6;
  const dictionarySize = [0, 1, 2, 4][descriptor & 3]!;
  const contentSizeSize = contentSizeFlag === 0 ? (singleSegment ? 1 : 0) : 1 << contentSizeFlag;
  const dictionaryAt = 5 + (singleSegment ? 0 : 1);
  const contentSizeAt = dictionaryAt + dictionarySize;
  if (view.byteLength < contentSizeAt + contentSizeSize) return null;
  return {
    window: singleSegment ? contentSize(view, contentSizeAt, contentSizeSize) : windowSize(view),
    dictionaryId: new Uint8Array(view.buffer, view.byteOffset + dictionaryAt, dictionarySize),
  };
}

function windowSize(view: DataView): number {
  const descriptor = view.getUint8(5);
  const base = 2 ** (10 + (descriptor >> 3));
  return base + (base / 8) * (descriptor & 7);
}

/** A frame of a single segment has no window: its content is the window. */
function contentSize(view: DataView, at: number, size: number): number {
  if (size === 1) return view.getUint8(at);
  if (size === 2) return view.getUint16(at, true) + 256;
  if (size === 4) return view.getUint32(at, true);
  return Number(view.getBigUint64(at, true));
}

/** What the wasm gives us; all numbers are 32-bit pointers, sizes and `size_t` results. */
interface ZstdExports {
  readonly memory: { readonly buffer: ArrayBuffer };
  malloc(size: number): number;
  ZSTD_createDCtx(): number;
  ZSTD_freeDCtx(context: number): number;
  ZSTD_decompressStream(context: number, output: number, input: number): number;
}

/** Neither ES2023 nor Node's types declare it. */
declare const WebAssembly: {
  Module: new (bytes: Uint8Array) => object;
  Instance: new (
    module: object,
    imports: Record<string, Record<string, () => void>>,
  ) => { readonly exports: unknown };
};

interface Step {
  /** Bytes of the current input taken by this and earlier steps. */
  readonly taken: number;
  readonly output: Uint8Array;
  /** The frame is complete, and all of it was put out. */
  readonly ended: boolean;
  /** A code of zstd_errors.h, or 0. */
  readonly error: number;
}

let compiled: object | undefined;

/** One instance of the wasm, with one decompression context, one input and one output buffer in its memory. */
class Zstd {
  readonly #exports: ZstdExports;
  readonly #input: number;
  readonly #output: number;
  /** ZSTD_inBuffer, then ZSTD_outBuffer: pointer, size, position; 32 bits each. */
  readonly #structs: number;
  #context: number;
  #memory: Uint8Array;
  #words: DataView;

  constructor() {
    compiled ??= new WebAssembly.Module(Buffer.from(ZSTD_WASM_BASE64, "base64"));
    const instance = new WebAssembly.Instance(compiled, { env: { emscripten_notify_memory_growth() {} } });
    // scripts/generate.mjs pins the wasm, and with it these exports.
    const exports = instance.exports as ZstdExports;
    this.#exports = exports;
    this.#input = allocated(exports.malloc(MAX_INPUT_PIECE));
    this.#output = allocated(exports.malloc(MAX_OUTPUT_PIECE));
    this.#structs = allocated(exports.malloc(24));
    this.#context = allocated(exports.ZSTD_createDCtx());
    this.#memory = new Uint8Array(exports.memory.buffer);
    this.#words = new DataView(exports.memory.buffer);
  }

  get memorySize(): number {
    return this.#exports.memory.buffer.byteLength;
  }

  renewContext(): void {
    this.#exports.ZSTD_freeDCtx(this.#context);
    this.#context = allocated(this.#exports.ZSTD_createDCtx());
    this.#refreshViews();
  }

  /** At most `MAX_INPUT_PIECE` bytes. */
  setInput(bytes: Uint8Array): void {
    this.#memory.set(bytes, this.#input);
    this.#words.setUint32(this.#structs, this.#input, true);
    this.#words.setUint32(this.#structs + 4, bytes.length, true);
    this.#words.setUint32(this.#structs + 8, 0, true);
  }

  /** Decompresses into the output buffer, whose earlier content is lost. */
  step(): Step {
    const output = this.#structs + 12;
    this.#words.setUint32(output, this.#output, true);
    this.#words.setUint32(output + 4, MAX_OUTPUT_PIECE, true);
    this.#words.setUint32(output + 8, 0, true);
    const result = this.#exports.ZSTD_decompressStream(this.#context, output, this.#structs);
    this.#refreshViews();
    // ZSTD_isError: the last 120 values of size_t are errors, here small negative numbers.
    const error = result < 0 && result > -120 ? -result : 0;
    if (error === ERROR_MEMORY) throw new Error("out of memory while decompressing");
    const size = this.#words.getUint32(output + 8, true);
    return {
      taken: this.#words.getUint32(this.#structs + 8, true),
      output: this.#memory.subarray(this.#output, this.#output + size),
      ended: result === 0,
      error,
    };
  }

  /** When the wasm's memory grows, views of it go dead. */
  #refreshViews(): void {
    if (this.#memory.buffer === this.#exports.memory.buffer) return;
    this.#memory = new Uint8Array(this.#exports.memory.buffer);
    this.#words = new DataView(this.#exports.memory.buffer);
  }
}

function allocated(pointer: number): number {
  if (pointer === 0) throw new Error("out of memory for zstd");
  return pointer;
}
