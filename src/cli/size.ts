/** Sizes as people write them. */

const MIB = 1024 * 1024;

const SIZE = /^(0|[1-9][0-9]{0,15})(?:\.([0-9]{1,3}))?(?:([kKMGT])(iB|B)?)?$/;
const POWERS = { k: 1, K: 1, M: 2, G: 3, T: 4 } as const;

/**
 * Bytes: `4700000000`, `4.7GB` (decimal, as media are sold), `4GiB` and `650M` (powers of 1024, as `split` and `dd` of
 * coreutils read them); a fraction of a byte is dropped. Null for anything else, and for less than a byte.
 */
export function parseSize(text: string): number | null {
  const [, whole, fraction, unit, suffix] = SIZE.exec(text) ?? [];
  if (whole === undefined || (fraction !== undefined && unit === undefined)) return null;
  const base = suffix === "B" ? 1000n : 1024n;
  const factor = unit === undefined ? 1n : base ** BigInt(POWERS[unit as keyof typeof POWERS]);
  const thousandths = BigInt(whole) * 1000n + BigInt((fraction ?? "").padEnd(3, "0"));
  const bytes = (thousandths * factor) / 1000n;
  return bytes >= 1n && bytes <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(bytes) : null;
}

/** Bytes that a part may have so that it, its index and its hashes fit on a medium. */
export const MEDIA: ReadonlyMap<string, number> = new Map([
  // The largest file that FAT32 takes, less a little.
  ["fat32", 4095 * MIB],
  ["cd", 650 * MIB],
  // Also the largest file of plain ISO 9660; a disc has 4.7 GB.
  ["dvd", 4095 * MIB],
  ["bd", 24_900_000_000],
]);

/** An option for the size of a part. */
export const partSizeOption = {
  kind: "size",
  names: MEDIA,
  describe: "SIZE  of a part: 4GiB, 650M, bytes, or fat32, cd, dvd, bd for what fits those",
} as const;
