/**
 * zstd's own decoder compiled to wasm, for a Node.js without one. The wasm is zstddec's; its loop is not used, since that
 * never ends on corrupt input and ignores what follows a frame.
 */
import { ZSTD_WASM_BASE64 } from "../../generated/zstd-wasm.js";
import { MAX_INPUT_PIECE, MAX_OUTPUT_PIECE, type ZstdEngine, type ZstdStep } from "./engine.js";

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

const ERROR_MEMORY = 64;

let compiled: object | undefined;

/** One instance of the wasm, with one decompression context, one input and one output buffer in its memory. */
export class WasmZstd implements ZstdEngine {
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

  setInput(bytes: Uint8Array): void {
    this.#memory.set(bytes, this.#input);
    this.#words.setUint32(this.#structs, this.#input, true);
    this.#words.setUint32(this.#structs + 4, bytes.length, true);
    this.#words.setUint32(this.#structs + 8, 0, true);
  }

  step(): ZstdStep {
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
      error,
    };
  }

  renew(): void {
    this.#exports.ZSTD_freeDCtx(this.#context);
    this.#context = allocated(this.#exports.ZSTD_createDCtx());
    this.#refreshViews();
  }

  /** The wasm's memory never shrinks, and goes with its instance. */
  close(): void {}

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
