/** The table of known holes: every fix and every beginning from both sides, as the projects published them. */
import { describe, expect, it } from "vitest";
import { ADVISORIES, advisoriesFor, soundReleases } from "../../src/nix/advisories.js";
import { compareNixVersions, parseNixVersion, parseVersionLine } from "../../src/nix/version.js";

const JUNE_2025 = ["2.24.15", "2.26.4", "2.28.4", "2.29.1"];
const APRIL_2026 = ["2.28.6", "2.29.3", "2.30.4", "2.31.4", "2.32.7", "2.33.4", "2.34.5"];
const MAY_2026 = ["2.28.7", "2.29.4", "2.30.5", "2.31.5", "2.32.8", "2.33.6", "2.34.7"];

/** Written down apart from the table. `also`: more releases with the hole; `not`: more without. */
const PUBLISHED: readonly {
  id: string;
  fixed: readonly string[];
  also: readonly string[];
  not: readonly string[];
}[] = [
  {
    id: "CVE-2024-27297",
    fixed: ["2.3.18", "2.18.2", "2.19.4", "2.20.5"],
    also: ["1.11.16", "2.0", "2.3", "2.4", "2.8.0", "2.17.1"],
    not: ["2.21.0", "2.24.0", "2.34.7", "3.0.0"],
  },
  {
    id: "CVE-2024-38531",
    fixed: ["2.18.4", "2.19.5", "2.20.7", "2.21.3", "2.22.2", "2.23.1"],
    also: ["2.3.18", "2.8.0", "2.17.1"],
    not: ["2.24.0", "2.28.0"],
  },
  {
    id: "CVE-2024-45593",
    fixed: ["2.24.6"],
    also: ["2.24.0"],
    not: ["2.8.0", "2.23.99", "2.25.0"],
  },
  ...["CVE-2025-46415", "CVE-2025-52991", "CVE-2025-52992", "CVE-2025-52993"].map((id) => ({
    id,
    fixed: JUNE_2025,
    also: ["2.3.18", "2.8.0", "2.25.5", "2.27.1"],
    not: ["2.30.0", "2.34.0"],
  })),
  {
    id: "CVE-2025-46416",
    fixed: APRIL_2026,
    also: ["2.8.0", "2.24.15", "2.26.4", "2.27.1"],
    not: ["2.35.0"],
  },
  {
    id: "CVE-2026-39860",
    fixed: APRIL_2026,
    also: ["2.18.2", "2.19.4", "2.20.5", "2.21.0", "2.24.15", "2.26.4", "2.30.0"],
    not: ["2.3.18", "2.8.0", "2.17.1", "2.18.1", "2.19.3", "2.20.4", "2.35.0"],
  },
  {
    id: "CVE-2026-44028",
    fixed: MAY_2026,
    also: ["2.24.4", "2.26.4", "2.27.1", "2.33.5"],
    not: ["2.8.0", "2.24.3", "2.35.0"],
  },
  {
    id: "CVE-2026-44029",
    fixed: MAY_2026,
    also: ["2.24.7", "2.26.4"],
    not: ["2.8.0", "2.24.6", "2.35.0"],
  },
];

const has = (version: string, id: string) => advisoriesFor(version)?.some((advisory) => advisory.id === id);

function before(version: string): string {
  const { line, patch } = parseNixVersion(version)!;
  return `${line}.${patch - 1}`;
}

describe("known holes", () => {
  it("are all here, sorted, each with its line's releases", () => {
    expect(ADVISORIES.map(({ id }) => id)).toEqual(PUBLISHED.map(({ id }) => id).sort());
    for (const { fixed, introduced, ghsa, title } of ADVISORIES) {
      expect(fixed.every(({ line, version }) => version.startsWith(`${line}.`))).toBe(true);
      for (const versions of [fixed.map(({ version }) => version), introduced ?? []]) {
        const parsed = versions.map((version) => parseNixVersion(version)!);
        expect([...parsed].sort(compareNixVersions)).toEqual(parsed);
      }
      expect(ghsa).toMatch(/^GHSA(-[0-9a-z]{4}){3}$/);
      expect(title).not.toMatch(/\n/);
    }
  });

  describe.each(PUBLISHED)("$id", ({ id, fixed, also, not }) => {
    it.each(fixed)("is closed in %s, and not in the release before", (version) => {
      expect([has(before(version), id), has(version, id)]).toEqual([true, false]);
    });

    it.each(also)("is in %s", (version) => expect(has(version, id)).toBe(true));
    it.each(not)("is not in %s", (version) => expect(has(version, id)).toBe(false));
  });

  it("are none in the releases to install", () => {
    expect(soundReleases()).toEqual(MAY_2026);
    expect(advisoriesFor("2.34.8")).toEqual([]);
  });

  it.each([
    "",
    "2",
    "2.34.8pre20260501_abcdef0",
    "2.8.0-dirty",
    "2.91.1",
    "2.90.0",
    "02.8.0",
    "2.08",
    "2.8.0.1",
    " 2.8.0",
    "2.8.0\n",
    "2.1234567",
  ])("cannot be told from %j", (version) => expect(advisoriesFor(version)).toBeNull());
});

describe("what nix --version prints", () => {
  it.each([
    ["nix (Nix) 2.8.0", "Nix", "2.8.0"],
    ["nix (Nix) 2.34.8\n", "Nix", "2.34.8"],
    ["nix (Lix, like Nix) 2.91.1", "Lix, like Nix", "2.91.1"],
    ["nix (Determinate Nix 3.6.7) 2.29.1", "Determinate Nix 3.6.7", "2.29.1"],
  ])("tells %j apart", (line, implementation, version) => {
    expect(parseVersionLine(line)).toEqual({ implementation, version });
  });

  it.each(["", "2.8.0", "nix 2.8.0", "nix () 2.8.0", "nix (Nix)", "warning\nnix (Nix) 2.8.0"])(
    "is not %j",
    (line) => expect(parseVersionLine(line)).toBeNull(),
  );
});
