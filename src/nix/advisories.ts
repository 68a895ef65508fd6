/**
 * Known holes of Nix itself, and the versions that close them: by the advisories of NixOS/nix (GHSA-2ffj-w4mj-pg37,
 * -q82p-44mg-mgh5, -h4vv-h3jq-v493, -g948-229j-48j3, -g3g9-5vj6-r3gj, and of CVE-2026-44028) and its release notes. Where a hole was
 * closed in lines whose numbers are not known to us, those lines count as open.
 *
 * A version's number is all that is looked at: a distribution may have closed a hole without changing it.
 */

/** Numbers of a version: line and patch. */
export interface NixVersion {
  readonly major: number;
  readonly minor: number;
  readonly patch: number;
}

export interface Advisory {
  readonly id: string;
  /** What it lets whom do. */
  readonly title: string;
  /** Versions from this one on are open; absent: all are. */
  readonly since?: string;
  /** Closed from these on, each within its own line. */
  readonly fixed: readonly string[];
  /** Closed in this version and all that follow it. */
  readonly fixedFrom: string;
}

const BUILD_DIRECTORY = "who may build can win a race for a build's directory, and so root";
const JUNE_2025 = ["2.24.15", "2.26.4", "2.28.4", "2.29.1"];

export const ADVISORIES: readonly Advisory[] = [
  {
    id: "CVE-2024-27297",
    title: "fixed-output builds can change their output after it was registered",
    fixed: ["2.3.18", "2.18.2", "2.19.4", "2.20.5"],
    fixedFrom: "2.21.0",
  },
  {
    id: "CVE-2024-38531",
    title: "a build's directory can be reached from outside of its sandbox",
    fixed: [],
    fixedFrom: "2.24.0",
  },
  {
    id: "CVE-2024-45593",
    title: "a NAR can write anywhere while it is unpacked",
    since: "2.24.0",
    fixed: [],
    fixedFrom: "2.24.6",
  },
  { id: "CVE-2025-46415", title: BUILD_DIRECTORY, fixed: JUNE_2025, fixedFrom: "2.30.0" },
  {
    id: "CVE-2025-46416",
    title: "fixed-output builds can pass open files to each other, and so root",
    fixed: JUNE_2025,
    fixedFrom: "2.30.0",
  },
  { id: "CVE-2025-52991", title: BUILD_DIRECTORY, fixed: JUNE_2025, fixedFrom: "2.30.0" },
  { id: "CVE-2025-52992", title: BUILD_DIRECTORY, fixed: JUNE_2025, fixedFrom: "2.30.0" },
  { id: "CVE-2025-52993", title: BUILD_DIRECTORY, fixed: JUNE_2025, fixedFrom: "2.30.0" },
  {
    id: "CVE-2026-39860",
    title: "who may build can overwrite any file as the daemon, which is root",
    since: "2.18.2",
    fixed: ["2.28.6", "2.29.3", "2.30.4", "2.31.4", "2.32.7", "2.33.4"],
    fixedFrom: "2.34.5",
  },
  {
    id: "CVE-2026-44028",
    title: "a deeply nested NAR can overflow the daemon's stack, and so root (verify refuses such a NAR)",
    fixed: ["2.28.7", "2.29.4", "2.30.5", "2.31.5", "2.32.8", "2.33.6"],
    fixedFrom: "2.34.7",
  },
];

/** `2.34.8`, `2.35.0pre2026…`; null for what is no version of Nix itself (Lix, Determinate, …). */
export function parseNixVersion(text: string): NixVersion | null {
  const [, major, minor, patch] = /^(\d{1,3})\.(\d{1,3})(?:\.(\d{1,5}))?(?:pre[\w.-]*)?$/.exec(text) ?? [];
  // Lix counts its lines from 90.
  if (major !== "2" || minor === undefined || Number(minor) >= 90) return null;
  return { major: 2, minor: Number(minor), patch: Number(patch ?? 0) };
}

/** Those that this version has, by its number. */
export function advisoriesFor(version: NixVersion): Advisory[] {
  return ADVISORIES.filter((advisory) => isOpen(version, advisory));
}

function isOpen(version: NixVersion, { since, fixed, fixedFrom }: Advisory): boolean {
  if (since !== undefined && compare(version, known(since)) < 0) return false;
  if (compare(version, known(fixedFrom)) >= 0) return false;
  const inLine = fixed.map(known).find(({ minor }) => minor === version.minor);
  return inLine === undefined || compare(version, inLine) < 0;
}

function known(text: string): NixVersion {
  const version = parseNixVersion(text);
  if (version === null) throw new TypeError(`no version: ${text}`);
  return version;
}

function compare(a: NixVersion, b: NixVersion): number {
  return a.major - b.major || a.minor - b.minor || a.patch - b.patch;
}
