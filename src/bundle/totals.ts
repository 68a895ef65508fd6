import type { BundleDocument, Path } from "../generated/types.js";

/** The document's `totals`: paths with the same NAR share a blob. */
export function totalsOf(paths: readonly Path[]): BundleDocument["totals"] {
  const blobs = new Map(paths.map(({ blob, blobSize }) => [blob, blobSize]));
  return {
    blobBytes: [...blobs.values()].reduce((sum, size) => sum + size, 0),
    blobs: blobs.size,
    narBytes: paths.reduce((sum, { narSize }) => sum + narSize, 0),
    paths: paths.length,
  };
}
