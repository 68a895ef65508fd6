/**
 * How large the bundle may become. A plan knows NARs and not yet how they compress: it refuses what is too large however well
 * they do, and what turns out too large is stopped at the first byte too many.
 */
import { AirgapError, type Finding } from "../../errors.js";
import type { Path } from "../../generated/types.js";
import type { Previous } from "./previous.js";

/** Nothing that is worth packing becomes smaller than this share of its NAR: text, the most, takes about a tenth. */
const LEAST_SHARE = 1 / 20;
/** What a known blob may shrink to at a higher level of compression. */
const LEAST_OF_KNOWN = 1 / 2;
/** Of each path, beside its blob: an entry of the document, which lies there twice, and a narinfo. */
const BYTES_PER_PATH = 1024;

/** Bytes of the whole bundle. */
export interface SizeRange {
  readonly least: number;
  readonly most: number;
}

/** `previous`: whose blobs tell how paths compress that are in both. */
export function sizeRange(
  paths: readonly Pick<Path, "storePath" | "narHash" | "narSize">[],
  previous: Previous | null,
): SizeRange {
  // Paths with the same NAR share a blob.
  const nars = new Map(paths.map((path) => [path.narHash, path]));
  let least = 0;
  let most = 0;
  for (const { storePath, narHash, narSize } of nars.values()) {
    const known = previous?.paths.get(storePath);
    least += known?.narHash === narHash ? known.blobSize * LEAST_OF_KNOWN : narSize * LEAST_SHARE;
    most += narSize;
  }
  return { least: Math.floor(least), most: most + paths.length * 4 * BYTES_PER_PATH };
}

/** Empty where the bundle may become small enough. */
export function checkPlannedSize({ least }: SizeRange, maxSize: number | undefined): Finding[] {
  if (maxSize === undefined || least <= maxSize) return [];
  return [tooLarge(maxSize, `at least ${least} bytes, however well it compresses`)];
}

/** Counts blobs as they are made. */
export class SizeLimit {
  readonly #maxSize: number;
  readonly #blobs = new Set<string>();
  #bytes = 0;

  constructor(maxSize: number | undefined) {
    this.#maxSize = maxSize ?? Number.POSITIVE_INFINITY;
  }

  /** Null: not there yet. @throws BUNDLE_TOO_LARGE */
  add(made: { readonly blob: string; readonly bytes: number } | null): void {
    if (made === null || this.#blobs.has(made.blob)) return;
    this.#blobs.add(made.blob);
    this.#bytes += made.bytes;
    this.check(this.#bytes, "when it was stopped");
  }

  /** @throws BUNDLE_TOO_LARGE */
  check(bytes: number, when: string): void {
    if (bytes <= this.#maxSize) return;
    const { code, ...details } = tooLarge(this.#maxSize, `${bytes} bytes ${when}`);
    throw new AirgapError(code, details);
  }
}

function tooLarge(maxSize: number, actual: string) {
  return {
    code: "BUNDLE_TOO_LARGE",
    subject: "--max-size",
    expected: `at most ${maxSize} bytes`,
    actual,
  } as const;
}
