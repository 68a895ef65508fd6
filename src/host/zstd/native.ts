/**
 * The zstd inside Node.js, driven by a synchronous loop, which is 1.7 times as fast as wasm. Its public streams are slower
 * than wasm, and its public one-shot function wants whole NARs in memory; so this uses what lies behind both, which is
 * not documented: only on versions that the tests ran on, and only where a trial at the start goes as it should.
 *
 * Source: lib/zlib.js (`processChunkSync`), src/node_zlib.cc (`CompressionStream::Write`, `ZstdDecompressContext`).
 */
import { versions } from "node:process";
import zlib from "node:zlib";
import { MAX_OUTPUT_PIECE, type ZstdEngine, type ZstdStep } from "./engine.js";
import { MAX_WINDOW } from "./frame.js";

/** Major versions of Node.js whose inner zstd the tests know. Others decompress by wasm. */
const KNOWN = new Set(["22", "24", "26"]);

/** @types/node of Node 20 has none of it. */
interface ZstdStream {
  readonly _handle: {
    onerror: (message: string, errno: number) => void;
    /** Synchronous; what remains of output and input is then in `_writeState`. */
    writeSync(
      flush: number,
      input: Uint8Array,
      inputAt: number,
      inputSize: number,
      output: Uint8Array,
      outputAt: number,
      outputSize: number,
    ): void;
    close(): void;
  };
  /** Bytes of output room, then of input, that were not used. */
  readonly _writeState: Uint32Array;
}

interface ZlibWithZstd {
  readonly createZstdDecompress: (options: {
    readonly chunkSize: number;
    readonly params: Readonly<Record<number, number>>;
  }) => ZstdStream;
  readonly constants: { readonly ZSTD_d_windowLogMax: number; readonly ZSTD_e_continue: number };
}

const ERROR_MEMORY = 64;

/** Only where `hasNativeZstd()`. */
export class NativeZstd implements ZstdEngine {
  readonly #zlib = zlib as unknown as ZlibWithZstd;
  readonly #output = Buffer.allocUnsafeSlow(MAX_OUTPUT_PIECE);
  #stream = this.#open();
  #input: Uint8Array = new Uint8Array(0);
  #taken = 0;
  #error = 0;

  setInput(bytes: Uint8Array): void {
    this.#input = bytes;
    this.#taken = 0;
  }

  step(): ZstdStep {
    const { _handle: handle, _writeState: state } = this.#stream;
    // Nothing may be written to a handle that had an error: Node would end the process.
    if (this.#error !== 0) throw new Error("a zstd stream that failed is used again");
    const size = this.#input.length;
    handle.writeSync(
      this.#zlib.constants.ZSTD_e_continue,
      this.#input,
      this.#taken,
      size - this.#taken,
      this.#output,
      0,
      MAX_OUTPUT_PIECE,
    );
    if (this.#error !== 0) {
      if (this.#error === ERROR_MEMORY) throw new Error("out of memory while decompressing");
      return { taken: this.#taken, output: this.#output.subarray(0, 0), error: this.#error };
    }
    this.#taken = size - state[1]!;
    return { taken: this.#taken, output: this.#output.subarray(0, MAX_OUTPUT_PIECE - state[0]!), error: 0 };
  }

  renew(): void {
    this.close();
    this.#stream = this.#open();
  }

  close(): void {
    // One that had an error is closed when it is collected: it still counts as busy.
    if (this.#error === 0) this.#stream._handle.close();
    this.#error = 0;
  }

  #open(): ZstdStream {
    const { createZstdDecompress, constants } = this.#zlib;
    // The stream's own buffer, of the smallest size that is allowed, is never used.
    const stream = createZstdDecompress({
      chunkSize: 64,
      params: { [constants.ZSTD_d_windowLogMax]: Math.log2(MAX_WINDOW) },
    });
    stream._handle.onerror = (_message, errno) => {
      this.#error = errno;
    };
    return stream;
  }
}

let answer: boolean | undefined;

/** Whether this Node.js has a zstd that behaves as `NativeZstd` needs it. */
export function hasNativeZstd(): boolean {
  answer ??= "createZstdDecompress" in zlib && KNOWN.has(versions.node.split(".")[0]!) && passesTrial();
  return answer;
}

/** 300 times "a", then "b", as the zstd command compresses it from a pipe. */
const TRIAL = Buffer.from("28b52ffd0058550000186161620100272ac002", "hex");
/** The same with a block of the type that is reserved. */
const DAMAGED = Buffer.from("28b52ffd0058570000186161620100272ac002", "hex");
const ERROR_CORRUPT = 20;

/** What the loop relies on: whole output, all input taken, and errors told by number without an end of the process. */
function passesTrial(): boolean {
  try {
    const zstd = new NativeZstd();
    const decodes = () => {
      zstd.setInput(TRIAL);
      const { taken, output, error } = zstd.step();
      const text = Buffer.from(output).toString("latin1");
      return error === 0 && taken === TRIAL.length && text === `${"a".repeat(300)}b`;
    };
    const works = decodes() && decodes();
    zstd.setInput(DAMAGED);
    const refuses = zstd.step().error === ERROR_CORRUPT;
    zstd.renew();
    const recovers = decodes();
    zstd.close();
    return works && refuses && recovers;
  } catch {
    // Whatever it is: then the wasm does it.
    return false;
  }
}
