/**
 * Content addresses: the `CA:` field of a narinfo, and the store path that follows from one. Whether
 * contents have the hash that it names is for whoever reads them.
 */
import { fail } from "../errors.js";
import { excerpt } from "./excerpt.js";
import { formatNix32, type Hash, parseNix32 } from "./hash.js";
import {
  DEFAULT_STORE_DIR,
  type FileIngestionMethod,
  makeFixedOutputPath,
  makeSourcePath,
  makeTextPath,
  type References,
  type StoreDir,
} from "./store-path.js";

export type ContentAddress =
  | { readonly kind: "text"; readonly hash: Hash }
  | { readonly kind: "fixed"; readonly method: FileIngestionMethod; readonly hash: Hash };

/** Parses `text:sha256:<b32>`, `fixed:<algorithm>:<b32>` or `fixed:r:<algorithm>:<b32>`. Throws CONTENT_ADDRESS_INVALID, HASH_INVALID, BASE32_INVALID. */
export function parseContentAddress(text: string): ContentAddress {
  if (text.startsWith("fixed:r:")) return { kind: "fixed", method: "nar", hash: parseNix32(text.slice(8)) };
  if (text.startsWith("fixed:")) return { kind: "fixed", method: "flat", hash: parseNix32(text.slice(6)) };
  if (text.startsWith("text:sha256:")) return { kind: "text", hash: parseNix32(text.slice(5)) };
  return fail("CONTENT_ADDRESS_INVALID", {
    expected: "text:sha256:…, fixed:… or fixed:r:…",
    actual: excerpt(text),
  });
}

export function formatContentAddress(ca: ContentAddress): string {
  if (ca.kind === "text") return `text:${formatNix32(ca.hash)}`;
  return `fixed:${ca.method === "nar" ? "r:" : ""}${formatNix32(ca.hash)}`;
}

/**
 * The one store path that a content address, a name and references lead to.
 * For a path that references itself, `ca` holds the hash modulo self-references, not the NAR's.
 * Throws CONTENT_ADDRESS_INVALID when the kind cannot have such references.
 */
export function pathFromContentAddress(
  ca: ContentAddress,
  name: string,
  references: References,
  storeDir: StoreDir = DEFAULT_STORE_DIR,
): string {
  if (ca.kind === "text" && !references.self)
    return makeTextPath(ca.hash, name, references.references, storeDir);
  if (ca.kind === "fixed" && ca.method === "nar" && ca.hash.algorithm === "sha256") {
    return makeSourcePath(ca.hash, name, references, storeDir);
  }
  if (ca.kind === "fixed" && !references.self && references.references.length === 0) {
    return makeFixedOutputPath(ca.method, ca.hash, name, storeDir);
  }
  return fail("CONTENT_ADDRESS_INVALID", {
    subject: name,
    expected: ca.kind === "text" ? "no reference to itself" : "no references",
    actual: formatContentAddress(ca),
  });
}
