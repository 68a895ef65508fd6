import { createHash } from "node:crypto";
import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { formatHex, formatNix32, formatSri, hashOf } from "../../src/nix/hash.js";
import { HashModulo } from "../../src/nix/hash-modulo.js";
import { writeNar } from "../../src/nix/nar-writer.js";

const SELF = "37xrjbmb2m563q3jb13jv6xnwwy4760n";

function modulo(...chunks: Uint8Array[]): { readonly with: string; readonly without: string } {
  const hash = new HashModulo("sha256", SELF);
  for (const chunk of chunks) hash.update(chunk);
  const { withPositions, withoutPositions } = hash.digests()!;
  return { with: formatHex(withPositions), without: formatHex(withoutPositions) };
}

const sha256 = (text: string) => createHash("sha256").update(text, "latin1").digest("hex");

/** The rules, said on the whole text. */
function expected(text: string): ReturnType<typeof modulo> {
  const positions = [...text.matchAll(new RegExp(SELF, "g"))].map((match) => match.index);
  const zeroed = text.replaceAll(SELF, "\0".repeat(32));
  return { with: sha256(zeroed + positions.map((at) => `|${at}`).join("")), without: sha256(zeroed) };
}

describe("hash modulo", () => {
  it("is the plain hash of what has no reference to itself", () => {
    for (const text of ["content", ""]) {
      expect(modulo(Buffer.from(text))).toEqual({ with: sha256(text), without: sha256(text) });
    }
  });

  it("is the content address that Nix gives a path with references to itself", () => {
    // Made by `nix store make-content-addressed` of Nix 2.8.0.
    const path = "/nix/store/pd5wi6sphkv4b2ib017hf274ypgw0ck4-selfy";
    const contents = Buffer.from(`${path}\nagain ${path}/bin\n`);
    const nar = writeNar({ kind: "regular", executable: false, contents });
    expect(formatSri(hashOf("sha256", nar))).toBe("sha256-WZ41JWdcne4QidbjwqQsIRHwQgD/5iHFFU6b1DUPDTM=");
    const hash = new HashModulo("sha256", "pd5wi6sphkv4b2ib017hf274ypgw0ck4");
    hash.update(nar);
    const { withPositions } = hash.digests()!;
    expect(formatNix32(withPositions)).toBe("sha256:0z34kfbkrz8qzgknks3j3dps113gph6jpjj9qkwanrr9x9l4xmiw");
  });

  it("is without positions what newer Nix gives it", () => {
    // Made by `nix store make-content-addressed` of Nix 2.26.3, and the same by 2.34.8.
    const path = "/nix/store/zfsxm0di2f2nz03lfqwhbnzw39cpfyan-selfy";
    const nar = writeNar({
      kind: "regular",
      executable: false,
      contents: Buffer.from(`one ${path} two ${path}\n`),
    });
    const hash = new HashModulo("sha256", "zfsxm0di2f2nz03lfqwhbnzw39cpfyan");
    hash.update(nar);
    const { withoutPositions } = hash.digests()!;
    expect(formatNix32(withoutPositions)).toBe("sha256:1nkyyb74s5xi2hva8dzajhz0clhckar3667slnvwaxwqvrq38ia8");
  });

  it("tells a reference from zeros in its place, with the positions alone", () => {
    const [reference, zeros] = [modulo(Buffer.from(SELF)), modulo(Buffer.alloc(32))];
    expect(reference.with).not.toBe(zeros.with);
    expect(reference.without).toBe(zeros.without);
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
        expect(modulo(...chunks)).toEqual(expected(parts.join("")));
      }),
      { numRuns: 300 },
    );
  });
});
