import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { BASE32_ALPHABET } from "../../src/nix/base32.js";
import { ReferenceScanner } from "../../src/nix/references.js";

const A = "37xrjbmb2m563q3jb13jv6xnwwy4760n";
const B = "v47c330my7x4cg2v2il45xcap019zfgh";

function scan(hashParts: string[], ...chunks: Uint8Array[]): string[] {
  const scanner = new ReferenceScanner(hashParts);
  for (const chunk of chunks) scanner.update(chunk);
  return scanner.found();
}

describe("reference scanner", () => {
  it("finds a path among other text", () => {
    expect(scan([A, B], Buffer.from(`PATH=/nix/store/${A}-x/bin`))).toEqual([A]);
  });

  it("finds a hash part right after other base32 characters", () => {
    for (let before = 0; before < 70; before++) {
      expect(scan([A], Buffer.from("0".repeat(before) + A + "0".repeat(before % 3)))).toEqual([A]);
    }
  });

  it("finds a hash part that straddles chunks, at every cut", () => {
    const bytes = Buffer.from(`..${A}${B}..`);
    for (let cut = 0; cut <= bytes.length; cut++) {
      expect(scan([A, B], bytes.subarray(0, cut), bytes.subarray(cut))).toEqual([A, B]);
    }
  });

  it("does not find what is cut off or interrupted", () => {
    expect(scan([A], Buffer.from(A.slice(1)))).toEqual([]);
    expect(scan([A], Buffer.from(A.slice(0, 31)))).toEqual([]);
    expect(scan([A], Buffer.from(`${A.slice(0, 16)}.${A.slice(16)}`))).toEqual([]);
    expect(scan([A], Buffer.from(A.toUpperCase()))).toEqual([]);
  });

  it("remembers bytes, not the caller's buffer", () => {
    const scanner = new ReferenceScanner([A]);
    const reused = Buffer.from(A.slice(0, 31));
    scanner.update(reused);
    reused.fill(0);
    scanner.update(Buffer.from(A.slice(31)));
    expect(scanner.found()).toEqual([A]);
  });

  it("forgets everything on reset, also half a hash part", () => {
    const scanner = new ReferenceScanner([A, B]);
    scanner.update(Buffer.from(B + A.slice(0, 31)));
    scanner.reset();
    scanner.update(Buffer.from(A.slice(31)));
    expect(scanner.found()).toEqual([]);
    scanner.update(Buffer.from(A));
    expect(scanner.found()).toEqual([A]);
  });

  it("refuses what is no hash part", () => {
    expect(() => new ReferenceScanner(["e".repeat(32)])).toThrow(
      expect.objectContaining({ code: "STORE_PATH_INVALID" }),
    );
  });

  it("agrees with a naive search, whole, in chunks and byte by byte", () => {
    // Few letters, so that hash parts nearly match each other and themselves, shifted.
    const hashPart = fc.string({ unit: fc.constantFrom("0", "1"), minLength: 32, maxLength: 32 });
    const filler = fc.string({ unit: fc.constantFrom("0", "1", "e", ".", "z"), maxLength: 40 });
    fc.assert(
      fc.property(
        fc.uniqueArray(hashPart, { minLength: 1, maxLength: 6 }),
        fc.array(fc.tuple(filler, fc.nat(9), fc.integer({ min: 28, max: 32 })), { maxLength: 8 }),
        fc.array(fc.nat(80), { maxLength: 10 }),
        (hashParts, pieces, sizes) => {
          const text = pieces
            .map(([fill, i, length]) => fill + (hashParts[i] ?? "").slice(0, length))
            .join("");
          const expected = hashParts.filter((hash) => text.includes(hash)).sort();
          const bytes = Buffer.from(text);
          const chunks: Buffer[] = [];
          let at = 0;
          for (const size of sizes) {
            chunks.push(bytes.subarray(at, at + size));
            at += size;
          }
          chunks.push(bytes.subarray(at));
          expect(scan(hashParts, bytes)).toEqual(expected);
          expect(scan(hashParts, ...chunks)).toEqual(expected);
          expect(scan(hashParts, ...[...bytes].map((byte) => Uint8Array.of(byte)))).toEqual(expected);
        },
      ),
      { numRuns: 500 },
    );
  });

  it("takes linear time on text made of base32 digits only", () => {
    const bytes = Buffer.from(BASE32_ALPHABET.repeat(1 << 18));
    const started = performance.now();
    expect(scan([A], bytes)).toEqual([]);
    // 8 MiB: about 50 ms; a quadratic scan would take hours.
    expect(performance.now() - started).toBeLessThan(3000);
  });
});
