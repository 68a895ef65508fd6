/**
 * Holes of Nix itself that are public, and in which releases each is closed. Only facts that its project or the CVE
 * records published; whether a hole matters on a machine is for callers.
 *
 * Not in it: holes of macOS alone (CVE-2024-51481, CVE-2025-53819), the missing TLS check of `<nix/fetchurl.nix>`
 * (CVE-2024-47174), and those of experimental features (CVE-2026-64846 recursive-nix, GHSA-jm6c-h95p-6qhj
 * ca-derivations).
 */
import { compareNixVersions, type NixVersion, parseNixVersion } from "./version.js";

/** The month in which the table was last compared with what was public. */
export const ADVISORIES_AS_OF = "2026-09";

export interface FixedRelease {
  /** Release line, such as "2.28". */
  readonly line: string;
  readonly version: string;
}

export interface Advisory {
  /** CVE. */
  readonly id: string;
  /** The project's own advisory: https://github.com/NixOS/nix/security/advisories/GHSA-… */
  readonly ghsa: string;
  /** What can happen, one line. */
  readonly title: string;
  /**
   * Who can use it. `users`: whoever may have the daemon build or import; `contents`: whoever made what is unpacked;
   * `fetches`: whoever serves what a user fetches with certain commands.
   */
  readonly by: "users" | "contents" | "fetches";
  /** The first release with the hole; of several lines where it was backported into them. Null: since ever. */
  readonly introduced: readonly string[] | null;
  /** Sorted. Lines without an entry were never mended, but for those after the last, which began without the hole. */
  readonly fixed: readonly FixedRelease[];
  /** What a reader who compares with other sources should know. */
  readonly note: string | null;
}

/** Of 24 June 2025 (GHSA-g948-229j-48j3). 2.25 and 2.27 had ended before. */
const JUNE_2025 = releases("2.24.15", "2.26.4", "2.28.4", "2.29.1");
/** Of 7 April 2026 (GHSA-g3g9-5vj6-r3gj). */
const APRIL_2026 = releases("2.28.6", "2.29.3", "2.30.4", "2.31.4", "2.32.7", "2.33.4", "2.34.5");
/** Of 4 May 2026 (GHSA-vh5x-56v6-4368, GHSA-gr92-w2r5-qw5p). */
const MAY_2026 = releases("2.28.7", "2.29.4", "2.30.5", "2.31.5", "2.32.8", "2.33.6", "2.34.7");

/** Sorted by id. */
export const ADVISORIES: readonly Advisory[] = [
  {
    id: "CVE-2024-27297",
    ghsa: "GHSA-2ffj-w4mj-pg37",
    title:
      "a fixed-output build can hand out its open output, which is then changed after Nix has registered it",
    by: "users",
    introduced: null,
    fixed: releases("2.3.18", "2.18.2", "2.19.4", "2.20.5"),
    note: null,
  },
  {
    id: "CVE-2024-38531",
    ghsa: "GHSA-q82p-44mg-mgh5",
    title:
      "a build can open its folder to all and leave a setuid program there, with which later builds are changed",
    by: "users",
    introduced: null,
    fixed: releases("2.18.4", "2.19.5", "2.20.7", "2.21.3", "2.22.2", "2.23.1"),
    note: null,
  },
  {
    id: "CVE-2024-45593",
    ghsa: "GHSA-h4vv-h3jq-v493",
    title: "a crafted NAR writes anywhere on the disk while it is unpacked, as root where there is a daemon",
    by: "contents",
    introduced: ["2.24.0"],
    fixed: releases("2.24.6"),
    note: null,
  },
  {
    id: "CVE-2025-46415",
    ghsa: "GHSA-g948-229j-48j3",
    title: "a race lets a build have the daemon remove what lies in any folder",
    by: "users",
    introduced: null,
    fixed: JUNE_2025,
    note: null,
  },
  {
    id: "CVE-2025-46416",
    ghsa: "GHSA-g948-229j-48j3",
    title:
      "a fixed-output build can pass open files out of its sandbox, so that a local user becomes a build user",
    by: "users",
    introduced: null,
    fixed: APRIL_2026,
    note: "the CVE's record says fixed in 2.24.15, 2.26.4, 2.28.4 and 2.29.1, but a maintainer called it open on 2.31 until the releases of April 2026",
  },
  {
    id: "CVE-2025-52991",
    ghsa: "GHSA-g948-229j-48j3",
    title: "builds run in folders of temporary files that others may have prepared",
    by: "users",
    introduced: null,
    fixed: JUNE_2025,
    note: null,
  },
  {
    id: "CVE-2025-52992",
    ghsa: "GHSA-g948-229j-48j3",
    title: "what a failed build leaves keeps its permissions, so that the store can be changed from outside",
    by: "users",
    introduced: null,
    fixed: JUNE_2025,
    note: null,
  },
  {
    id: "CVE-2025-52993",
    ghsa: "GHSA-g948-229j-48j3",
    title: "a race lets a build have the daemon give it any file",
    by: "users",
    introduced: null,
    fixed: JUNE_2025,
    note: null,
  },
  {
    id: "CVE-2026-39860",
    ghsa: "GHSA-g3g9-5vj6-r3gj",
    title: "a fixed-output build plants a symlink through which the daemon, as root, overwrites any file",
    by: "users",
    // It came with the fix of CVE-2024-27297.
    introduced: ["2.18.2", "2.19.4", "2.20.5", "2.21.0"],
    fixed: APRIL_2026,
    note: null,
  },
  {
    id: "CVE-2026-44028",
    ghsa: "GHSA-vh5x-56v6-4368",
    title:
      "a NAR nested too deeply overflows the daemon's stack into its memory, which can make its sender root",
    by: "users",
    introduced: ["2.24.4"],
    fixed: MAY_2026,
    note: "the CVE's number was given to a hole of Lix as well; the project's advisory tells them apart",
  },
  {
    id: "CVE-2026-44029",
    ghsa: "GHSA-gr92-w2r5-qw5p",
    title:
      "an archive writes anywhere on the disk when nix-prefetch-url or nix store prefetch-file unpacks it",
    by: "fetches",
    introduced: ["2.24.7"],
    fixed: MAY_2026,
    note: null,
  },
];

/**
 * The holes that a release of Nix has by its number, sorted by id; null where the number tells nothing (a pre-release,
 * another implementation). A distribution may have closed one without changing the number.
 */
export function advisoriesFor(version: string): readonly Advisory[] | null {
  const parsed = parseNixVersion(version);
  if (parsed === null) return null;
  return ADVISORIES.filter((advisory) => hasBegun(advisory, parsed) && !isFixed(advisory, parsed));
}

/** The first release of each line that has none of these holes, sorted: what to install, or a later line. */
export function soundReleases(): string[] {
  const versions = new Set(ADVISORIES.flatMap(({ fixed }) => fixed.map(({ version }) => version)));
  const sound = [...versions].filter((version) => advisoriesFor(version)?.length === 0);
  return sound.sort((a, b) => compareNixVersions(known(a), known(b)));
}

function hasBegun({ introduced }: Advisory, version: NixVersion): boolean {
  if (introduced === null) return true;
  const first = introduced.map(known).sort(compareNixVersions);
  const ofLine = first.find(({ line }) => line === version.line);
  return compareNixVersions(version, ofLine ?? first.at(-1)!) >= 0;
}

function isFixed({ fixed }: Advisory, version: NixVersion): boolean {
  const mended = fixed.map((release) => known(release.version)).sort(compareNixVersions);
  const ofLine = mended.find(({ line }) => line === version.line);
  return compareNixVersions(version, ofLine ?? mended.at(-1)!) >= 0;
}

function releases(...versions: string[]): FixedRelease[] {
  return versions.map((version) => ({ line: known(version).line, version }));
}

/** A version of the table itself. */
function known(version: string): NixVersion {
  const parsed = parseNixVersion(version);
  if (parsed === null) throw new TypeError(`not a version: ${version}`);
  return parsed;
}
