import { describe, expect, it } from "vitest";
import { parseVariables, variableSecrets } from "../../../src/ops/pack/environment.js";

const code = (code: string) => expect.objectContaining({ code });

describe("--env", () => {
  it("names variables, sorted, with everything behind the first = as the value", () => {
    expect(parseVariables(["B=x=y", "A="])).toEqual([
      { name: "A", value: "" },
      { name: "B", value: "x=y" },
    ]);
  });

  it.each([["NAME"], ["=x"], ["A=1", "A=2"], ["HOME=/x"], ["A=a\nb"]])("refuses %j", (...texts) => {
    expect(() => parseVariables(texts)).toThrow(code("USAGE"));
  });

  it("refuses more than any product needs", () => {
    expect(() => parseVariables(Array.from({ length: 101 }, (_, i) => `A${i}=`))).toThrow(code("USAGE"));
  });

  it("never repeats a value that it refuses", () => {
    try {
      parseVariables(["BAD NAME=the secret"]);
      expect.unreachable();
    } catch (error) {
      expect(JSON.stringify((error as { details: unknown }).details)).not.toContain("the secret");
    }
  });
});

describe("a variable that looks like a secret", () => {
  const ssh = "-----BEGIN OPENSSH PRIVATE KEY-----";
  it.each([
    ["LICENCE_TOKEN", "x"],
    ["DB_PASSWORD", "x"],
    ["PLAIN", ssh],
    ["PLAIN", `ghp_${"a".repeat(36)}`],
  ])("%s is refused unless it is allowed by name, and its value is not repeated", (name, value) => {
    const found = variableSecrets([{ name, value }], []);
    expect(found.map(({ code, subject }) => [code, subject])).toEqual([["SECRET_FOUND", `env:${name}`]]);
    expect(JSON.stringify(found)).not.toContain(`"${value}"`);
    expect(variableSecrets([{ name, value }], [`env:${name}`])).toEqual([]);
  });

  it("is not one that only names a key's place", () => {
    expect(
      variableSecrets(
        [
          { name: "PUMP_VARIANT", value: "eu" },
          { name: "KEYMAP", value: "de" },
        ],
        [],
      ),
    ).toEqual([]);
  });
});
