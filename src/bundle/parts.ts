/**
 * The parts of a tar as they lie on media: the index among the folders that were given, and each part in one of them. Looks
 * at names, types and sizes; what is in a part is read by others.
 */
import {
  closeSync,
  constants,
  fstatSync,
  lstatSync,
  opendirSync,
  openSync,
  readSync,
  realpathSync,
} from "node:fs";
import { basename, dirname, join } from "node:path";
import { AirgapError, type Finding, fail } from "../errors.js";
import type { PartsIndex } from "../generated/types.js";
import { asDiskError, errorCode, onDiskSync } from "./disk.js";
import { DOCUMENT_NAME, MAX_FILES } from "./layout.js";
import { indexName, isIndexName, MAX_PARTS_INDEX, parsePartsIndex, tarNameOf } from "./parts-index.js";

/** A part, wherever it lies. */
export interface MediumPart {
  readonly name: string;
  readonly size: number;
  /** Hex, as the index has it. */
  readonly sha256: string;
  /** For people: "part 3 of 7: pump.tar.003". */
  readonly label: string;
  /** Null where there is no file of its size. */
  readonly path: string | null;
}

export interface FoundParts {
  readonly tarName: string;
  /** Of the index; where there is none that can be read, what was given. */
  readonly path: string;
  readonly index: PartsIndex | null;
  /** In order, all that the index names. */
  readonly parts: readonly MediumPart[];
  readonly findings: readonly Finding[];
}

/**
 * Whether `path` (symlinks resolved) is one of a set of parts: their index, a part, or a folder that holds an index and no
 * bundle. Throws PARTS_AMBIGUOUS for a folder with several, and DISK.
 */
export function tarOfParts(path: string, isFolder: boolean): string | null {
  return isFolder ? tarInFolder(path) : tarNameOf(basename(path));
}

function tarInFolder(folder: string): string | null {
  const document = join(folder, DOCUMENT_NAME);
  if (onDiskSync(folder, () => lstatSync(document, { throwIfNoEntry: false })) !== undefined) return null;
  const found = indexesIn(folder).sort();
  if (found.length > 1) {
    fail("PARTS_AMBIGUOUS", { subject: folder, expected: "one index of parts", actual: found.join(", ") });
  }
  return found[0] === undefined ? null : tarNameOf(found[0]);
}

function indexesIn(folder: string): string[] {
  return onDiskSync(folder, () => {
    const found: string[] = [];
    const directory = opendirSync(folder);
    try {
      for (let seen = 0; seen < MAX_FILES && found.length < 10; seen++) {
        const entry = directory.readSync();
        if (entry === null) break;
        if (isIndexName(entry.name)) found.push(entry.name);
      }
    } finally {
      directory.closeSync();
    }
    return found;
  });
}

/**
 * Finds the parts of `tarName` in the folder of what was given, then in `folders`, in their order. Throws BUNDLE_NOT_FOUND for
 * a folder that is none, PARTS_INDEX_MISSING, DISK; all else is in the findings.
 */
export function findParts(
  given: { readonly path: string; readonly isFolder: boolean },
  tarName: string,
  folders: readonly string[],
): FoundParts {
  const first = given.isFolder ? given.path : dirname(given.path);
  const places = [...new Set([first, ...folders.map(resolveFolder)])];
  const indexes = places.flatMap((folder) => readIndex(folder, tarName) ?? []);
  const chosen = indexes[0];
  if (chosen === undefined) {
    return fail("PARTS_INDEX_MISSING", {
      subject: indexName(tarName),
      actual: `not in ${places.join(", ")}`,
    });
  }
  if ("finding" in chosen) {
    return { tarName, path: given.path, index: null, parts: [], findings: [chosen.finding] };
  }
  const { index } = chosen;
  // Those that are damaged are not needed.
  const foreign = indexes.flatMap((other) =>
    "index" in other && other.index.bundle !== index.bundle ? [other] : [],
  );
  const findings = foreign.map(
    ({ folder, index: other }): Finding => ({
      code: "PARTS_FOREIGN",
      subject: folder,
      expected: nameOf(index),
      actual: nameOf(other),
    }),
  );
  const usable = places.filter((folder) => foreign.every((other) => other.folder !== folder));
  const parts = index.parts.map(({ name, size, sha256 }, i) => {
    const label = `part ${i + 1} of ${index.parts.length}: ${name}`;
    return { name, size, sha256, label, path: locate({ name, size, label }, usable, findings) };
  });
  return { tarName, path: join(chosen.folder, indexName(tarName)), index, parts, findings };
}

function resolveFolder(folder: string): string {
  try {
    const path = realpathSync(folder);
    if (lstatSync(path).isDirectory()) return path;
  } catch (error) {
    const code = errorCode(error);
    if (code !== "ENOENT" && code !== "ENOTDIR" && code !== "ELOOP") throw asDiskError(folder, error);
  }
  return fail("BUNDLE_NOT_FOUND", { subject: folder, expected: "a folder that holds parts" });
}

function nameOf({ product, release, bundle }: PartsIndex): string {
  return `${product} ${release}, bundle ${bundle}`;
}

type Found =
  | { readonly folder: string; readonly index: PartsIndex }
  | { readonly folder: string; readonly finding: Finding };

/** Null where there is none. */
function readIndex(folder: string, tarName: string): Found | null {
  const path = join(folder, indexName(tarName));
  const stats = onDiskSync(path, () => lstatSync(path, { throwIfNoEntry: false }));
  if (stats === undefined) return null;
  if (!stats.isFile()) {
    return { folder, finding: { code: "FILE_TYPE", subject: path, expected: "a regular file" } };
  }
  try {
    return { folder, index: parsePartsIndex(readCapped(path), tarName) };
  } catch (error) {
    if (!(error instanceof AirgapError) || error.code === "DISK") throw error;
    return { folder, finding: { ...error.details, code: error.code } };
  }
}

/** One byte more than an index may have shows that it has too many. */
function readCapped(path: string): Buffer {
  return onDiskSync(path, () => {
    const file = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
    try {
      const bytes = Buffer.alloc(Math.min(fstatSync(file).size, MAX_PARTS_INDEX) + 1);
      let done = 0;
      for (let got = 1; got > 0 && done < bytes.length; done += got) {
        got = readSync(file, bytes, done, bytes.length - done, done);
      }
      return bytes.subarray(0, done);
    } finally {
      closeSync(file);
    }
  });
}

/** The first regular file of its size; where there is none, what there is instead is a finding. */
function locate(
  { name, size, label }: Pick<MediumPart, "name" | "size" | "label">,
  folders: readonly string[],
  findings: Finding[],
): string | null {
  let found: Finding = {
    code: "PART_MISSING",
    subject: label,
    expected: `${size} bytes`,
    actual: `not in ${folders.join(", ")}`,
  };
  for (const folder of folders) {
    const path = join(folder, name);
    const stats = onDiskSync(path, () => lstatSync(path, { throwIfNoEntry: false }));
    if (stats?.isFile() && stats.size === size) return path;
    if (stats === undefined || found.code !== "PART_MISSING") continue;
    found = stats.isFile()
      ? {
          code: "PART_SIZE",
          subject: label,
          expected: `${size} bytes`,
          actual: `${stats.size} bytes in ${path}`,
        }
      : { code: "FILE_TYPE", subject: label, expected: "a regular file", actual: `another thing at ${path}` };
  }
  findings.push(found);
  return null;
}
