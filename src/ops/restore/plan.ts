/** What a restore will do: which paths are missing, in which order they come, and how much room they need. */
import type { Medium } from "../../bundle/medium.js";
import type { BundleDocument, Path } from "../../generated/types.js";
import { maxStaged } from "../../host/import-schedule.js";
import { dependencyOrder } from "../../nix/closure.js";

/** Room that a path takes besides its NAR: an inode, the database. */
const BYTES_PER_PATH = 8192;

export interface RestorePlan {
  /** Valid in the store before. */
  readonly present: readonly Path[];
  /** Not valid, in dependency order. */
  readonly missing: readonly Path[];
  readonly importBytes: number;
  /** Bytes in the file system of the store. */
  readonly needed: number;
  /** Bytes that are copied out of a tar, or its parts, at a time; 0 for a directory. */
  readonly staging: number;
}

/** `invalid`: those paths of the document that the store does not have. */
export function planRestore(
  document: BundleDocument,
  invalid: ReadonlySet<string>,
  medium: Medium["kind"],
): RestorePlan {
  const byPath = new Map(document.paths.map((path) => [path.storePath, path]));
  const missing = dependencyOrder(byPath, invalid).map((path) => byPath.get(path)!);
  const importBytes = sum(missing.map(({ narSize }) => narSize));
  return {
    present: document.paths.filter(({ storePath }) => !invalid.has(storePath)),
    missing,
    importBytes,
    needed: importBytes + missing.length * BYTES_PER_PATH,
    staging: stagingBytes(missing, medium),
  };
}

/** Most bytes that an import of these paths copies out of a tar, or its parts, at a time; 0 for a directory. */
export function stagingBytes(paths: readonly Path[], medium: Medium["kind"]): number {
  if (medium === "directory") return 0;
  return maxStaged(paths.map(({ blobSize }) => blobSize));
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, n) => total + n, 0);
}
