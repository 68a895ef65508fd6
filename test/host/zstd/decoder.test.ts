import { execFileSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import * as fc from "fast-check";
import { beforeAll, describe, expect, it } from "vitest";
import { ZstdDecoder } from "../../../src/host/zstd/decoder.js";
import { MAX_OUTPUT_PIECE, type ZstdEngine } from "../../../src/host/zstd/engine.js";
import { hasNativeZstd, NativeZstd } from "../../../src/host/zstd/native.js";
import { WasmZstd } from "../../../src/host/zstd/wasm.js";

/** As the zstd command compresses a stream, without knowing its size: the way Nix does it. */
function zstd(content: Uint8Array, ...options: string[]): Buffer {
  return execFileSync("zstd", ["-q", "-c", "--no-check", ...options], {
    input: content,
    maxBuffer: 2 ** 30,
    stdio: ["pipe", "pipe", "ignore"],
  });
}

const engines: [string, () => ZstdEngine][] = [["wasm", () => new WasmZstd()]];
if (hasNativeZstd()) engines.push(["Node's own", () => new NativeZstd()]);
let decoder: ZstdDecoder;

function decode(...chunks: Uint8Array[]): Buffer {
  const pieces: Buffer[] = [];
  decoder.reset("x");
  for (const chunk of chunks) {
    for (const piece of decoder.decode(chunk)) {
      expect(piece.length).toBeLessThanOrEqual(MAX_OUTPUT_PIECE);
      pieces.push(Buffer.from(piece));
    }
  }
  decoder.end();
  return Buffer.concat(pieces);
}

const refusal = (code: string) => expect.objectContaining({ code });
const text = Buffer.from("the quick brown fox jumps over the lazy dog\n".repeat(40_000));
let frame: Buffer;
beforeAll(() => {
  frame = zstd(text);
});

it("has Node's own zstd where the tests know it", () => {
  const [major] = process.versions.node.split(".");
  expect(hasNativeZstd()).toBe(["22", "24", "26"].includes(major!));
});

describe.each(engines)("zstd decoder by %s", (_name, makeEngine) => {
  beforeAll(() => {
    decoder = new ZstdDecoder(makeEngine);
  });

  it("gives back what the zstd command compressed, at several levels and sizes", () => {
    for (const size of [0, 1, 127, 128, 131_071, 131_072, 131_073, 1_000_000]) {
      const content = Buffer.concat([text.subarray(0, size / 2), randomBytes(Math.ceil(size / 2))]);
      for (const options of [["-1"], ["-9"], ["-19"], ["--check"]]) {
        expect(decode(zstd(content, ...options)).equals(content)).toBe(true);
      }
    }
  });

  it("takes frames of a known size, too", () => {
    for (const size of [0, 200, 300, 70_000]) {
      const content = text.subarray(0, size);
      expect(decode(zstd(content, `--stream-size=${size}`)).equals(content)).toBe(true);
    }
  });

  it("does not depend on how the input is cut", () => {
    const small = zstd(text.subarray(0, 5000));
    expect(decode(...[...small].map((byte) => Uint8Array.of(byte))).equals(text.subarray(0, 5000))).toBe(
      true,
    );
    fc.assert(
      fc.property(fc.array(fc.nat(frame.length), { maxLength: 6 }), (cuts) => {
        const sorted = [0, ...cuts.sort((a, b) => a - b), frame.length];
        const chunks = sorted.slice(1).map((end, i) => frame.subarray(sorted[i], end));
        expect(decode(...chunks).equals(text)).toBe(true);
      }),
      { numRuns: 30 },
    );
  });

  it("refuses every truncation", () => {
    const small = zstd(Buffer.concat([text.subarray(0, 500), randomBytes(300)]));
    for (let size = 0; size < small.length; size++) {
      expect(() => decode(small.subarray(0, size))).toThrow(refusal("ZSTD_INVALID"));
    }
  });

  it("refuses bytes, frames and skippable frames after the frame", () => {
    const skippable = Buffer.from([0x50, 0x2a, 0x4d, 0x18, 0, 0, 0, 0]);
    for (const extra of [Buffer.from([0]), frame, skippable]) {
      expect(() => decode(Buffer.concat([frame, extra]))).toThrow(refusal("ZSTD_TRAILING"));
      expect(() => decode(frame, extra)).toThrow(refusal("ZSTD_TRAILING"));
    }
    expect(() => decode(Buffer.concat([skippable, frame]))).toThrow(refusal("ZSTD_INVALID"));
  });

  it("yields all of the content before it refuses what follows", () => {
    decoder.reset();
    let size = 0;
    expect(() => {
      for (const piece of decoder.decode(Buffer.concat([frame, Buffer.from("x")]))) size += piece.length;
    }).toThrow(
      expect.objectContaining({
        code: "ZSTD_TRAILING",
        details: expect.objectContaining({ offset: frame.length }),
      }),
    );
    expect(size).toBe(text.length);
  });

  it("refuses windows over 128 MiB, and takes 128 MiB", () => {
    expect(decode(zstd(text, "--long=27")).equals(text)).toBe(true);
    expect(() => decode(zstd(text, "--long=28"))).toThrow(refusal("ZSTD_WINDOW"));
    expect(() => decode(zstd(text, "--long=31"))).toThrow(refusal("ZSTD_WINDOW"));
    // One step above 2^27; and a single segment of 2^27 + 1 bytes.
    expect(() => decode(Buffer.from("28b52ffd0089000000000000", "hex"))).toThrow(refusal("ZSTD_WINDOW"));
    expect(() => decode(Buffer.from("28b52ffda00100000800000000", "hex"))).toThrow(refusal("ZSTD_WINDOW"));
    expect(() => decode(Buffer.from("28b52ffde0ffffffffffffffff", "hex"))).toThrow(refusal("ZSTD_WINDOW"));
  });

  it("refuses a dictionary", () => {
    expect(() => decode(Buffer.from("28b52ffd01500700000000", "hex"))).toThrow(refusal("ZSTD_WINDOW"));
  });

  it("refuses what is no zstd", () => {
    for (const bytes of [
      Buffer.alloc(0),
      Buffer.from("nix-archive-1"),
      Buffer.alloc(1000),
      randomBytes(1000),
    ]) {
      expect(() => decode(bytes)).toThrow(refusal("ZSTD_INVALID"));
    }
  });

  it("ends on damaged frames, and decodes the next frame rightly", () => {
    const content = Buffer.concat([text.subarray(0, 3000), randomBytes(2000)]);
    const good = zstd(content, "--check");
    fc.assert(
      fc.property(fc.nat(good.length - 1), fc.integer({ min: 1, max: 255 }), (at, flip) => {
        const bad = Buffer.from(good);
        bad[at]! ^= flip;
        try {
          // A frame that does not use all of its header's bits may still decode.
          expect(decode(bad).equals(content)).toBe(true);
        } catch (error) {
          expect(error).toHaveProperty("code", expect.stringMatching(/^ZSTD_/));
        }
        expect(decode(good).equals(content)).toBe(true);
      }),
      { numRuns: 400 },
    );
  });

  it("gives its memory back after a large window, and decodes on", () => {
    const large = zstd(text, "--long=27");
    for (const bytes of [large, large, frame, large, frame]) expect(decode(bytes).equals(text)).toBe(true);
    expect(() => decode(large.subarray(0, 100))).toThrow(refusal("ZSTD_INVALID"));
    expect(decode(frame).equals(text)).toBe(true);
  });

  it("can be left in the middle of a frame", () => {
    decoder.reset();
    for (const piece of decoder.decode(frame)) {
      expect(piece.length).toBeGreaterThan(0);
      break;
    }
    expect(decode(frame).equals(text)).toBe(true);
  });
});
