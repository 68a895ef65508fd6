import { describe, expect, it } from "vitest";
import {
  approvalName,
  blobName,
  capOf,
  checkTarOrder,
  classify,
  docName,
  narinfoName,
  tarOrder,
  withRightCase,
} from "../../src/bundle/layout.js";

const HEX = "0123456789abcdef".repeat(4);
const illegal = expect.objectContaining({ code: "NAME_ILLEGAL" });

describe("names", () => {
  it.each([
    ["bundle.json", "document"],
    ["VERIFY.md", "derived"],
    ["nix-cache-info", "derived"],
    ["oci-layout", "derived"],
    ["roots.txt", "derived"],
    ["log/.keep", "derived"],
    ["index.json", "index"],
    [blobName(HEX), "blob"],
    [narinfoName(`/nix/store/${"1".repeat(32)}-pump`), "narinfo"],
    [docName("sbom.cdx.json"), "doc"],
    [approvalName("packer", HEX), "approval"],
    [approvalName("q.a-1_x", HEX), "approval"],
  ])("%s is a %s", (name, kind) => {
    expect(classify(name)).toBe(kind);
  });

  it.each([
    "",
    "/bundle.json",
    "./bundle.json",
    "../bundle.json",
    "bundle.json/",
    "bundle.json\n",
    "manifest.json",
    "Bundle.json",
    "blobs/sha256",
    `blobs/sha256/${HEX}0`,
    `blobs/sha256/${HEX.toUpperCase()}`,
    `blobs/sha256/../${HEX.slice(3)}`,
    `blobs/sha512/${HEX}`,
    `${"e".repeat(32)}.narinfo`,
    `${"1".repeat(31)}.narinfo`,
    "docs/.hidden",
    "docs/a/b",
    `docs/${"a".repeat(64)}`,
    `approvals/Packer-${HEX.slice(32)}.sigstore.json`,
    `approvals/packer-${HEX}.sigstore.json`,
    "toString",
    "__proto__",
  ])("%j is no name of a bundle", (name) => {
    expect(classify(name)).toBeNull();
  });

  it("are not made from text that breaks the grammar", () => {
    expect(() => blobName("../x")).toThrow(illegal);
    expect(() => docName("../x")).toThrow(illegal);
    expect(() => approvalName("a/b", HEX)).toThrow(illegal);
    expect(() => narinfoName("/nix/store/x")).toThrow(
      expect.objectContaining({ code: "STORE_PATH_INVALID" }),
    );
  });

  it("in upper case lead to the right ones", () => {
    expect(withRightCase("BUNDLE.JSON")).toBe("bundle.json");
    expect(withRightCase("BLOBS")).toBe("blobs");
    expect(withRightCase("verify.MD")).toBe("VERIFY.md");
    expect(withRightCase("README")).toBeNull();
  });

  it("have the caps of the format", () => {
    expect(["document", "approval", "narinfo"].map((kind) => capOf(kind as "document"))).toEqual([
      67108864, 65536, 67108864,
    ]);
  });
});

describe("the order of a tar", () => {
  const [low, high] = [blobName("1".repeat(64)), blobName("2".repeat(64))];
  const manifest = blobName("0".repeat(64));
  const order = [
    "bundle.json",
    `${"0".repeat(32)}.narinfo`,
    "VERIFY.md",
    "log/.keep",
    "nix-cache-info",
    "oci-layout",
    `${"z".repeat(32)}.narinfo`,
    "docs/a",
    low,
    high,
    approvalName("packer", HEX),
    manifest,
    "index.json",
  ].sort((a, b) => rank(a) - rank(b) || (a < b ? -1 : 1));

  function rank(name: string): number {
    if (name === "bundle.json") return 0;
    if (name === "docs/a") return 2;
    if (name === low || name === high) return 3;
    if (name.startsWith("approvals/")) return 4;
    if (name === manifest) return 5;
    return name === "index.json" ? 6 : 1;
  }

  it("is the format's, whatever the order of the names", () => {
    expect(tarOrder(order.toReversed(), new Set([manifest]))).toEqual(order);
    expect(tarOrder(order, new Set()).indexOf(manifest)).toBeLessThan(order.indexOf(low) + 1);
  });

  it("holds for a tar that lacks members or has others", () => {
    const names = order.filter((name) => name !== low);
    names.splice(3, 0, "unlisted");
    expect(checkTarOrder(names, order)).toEqual([]);
  });

  it("is refused once, at the first member that is elsewhere", () => {
    const names = [...order.slice(1), order[0]!];
    expect(checkTarOrder(names, order)).toEqual([
      { code: "TAR_ORDER", subject: order[1], expected: "bundle.json here" },
    ]);
  });
});
