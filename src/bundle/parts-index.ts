/**
 * NAME.tar.parts.json, the index of a tar's parts (docs/format.md, section 11): its names and its one form. Nobody signs it.
 * It serves to find parts and to name what is wrong with one; what a bundle must be, only its document says. Pure.
 */
import { formatJson, parseCanonicalJson } from "../canonical-json.js";
import { AirgapError, type Details, fail } from "../errors.js";
import type { PartsIndex } from "../generated/types.js";
import { validatePartsIndex } from "../generated/validators.js";
import { excerpt } from "../nix/excerpt.js";
import { firstProblem } from "../schema-problem.js";
import { isJsonObject } from "../strict-json.js";

export const MAX_PARTS = 9999;
/** Of as many parts as there may be, under names as long as they may be. */
export const MAX_PARTS_INDEX = 8 * 1024 * 1024;
/** So that every name that is made of it, also while it is written, fits where a name may have 255 bytes. */
const MAX_TAR_NAME = 160;

const INDEX_END = ".parts.json";
const HASHES_END = ".sha256";
const PART = /^(.+\.tar)\.([0-9]{3,4})$/s;

/** What is wrong with a tar's name, for a set of parts; null where nothing is. It goes into files that people read by other tools. */
export function problemOfTarName(name: string): string | null {
  if (!name.endsWith(".tar") || name === ".tar") return "a name that ends in .tar";
  // Of all that a shell, sha256sum or a terminal would not take for itself.
  if (/[/\\\p{Cc}\p{Cs}]/u.test(name) || name.startsWith("."))
    return "a name without control characters, / and \\";
  return Buffer.byteLength(name) <= MAX_TAR_NAME ? null : `a name of at most ${MAX_TAR_NAME} bytes`;
}

export function indexName(tarName: string): string {
  return `${tarName}${INDEX_END}`;
}

/** The file for `sha256sum -c`. */
export function hashesName(tarName: string): string {
  return `${tarName}${HASHES_END}`;
}

/** `number`: from 1. Three digits, or four for all where there are more than 999. */
export function partName(tarName: string, number: number, count: number): string {
  return `${tarName}.${String(number).padStart(Math.max(3, String(count).length), "0")}`;
}

/** The tar that a file is the index or a part of, by its name; null for other names. */
export function tarNameOf(fileName: string): string | null {
  const tarName = fileName.endsWith(INDEX_END)
    ? fileName.slice(0, -INDEX_END.length)
    : (PART.exec(fileName)?.[1] ?? null);
  return tarName === null || problemOfTarName(tarName) !== null ? null : tarName;
}

export function isIndexName(fileName: string): boolean {
  return fileName.endsWith(INDEX_END) && tarNameOf(fileName) !== null;
}

/** How many parts of `partSize` bytes a tar takes. Throws USAGE for more than there may be. */
export function countParts(size: number, partSize: number): number {
  const count = Math.ceil(size / partSize);
  if (count <= MAX_PARTS) return count;
  return fail("USAGE", {
    subject: "the size of parts",
    expected: `at most ${MAX_PARTS} parts: at least ${Math.ceil(size / MAX_PARTS)} bytes each`,
    actual: `${partSize} bytes, which makes ${count} parts`,
  });
}

export function formatPartsIndex(index: PartsIndex): string {
  return formatJson(index);
}

/** As sha256sum prints them, so that it can check them. */
export function formatHashes({ parts }: PartsIndex): string {
  return parts.map(({ name, sha256 }) => `${sha256}  ${name}\n`).join("");
}

/**
 * Parses an index whose file says that it is of `tarName`. Throws PARTS_INDEX_INVALID, VERSION_UNSUPPORTED.
 */
export function parsePartsIndex(bytes: Uint8Array, tarName: string): PartsIndex {
  const subject = indexName(tarName);
  const refuse = (details: Details): never => fail("PARTS_INDEX_INVALID", { subject, ...details });
  const value = parseJson(bytes, subject);
  if (isJsonObject(value) && value["format"] === "nix-airgap-parts" && typeof value["version"] === "string") {
    const { version } = value;
    if (version !== "1.0") {
      fail("VERSION_UNSUPPORTED", { subject, expected: "version 1.0", actual: excerpt(version) });
    }
  }
  if (!validatePartsIndex(value)) return refuse({ actual: firstProblem(validatePartsIndex.errors) });
  const problem = problemOfParts(value, tarName);
  return problem === null ? value : refuse(problem);
}

function parseJson(bytes: Uint8Array, subject: string) {
  const caps = { maxBytes: MAX_PARTS_INDEX, subject };
  try {
    return parseCanonicalJson(bytes, caps);
  } catch (error) {
    if (!(error instanceof AirgapError)) throw error;
    return fail("PARTS_INDEX_INVALID", error.details);
  }
}

/** Names as they follow from their number; of one size, but for the last. */
function problemOfParts({ parts, size }: PartsIndex, tarName: string): Details | null {
  const partSize = parts[0]!.size;
  let sum = 0;
  for (const [i, part] of parts.entries()) {
    const name = partName(tarName, i + 1, parts.length);
    if (part.name !== name) return { expected: `part ${i + 1} to be ${name}`, actual: excerpt(part.name) };
    const isLast = i === parts.length - 1;
    if (isLast ? part.size > partSize : part.size !== partSize) {
      return {
        expected: `${isLast ? "at most " : ""}${partSize} bytes for ${name}, as the first has`,
        actual: String(part.size),
      };
    }
    sum += part.size;
  }
  return sum === size ? null : { expected: `parts of ${size} bytes together`, actual: String(sum) };
}
