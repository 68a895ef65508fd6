/**
 * What a blob's NAR holds, file by file with hashes, without unpacking it: the other side of comparing a bundle's path with
 * a tree on disk. Synchronous.
 */
import { createHash, type Hash as Hasher } from "node:crypto";
import { fail } from "../errors.js";
import { formatSri, hashFromDigest } from "../nix/hash.js";
import { NarParser, type NarVisitor } from "../nix/nar.js";
import type { FilePart } from "../segments.js";
import type { TreeEntry } from "./disk-nar.js";
import { piecesOf, READ_SIZE } from "./file-part.js";
import { ZstdDecoder } from "./zstd/decoder.js";

/** One for all: what a large frame took is given back only when it is collected. */
let decoder: ZstdDecoder | undefined;

export interface BlobNar {
  /** Names it in errors: its store path. */
  readonly subject: string;
  readonly file: FilePart;
  /** SRI: what was verified. */
  readonly narHash: string;
  readonly narSize: number;
}

/**
 * All entries, each folder before what it holds, paths as `listPath` gives them.
 *
 * @throws AirgapError NAR_HASH where the medium changed since it was verified (or a code of zstd or NAR), DISK
 */
export function listBlob(blob: BlobNar): TreeEntry[] {
  const { subject, narHash, narSize } = blob;
  const entries: TreeEntry[] = [];
  const parser = new NarParser(lister(entries), subject);
  const hasher = createHash("sha256");
  decoder ??= new ZstdDecoder();
  decoder.reset(subject);
  let size = 0;
  for (const chunk of piecesOf(blob.file, Buffer.alloc(READ_SIZE))) {
    for (const bytes of decoder.decode(chunk)) {
      size += bytes.length;
      if (size > narSize) fail("NAR_SIZE", { subject, expected: `${narSize} bytes`, actual: "more" });
      hasher.update(bytes);
      parser.update(bytes);
    }
  }
  decoder.end();
  parser.end();
  const actual = formatSri(hashFromDigest("sha256", hasher.digest()));
  if (actual !== narHash) fail("NAR_HASH", { subject, expected: narHash, actual });
  return entries;
}

function lister(entries: TreeEntry[]): NarVisitor {
  let file = { path: "", executable: false, size: 0 };
  let hasher: Hasher = createHash("sha256");
  return {
    directoryEnter: (path) => entries.push({ path, type: "directory" }),
    symlink: (path, target) => entries.push({ path, type: "symlink", target }),
    regular({ path, executable, size }) {
      file = { path, executable, size };
      hasher = createHash("sha256");
    },
    contents: (chunk, start, end) => hasher.update(chunk.subarray(start, end)),
    regularEnd: () => entries.push({ ...file, type: "regular", sha256: hasher.digest("hex") }),
  };
}
