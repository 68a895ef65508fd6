/**
 * Checks one blob against what the document says (V8, V9), and learns from its NAR what later steps need: the
 * synchronous pipeline file → SHA-256 → zstd → NAR. Which blobs there are, and on which thread, is for pool.ts
 * and verify.
 */
import { createHash } from "node:crypto";
import { AirgapError, type Finding } from "../errors.js";
import { ReferenceScanner } from "../nix/references.js";
import type { FilePart } from "../segments.js";
import { piecesOf, READ_SIZE } from "./file-part.js";
import { errorCode } from "./files.js";
import { type NarPipe, NarPipeFront, readFromPipe } from "./nar-pipe.js";
import {
  findingOf,
  type NarContents,
  type NarOutcome,
  NarReading,
  type NarRequest,
  type NarSink,
} from "./nar-reading.js";
import { ZstdDecoder } from "./zstd/decoder.js";
import { wantsLargeWindow } from "./zstd/frame.js";

/** A blob that was refused is read on for the sake of its hash, which tells damage from intent; but not for ever. */
const MAX_REFUSED = 1024 ** 3;

export interface BlobJob extends NarRequest {
  readonly kind: "blob";
  /** Where the blob lies: a file of its own, in a tar, or in parts of one. */
  readonly file: FilePart;
  /** What the document says: hex SHA-256, and bytes. */
  readonly blob: string;
  readonly blobSize: number;
  /** Where another thread reads the NAR. */
  readonly pipe?: NarPipe;
}

/** The other half of a blob's job that has a pipe. */
export interface NarJob {
  readonly kind: "nar";
  readonly request: NarRequest;
  readonly pipe: NarPipe;
}

export interface BlobResult {
  /** Everything that is wrong with this blob, or where its bytes are those of the document, with its NAR. */
  readonly findings: readonly Finding[];
  /** Hex; null where not all of the file was read. */
  readonly blobSha256: string | null;
  /** SRI; null where not all of the NAR was read. */
  readonly narHash: string | null;
  /** Null unless the blob is the document's and the whole NAR keeps the grammar. Believed only without findings. */
  readonly contents: NarContents | null;
}

export interface CheckerOptions {
  /** Those of the store paths that jobs with `scan` look for. */
  readonly hashParts: readonly string[];
  /** Whether it may use the memory that a frame with a larger window than Nix's takes, up to 128 MiB. */
  readonly largeWindows: boolean;
}

/** One per thread: buffers, the decoder and the scanner are used again for every blob. */
export class BlobChecker {
  readonly #decoder = new ZstdDecoder();
  readonly #buffer = Buffer.alloc(READ_SIZE);
  #scanner = new ReferenceScanner([]);
  #largeWindows = false;

  constructor(options: CheckerOptions) {
    this.setUp(options);
  }

  /** For all blobs from now on. */
  setUp({ hashParts, largeWindows }: CheckerOptions): void {
    this.#scanner = new ReferenceScanner(hashParts);
    this.#largeWindows = largeWindows;
  }

  /**
   * Reads at most one byte more than the document says, and decompresses at most one byte more than `narSize`.
   * Bad content leads to findings, never to an error. Null for a frame whose window this one may not have.
   *
   * @throws DISK where the file cannot be read.
   */
  check(job: BlobJob, onNarBytes?: (narBytes: number) => void): BlobResult | null {
    const pipe = job.pipe === undefined ? null : new NarPipeFront(job.subject, job.pipe);
    try {
      return this.#checkInto(pipe ?? new NarReading(job, this.#scanner), job, onNarBytes);
    } finally {
      pipe?.abandon();
    }
  }

  /** Reads what comes through a pipe until its other end has ended. */
  readNar({ request, pipe }: NarJob): void {
    readFromPipe(new NarReading(request, this.#scanner), pipe);
  }

  #checkInto(nar: NarSink, job: BlobJob, onNarBytes?: (narBytes: number) => void): BlobResult | null {
    try {
      return this.#read(nar, job, onNarBytes);
    } catch (error) {
      return { findings: [goneBlob(error, job.subject)], blobSha256: null, narHash: null, contents: null };
    }
  }

  #read(nar: NarSink, job: BlobJob, onNarBytes: (narBytes: number) => void = () => {}): BlobResult | null {
    const { subject, blob, blobSize } = job;
    const findings: Finding[] = [];
    const hasher = createHash("sha256");
    const frame = new FrameReading(this.#decoder, nar);
    let size = 0;
    let gaveUp = false;
    for (const chunk of piecesOf(job.file, this.#buffer, blobSize + 1)) {
      if (size === 0 && !this.#largeWindows && wantsLargeWindow(chunk)) return null;
      size += chunk.length;
      hasher.update(chunk);
      frame.update(chunk);
      onNarBytes(frame.narBytes);
      gaveUp = frame.isRefused && size >= MAX_REFUSED && size < blobSize;
      if (gaveUp) break;
    }
    const tooLarge = size > blobSize;
    if (size !== blobSize && !gaveUp) {
      const actual = tooLarge ? "more" : `${size} bytes`;
      findings.push({ code: "BLOB_SIZE", subject, expected: `${blobSize} bytes`, actual });
    }
    const blobSha256 = tooLarge || gaveUp ? null : hasher.digest("hex");
    if (blobSha256 !== null && blobSha256 !== blob)
      findings.push({ code: "BLOB_HASH", subject, expected: blob, actual: blobSha256 });
    const outcome = frame.finish();
    // What other bytes than those that were signed decompress to says nothing, and would name a wrong cause.
    if (findings.length > 0) return { findings, blobSha256, narHash: null, contents: null };
    return { ...outcome, blobSha256 };
  }
}

/** Feeds one frame's content to a NAR, until either is refused. */
class FrameReading {
  readonly #decoder: ZstdDecoder;
  readonly #nar: NarSink;
  #failure: AirgapError | null = null;
  #wantsMore = true;

  constructor(decoder: ZstdDecoder, nar: NarSink) {
    this.#decoder = decoder;
    this.#nar = nar;
    decoder.reset(nar.subject);
  }

  get narBytes(): number {
    return this.#nar.size;
  }

  get isRefused(): boolean {
    return this.#failure !== null || !this.#wantsMore;
  }

  update(chunk: Uint8Array): void {
    if (this.isRefused) return;
    this.#guard(() => {
      for (const bytes of this.#decoder.decode(chunk)) {
        this.#wantsMore = this.#nar.update(bytes);
        if (!this.#wantsMore) return;
      }
    });
  }

  finish(): NarOutcome {
    if (this.#failure === null && this.#wantsMore) this.#guard(() => this.#decoder.end());
    // What follows a frame is found after all of its content.
    const whole = this.#failure === null || this.#failure.code === "ZSTD_TRAILING";
    const nar = this.#nar.finish(whole);
    if (this.#failure === null) return nar;
    return { ...nar, findings: [findingOf(this.#failure), ...nar.findings] };
  }

  #guard(action: () => void): void {
    try {
      action();
    } catch (error) {
      if (!(error instanceof AirgapError)) throw error;
      this.#failure = error;
    }
  }
}

/** Media change under us, whatever was seen when the bundle was opened: that is a finding, too. @throws `error` of else */
function goneBlob(error: unknown, subject: string): Finding {
  if (!(error instanceof AirgapError)) throw error;
  const path = error.details.subject ?? "";
  if (error.code === "FILE_TYPE") return { code: "FILE_TYPE", subject: path };
  if (error.code !== "DISK" || errorCode(error.cause) !== "ENOENT") throw error;
  return { code: "BLOB_MISSING", subject, expected: path };
}
