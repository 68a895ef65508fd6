/**
 * Every name in a bundle (docs/format.md, section 1): its grammar, how names are made, how large a file under one
 * may be, and the order in which a tar has them. Opens nothing, and does not know which of the names one bundle has.
 */
import { type Finding, fail } from "../errors.js";
import { excerpt } from "../nix/excerpt.js";
import { parseStorePath } from "../nix/store-path.js";
import { MAX_ENVELOPE } from "../trust/dsse.js";

export const DOCUMENT_NAME = "bundle.json";
export const VERIFY_NAME = "VERIFY.md";
export const CACHE_INFO_NAME = "nix-cache-info";
export const OCI_LAYOUT_NAME = "oci-layout";
export const ROOTS_NAME = "roots.txt";
export const INDEX_NAME = "index.json";
/** Nix wants these folders on a read-only medium; the files make a tar, or git, carry them. */
export const KEEP_NAMES: readonly string[] = ["log/.keep", "nar/.keep", "realisations/.keep"];

/** The folders of the directory form. */
export const FOLDERS: ReadonlySet<string> = new Set([
  "approvals",
  "blobs",
  "blobs/sha256",
  "docs",
  "log",
  "nar",
  "realisations",
]);

export type FileKind = "document" | "derived" | "index" | "narinfo" | "doc" | "blob" | "approval";

const MEBIBYTE = 1024 * 1024;
/** Of 70,000 store paths. */
export const MAX_DOCUMENT_SIZE = 64 * MEBIBYTE;
export const MAX_APPROVAL_SIZE = MAX_ENVELOPE;
/** Parsed, whoever wrote it; what OCI tools write has some hundred bytes. */
export const MAX_INDEX_SIZE = MEBIBYTE;
/** Also of an OCI manifest and the tar of narinfos, whose names are those of blobs. */
export const MAX_DERIVED_SIZE = 64 * MEBIBYTE;
/** Of 150,000 store paths. Names are held in memory before anybody is trusted. */
export const MAX_FILES = 300_000;
export const MAX_APPROVALS = 1000;

const FIXED: ReadonlyMap<string, FileKind> = new Map<string, FileKind>([
  [DOCUMENT_NAME, "document"],
  [INDEX_NAME, "index"],
  ...[VERIFY_NAME, CACHE_INFO_NAME, OCI_LAYOUT_NAME, ROOTS_NAME, ...KEEP_NAMES].map(
    (name): [string, FileKind] => [name, "derived"],
  ),
]);

const GRAMMAR: readonly (readonly [FileKind, RegExp])[] = [
  ["blob", /^blobs\/sha256\/[0-9a-f]{64}$/],
  ["narinfo", /^[0-9abcdfghijklmnpqrsvwxyz]{32}\.narinfo$/],
  ["doc", /^docs\/[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/],
  ["approval", /^approvals\/[a-z0-9][a-z0-9._-]{0,31}-[0-9a-f]{32}\.sigstore\.json$/],
];

/** Longest name that the grammar has is 89 bytes: nothing longer is looked at. */
const MAX_NAME = 100;

/** What kind of file a name is; null when no bundle has such a name. */
export function classify(name: string): FileKind | null {
  if (name.length > MAX_NAME) return null;
  return FIXED.get(name) ?? GRAMMAR.find(([, pattern]) => pattern.test(name))?.[0] ?? null;
}

/** Bytes that a file of this kind may have before anything is read; blobs and docs are bounded by the document. */
export function capOf(kind: FileKind): number {
  switch (kind) {
    case "document":
      return MAX_DOCUMENT_SIZE;
    case "approval":
      return MAX_APPROVAL_SIZE;
    case "index":
      return MAX_INDEX_SIZE;
    case "derived":
    case "narinfo":
      return MAX_DERIVED_SIZE;
    case "doc":
    case "blob":
      return Number.MAX_SAFE_INTEGER;
  }
}

/** The legal name, or folder, that `name` is when its letters' case is not looked at; null if there is none. */
export function withRightCase(name: string): string | null {
  if (name.length > MAX_NAME) return null;
  const lower = name.toLowerCase();
  if (FOLDERS.has(lower) || classify(lower) !== null) return lower;
  return lower === VERIFY_NAME.toLowerCase() ? VERIFY_NAME : null;
}

/** `sha256`: 64 hex digits. */
export function blobName(sha256: string): string {
  return legal(`blobs/sha256/${sha256}`);
}

/** `storePath`: in full, in any store directory's default. Throws STORE_PATH_INVALID. */
export function narinfoName(storePath: string): string {
  return `${parseStorePath(storePath).hashPart}.narinfo`;
}

/** `name`: as the document lists it. */
export function docName(name: string): string {
  return legal(`docs/${name}`);
}

/** `keyHash`: hex SHA-256 of the key's SPKI DER, of which the first 32 digits count. */
export function approvalName(role: string, keyHash: string): string {
  return legal(`approvals/${role}-${keyHash.slice(0, 32)}.sigstore.json`);
}

function legal(name: string): string {
  return classify(name) === null ? fail("NAME_ILLEGAL", { subject: excerpt(name) }) : name;
}

/**
 * Sorts the names of one bundle as its tar has them (docs/format.md, section 8). `tailBlobs`: names of the blobs that
 * signing changes, which stand near the end with the approvals.
 */
export function tarOrder(names: Iterable<string>, tailBlobs: ReadonlySet<string>): string[] {
  const ranked = [...names].map((name) => ({ name, rank: tarRank(name, tailBlobs) }));
  ranked.sort((a, b) => a.rank - b.rank || (a.name < b.name ? -1 : a.name > b.name ? 1 : 0));
  return ranked.map(({ name }) => name);
}

/** From here on the ranks are those of the tail. */
const TAIL = 4;

/** Whether signing may change this member. */
export function isTail(name: string, tailBlobs: ReadonlySet<string>): boolean {
  return tarRank(name, tailBlobs) >= TAIL;
}

function tarRank(name: string, tailBlobs: ReadonlySet<string>): number {
  switch (classify(name)) {
    case "document":
      return 0;
    case "derived":
    case "narinfo":
      return 1;
    case "doc":
      return 2;
    case "blob":
      return tailBlobs.has(name) ? TAIL + 1 : 3;
    case "approval":
      return TAIL;
    case "index":
      return TAIL + 2;
    case null:
      return fail("NAME_ILLEGAL", { subject: excerpt(name) });
  }
}

/**
 * Whether members stand in the canonical order, as far as they are expected and there: what is missing or unlisted
 * has findings of its own. At most one TAR_ORDER.
 */
export function checkTarOrder(names: Iterable<string>, expected: Iterable<string>): Finding[] {
  const present = new Set(names);
  const order = [...expected].filter((name) => present.has(name));
  const known = new Set(order);
  let at = 0;
  for (const name of present) {
    if (!known.has(name)) continue;
    if (name !== order[at]) return [{ code: "TAR_ORDER", subject: name, expected: `${order[at]} here` }];
    at++;
  }
  return [];
}
