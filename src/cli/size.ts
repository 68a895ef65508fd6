/** How much a part may hold, as people say it. */

const MEGA = 1_000_000;
const MIB = 1024 * 1024;

/** Bytes that a part may have so that it, the index and the hashes fit. */
const PRESETS: ReadonlyMap<string, number> = new Map([
  // The largest file that FAT32 takes, less a little.
  ["fat32", 4095 * MIB],
  ["cd", 650 * MIB],
  // Also the largest file of plain ISO 9660; a disc has 4.7 GB.
  ["dvd", 4095 * MIB],
  ["bd", 24_900 * MEGA],
]);

const UNITS: ReadonlyMap<string, number> = new Map(
  ["k", "m", "g", "t"].flatMap((letter, i): [string, number][] => [
    [letter, 1000 ** (i + 1)],
    [`${letter}b`, 1000 ** (i + 1)],
    [`${letter}ib`, 1024 ** (i + 1)],
  ]),
);

/** `4GB`, `4GiB`, `650M`, `700000000`, `fat32`; null for anything else, and for 0. */
export function parseSize(text: string): number | null {
  const lower = text.toLowerCase();
  const preset = PRESETS.get(lower);
  if (preset !== undefined) return preset;
  const [, digits, unit = ""] = /^([0-9]{1,15})([kmgt](?:i?b)?)?$/.exec(lower) ?? [];
  const bytes = digits === undefined ? 0 : Number(digits) * (unit === "" ? 1 : UNITS.get(unit)!);
  return bytes > 0 && Number.isSafeInteger(bytes) ? bytes : null;
}

export function checkSize(text: string): string | null {
  if (parseSize(text) !== null) return null;
  return `takes a size such as 4GiB, 650M or 700000000, or ${[...PRESETS.keys()].join(", ")}, not "${text}"`;
}

export const SIZE_WORDS = "SIZE  of a part: 4GiB, 650M, bytes, or fat32, cd, dvd, bd for what fits those";
