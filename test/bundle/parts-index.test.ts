import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  countParts,
  formatHashes,
  formatPartsIndex,
  isIndexName,
  parsePartsIndex,
  partName,
  problemOfTarName,
  tarNameOf,
} from "../../src/bundle/parts-index.js";
import type { PartsIndex } from "../../src/generated/types.js";

function indexOf(sizes: readonly number[], tarName = "pump.tar"): PartsIndex {
  return {
    bundle: "b".repeat(64),
    format: "nix-airgap-parts",
    parts: sizes.map((size, i) => ({
      name: partName(tarName, i + 1, sizes.length),
      sha256: (i % 16).toString(16).repeat(64),
      size,
    })),
    product: "pump",
    release: "1.4.0",
    size: sizes.reduce((sum, size) => sum + size, 0),
    version: "1.0",
  };
}

const parse = (index: unknown, tarName = "pump.tar") =>
  parsePartsIndex(Buffer.from(formatPartsIndex(index as PartsIndex)), tarName);
const refusal = (code: string) => expect.objectContaining({ code });

describe("an index of parts", () => {
  it("comes back as it was written", () => {
    const sizes = fc
      .tuple(
        fc.integer({ min: 1, max: 2 ** 40 }),
        fc.integer({ min: 1, max: 1200 }),
        fc.double({ min: 0, max: 1, noNaN: true }),
      )
      .map(([size, count, share]) => [
        ...new Array<number>(count - 1).fill(size),
        Math.max(1, Math.floor(size * share)),
      ]);
    fc.assert(
      fc.property(sizes, (of) => {
        expect(parse(indexOf(of))).toEqual(indexOf(of));
      }),
      { numRuns: 20 },
    );
  });

  const good = indexOf([10, 10, 3]);
  const withPart = (at: number, change: object) => ({
    ...good,
    parts: good.parts.map((part, i) => (i === at ? { ...part, ...change } : part)),
  });
  it.each<[string, unknown]>([
    ["a name that leads elsewhere", withPart(1, { name: "../pump.tar.002" })],
    ["an absolute name", withPart(1, { name: "/etc/passwd" })],
    ["a name that is another part's", withPart(1, { name: "pump.tar.001" })],
    ["four digits where three do", withPart(1, { name: "pump.tar.0002" })],
    ["a part of another size", withPart(1, { size: 9 })],
    ["a last part that is larger", withPart(2, { size: 11 })],
    ["a sum that is another", { ...good, size: 24 }],
    ["no parts", { ...good, parts: [], size: 1 }],
    ["an empty part", withPart(2, { size: 0 })],
    ["a hash that is none", withPart(0, { sha256: "x".repeat(64) })],
    ["a field more", { ...good, comment: "" }],
    ["another format", { ...good, format: "nix-airgap-bundle" }],
  ])("with %s is refused", (_, index) => {
    expect(() => parse(index)).toThrow(refusal("PARTS_INDEX_INVALID"));
  });

  it("under another name than its parts', in another encoding, or no JSON is refused", () => {
    expect(() => parse(good, "other.tar")).toThrow(refusal("PARTS_INDEX_INVALID"));
    for (const text of [JSON.stringify(good), "", "{", "[]\n", '{"parts": 1, "parts": 2}\n']) {
      expect(() => parsePartsIndex(Buffer.from(text), "pump.tar")).toThrow(refusal("PARTS_INDEX_INVALID"));
    }
  });

  it("of a newer version says so", () => {
    expect(() => parse({ ...good, version: "2.0", extra: [] })).toThrow(refusal("VERSION_UNSUPPORTED"));
  });
});

describe("names of parts", () => {
  it("have three digits, or four where there are more than 999", () => {
    expect(partName("a.tar", 7, 999)).toBe("a.tar.007");
    expect(partName("a.tar", 7, 1000)).toBe("a.tar.0007");
  });

  it("lead to their tar, and other names to none", () => {
    for (const name of ["a.tar.001", "a.tar.9999", "a.tar.parts.json"]) expect(tarNameOf(name)).toBe("a.tar");
    const others = [
      "a.tar",
      "a.tar.01",
      "a.tar.00001",
      "a.tar.sha256",
      "parts.json",
      ".tar.001",
      "a.zip.001",
    ];
    for (const name of others) expect(tarNameOf(name), name).toBeNull();
    expect([isIndexName("a.tar.parts.json"), isIndexName("a.tar.001")]).toEqual([true, false]);
  });

  it("are of a tar whose name others can carry", () => {
    expect(problemOfTarName("a b?c#d%20é.tar")).toBeNull();
    for (const name of ["a", ".tar", ".a.tar", "a/b.tar", "a\nb.tar", "a\\b.tar", `${"é".repeat(80)}.tar`]) {
      expect(problemOfTarName(name), name).not.toBeNull();
    }
  });

  it("stand in the list of hashes as sha256sum prints them", () => {
    expect(formatHashes(indexOf([2, 1]))).toBe(
      `${"0".repeat(64)}  pump.tar.001\n${"1".repeat(64)}  pump.tar.002\n`,
    );
  });

  it("are at most 9,999", () => {
    expect([countParts(10, 3), countParts(9, 3), countParts(9999, 1)]).toEqual([4, 3, 9999]);
    expect(() => countParts(10_000, 1)).toThrow(refusal("USAGE"));
  });
});
