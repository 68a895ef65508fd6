/**
 * Writes a zstd frame without zstd: bytes as they are, and runs of zeros as one RLE block each 128 KiB (RFC 8878, section 3.1.1).
 * Twenty thousand small NARs would take as many processes otherwise, and gigabytes of zeros as many cycles.
 */

/** Neither size nor checksum nor dictionary, as Nix's frames; a window of 128 KiB, which is the largest block, too. */
const HEADER = Buffer.from([0x28, 0xb5, 0x2f, 0xfd, 0x00, 7 << 3]);
const MAX_BLOCK = 128 * 1024;
const RAW = 0;
const RLE = 1;

export class FrameWriter {
  readonly #pieces: Uint8Array[] = [HEADER];

  bytes(bytes: Uint8Array): void {
    for (let at = 0; at < bytes.length; at += MAX_BLOCK) {
      const block = bytes.subarray(at, at + MAX_BLOCK);
      this.#pieces.push(blockHeader(RAW, block.length), block);
    }
  }

  zeros(count: number): void {
    for (let left = count; left > 0; left -= MAX_BLOCK) {
      this.#pieces.push(blockHeader(RLE, Math.min(left, MAX_BLOCK)), Buffer.alloc(1));
    }
  }

  /** The whole frame. */
  end(): Buffer {
    const last = blockHeader(RAW, 0);
    last[0]! |= 1;
    return Buffer.concat([...this.#pieces, last]);
  }
}

/** One frame of bytes that are in memory. */
export function frameOf(bytes: Uint8Array): Buffer {
  const frame = new FrameWriter();
  frame.bytes(bytes);
  return frame.end();
}

function blockHeader(type: typeof RAW | typeof RLE, size: number): Buffer {
  const header = Buffer.alloc(3);
  header.writeUIntLE((size << 3) | (type << 1), 0, 3);
  return header;
}
