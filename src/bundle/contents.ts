/**
 * Every file that a document and its approvals give, and the order of a tar of them: what a writer writes and what a
 * verifier expects (docs/format.md, sections 1, 4 and 8). Pure.
 */
import type { BundleDocument } from "../generated/types.js";
import { cacheView } from "./derived.js";
import { blobName, DOCUMENT_NAME, docName, isTail, tarOrder } from "./layout.js";
import { type Descriptor, ociView } from "./oci.js";

/** Its bytes, or only their number, for what the document names by hash: blobs of NARs, and docs. */
export type ExpectedFile = Buffer | { readonly size: number };

export interface Contents {
  /** All files, in the order of the tar. */
  readonly files: ReadonlyMap<string, ExpectedFile>;
  /** Names that signing changes: they come last. */
  readonly tail: ReadonlySet<string>;
  /** Blobs among them. */
  readonly tailBlobs: ReadonlySet<string>;
  /** Null where the OCI view is left out. */
  readonly manifest: Descriptor | null;
}

/** `approvals`: by full name in the bundle. Nothing is thrown for a document that passed V3. */
export function contentsOf(
  document: BundleDocument,
  documentBytes: Buffer,
  approvals: ReadonlyMap<string, Buffer>,
): Contents {
  const cache = cacheView(document);
  const oci = ociView(document, documentBytes, approvals, cache);
  const files = new Map<string, ExpectedFile>();
  for (const { blob, blobSize } of document.paths) files.set(blobName(blob), { size: blobSize });
  for (const { name, sha256, size } of document.docs) {
    files.set(docName(name), { size });
    if (oci !== null) files.set(blobName(sha256), { size });
  }
  files.set(DOCUMENT_NAME, documentBytes);
  for (const view of [cache, approvals, oci?.files ?? []]) {
    for (const [name, bytes] of view) files.set(name, bytes);
  }
  const tailBlobs = oci?.tailBlobs ?? new Set<string>();
  const order = tarOrder(files.keys(), tailBlobs);
  return {
    files: new Map(order.map((name) => [name, files.get(name)!])),
    tail: new Set(order.filter((name) => isTail(name, tailBlobs))),
    tailBlobs,
    manifest: oci?.manifest ?? null,
  };
}

/** Every file of the bundle, in the order of the tar. */
export function expectedFiles(
  document: BundleDocument,
  documentBytes: Buffer,
  approvals: ReadonlyMap<string, Buffer>,
): ReadonlyMap<string, ExpectedFile> {
  return contentsOf(document, documentBytes, approvals).files;
}
