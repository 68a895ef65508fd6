/** Nix's version numbers, and telling Nix from those that descend from it. What a version means is for others. */

/** A release of Nix itself: `line` is "2.28", `patch` 6 for 2.28.6. */
export interface NixVersion {
  readonly line: string;
  readonly major: number;
  readonly minor: number;
  readonly patch: number;
}

/** The first line that Lix numbers: its 2.90 is no later Nix. */
const FIRST_LIX_MINOR = 90;

/**
 * Parses `2.28.6`, or `2.3` for 2.3.0. Null for anything else: a pre-release (`2.34.8pre20260501_abcdef0`) may lack
 * what the release has, and numbers from 2.90 on are those of Lix.
 */
export function parseNixVersion(text: string): NixVersion | null {
  const [, major, minor, patch] =
    /^(0|[1-9]\d{0,5})\.(0|[1-9]\d{0,5})(?:\.(0|[1-9]\d{0,5}))?$/.exec(text) ?? [];
  if (major === undefined || minor === undefined) return null;
  if (major === "2" && Number(minor) >= FIRST_LIX_MINOR) return null;
  return {
    line: `${major}.${minor}`,
    major: Number(major),
    minor: Number(minor),
    patch: Number(patch ?? 0),
  };
}

/** The oldest whose flakes are those of today. */
export const OLDEST_NIX = "2.8.0";
/** All tests run on it, on 2.26.3 and on the oldest. */
export const NEWEST_TESTED_NIX = "2.34.8";

/** What this program knows of a version. Of a newer line than the newest tested, of a pre-release or of Lix it knows nothing. */
export function standingOf(text: string): "known" | "too old" | "unknown" {
  const version = parseNixVersion(text);
  if (version === null) return "unknown";
  if (compareNixVersions(version, parseNixVersion(OLDEST_NIX)!) < 0) return "too old";
  const newest = parseNixVersion(NEWEST_TESTED_NIX)!;
  const isNewerLine =
    version.major > newest.major || (version.major === newest.major && version.minor > newest.minor);
  return isNewerLine ? "unknown" : "known";
}

/** Negative where `a` is the earlier release. */
export function compareNixVersions(a: NixVersion, b: NixVersion): number {
  return a.major - b.major || a.minor - b.minor || a.patch - b.patch;
}

/** False where the version says nothing: a pre-release, Lix. `than` is a release. */
export function isOlderNix(text: string, than: string): boolean {
  const version = parseNixVersion(text);
  return version !== null && compareNixVersions(version, parseNixVersion(than)!) < 0;
}

export interface VersionLine {
  /** "Nix", "Lix, like Nix", "Determinate Nix 3.6.7", … */
  readonly implementation: string;
  readonly version: string;
}

/** What `nix --version` prints: `nix (Nix) 2.8.0`. Null for another form. */
export function parseVersionLine(text: string): VersionLine | null {
  const [, implementation, version] = /^nix \(([^()\n]+)\) (\S+)\n?$/.exec(text) ?? [];
  return implementation === undefined || version === undefined ? null : { implementation, version };
}
