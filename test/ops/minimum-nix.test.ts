import { expect, it } from "vitest";
import { checkMinimumNix } from "../../src/ops/minimum-nix.js";
import { sampleDocument } from "../support/document.js";

const check = (minimumNix: string, version: string) =>
  checkMinimumNix({ ...sampleDocument(), minimumNix }, version).map(({ code, expected, actual }) => [
    code,
    expected,
    actual,
  ]);

it("says which Nix a bundle needs, and which is here, where that one is older", () => {
  expect(check("2.26.0", "2.8.0")).toEqual([["NIX_TOO_OLD", "Nix 2.26.0 or newer", "Nix 2.8.0"]]);
  expect(check("2.26.1", "2.26.0")).toHaveLength(1);
  expect(check("3.0.0", "2.34.8")).toHaveLength(1);
});

it("is content with the same, a newer one, a pre-release or a fork of a later number", () => {
  for (const here of ["2.26.0", "2.26.3", "2.34.8pre20260501_abcdef0", "2.91.1", "3.0"]) {
    expect(check("2.26.0", here)).toEqual([]);
  }
  expect(check("2.8.0", "2.8.0")).toEqual([]);
});

it("does not judge what is no number", () => {
  expect(check("2.26.0", "unstable")).toEqual([]);
});
