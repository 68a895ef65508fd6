import { randomBytes } from "node:crypto";
import * as fc from "fast-check";
import { expect, it } from "vitest";
import { checkHeader, FrameEnd, wantsLargeWindow } from "../../../src/host/zstd/frame.js";
import { zstd } from "../../support/zstd.js";

it("finds the end of a frame by its blocks, however the bytes are cut, and takes nothing after it", () => {
  const contents = [
    Buffer.alloc(0),
    Buffer.alloc(500_000),
    randomBytes(300_000),
    Buffer.from("abc".repeat(90_000)),
  ];
  const frames = contents.flatMap((content) => [
    zstd(content, "--no-check"),
    zstd(content, "--check"),
    zstd(content, "--no-check", `--stream-size=${content.length}`),
  ]);
  fc.assert(
    fc.property(fc.constantFrom(...frames), fc.array(fc.nat(400_000), { maxLength: 5 }), (frame, cuts) => {
      const bytes = Buffer.concat([frame, Buffer.from("and more")]);
      const header = checkHeader(bytes, undefined)!;
      const places = [
        0,
        ...cuts.map((cut) => Math.min(cut, bytes.length)).sort((a, b) => a - b),
        bytes.length,
      ];
      const end = new FrameEnd(header);
      let taken = 0;
      for (const [i, from] of places.slice(0, -1).entries()) {
        const chunk = bytes.subarray(from, places[i + 1]);
        expect(end.isReached).toBe(taken === frame.length);
        taken += end.take(chunk);
      }
      expect(end.isReached).toBe(true);
      expect(taken).toBe(frame.length);
    }),
  );
});

it("is not at the end of a frame that was cut", () => {
  const frame = zstd(randomBytes(1000), "--check");
  for (let size = 18; size < frame.length; size++) {
    const end = new FrameEnd(checkHeader(frame, undefined)!);
    expect(end.take(frame.subarray(0, size))).toBe(size);
    expect(end.isReached).toBe(false);
  }
});

it("tells the windows that Nix never uses", () => {
  const content = Buffer.alloc(20_000_000);
  expect(wantsLargeWindow(zstd(content, "-19"))).toBe(false);
  expect(wantsLargeWindow(zstd(content, "--long=24"))).toBe(true);
});
