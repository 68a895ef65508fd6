/**
 * The .narinfo file exactly as Nix 2.8 and newer write it, and the fingerprint that its signatures cover.
 * Keys and checking of signatures are in signature.ts; whether contents match is for whoever reads them.
 */
import { AirgapError, fail } from "../errors.js";
import { type ContentAddress, formatContentAddress, parseContentAddress } from "./content-address.js";
import { excerpt } from "./excerpt.js";
import { formatNix32, type Hash, parseNix32 } from "./hash.js";
import { parseSignature } from "./signature.js";
import { DEFAULT_STORE_DIR, parseBaseName, parseStorePath, type StoreDir } from "./store-path.js";

const COMPRESSIONS = ["none", "xz", "zstd", "bzip2", "gzip", "br", "lz4", "lzma"] as const;
export type Compression = (typeof COMPRESSIONS)[number];

export interface NarInfo {
  /** Full store path. */
  readonly storePath: string;
  /** Relative to the cache: segments without `.`, `..` or escapes. */
  readonly url: string;
  readonly compression: Compression;
  /** SHA-256 of the compressed file. */
  readonly fileHash: Hash;
  readonly fileSize: number;
  /** SHA-256 of the NAR. */
  readonly narHash: Hash;
  readonly narSize: number;
  /** Full store paths, sorted, unique; the path itself included where it references itself. */
  readonly references: readonly string[];
  /** Full store path of the derivation. */
  readonly deriver?: string;
  /** `name:base64`, sorted, unique. */
  readonly signatures: readonly string[];
  readonly ca?: ContentAddress;
}

/** A narinfo with 100,000 references fits. */
const MAX_NARINFO_LENGTH = 16 * 1024 * 1024;
const MAX_URL_LENGTH = 1024;

/**
 * Parses a narinfo. `text` is the file's bytes read as latin1: nothing outside ASCII is accepted.
 * Fields in the order in which Nix writes them, each in the one spelling that `formatNarInfo` prints.
 * Throws NARINFO_INVALID with the line; its cause says what is wrong with a field's value.
 */
export function parseNarInfo(text: string, storeDir: StoreDir = DEFAULT_STORE_DIR): NarInfo {
  if (text.length > MAX_NARINFO_LENGTH) {
    fail("NARINFO_INVALID", { expected: `at most ${MAX_NARINFO_LENGTH} bytes`, actual: `${text.length}` });
  }
  const fields = new FieldReader(text);
  const storePath = fields.required("StorePath", (value) => checkStorePath(value, storeDir));
  const url = fields.required("URL", checkUrl);
  const compression = fields.required("Compression", parseCompression);
  const fileHash = fields.required("FileHash", parseSha256);
  const fileSize = fields.required("FileSize", parseSize);
  const narHash = fields.required("NarHash", parseSha256);
  const narSize = fields.required("NarSize", parseSize);
  const references = fields.required("References", (value) => parseReferences(value, storeDir));
  const deriver = fields.optional("Deriver", (value) => fullPath(value, storeDir));
  const signatures: string[] = [];
  for (;;) {
    const signature = fields.optional("Sig", (value) => checkAfter(signatures.at(-1), checkSignature(value)));
    if (signature === undefined) break;
    signatures.push(signature);
  }
  const ca = fields.optional("CA", parseContentAddress);
  fields.end();
  return {
    storePath,
    url,
    compression,
    fileHash,
    fileSize,
    narHash,
    narSize,
    references,
    ...(deriver === undefined ? {} : { deriver }),
    signatures,
    ...(ca === undefined ? {} : { ca }),
  };
}

/**
 * Prints a narinfo; the inverse of `parseNarInfo`. References and signatures are sorted here.
 * Every value is checked as on reading, so that none can smuggle in a line. Throws the checks' codes.
 */
export function formatNarInfo(info: NarInfo, storeDir: StoreDir = DEFAULT_STORE_DIR): string {
  const baseName = (path: string) => checkStorePath(path, storeDir).slice(storeDir.length + 1);
  const lines = [
    `StorePath: ${checkStorePath(info.storePath, storeDir)}`,
    `URL: ${checkUrl(info.url)}`,
    `Compression: ${parseCompression(info.compression)}`,
    `FileHash: ${formatNix32(checkSha256(info.fileHash))}`,
    `FileSize: ${parseSize(String(info.fileSize))}`,
    `NarHash: ${formatNix32(checkSha256(info.narHash))}`,
    `NarSize: ${parseSize(String(info.narSize))}`,
    `References: ${sortedUnique(info.references.map(baseName)).join(" ")}`,
  ];
  if (info.deriver !== undefined) lines.push(`Deriver: ${baseName(info.deriver)}`);
  for (const signature of sortedUnique(info.signatures)) lines.push(`Sig: ${checkSignature(signature)}`);
  if (info.ca !== undefined) lines.push(`CA: ${formatContentAddress(info.ca)}`);
  return `${lines.join("\n")}\n`;
}

/**
 * What Nix signs: `1;<store path>;sha256:<base32>;<NAR size>;<references>`, references as full paths,
 * sorted, comma-separated.
 */
export function fingerprint(info: Pick<NarInfo, "storePath" | "narHash" | "narSize" | "references">): string {
  const references = sortedUnique(info.references).join(",");
  return `1;${info.storePath};${formatNix32(info.narHash)};${info.narSize};${references}`;
}

/** Lines `Name: value` in a fixed order. */
class FieldReader {
  readonly #lines: readonly string[];
  #next = 0;

  constructor(text: string) {
    // The last line ends in a newline, so that splitting leaves one empty string, which is dropped.
    const lines = text.split("\n");
    if (lines.pop() !== "") fail("NARINFO_INVALID", { line: lines.length + 1, expected: "a final newline" });
    this.#lines = lines;
  }

  optional<T>(name: string, parse: (value: string) => T): T | undefined {
    const line = this.#lines[this.#next];
    if (!line?.startsWith(`${name}: `)) return undefined;
    this.#next++;
    try {
      return parse(line.slice(name.length + 2));
    } catch (error) {
      if (!(error instanceof AirgapError)) throw error;
      const { expected, actual } = error.details;
      return fail(
        "NARINFO_INVALID",
        {
          line: this.#next,
          subject: name,
          ...(expected === undefined ? {} : { expected }),
          ...(actual === undefined ? {} : { actual }),
        },
        { cause: error },
      );
    }
  }

  required<T>(name: string, parse: (value: string) => T): T {
    return this.optional(name, parse) ?? this.#refuse(`a line "${name}: …"`);
  }

  end(): void {
    if (this.#next < this.#lines.length)
      this.#refuse("no further line: fields are known, in order, and not repeated");
  }

  #refuse(expected: string): never {
    const line = this.#lines[this.#next];
    return fail("NARINFO_INVALID", {
      line: this.#next + 1,
      expected,
      actual: line === undefined ? "the end" : excerpt(line),
    });
  }
}

function checkStorePath(value: string, storeDir: StoreDir): string {
  parseStorePath(value, storeDir);
  return value;
}

function fullPath(baseName: string, storeDir: StoreDir): string {
  parseBaseName(baseName, storeDir);
  return `${storeDir}/${baseName}`;
}

function parseReferences(value: string, storeDir: StoreDir): string[] {
  const references: string[] = [];
  if (value === "") return references;
  for (const baseName of value.split(" ")) {
    references.push(checkAfter(references.at(-1), fullPath(baseName, storeDir)));
  }
  return references;
}

function checkAfter(previous: string | undefined, value: string): string {
  if (previous === undefined || previous < value) return value;
  return fail("NARINFO_INVALID", { expected: "values sorted and unique", actual: excerpt(value) });
}

/** Nix joins it to the cache's address and, up to 2.26, follows `..` out of the cache. */
function checkUrl(value: string): string {
  const ok =
    value.length <= MAX_URL_LENGTH &&
    /^[0-9A-Za-z._+-]+(\/[0-9A-Za-z._+-]+)*$/.test(value) &&
    !value.split("/").some((part) => part === "." || part === "..");
  return ok
    ? value
    : fail("NARINFO_INVALID", { expected: "a relative path of plain segments", actual: excerpt(value) });
}

function parseCompression(value: string): Compression {
  const known = COMPRESSIONS.find((compression) => compression === value);
  return known ?? fail("NARINFO_INVALID", { expected: COMPRESSIONS.join(", "), actual: excerpt(value) });
}

function parseSha256(value: string): Hash {
  return checkSha256(parseNix32(value));
}

function checkSha256(hash: Hash): Hash {
  if (hash.algorithm === "sha256") return hash;
  return fail("NARINFO_INVALID", { expected: "a sha256", actual: hash.algorithm });
}

/** Positive: even an empty NAR has bytes, and Nix refuses zero. */
function parseSize(value: string): number {
  const size = /^[1-9][0-9]{0,15}$/.test(value) ? Number(value) : Number.NaN;
  if (Number.isSafeInteger(size)) return size;
  return fail("NARINFO_INVALID", {
    expected: "a positive decimal number up to 2^53 - 1",
    actual: excerpt(value),
  });
}

function checkSignature(value: string): string {
  parseSignature(value);
  return value;
}

function sortedUnique(values: readonly string[]): string[] {
  return [...new Set(values)].sort();
}
