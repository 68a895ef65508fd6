import { describe, expect, it } from "vitest";
import { checkPlannedSize, SizeLimit, sizeRange } from "../../../src/ops/pack/size-limit.js";
import { makeRelease } from "../../support/release.js";

const [base] = makeRelease().document.paths;
const path = (name: string, narSize: number, narHash = `sha256-${name}`) => ({
  ...base!,
  storePath: `/nix/store/${"0".repeat(32)}-${name}`,
  narHash,
  narSize,
});

describe("a planned size", () => {
  it("counts a NAR once that several paths share", () => {
    const alone = sizeRange([path("a", 1_000_000)], null);
    const shared = sizeRange([path("a", 1_000_000), path("b", 1_000_000, "sha256-a")], null);
    expect(shared.least).toBe(alone.least);
    expect(shared.most - alone.most).toBeLessThan(10_000);
  });

  it("knows from the previous bundle how what is reused compresses", () => {
    const paths = [path("a", 1_000_000), path("b", 1_000_000)];
    const blobs = new Map([[paths[0]!.storePath, { narHash: paths[0]!.narHash, blobSize: 900_000 }]]);
    const { least } = sizeRange(paths, { sequence: 1, sha256: "", paths: blobs });
    expect(least).toBe(450_000 + 50_000);
  });

  it("is refused only where it is too large however well it compresses", () => {
    const size = { least: 1000, most: 20_000 };
    for (const maxSize of [undefined, 1000, 5000]) expect(checkPlannedSize(size, maxSize)).toEqual([]);
    expect(checkPlannedSize(size, 999)).toEqual([
      {
        code: "BUNDLE_TOO_LARGE",
        subject: "--max-size",
        expected: "at most 999 bytes",
        actual: "at least 1000 bytes, however well it compresses",
      },
    ]);
  });
});

describe("a limit while blobs are made", () => {
  it("stops at the first byte too many, and counts a blob once", () => {
    const limit = new SizeLimit(100);
    limit.add({ blob: "a", bytes: 60 });
    limit.add({ blob: "a", bytes: 60 });
    limit.add(null);
    limit.add({ blob: "b", bytes: 40 });
    expect(() => limit.add({ blob: "c", bytes: 1 })).toThrow("--max-size");
  });

  it("is none unless it was given", () => {
    const limit = new SizeLimit(undefined);
    limit.add({ blob: "a", bytes: Number.MAX_SAFE_INTEGER });
    limit.check(Number.MAX_SAFE_INTEGER, "");
  });
});
