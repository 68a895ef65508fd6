import { execFileSync, spawnSync } from "node:child_process";
import { generateKeyPairSync, sign, verify } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { derFromRaw, rawFromDer } from "../../src/trust/ecdsa.js";

const MESSAGE = Buffer.from("what is signed\n");
const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
const raw = { key: publicKey, dsaEncoding: "ieee-p1363" } as const;

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "ecdsa-"));
  writeFileSync(join(folder, "message"), MESSAGE);
  writeFileSync(join(folder, "key.pem"), privateKey.export({ format: "pem", type: "pkcs8" }));
  writeFileSync(join(folder, "key.pub.pem"), publicKey.export({ format: "pem", type: "spki" }));
});
afterAll(() => rmSync(folder, { recursive: true }));

/** r or s with leading zeros more often than chance has it: 32 bytes. */
const scalar = fc
  .tuple(fc.nat({ max: 32 }), fc.uint8Array({ minLength: 32, maxLength: 32 }))
  .map(([zeros, bytes]) => Buffer.from(bytes).fill(0, 0, zeros));
const scalars = fc.tuple(scalar, scalar).map((both) => Buffer.concat(both));

describe("a signature of P-256", () => {
  it("made as DER by node:crypto is the one that it checks as r and s", () => {
    for (let i = 0; i < 300; i++) {
      const der = sign("sha256", MESSAGE, privateKey);
      const both = rawFromDer(der)!;
      expect(verify("sha256", MESSAGE, raw, both)).toBe(true);
      expect(derFromRaw(both)).toEqual(der);
    }
  });

  it("made as r and s by node:crypto is one in DER to it", () => {
    for (let i = 0; i < 300; i++) {
      const der = derFromRaw(sign("sha256", MESSAGE, { key: privateKey, dsaEncoding: "ieee-p1363" }));
      expect(verify("sha256", MESSAGE, publicKey, der)).toBe(true);
    }
  });

  it("made by openssl is read, and one in DER is checked by openssl", () => {
    for (let i = 0; i < 5; i++) {
      const file = join(folder, "message.sig");
      const openssl = ["dgst", "-sha256"];
      execFileSync("openssl", [...openssl, "-sign", "key.pem", "-out", file, "message"], { cwd: folder });
      expect(verify("sha256", MESSAGE, raw, rawFromDer(readFileSync(file))!)).toBe(true);
      const both = sign("sha256", MESSAGE, { key: privateKey, dsaEncoding: "ieee-p1363" });
      writeFileSync(file, derFromRaw(both));
      const check = [...openssl, "-verify", "key.pub.pem", "-signature", file, "message"];
      expect(spawnSync("openssl", check, { cwd: folder }).status).toBe(0);
    }
  });
});

describe("r and s", () => {
  it("come back from DER, whatever they are", () => {
    fc.assert(
      fc.property(scalars, (both) => {
        expect(rawFromDer(derFromRaw(both))).toEqual(both);
      }),
    );
    for (const byte of [0x00, 0x01, 0x7f, 0x80, 0xff]) {
      const both = Buffer.alloc(64, byte);
      expect(rawFromDer(derFromRaw(both))).toEqual(both);
    }
  });

  it("have 64 bytes together", () => {
    for (const size of [0, 63, 65, 96]) expect(() => derFromRaw(Buffer.alloc(size))).toThrow(RangeError);
  });
});

/** DER of two INTEGERs with these contents. */
function der(...integers: readonly (readonly number[])[]): Buffer {
  const body = integers.flatMap((bytes) => [0x02, bytes.length, ...bytes]);
  return Buffer.from([0x30, body.length, ...body]);
}

const repeat = (size: number, byte: number): number[] => new Array<number>(size).fill(byte);

describe("DER", () => {
  it("is read in its one form", () => {
    expect(rawFromDer(der([1], [2]))).toEqual(Buffer.from([...repeat(31, 0), 1, ...repeat(31, 0), 2]));
    expect(rawFromDer(der([0], [0]))).toEqual(Buffer.alloc(64));
    expect(rawFromDer(der([0, 0x80], [0x7f]))).not.toBeNull();
    expect(rawFromDer(der([0, ...repeat(32, 0xff)], repeat(32, 0x7f)))).not.toBeNull();
  });

  const [, ...good] = der([1], [2]);
  const body = good.slice(1);
  it.each([
    ["a superfluous zero before r", der([0, 1], [2])],
    ["a superfluous zero before s", der([1], [0, 0x7f])],
    ["two zeros before a high bit", der([0, 0, 0x80], [2])],
    ["a zero of two bytes", der([0, 0], [2])],
    ["a negative r", der([0x80], [2])],
    ["a negative s of 32 bytes", der([1], repeat(32, 0xff))],
    ["an r of 33 bytes", der(repeat(33, 1), [2])],
    ["an s of 33 digits", der([1], [0, ...repeat(33, 0x80)])],
    ["an s of 255 bytes", der([1], repeat(255, 1)).fill(0x40, 1, 2)],
    ["an empty r", der([], [2])],
    ["an empty s", der([1], [])],
    ["r alone", der([1])],
    ["a third number", der([1], [2], [3])],
    ["no numbers", der()],
    ["nothing", Buffer.alloc(0)],
    ["one byte", Buffer.from([0x30])],
    ["a length in the long form", Buffer.from([0x30, 0x81, body.length, ...body])],
    ["a length in the long form with zeros", Buffer.from([0x30, 0x82, 0, body.length, ...body])],
    ["an indefinite length", Buffer.from([0x30, 0x80, ...body, 0, 0])],
    ["r's length in the long form", Buffer.from([0x30, 7, 2, 0x81, 1, 1, 2, 1, 2])],
    ["s's length in the long form", Buffer.from([0x30, 7, 2, 1, 1, 2, 0x81, 1, 2])],
    ["a byte behind", Buffer.from([...der([1], [2]), 0])],
    ["a byte behind within its length", Buffer.from([0x30, 7, ...body, 0])],
    ["a length one too large", Buffer.from([0x30, 7, ...body])],
    ["a length one too small", Buffer.from([0x30, 5, ...body])],
    ["a set for the sequence", Buffer.from([0x31, 6, ...body])],
    ["a bit string for r", Buffer.from([0x30, 6, 3, 1, 1, 2, 1, 2])],
    ["a bit string for s", Buffer.from([0x30, 6, 2, 1, 1, 3, 1, 2])],
  ])("is refused with %s", (_, bytes) => {
    expect(rawFromDer(bytes)).toBeNull();
  });

  it("is refused when cut, or with more behind, wherever it is from", () => {
    fc.assert(
      fc.property(scalars, fc.nat(), fc.uint8Array({ minLength: 1, maxLength: 80 }), (both, cut, more) => {
        const whole = derFromRaw(both);
        expect(rawFromDer(whole.subarray(0, cut % whole.length))).toBeNull();
        expect(rawFromDer(Buffer.concat([whole, more]))).toBeNull();
      }),
    );
  });

  it("that is accepted is what these r and s would be written as", () => {
    const changed = fc.tuple(scalars, fc.nat(), fc.nat({ max: 255 })).map(([both, at, byte]) => {
      const bytes = derFromRaw(both);
      bytes[at % bytes.length] = byte;
      return bytes;
    });
    fc.assert(
      fc.property(fc.oneof(changed, fc.uint8Array({ maxLength: 80 })), (bytes) => {
        const both = rawFromDer(bytes);
        if (both !== null) expect(derFromRaw(both)).toEqual(Buffer.from(bytes));
      }),
      { numRuns: 2000 },
    );
  });
});
