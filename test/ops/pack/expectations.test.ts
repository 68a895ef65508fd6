import { describe, expect, it } from "vitest";
import { checkExpectations, parseExpectations } from "../../../src/ops/pack/expectations.js";

const path = (digit: string, name: string) => `/nix/store/${digit.repeat(32)}-${name}`;
const code = (code: string) => expect.objectContaining({ code });

const ROOTS = [
  {
    attr: "packages.x86_64-linux.default",
    outputs: [{ path: path("1", "pump") }, { path: path("2", "pump-dev") }],
  },
  { attr: "checks.x86_64-linux.default", outputs: [{ path: path("3", "check") }] },
];

const check = (...texts: string[]) =>
  checkExpectations(parseExpectations(texts), ROOTS).map(({ code, subject, expected, actual }) => [
    code,
    subject,
    expected,
    actual,
  ]);

describe("--expect", () => {
  it("is met by any output of the derivation, by its short or its whole name", () => {
    const whole = `packages.x86_64-linux.default=${path("1", "pump")}`;
    expect(check(`default=${path("2", "pump-dev")}`, whole)).toEqual([]);
    expect(check(`checks.x86_64-linux.default=${path("3", "check")}`)).toEqual([]);
  });

  it("names what was expected and what came", () => {
    expect(check(`default=${path("4", "pump")}`)).toEqual([
      [
        "EXPECT_DIFFERS",
        "packages.x86_64-linux.default",
        path("4", "pump"),
        `${path("1", "pump")}, ${path("2", "pump-dev")}`,
      ],
    ]);
  });

  it("is for an output that is packed, and for one", () => {
    expect(() => check(`other=${path("1", "pump")}`)).toThrow(code("USAGE"));
    const both = [...ROOTS, { ...ROOTS[0]!, attr: "packages.aarch64-linux.default" }];
    const expectation = parseExpectations([`default=${path("1", "pump")}`]);
    expect(() => checkExpectations(expectation, both)).toThrow(code("USAGE"));
  });

  it.each(["default", "default=", `=${path("1", "pump")}`, "default=/tmp/x", "default=/nix/store/short-x"])(
    "refuses %s",
    (text) => {
      expect(() => parseExpectations([text])).toThrow(code("USAGE"));
    },
  );

  it("takes an attribute with = in its name, and one as Nix writes it in a reference", () => {
    expect(parseExpectations([`"a=b"=${path("1", "x")}`, `a%20b=${path("1", "x")}`])).toEqual([
      { attr: '"a=b"', storePath: path("1", "x") },
      { attr: "a b", storePath: path("1", "x") },
    ]);
  });
});
