import { createHash } from "node:crypto";
import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { formatHex, formatNix32, formatSri, hashOf } from "../../src/nix/hash.js";
import { HashModulo } from "../../src/nix/hash-modulo.js";
import { writeNar } from "../../src/nix/nar-writer.js";

const SELF = "37xrjbmb2m563q3jb13jv6xnwwy4760n";

function modulo(...chunks: Uint8Array[]): string | null {
  const hash = new HashModulo("sha256", SELF);
  for (const chunk of chunks) hash.update(chunk);
  const digest = hash.digest();
  return digest === null ? null : formatHex(digest);
}

/** The rule, said on the whole text. */
function expected(text: string): string {
  const positions = [...text.matchAll(new RegExp(SELF, "g"))].map((match) => match.index);
  const zeroed = text.replaceAll(SELF, "\0".repeat(32)) + positions.map((at) => `|${at}`).join("");
  return createHash("sha256").update(zeroed, "latin1").digest("hex");
}

describe("hash modulo", () => {
  it("is the plain hash of what has no reference to itself", () => {
    expect(modulo(Buffer.from("content"))).toBe(createHash("sha256").update("content").digest("hex"));
    expect(modulo()).toBe(createHash("sha256").digest("hex"));
  });

  it("is the content address that Nix gives a path with references to itself", () => {
    // Made by `nix store make-content-addressed` of Nix 2.8.0.
    const path = "/nix/store/pd5wi6sphkv4b2ib017hf274ypgw0ck4-selfy";
    const contents = Buffer.from(`${path}\nagain ${path}/bin\n`);
    const nar = writeNar({ kind: "regular", executable: false, contents });
    expect(formatSri(hashOf("sha256", nar))).toBe("sha256-WZ41JWdcne4QidbjwqQsIRHwQgD/5iHFFU6b1DUPDTM=");
    const hash = new HashModulo("sha256", "pd5wi6sphkv4b2ib017hf274ypgw0ck4");
    hash.update(nar);
    expect(formatNix32(hash.digest()!)).toBe("sha256:0z34kfbkrz8qzgknks3j3dps113gph6jpjj9qkwanrr9x9l4xmiw");
  });

  it("tells a reference from zeros in its place", () => {
    expect(modulo(Buffer.from(SELF))).not.toBe(modulo(Buffer.alloc(32)));
  });

  it("follows the rule however the stream is cut", () => {
    const part = fc.oneof(
      fc.constant(SELF),
      fc.constant(SELF.slice(0, 9)),
      fc.string({ unit: fc.constantFrom("3", "7", "x", "\0"), maxLength: 40 }),
    );
    fc.assert(
      fc.property(fc.array(part, { maxLength: 8 }), fc.integer({ min: 1, max: 70 }), (parts, size) => {
        const bytes = Buffer.from(parts.join(""), "latin1");
        const chunks: Buffer[] = [];
        for (let at = 0; at < bytes.length; at += size) chunks.push(bytes.subarray(at, at + size));
        expect(modulo(...chunks)).toBe(expected(parts.join("")));
      }),
      { numRuns: 300 },
    );
  });
});
