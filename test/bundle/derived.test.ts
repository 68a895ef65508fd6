import { describe, expect, it } from "vitest";
import { cacheView } from "../../src/bundle/derived.js";
import { encodeBase32 } from "../../src/nix/base32.js";
import { DRV_PATH, FLAKE_PATH, INPUT_PATH, OUT_PATH, sampleDocument } from "../support/document.js";

const view = cacheView(sampleDocument());
const text = (name: string) => view.get(name)!.toString();
/** Of the empty string: the sample's narHash. */
const NAR_HASH = "0mdqa9w1p6cmli6976v4wi0sw9r4p5prkj7lzfd1877wk11c9c73";
const blob = (digit: string) => encodeBase32(Buffer.from(digit.repeat(64), "hex"));

describe("the cache view", () => {
  it("has a narinfo for each path, and the fixed files", () => {
    expect([...view.keys()].sort()).toEqual(
      [
        ...["1", "2", "3", "4"].map((digit) => `${digit.repeat(32)}.narinfo`),
        ...["VERIFY.md", "log/.keep", "nar/.keep", "nix-cache-info", "realisations/.keep", "roots.txt"],
      ].sort(),
    );
    expect(text("nix-cache-info")).toBe("StoreDir: /nix/store\nWantMassQuery: 1\nPriority: 50\n");
    expect(text("nar/.keep")).toBe("");
  });

  it("writes every field of an output, in the order of Nix", () => {
    expect(text(`${"4".repeat(32)}.narinfo`)).toBe(
      [
        `StorePath: ${OUT_PATH}`,
        `URL: blobs/sha256/${"c".repeat(64)}`,
        "Compression: zstd",
        `FileHash: sha256:${blob("c")}`,
        "FileSize: 100",
        `NarHash: sha256:${NAR_HASH}`,
        "NarSize: 200",
        `References: ${INPUT_PATH.slice(11)} ${OUT_PATH.slice(11)}`,
        `Deriver: ${DRV_PATH.slice(11)}`,
        `Sig: cache.example-1:${"A".repeat(86)}==`,
        "",
      ].join("\n"),
    );
  });

  it("leaves out what a source has not, but for the line of references", () => {
    expect(text(`${"1".repeat(32)}.narinfo`)).toBe(
      [
        `StorePath: ${FLAKE_PATH}`,
        `URL: blobs/sha256/${"a".repeat(64)}`,
        "Compression: zstd",
        `FileHash: sha256:${blob("a")}`,
        "FileSize: 100",
        `NarHash: sha256:${NAR_HASH}`,
        "NarSize: 200",
        "References: ",
        `CA: fixed:r:sha256:${"0".repeat(52)}`,
        "",
      ].join("\n"),
    );
  });

  it("names each output of the roots once, sorted, and none of an import-from-derivation", () => {
    const document = sampleDocument();
    const [root] = document.roots;
    document.roots = [
      { ...root!, attr: "", purpose: "evaluation", outputs: [{ name: "out", path: FLAKE_PATH }] },
      { ...root!, attr: "b" },
      { ...root!, attr: "c", outputs: [{ name: "dev", path: INPUT_PATH }] },
    ];
    expect(cacheView(document).get("roots.txt")!.toString()).toBe(`${INPUT_PATH}\n${OUT_PATH}\n`);
  });
});
