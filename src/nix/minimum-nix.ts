/**
 * The oldest Nix that can evaluate a flake, as far as its lock tells. What each reads was measured on 2.8.0, 2.26.3 and
 * 2.34.8; no release in between was tried, so that what 2.8.0 cannot read is said to need 2.26.0.
 */
import type { LockAttributes, LockedInput } from "./flake-lock.js";
import { isOlderNix, OLDEST_NIX } from "./version.js";

const NEWER = "2.26.0";
/** The first that knows `inputs.self.submodules`, by its release notes. */
const SELF_ATTRIBUTES = "2.27.0";

/** Attributes of an input that 2.8.0 takes, by its type; it refuses any other. Source: libfetchers of 2.8.0, `inputFromAttrs`. */
const KNOWN: Readonly<Record<string, readonly string[]>> = {
  git: [
    "url",
    "ref",
    "rev",
    "shallow",
    "submodules",
    "lastModified",
    "revCount",
    "narHash",
    "allRefs",
    "name",
  ],
  github: ["owner", "repo", "ref", "rev", "narHash", "lastModified", "host"],
  gitlab: ["owner", "repo", "ref", "rev", "narHash", "lastModified", "host"],
  sourcehut: ["owner", "repo", "ref", "rev", "narHash", "lastModified", "host"],
  hg: ["url", "ref", "rev", "revCount", "narHash", "name"],
  indirect: ["id", "ref", "rev", "narHash"],
  path: ["path", "rev", "revCount", "lastModified", "narHash"],
  tarball: ["url", "narHash", "name"],
};

/**
 * `hasSelfAttributes`: whether a flake.nix says how it wants to be fetched itself (`inputs.self`). `evaluatedBy`: a Nix that
 * has evaluated it, which is proof enough for that one.
 */
export function minimumNix(
  inputs: readonly LockedInput[],
  { hasSelfAttributes, evaluatedBy }: { readonly hasSelfAttributes: boolean; readonly evaluatedBy: string },
): string {
  const wanted = hasSelfAttributes ? SELF_ATTRIBUTES : inputs.some(isNewer) ? NEWER : OLDEST_NIX;
  return isOlderNix(evaluatedBy, wanted) ? evaluatedBy : wanted;
}

function isNewer({ parent, locked, original }: LockedInput): boolean {
  return (
    parent !== undefined || hasNewAttribute(locked) || hasNewAttribute(original) || hasMovedFolder(original)
  );
}

function hasNewAttribute({ type, ...others }: LockAttributes): boolean {
  const known = KNOWN[String(type)];
  return known === undefined || Object.keys(others).some((name) => name !== "dir" && !known.includes(name));
}

/** Older Nix leaves `?dir=` in a URL too, and takes a lock that lacks it there to be out of date. */
function hasMovedFolder({ dir, url }: LockAttributes): boolean {
  return typeof dir === "string" && typeof url === "string" && !/[?&]dir=/.test(url);
}
