import { createPublicKey } from "node:crypto";
import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  formatPublicKey,
  formatSecretKey,
  formatSignature,
  generateSecretKey,
  parsePublicKey,
  parseSecretKey,
  parseSignature,
  publicKeyFromBytes,
  signFingerprint,
  toSpkiDer,
  toSpkiPem,
  verifyFingerprint,
} from "../../src/nix/signature.js";

const badKey = expect.objectContaining({ code: "KEY_INVALID" });

/** Made by `nix key generate-secret` and `nix key convert-secret-to-public` of Nix 2.8.0. */
const SECRET =
  "second:yV/dQO3o6DiehiDxOpA0sTZHPZD9Jx3Y2q5KStM5PnSCtX17XAIFWZD9naJU0y9WpizQyPTtH3SZiLlLqK6LCA==";
const PUBLIC = "second:grV9e1wCBVmQ/Z2iVNMvVqYs0Mj07R90mYi5S6iuiwg=";

describe("Nix keys", () => {
  it("reads a secret key that Nix made, with the public key that Nix derives", () => {
    const secret = parseSecretKey(SECRET);
    expect(formatSecretKey(secret)).toBe(SECRET);
    expect(formatPublicKey(secret.publicKey)).toBe(PUBLIC);
    expect(formatPublicKey(parsePublicKey(PUBLIC))).toBe(PUBLIC);
  });

  it("reads the key of cache.nixos.org", () => {
    const text = "cache.nixos.org-1:6NCHdD59X431o0gWypbMrAURkbJ16ZPMQFGspcDShjY=";
    expect(formatPublicKey(parsePublicKey(text))).toBe(text);
  });

  it("makes new pairs that read back", () => {
    const one = generateSecretKey("release-1");
    const two = generateSecretKey("release-1");
    expect(formatSecretKey(parseSecretKey(formatSecretKey(one)))).toBe(formatSecretKey(one));
    expect(formatSecretKey(two)).not.toBe(formatSecretKey(one));
  });

  it("makes the pair of a given seed (RFC 8032, test 1)", () => {
    const seed = Buffer.from("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60", "hex");
    const { publicKey } = generateSecretKey("rfc", seed);
    const expected = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";
    expect(Buffer.from(publicKey.bytes).toString("hex")).toBe(expected);
  });

  it("gives the public key as SPKI, which OpenSSL reads", () => {
    const key = parsePublicKey(PUBLIC);
    const fromPem = createPublicKey(toSpkiPem(key));
    expect(fromPem.export({ format: "der", type: "spki" })).toEqual(Buffer.from(toSpkiDer(key)));
  });

  it("does not show the seed when printed, nor the text of a refused secret key", () => {
    const seed = Buffer.from(SECRET.split(":")[1]!, "base64").subarray(0, 32);
    expect(JSON.stringify(parseSecretKey(SECRET))).not.toContain(seed.subarray(0, 8).join(","));
    const silent = expect.objectContaining({
      code: "KEY_INVALID",
      message: expect.not.stringContaining(SECRET.slice(10, 20)),
    });
    expect(() => parseSecretKey(`${SECRET}\n`)).toThrow(silent);
    expect(() => parseSecretKey(SECRET.replace("LCA==", "LCB=="))).toThrow(silent);
    expect(() => parsePublicKey(SECRET)).toThrow(silent);
  });

  it("refuses a secret key whose halves do not belong together", () => {
    const bytes = Buffer.from(SECRET.split(":")[1]!, "base64");
    bytes[0]! ^= 1;
    expect(() => parseSecretKey(`second:${bytes.toString("base64")}`)).toThrow(badKey);
  });

  it.each([
    ["a final newline", `${PUBLIC}\n`],
    ["left-over bits", PUBLIC.replace("wg=", "wh=")],
    ["no padding", PUBLIC.slice(0, -1)],
    ["junk in base64", PUBLIC.replace("rV9", "r!9")],
    ["URL-safe base64", PUBLIC.replace("/", "_")],
    ["no name", PUBLIC.replace("second", "")],
    ["no colon", PUBLIC.replace(":", "")],
    ["a space in the name", PUBLIC.replace("second", "se cond")],
    ["a name beyond ASCII", PUBLIC.replace("second", "sécond")],
    ["31 bytes", `second:${Buffer.alloc(31, 7).toString("base64")}`],
    ["a secret key in its place", SECRET],
  ])("refuses a public key with %s", (_, text) => {
    expect(() => parsePublicKey(text)).toThrow(badKey);
  });
});

describe("weak public keys", () => {
  const weak = weakEncodings();

  it("are found by arithmetic: 8 points in 14 encodings", () => {
    expect(weak.length).toBe(14);
  });

  it.each(weak.map((bytes) => [bytes.toString("hex"), bytes] as const))("refuses %s", (_, bytes) => {
    expect(() => publicKeyFromBytes("weak", bytes)).toThrow(badKey);
    expect(() => parsePublicKey(`weak:${bytes.toString("base64")}`)).toThrow(badKey);
  });

  it("refuses encodings of y that are not reduced", () => {
    for (let low = 0xed; low <= 0xff; low++) {
      for (const high of [0x7f, 0xff]) {
        const bytes = Buffer.alloc(32, 0xff);
        bytes[0] = low;
        bytes[31] = high;
        expect(() => publicKeyFromBytes("weak", bytes)).toThrow(badKey);
      }
    }
  });
});

describe("signatures", () => {
  const secret = parseSecretKey(SECRET);

  it("hold for their text and key, and for nothing else", () => {
    const other = generateSecretKey("second", Buffer.alloc(32, 1)).publicKey;
    const renamed = generateSecretKey("third", Buffer.alloc(32, 1)).publicKey;
    fc.assert(
      fc.property(fc.string(), fc.string(), (text, changed) => {
        const signature = signFingerprint(text, secret);
        expect(verifyFingerprint(text, signature, secret.publicKey)).toBe(true);
        expect(verifyFingerprint(changed, signature, secret.publicKey)).toBe(changed === text);
        expect(verifyFingerprint(text, signature, other)).toBe(false);
        expect(verifyFingerprint(text, signature, renamed)).toBe(false);
        expect(formatSignature(parseSignature(signature))).toBe(signature);
      }),
    );
  });

  it("do not hold under another name", () => {
    const signature = signFingerprint("x", secret).replace("second", "third");
    expect(verifyFingerprint("x", signature, secret.publicKey)).toBe(false);
  });

  it.each([
    "",
    "second:",
    "second:AAAA",
    PUBLIC,
    `${signFingerprint("x", secret)} `,
    signFingerprint("x", secret).slice(0, -1),
  ])("refuses %j", (text) => {
    const refused = expect.objectContaining({ code: "SIGNATURE_INVALID" });
    expect(() => verifyFingerprint("x", text, secret.publicKey)).toThrow(refused);
  });
});

/** Every 32-byte encoding of a point of order 1, 2, 4 or 8, found on the curve rather than copied from a list. */
function weakEncodings(): Buffer[] {
  const p = 2n ** 255n - 19n;
  const mod = (a: bigint) => ((a % p) + p) % p;
  const power = (base: bigint, exponent: bigint): bigint => {
    let result = 1n;
    for (let b = mod(base), e = exponent; e > 0n; e >>= 1n, b = mod(b * b))
      if (e & 1n) result = mod(result * b);
    return result;
  };
  const invert = (a: bigint) => power(a, p - 2n);
  const d = mod(-121665n * invert(121666n));
  const sqrtMinusOne = power(2n, (p - 1n) / 4n);
  type Point = readonly [bigint, bigint];
  const add = ([x1, y1]: Point, [x2, y2]: Point): Point => {
    const k = mod(d * x1 * x2 * y1 * y2);
    return [mod((x1 * y2 + x2 * y1) * invert(1n + k)), mod((y1 * y2 + x1 * x2) * invert(1n - k))];
  };
  const times = (scalar: bigint, point: Point): Point => {
    let result: Point = [0n, 1n];
    for (let q = point, e = scalar; e > 0n; e >>= 1n, q = add(q, q)) if (e & 1n) result = add(result, q);
    return result;
  };
  const recoverX = (y: bigint): bigint | undefined => {
    const square = mod((y * y - 1n) * invert(d * y * y + 1n));
    const root = power(square, (p + 3n) / 8n);
    return [root, mod(root * sqrtMinusOne)].find((x) => mod(x * x) === square);
  };
  const order = 2n ** 252n + 27742317777372353535851937790883648493n;
  const ys = new Set<bigint>();
  for (let y = 2n; ys.size < 5; y++) {
    const x = recoverX(y);
    if (x === undefined) continue;
    // A multiple of the prime order leaves a point of small order.
    const torsion = times(order, [x, y]);
    for (let k = 0n; k < 8n; k++) ys.add(times(k, torsion)[1]);
  }
  const encodings: Buffer[] = [];
  for (const y of [...ys, ...[...ys].map((y) => y + p)]) {
    if (y >= 2n ** 255n) continue;
    for (const sign of [0n, 1n]) {
      const hex = (y | (sign << 255n)).toString(16).padStart(64, "0");
      encodings.push(Buffer.from(hex, "hex").reverse());
    }
  }
  return encodings;
}
