/**
 * Store paths as text, and how Nix derives them from contents (nix: libstore/store-api.cc, "Store path
 * generation"). Content addresses are in content-address.ts; which derivation hash goes in is derivation
 * territory.
 *
 * A computed path is returned as its full text, since that is what it is compared with.
 */
import { fail } from "../errors.js";
import { encodeBase32 } from "./base32.js";
import { excerpt } from "./excerpt.js";
import { fold20, formatHex, formatPrefixedHex, type Hash, hashOf } from "./hash.js";

/** An absolute directory without trailing slash. A value, since stores elsewhere have other paths for the same contents. */
export type StoreDir = string;

export const DEFAULT_STORE_DIR: StoreDir = "/nix/store";

export interface StorePath {
  readonly storeDir: StoreDir;
  /** 32 base32 digits. */
  readonly hashPart: string;
  readonly name: string;
}

/** Flat: the file's own bytes are hashed. NAR ("recursive" in Nix's older words): its serialisation is. */
export type FileIngestionMethod = "flat" | "nar";

export interface References {
  /** Full store paths, without the path itself. */
  readonly references: readonly string[];
  /** Whether the path references itself. */
  readonly self: boolean;
}

const NO_REFERENCES: References = { references: [], self: false };

export const HASH_PART_LENGTH = 32;
const MAX_NAME_LENGTH = 211;
const MAX_STORE_DIR_LENGTH = 1024;

/** Checks that `text` can be a store directory: absolute, normalised, no characters that separate fields. Throws STORE_PATH_INVALID. */
export function parseStoreDir(text: string): StoreDir {
  const ok =
    text.length <= MAX_STORE_DIR_LENGTH &&
    /^(\/[0-9a-zA-Z+._?=-]+)+$/.test(text) &&
    !text.split("/").some((part) => part === "." || part === "..");
  return ok
    ? text
    : fail("STORE_PATH_INVALID", {
        expected: "an absolute, normalised store directory",
        actual: excerpt(text),
      });
}

/** Parses a full store path directly below `storeDir`. Throws STORE_PATH_INVALID. */
export function parseStorePath(text: string, storeDir: StoreDir = DEFAULT_STORE_DIR): StorePath {
  if (!text.startsWith(`${storeDir}/`)) {
    fail("STORE_PATH_INVALID", { expected: `a path in ${storeDir}`, actual: excerpt(text) });
  }
  return parseBaseName(text.slice(storeDir.length + 1), storeDir);
}

/** Parses `<hash part>-<name>`. Throws STORE_PATH_INVALID. */
export function parseBaseName(text: string, storeDir: StoreDir = DEFAULT_STORE_DIR): StorePath {
  if (text[HASH_PART_LENGTH] !== "-" || !isHashPart(text.slice(0, HASH_PART_LENGTH))) {
    fail("STORE_PATH_INVALID", { expected: "32 base32 digits and a dash", actual: excerpt(text) });
  }
  const name = checkName(text.slice(HASH_PART_LENGTH + 1));
  return { storeDir, hashPart: text.slice(0, HASH_PART_LENGTH), name };
}

export function isHashPart(text: string): boolean {
  return /^[0-9abcdfghijklmnpqrsvwxyz]{32}$/.test(text);
}

export function formatStorePath(path: StorePath): string {
  return `${path.storeDir}/${formatBaseName(path)}`;
}

export function formatBaseName(path: StorePath): string {
  return `${path.hashPart}-${path.name}`;
}

/**
 * The rule that all paths share: the folded SHA-256 of `type:hash:store:name`.
 * `hash` is a SHA-256. Throws STORE_PATH_INVALID for a name that no store path can have.
 */
export function makeStorePath(
  type: string,
  hash: Hash,
  name: string,
  storeDir: StoreDir = DEFAULT_STORE_DIR,
): string {
  checkName(name);
  const fingerprint = `${type}:${formatPrefixedHex(hash)}:${storeDir}:${name}`;
  return `${storeDir}/${encodeBase32(fold20(hashOf("sha256", fingerprint)))}-${name}`;
}

/** The path of a text (builtins.toFile, a .drv): `hash` is the SHA-256 of its bytes. */
export function makeTextPath(
  hash: Hash,
  name: string,
  references: readonly string[],
  storeDir: StoreDir = DEFAULT_STORE_DIR,
): string {
  return makeStorePath(typeWithReferences("text", { references, self: false }), hash, name, storeDir);
}

/** The path of a source, or of a recursive SHA-256 fixed output: `hash` is its NAR's SHA-256. */
export function makeSourcePath(
  hash: Hash,
  name: string,
  references: References = NO_REFERENCES,
  storeDir: StoreDir = DEFAULT_STORE_DIR,
): string {
  return makeStorePath(typeWithReferences("source", references), hash, name, storeDir);
}

/**
 * The path of a fixed output without references, for every method and algorithm. `name` is the output's
 * (see `outputPathName`). One with references exists as a source only: `makeSourcePath`.
 */
export function makeFixedOutputPath(
  method: FileIngestionMethod,
  hash: Hash,
  name: string,
  storeDir: StoreDir = DEFAULT_STORE_DIR,
): string {
  if (method === "nar" && hash.algorithm === "sha256")
    return makeSourcePath(hash, name, NO_REFERENCES, storeDir);
  const inner = hashOf(
    "sha256",
    `fixed:out:${method === "nar" ? "r:" : ""}${hash.algorithm}:${formatHex(hash)}:`,
  );
  return makeStorePath("output:out", inner, name, storeDir);
}

/** The path of an input-addressed output: `hash` is its derivation's hash modulo fixed outputs, `name` the derivation's. */
export function makeOutputPath(
  output: string,
  hash: Hash,
  name: string,
  storeDir: StoreDir = DEFAULT_STORE_DIR,
): string {
  return makeStorePath(`output:${output}`, hash, outputPathName(name, output), storeDir);
}

/** The name part of an output's path: the derivation's name, with the output's unless that is `out`. */
export function outputPathName(name: string, output: string): string {
  return output === "out" ? name : `${name}-${output}`;
}

/** What both Nix 2.8 and newer accept: those also refuse names whose first dash-separated part is `.` or `..`. */
function checkName(name: string): string {
  const ok = name.length <= MAX_NAME_LENGTH && /^[0-9a-zA-Z+._?=-]+$/.test(name) && !/^\.\.?(-|$)/.test(name);
  return ok ? name : fail("STORE_PATH_INVALID", { expected: "a store path name", actual: excerpt(name) });
}

function typeWithReferences(type: string, { references, self }: References): string {
  return [type, ...[...references].sort(), ...(self ? ["self"] : [])].join(":");
}
