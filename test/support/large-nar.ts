/** NARs of gigabytes that no test could hold in memory: one file of zeros, streamed through the zstd command. */
import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import type { Path } from "../../src/generated/types.js";
import { formatContentAddress } from "../../src/nix/content-address.js";
import { formatHex, formatSri, hashFromDigest, hashOf } from "../../src/nix/hash.js";
import { narHeader, narRegularClose, narRegularOpen } from "../../src/nix/nar-writer.js";
import { makeSourcePath } from "../../src/nix/store-path.js";
import type { Release } from "./release.js";
import { seal } from "./release.js";

export interface LargeNar {
  /** SRI. */
  readonly narHash: string;
  readonly narSize: number;
  readonly blob: Buffer;
}

const PIECE = Buffer.alloc(1024 * 1024);

/** One file: 8 bytes that tell it from others, then zeros; `size` in MiB. */
export async function zeroNar(
  size: number,
  { mark = 0, zstd = [] }: { readonly mark?: number; readonly zstd?: readonly string[] } = {},
): Promise<LargeNar> {
  const contents = size * PIECE.length;
  const child = spawn("zstd", ["-q", "-c", "--no-check", ...zstd], { stdio: ["pipe", "pipe", "inherit"] });
  const out: Buffer[] = [];
  child.stdout.on("data", (chunk: Buffer) => out.push(chunk));
  const closed = once(child, "close");
  const hasher = createHash("sha256");
  let narSize = 0;
  const put = async (bytes: Uint8Array): Promise<void> => {
    hasher.update(bytes);
    narSize += bytes.length;
    if (!child.stdin.write(bytes)) await once(child.stdin, "drain");
  };
  const first = Buffer.from(PIECE);
  first.writeUInt32LE(mark);
  await put(narHeader());
  await put(narRegularOpen({ executable: false, size: contents }));
  await put(first);
  for (let i = 1; i < size; i++) await put(PIECE);
  await put(narRegularClose(contents));
  child.stdin.end();
  await closed;
  const narHash = formatSri(hashFromDigest("sha256", hasher.digest()));
  return { narHash, narSize, blob: Buffer.concat(out) };
}

/** The release with one more path, whatever is true of it: a source that evaluation is said to have fetched. */
export function addFetched(
  release: Release,
  name: string,
  nar: LargeNar,
  change: Partial<Path> = {},
): Release {
  const sha256 = formatHex(hashOf("sha256", nar.blob));
  const hash = hashFromDigest("sha256", Buffer.from(nar.narHash.slice("sha256-".length), "base64"));
  const path: Path = {
    blob: sha256,
    blobSize: nar.blob.length,
    ca: formatContentAddress({ kind: "fixed", method: "nar", hash }),
    cause: "fetched",
    compression: "zstd",
    deriver: null,
    kinds: ["evaluation"],
    narHash: nar.narHash,
    narSize: nar.narSize,
    references: [],
    signatures: [],
    storePath: makeSourcePath(hash, name),
    ...change,
  };
  const document = structuredClone(release.document);
  document.paths.push(path);
  seal(document);
  return { ...release, document, blobs: new Map([...release.blobs, [path.blob, nar.blob]]) };
}
