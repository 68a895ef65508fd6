/** All files of a bundle as its tar has them: what the document gives is made anew, and what it names comes from media. */
import { contentsOf } from "../../bundle/contents.js";
import { blobName, docName } from "../../bundle/layout.js";
import type { TarSource } from "../../bundle/tar.js";
import type { Approvals } from "../../bundle/write.js";
import type { BundleDocument } from "../../generated/types.js";
import type { FilePart } from "../../segments.js";

/** A file that the document names by its hash. */
export interface NamedFile {
  readonly name: string;
  readonly size: number;
  /** Hex. */
  readonly sha256: string;
}

export interface BundleParts {
  readonly document: BundleDocument;
  readonly documentBytes: Buffer;
  readonly approvals: Approvals;
}

/** Blobs of NARs, and docs, each once for its own name and as a blob. */
export function namedFiles({ document, documentBytes, approvals }: BundleParts): NamedFile[] {
  const { files } = contentsOf(document, documentBytes, approvals);
  const nars = document.paths.map(({ blob, blobSize }) => ({
    name: blobName(blob),
    size: blobSize,
    sha256: blob,
  }));
  const docs = document.docs.flatMap(({ name, sha256, size }) => [
    { name: docName(name), size, sha256 },
    { name: blobName(sha256), size, sha256 },
  ]);
  const named = [...nars, ...docs].map((file): [string, NamedFile] => [file.name, file]);
  return [...new Map(named).values()].filter(({ name }) => files.has(name));
}

/** `place`: where a named file lies. What is there is checked by its hash while it is copied. */
export function sourcesOf(
  { document, documentBytes, approvals }: BundleParts,
  place: (file: NamedFile) => FilePart,
): TarSource[] {
  const named = new Map(namedFiles({ document, documentBytes, approvals }).map((file) => [file.name, file]));
  const { files } = contentsOf(document, documentBytes, approvals);
  return [...files].map(([name, file]): TarSource => {
    if (Buffer.isBuffer(file)) return { name, bytes: file };
    const { sha256, ...rest } = named.get(name)!;
    return { name, file: place({ ...rest, sha256 }), sha256 };
  });
}
