/** Real data that the fuzzer starts from: the vectors, the members of the golden bundle, and what a release made by hand holds. */
import { closeSync, openSync, readdirSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { readerOf, walkTar } from "../../src/bundle/tar.js";
import { ZstdDecoder } from "../../src/host/zstd/decoder.js";

/** Tests and scripts run in the top folder; this file may be bundled elsewhere. */
const VECTORS = resolve("test/vectors");
const GOLDEN = resolve("fixtures/golden/format-1.0");

/** Every file of a folder of test/vectors, by name. None where there is no such folder. */
export function vectors(folder: string): Map<string, Buffer> {
  const dir = join(VECTORS, folder);
  try {
    return new Map(
      readdirSync(dir)
        .sort()
        .map((name) => [name, readFileSync(join(dir, name))]),
    );
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return new Map();
    throw error;
  }
}

export function vectorFolder(folder: string): string {
  return join(VECTORS, folder);
}

export const goldenKey = readFileSync(`${GOLDEN}.pub`, "utf8").trim();

/** The files of the golden bundle, by name. */
export const golden: ReadonlyMap<string, Buffer> = readGolden();

function readGolden(): Map<string, Buffer> {
  const bytes = readFileSync(`${GOLDEN}.tar`);
  const file = openSync(`${GOLDEN}.tar`, "r");
  try {
    const { members } = walkTar(readerOf(file), bytes.length, { maxMembers: 1000 });
    return new Map(members.map(({ name, offset, size }) => [name, bytes.subarray(offset, offset + size)]));
  } finally {
    closeSync(file);
  }
}

export function goldenFiles(pattern: RegExp): Buffer[] {
  return [...golden].flatMap(([name, bytes]) => (pattern.test(name) ? [bytes] : []));
}

/** The compressed NARs, and what they hold. */
export const goldenBlobs = goldenFiles(/^blobs\//).filter(
  (bytes) => bytes.subarray(0, 4).toString("hex") === "28b52ffd",
);

export function decompress(blob: Uint8Array): Buffer {
  const decoder = new ZstdDecoder();
  decoder.reset();
  const pieces = Array.from(decoder.decode(blob), (piece) => Buffer.from(piece));
  decoder.end();
  return Buffer.concat(pieces);
}
