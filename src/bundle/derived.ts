/**
 * The cache view of a bundle (docs/format.md, section 5): every file that a stock Nix wants, as a pure function of the
 * document. Written by pack, compared by V5, never trusted.
 */
import type { BundleDocument, Path } from "../generated/types.js";
import { parseContentAddress } from "../nix/content-address.js";
import { parseHex, parseSri } from "../nix/hash.js";
import { formatNarInfo, type NarInfo } from "../nix/narinfo.js";
import { blobName, CACHE_INFO_NAME, KEEP_NAMES, narinfoName, ROOTS_NAME, VERIFY_NAME } from "./layout.js";
import { verifyMd } from "./verify-md.js";

export const CACHE_INFO = "StoreDir: /nix/store\nWantMassQuery: 1\nPriority: 50\n";

/** By name. For a document that passed V3 nothing is thrown. */
export function cacheView(document: BundleDocument): Map<string, Buffer> {
  const files = new Map<string, Buffer>([
    [CACHE_INFO_NAME, Buffer.from(CACHE_INFO)],
    [ROOTS_NAME, Buffer.from(rootsText(document))],
    [VERIFY_NAME, Buffer.from(verifyMd(document))],
  ]);
  for (const name of KEEP_NAMES) files.set(name, Buffer.alloc(0));
  for (const path of document.paths) {
    files.set(narinfoName(path.storePath), Buffer.from(formatNarInfo(narinfoOf(path))));
  }
  return files;
}

/** The narinfo of one path, as a value: who signs it otherwise (the gate) prints it with other signatures. */
export function narinfoOf(path: Path): NarInfo {
  return {
    storePath: path.storePath,
    url: blobName(path.blob),
    compression: path.compression,
    fileHash: parseHex("sha256", path.blob),
    fileSize: path.blobSize,
    narHash: parseSri(path.narHash),
    narSize: path.narSize,
    references: path.references,
    ...(path.deriver === null ? {} : { deriver: path.deriver }),
    signatures: path.signatures,
    ...(path.ca === null ? {} : { ca: parseContentAddress(path.ca) }),
  };
}

function rootsText(document: BundleDocument): string {
  const outputs = document.roots
    .filter(({ purpose }) => purpose === "output")
    .flatMap((root) => root.outputs.map(({ path }) => path));
  return [...new Set(outputs)]
    .sort()
    .map((path) => `${path}\n`)
    .join("");
}
