/** Tells files that a compiler made (executables, libraries, bytecode) from sources, by their first bytes. Pure. */

/** How many of a file's first bytes are looked at. */
export const PREBUILT_HEAD_SIZE = 1024;

const MAGICS: readonly (readonly [hex: string, format: string])[] = [
  ["7f454c46", "ELF"],
  ["213c617263683e0a", "ar"],
  ["0061736d", "wasm"],
  ["feedface", "Mach-O"],
  ["feedfacf", "Mach-O"],
  ["cefaedfe", "Mach-O"],
  ["cffaedfe", "Mach-O"],
];

/** The format of a prebuilt file, or null. `head`: the file's first bytes, `PREBUILT_HEAD_SIZE` where it has as many. */
export function prebuiltFormat(head: Buffer): string | null {
  const start = head.toString("hex", 0, 8);
  for (const [magic, format] of MAGICS) if (start.startsWith(magic)) return format;
  // Java's class files and universal Mach-O share a magic; what follows is a version from 45 on, or a small count.
  if (start.startsWith("cafebabe") && head.length >= 8)
    return head.readUInt16BE(6) >= 45 ? "Java class" : "Mach-O";
  return isPortableExecutable(head) ? "PE" : null;
}

/** "MZ" alone begins texts, too: the header that it points to must be there, unless it lies too far. */
function isPortableExecutable(head: Buffer): boolean {
  if (head.length < 64 || head.toString("latin1", 0, 2) !== "MZ") return false;
  const at = head.readUInt32LE(60);
  if (at + 4 > head.length) return head.length === PREBUILT_HEAD_SIZE && at < 0x10000;
  return head.toString("latin1", at, at + 4) === "PE\0\0";
}
