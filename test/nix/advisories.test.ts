import { describe, expect, it } from "vitest";
import { ADVISORIES, advisoriesFor, parseNixVersion } from "../../src/nix/advisories.js";

const open = (text: string) => advisoriesFor(parseNixVersion(text)!).map(({ id }) => id);

describe("known holes of Nix", () => {
  it.each(
    ADVISORIES.flatMap(({ id, fixed, fixedFrom }) => [...fixed, fixedFrom].map((version) => [id, version])),
  )("%s is closed in %s, and open in the version before it in its line", (id, version) => {
    expect(open(version!)).not.toContain(id);
    const [major, minor, patch] = version!.split(".").map(Number);
    // The first of a line has none before it there; the line before is open.
    const before = patch === 0 ? `${major}.${minor! - 1}.0` : `${major}.${minor}.${patch! - 1}`;
    expect(open(before)).toContain(id);
  });

  it("begin where they were made", () => {
    expect(open("2.23.9")).not.toContain("CVE-2024-45593");
    expect(open("2.24.0")).toContain("CVE-2024-45593");
    expect(open("2.8.0")).not.toContain("CVE-2026-39860");
    expect(open("2.21.0")).toContain("CVE-2026-39860");
  });

  it("stay open in lines that nobody mended", () => {
    expect(open("2.25.5")).toEqual(expect.arrayContaining(["CVE-2025-46415", "CVE-2026-44028"]));
    expect(open("2.27.1")).toContain("CVE-2025-52993");
  });

  it("are none in the newest", () => {
    expect(open("2.34.7")).toEqual([]);
    expect(open("2.34.8")).toEqual([]);
    expect(open("2.35.0pre20261101_abc")).toEqual([]);
  });

  it.each(["2.91.1", "2.93.3 (Lix)", "3.8.5", "2.8.0-dirty!", "", "nix", "2", "2.8.0.1"])(
    "are not known of %j",
    (text) => {
      expect(parseNixVersion(text)).toBeNull();
    },
  );
});
