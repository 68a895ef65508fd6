/** What a FAT file system, as most USB sticks have it, cannot hold of a bundle: told before anything is written. */
import { fail } from "../errors.js";
import { type FileSystem, fileSystemOf } from "../host/files.js";
import type { Context } from "./context.js";

/** Bytes of the largest file. */
const MAX_FILE = 2 ** 32 - 1;
/** A folder has 65,536 entries; a blob's name takes six of them. */
const MAX_BLOBS = Math.floor(65_536 / 6);

type Look = (path: string) => Promise<Pick<FileSystem, "isFat">>;

/** `largest`: bytes of the largest file. @throws AirgapError DISK where it is too large */
export async function requireFitsFat(
  folder: string,
  largest: number,
  look: Look = fileSystemOf,
): Promise<void> {
  if (largest <= MAX_FILE || !(await look(folder)).isFat) return;
  fail("DISK", {
    subject: folder,
    expected: `files of at most ${MAX_FILE} bytes, since this is a FAT file system`,
    actual: `${largest} bytes`,
    hint: "Write it in parts: pack --split fat32, or bundle split BUNDLE --size fat32. Or use another file system, such as exFAT or ext4.",
  });
}

/** Says so where blobs, each a file of its own, will not all go into one folder. */
export async function warnOfFat(
  folder: string,
  blobs: number,
  { report }: Pick<Context, "report">,
  look: Look = fileSystemOf,
): Promise<void> {
  if (blobs <= MAX_BLOBS || !(await look(folder)).isFat) return;
  report({
    type: "note",
    text: `${folder} is on a FAT file system, where a folder takes about ${MAX_BLOBS} blobs: these are up to ${blobs}. Write the bundle to another disk, then its parts here: nix-airgap bundle split BUNDLE --size fat32 --out FOLDER`,
  });
}
