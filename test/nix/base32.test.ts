import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { BASE32_ALPHABET, decodeBase32, encodeBase32 } from "../../src/nix/base32.js";

const refused = expect.objectContaining({ code: "BASE32_INVALID" });

describe("base32", () => {
  it("prints what `nix hash to-base32` prints", () => {
    const hex = "87f9c5767ec668b2d652490afa5946e3ea196061f097bde36ed04df338860b06";
    expect(encodeBase32(Buffer.from(hex, "hex"))).toBe(
      "01hbhqwg6kfhdvivv5zhc5h1ksp38rczl2j9abbb4s66grvcbyc7",
    );
  });

  it("decodes what it printed", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 100 }), (bytes) => {
        expect(decodeBase32(encodeBase32(bytes))).toEqual(bytes);
      }),
    );
  });

  it("prints what it accepted, and refuses the rest", () => {
    const digits = fc.string({ unit: fc.constantFrom(...BASE32_ALPHABET), maxLength: 60 });
    fc.assert(
      fc.property(digits, (text) => {
        let bytes: Uint8Array;
        try {
          bytes = decodeBase32(text);
        } catch (error) {
          expect(error).toEqual(refused);
          return;
        }
        expect(encodeBase32(bytes)).toBe(text);
      }),
    );
  });

  it.each(["e", "o", "u", "t", "A", "é", "\u0130", "\ud800"])("refuses the character %j", (character) => {
    expect(() => decodeBase32(`0${character}`)).toThrow(refused);
  });

  it("refuses left-over bits that are not zero", () => {
    expect(decodeBase32("7z")).toEqual(Uint8Array.of(255));
    expect(() => decodeBase32("8z")).toThrow(refused);
  });

  it.each(["0", "000", "000000"])("refuses %j, as long as no bytes print", (text) => {
    expect(() => decodeBase32(text)).toThrow(refused);
  });

  it("refuses a megabyte at once", () => {
    expect(() => decodeBase32("0".repeat(1 << 20))).toThrow(refused);
  });
});
