import { describe, expect, it } from "vitest";
import { NEWEST_TESTED_NIX, standingOf } from "../../src/nix/version.js";
import { SUITES } from "../support/debian.js";
import { installedNix } from "../support/installed-nix.js";

describe("what is known of a Nix", () => {
  it.each([
    ["2.3.16", "too old"],
    ["2.7.0", "too old"],
    ["2.8", "known"],
    ["2.8.1", "known"],
    ["2.26.3", "known"],
    ["2.34.9", "known"],
    ["2.35.0", "unknown"],
    ["3.0", "unknown"],
    ["2.93.1", "unknown"], // Lix
    ["2.34.8pre20260501_abcdef0", "unknown"],
    ["", "unknown"],
  ] as const)("%s: %s", (version, standing) => {
    expect(standingOf(version)).toBe(standing);
  });

  it("covers the Nix that these tests run on, and the newest is one of them", () => {
    expect(standingOf(installedNix())).toBe("known");
    expect([SUITES.at(-1), NEWEST_TESTED_NIX]).toEqual(["sid", "2.34.8"]);
  });
});
