import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { chooseSequence, compareWith } from "../../../src/ops/pack/previous.js";
import { makeRelease } from "../../support/release.js";

describe("the sequence", () => {
  it("is the flake's time, or one more than the previous where that is not more", () => {
    expect(chooseSequence(undefined, 1000, null)).toBe(1000);
    expect(chooseSequence(undefined, 1000, { sequence: 999 })).toBe(1000);
    expect(chooseSequence(undefined, 1000, { sequence: 1000 })).toBe(1001);
    expect(chooseSequence(undefined, 0, { sequence: 1000 })).toBe(1001);
  });

  it("always grows, and what was given is taken or refused, never changed", () => {
    const number = fc.nat(50);
    fc.assert(
      fc.property(fc.option(number, { nil: undefined }), number, number, (given, time, sequence) => {
        if (given !== undefined && given <= sequence) {
          expect(() => chooseSequence(given, time, { sequence })).toThrow("--sequence");
          return;
        }
        const chosen = chooseSequence(given, time, { sequence });
        expect(chosen).toBeGreaterThan(sequence);
        if (given !== undefined) expect(chosen).toBe(given);
      }),
    );
  });
});

it("a path is reused where both name and content are as before", () => {
  const { paths } = makeRelease().document;
  const [kept, changed, ...fresh] = paths;
  const before = new Map([
    [kept!.storePath, { narHash: kept!.narHash, blobSize: 1 }],
    [changed!.storePath, { narHash: kept!.narHash, blobSize: 1 }],
    [`/nix/store/${"0".repeat(32)}-gone`, { narHash: kept!.narHash, blobSize: 1 }],
  ]);
  expect(compareWith({ sequence: 1, sha256: "00", paths: before }, paths)).toEqual({
    sequence: 1,
    sha256: "00",
    reused: { paths: 1, narBytes: kept!.narSize },
    new: {
      paths: fresh.length + 1,
      narBytes: [changed!, ...fresh].reduce((sum, { narSize }) => sum + narSize, 0),
    },
  });
});
