/**
 * What a zstd frame says of itself, read without decompressing: its header, which decides whether it may be
 * decompressed at all, and where it ends.
 *
 * Source of the format: RFC 8878, section 3.1.1; what a blob may be: docs/format.md, section 4.
 */
import { fail } from "../../errors.js";

/** Largest window that a frame may ask for, in bytes. */
export const MAX_WINDOW = 2 ** 27;
/** Largest window of the frames that Nix writes, at any level; what wants more is for one thread at a time. */
export const ORDINARY_WINDOW = 2 ** 23;

export interface FrameHeader {
  /** Bytes. */
  readonly window: number;
  /** Bytes of the header itself, its magic number included. */
  readonly size: number;
  /** Whether four bytes of checksum follow the last block. */
  readonly hasChecksum: boolean;
}

/** Whether what begins with these bytes is a frame with a larger window than Nix's have. */
export function wantsLargeWindow(bytes: Uint8Array): boolean {
  const view = viewOf(bytes);
  return isFrame(view) && (parseHeader(view)?.window ?? 0) > ORDINARY_WINDOW;
}

/**
 * Null where the header, which has at most 18 bytes, is not complete yet.
 *
 * @throws ZSTD_INVALID, ZSTD_WINDOW for a frame that the format does not allow
 */
export function checkHeader(bytes: Uint8Array, subject: string | undefined): FrameHeader | null {
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
  if (header.window > MAX_WINDOW) {
    fail("ZSTD_WINDOW", {
      ...named,
      expected: `a window of at most ${MAX_WINDOW} bytes`,
      actual: `${header.window} bytes`,
    });
  }
  if (header.dictionaryId.some((byte) => byte !== 0)) {
    fail("ZSTD_WINDOW", { ...named, expected: "no dictionary", actual: "the id of a dictionary" });
  }
  return header;
}

/**
 * Finds the end of one frame while its bytes go by, by its blocks' own sizes: so that no decoder, whatever it makes
 * of what follows a frame, ever sees that.
 */
export class FrameEnd {
  /** Bytes that belong to what was begun: the rest of the header, a block's header, its body, the checksum. */
  #left: number;
  #state: "header" | "block header" | "block" | "last block" | "checksum" | "ended" = "header";
  #blockHeader = 0;
  readonly #hasChecksum: boolean;

  constructor(header: FrameHeader) {
    this.#left = header.size;
    this.#hasChecksum = header.hasChecksum;
  }

  get isReached(): boolean {
    return this.#state === "ended";
  }

  /** How many of the next bytes, from the frame's first on, belong to the frame. */
  take(bytes: Uint8Array): number {
    let at = 0;
    while (this.#state !== "ended") {
      if (this.#state === "block header") {
        while (this.#left > 0 && at < bytes.length) {
          this.#blockHeader |= bytes[at++]! << (8 * (3 - this.#left));
          this.#left--;
        }
      } else {
        const taken = Math.min(this.#left, bytes.length - at);
        at += taken;
        this.#left -= taken;
      }
      if (this.#left > 0) break;
      this.#next();
    }
    return at;
  }

  #next(): void {
    switch (this.#state) {
      case "header":
      case "block":
        this.#state = "block header";
        this.#blockHeader = 0;
        this.#left = 3;
        break;
      case "block header": {
        const isLast = (this.#blockHeader & 1) === 1;
        const isRunLength = ((this.#blockHeader >> 1) & 3) === 1;
        this.#state = isLast ? "last block" : "block";
        this.#left = isRunLength ? 1 : this.#blockHeader >> 3;
        break;
      }
      case "last block":
        this.#state = this.#hasChecksum ? "checksum" : "ended";
        this.#left = this.#hasChecksum ? 4 : 0;
        break;
      default:
        this.#state = "ended";
    }
  }
}

function viewOf({ buffer, byteOffset, byteLength }: Uint8Array): DataView {
  return new DataView(buffer, byteOffset, byteLength);
}

function isFrame(view: DataView): boolean {
  return view.byteLength >= 5 && view.getUint32(0, true) === 0xfd2fb528;
}

/** What follows a frame's magic number; null where it is not complete. */
function parseHeader(view: DataView): (FrameHeader & { readonly dictionaryId: Uint8Array }) | null {
  const descriptor = view.getUint8(4);
  const singleSegment = (descriptor & 0x20) !== 0;
  const contentSizeFlag = descriptor >> 6;
  const dictionarySize = [0, 1, 2, 4][descriptor & 3]!;
  const contentSizeSize = contentSizeFlag === 0 ? (singleSegment ? 1 : 0) : 1 << contentSizeFlag;
  const dictionaryAt = 5 + (singleSegment ? 0 : 1);
  const contentSizeAt = dictionaryAt + dictionarySize;
  const size = contentSizeAt + contentSizeSize;
  if (view.byteLength < size) return null;
  return {
    window: singleSegment ? contentSize(view, contentSizeAt, contentSizeSize) : windowSize(view),
    size,
    hasChecksum: (descriptor & 4) !== 0,
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
