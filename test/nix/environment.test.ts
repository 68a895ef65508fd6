import { describe, expect, it } from "vitest";
import { isNeededByNix, MAX_VALUE, variableProblem } from "../../src/nix/environment.js";

describe("a variable", () => {
  it.each(["PUMP_VARIANT", "_", "PWD", "USER", "a1", "CI"])("%s may be named", (name) => {
    expect(variableProblem({ name, value: "" })).toBeNull();
  });

  it.each([
    [
      "Nix's own",
      ["NIX_PATH", "NIX_CONF_DIR", "HOME", "XDG_CACHE_HOME", "PATH", "TMPDIR", "https_proxy", "NO_PROXY"],
    ],
    ["what git and ssh go by", ["GIT_DIR", "SSH_AUTH_SOCK", "SSL_CERT_FILE"]],
    ["what changes a program", ["LD_PRELOAD", "NODE_OPTIONS", "BASH_ENV", "IFS", "GLIBC_TUNABLES"]],
    ["no name", ["", "1A", "A-B", "A B", "Ä", "A\n", "A".repeat(129)]],
  ])("may not be %s", (_, names) => {
    expect(names.filter((name) => variableProblem({ name, value: "" }) === null)).toEqual([]);
  });

  it("has one line of text as its value", () => {
    const problem = (value: string) => variableProblem({ name: "A", value });
    expect(problem("日本 'x' \"$y\" = \\ `z`")).toBeNull();
    expect(problem("x".repeat(MAX_VALUE))).toBeNull();
    for (const value of ["x".repeat(MAX_VALUE + 1), "a\nb", "\t", "\x1b[31m", "\x7f", "\ud800"]) {
      expect(problem(value), JSON.stringify(value)).not.toBeNull();
    }
  });
});

it("of what is the user's, Nix needs where things are, and not what is evaluated", () => {
  expect(["PATH", "HOME", "NIX_CONF_DIR", "SSH_AUTH_SOCK", "http_proxy"].every(isNeededByNix)).toBe(true);
  expect(["NIX_PATH", "USER", "PUMP_VARIANT", "PWD", "EDITOR"].some(isNeededByNix)).toBe(false);
});
