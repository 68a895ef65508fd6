/** The documents say what the program does. */
import { existsSync, readFileSync } from "node:fs";
import { resolve } from "node:path";
import { describe, expect, it } from "vitest";
// @ts-expect-error: a script without types
import { findingsPage } from "../scripts/findings.mjs";
import { CODES } from "../src/errors.js";
import { parsePolicy } from "../src/trust/policy.js";

const read = (name: string) => readFileSync(resolve(import.meta.dirname, "..", name), "utf8");

describe("docs/findings.md", () => {
  it("is what the registry of codes gives (else run: node scripts/findings.mjs)", () => {
    expect(read("docs/findings.md")).toBe(findingsPage(CODES));
  });
});

describe("docs/policy.example.json", () => {
  it("is a policy that works, with comments", () => {
    const { document, keys } = parsePolicy(Buffer.from(read("docs/policy.example.json")), "the example");
    expect(keys.size).toBe(4);
    expect(document.comment).toBeDefined();
    expect(document.signers.some(({ comment }) => comment !== undefined)).toBe(true);
  });
});

describe.each(["docs/threat-model.md", "docs/nix-behaviour.md"])("%s", (name) => {
  it("names tests that exist", () => {
    const page = read(name);
    const named = [...page.matchAll(/`(test\/[\w./-]+\.ts)`/g)].map(([, path]) => path!);
    expect(named.length).toBeGreaterThan(10);
    expect(named.filter((path) => !existsSync(resolve(import.meta.dirname, "..", path)))).toEqual([]);
  });
});

describe("docs/threat-model.md", () => {
  it("numbers its promises", () => {
    const rows = [...read("docs/threat-model.md").matchAll(/^\| (\d+) \|/gm)].map(([, n]) => Number(n));
    expect(rows).toEqual(rows.map((_, i) => i + 1));
  });
});

describe("docs/format.md", () => {
  it("names only codes that exist", () => {
    const table = read("docs/format.md").split("## 10. Verification")[1]!.split("V7 in full")[0]!;
    const named = [...table.matchAll(/`([A-Z][A-Z0-9_]+)`/g)].map(([, code]) => code!);
    expect(named.length).toBeGreaterThan(40);
    expect(named.filter((code) => !Object.hasOwn(CODES, code))).toEqual([]);
  });
});
