import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  DIGEST_SIZE,
  fold20,
  formatHex,
  formatNix32,
  formatPrefixedHex,
  formatSri,
  type HashAlgorithm,
  hashesEqual,
  hashFromDigest,
  hashOf,
  parseHex,
  parseNix32,
  parsePrefixed,
  parsePrefixedHex,
  parseSri,
} from "../../src/nix/hash.js";

const refused = expect.objectContaining({ code: "HASH_INVALID" });

/** `nix hash file` of a file holding "flat\n": algorithm, hex, base32, SRI. */
const REAL: [HashAlgorithm, string, string, string][] = [
  ["md5", "c9a5aa53b1891aa96b1bb76c7d4619b3", "5k3537sv5p3dmsj6l9n59sm9f9", "md5-yaWqU7GJGqlrG7dsfUYZsw=="],
  [
    "sha1",
    "d207e330d76bb6b3391473e92393b4f2c772e9bd",
    "pplp5izjnj9j7sbk2hwv7dkbswqf61yj",
    "sha1-0gfjMNdrtrM5FHPpI5O08sdy6b0=",
  ],
  [
    "sha256",
    "6bc66a827fe86925af680be5e00da2b7a7f22947c8c0209b22563890258462f6",
    "1xk2hhjr0f2n4adj1h688wlz59xpl86y1r8bd2pjasg8gy16mikb",
    "sha256-a8Zqgn/oaSWvaAvl4A2it6fyKUfIwCCbIlY4kCWEYvY=",
  ],
  [
    "sha512",
    "932c12551b9e09391d9fe8d8a7596886cf97a17b1d2ce6e7b48685851da52ace4812ea28662e3efe041af44cb03f5409bdf0a18c40f8ea5d023da5da1174b6f3",
    "3rvcx0ivajks0jxxbw41351y2yhjm1zn16g86h4zqz2wri8x894ikiallfqb1c6nkkycb0xgfhrgkw6d1csgn78kwfkj2cy3dai4b4k",
    "sha512-kywSVRueCTkdn+jYp1lohs+XoXsdLObntIaFhR2lKs5IEuooZi4+/gQa9EywP1QJvfChjED46l0CPaXaEXS28w==",
  ],
];

const anyHash = fc
  .constantFrom<HashAlgorithm>("md5", "sha1", "sha256", "sha512")
  .chain((algorithm) =>
    fc
      .uint8Array({ minLength: DIGEST_SIZE[algorithm], maxLength: DIGEST_SIZE[algorithm] })
      .map((digest) => hashFromDigest(algorithm, digest)),
  );

describe("hashes", () => {
  it.each(REAL)("reads and prints %s as Nix does", (algorithm, hex, base32, sri) => {
    const hash = hashOf(algorithm, "flat\n");
    expect(formatHex(hash)).toBe(hex);
    expect(formatNix32(hash)).toBe(`${algorithm}:${base32}`);
    expect(formatSri(hash)).toBe(sri);
    for (const read of [
      parseHex(algorithm, hex),
      parsePrefixedHex(`${algorithm}:${hex}`),
      parseNix32(`${algorithm}:${base32}`),
      parseSri(sri),
      parsePrefixed(`${algorithm}:${hex}`),
      parsePrefixed(`${algorithm}:${base32}`),
    ]) {
      expect(hashesEqual(read, hash)).toBe(true);
    }
  });

  it("reads back whatever it prints, in every form", () => {
    fc.assert(
      fc.property(anyHash, (hash) => {
        expect(hashesEqual(parseSri(formatSri(hash)), hash)).toBe(true);
        expect(hashesEqual(parseNix32(formatNix32(hash)), hash)).toBe(true);
        expect(hashesEqual(parsePrefixedHex(formatPrefixedHex(hash)), hash)).toBe(true);
        expect(hashesEqual(parseHex(hash.algorithm, formatHex(hash)), hash)).toBe(true);
      }),
    );
  });

  const sri = "sha256-a8Zqgn/oaSWvaAvl4A2it6fyKUfIwCCbIlY4kCWEYvY=";
  it.each([
    ["two hashes", `${sri} ${sri}`],
    ["an option", `${sri}?x`],
    ["surrounding space", ` ${sri}`],
    ["a final newline", `${sri}\n`],
    ["no padding", sri.slice(0, -1)],
    ["left-over bits", sri.replace("vY=", "vZ=")],
    ["URL-safe base64", sri.replace("/", "_")],
    ["the wrong length", "sha256-a8Zqgn/oaSWvaAvl4A2itw=="],
    ["an algorithm that Nix does not know", "sha384-a8Zqgn/oaSWvaAvl4A2it6fyKUfIwCCbIlY4kCWEYvY="],
    ["upper-case algorithm", sri.replace("sha", "SHA")],
    ["a colon", sri.replace("-", ":")],
    ["nothing", ""],
    ["ten megabytes", `sha256-${"A".repeat(10_000_000)}`],
  ])("refuses SRI with %s", (_, text) => {
    expect(() => parseSri(text)).toThrow(refused);
  });

  it("refuses upper-case and odd hex", () => {
    expect(() => parseHex("md5", "C9A5AA53B1891AA96B1BB76C7D4619B3")).toThrow(refused);
    expect(() => parseHex("md5", "c9a5aa53b1891aa96b1bb76c7d4619b")).toThrow(refused);
    expect(() => parseHex("md5", "c9a5aa53b1891aa96b1bb76c7d4619b\n")).toThrow(refused);
  });

  it("refuses hex where base32 is the form, and the reverse", () => {
    expect(() => parseNix32("md5:c9a5aa53b1891aa96b1bb76c7d4619b3")).toThrow(refused);
    expect(() => parsePrefixedHex("md5:5k3537sv5p3dmsj6l9n59sm9f9")).toThrow(refused);
    expect(() => parsePrefixed("c9a5aa53b1891aa96b1bb76c7d4619b3")).toThrow(refused);
  });

  it("folds a digest to 20 bytes by XOR", () => {
    const digest = Uint8Array.from({ length: 32 }, (_, i) => i + 1);
    const folded = fold20(hashFromDigest("sha256", digest));
    expect([...folded]).toEqual([...Array(20).keys()].map((i) => (i < 12 ? (i + 1) ^ (i + 21) : i + 1)));
  });
});
