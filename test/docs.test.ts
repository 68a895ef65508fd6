/** The documents say what the program does. */
import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { describe, expect, it } from "vitest";
// @ts-expect-error: a script without types
import { findingsPage } from "../scripts/findings.mjs";
import { CODES } from "../src/errors.js";

const read = (name: string) => readFileSync(resolve(import.meta.dirname, "..", name), "utf8");

describe("docs/findings.md", () => {
  it("is what the registry of codes gives (else run: node scripts/findings.mjs)", () => {
    expect(read("docs/findings.md")).toBe(findingsPage(CODES));
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
