/** Where something new is written: under a name that is not final until all of it is there. */
import { mkdir } from "node:fs/promises";
import { dirname } from "node:path";
import { fail } from "../../errors.js";
import {
  exists,
  partialName,
  publishFile,
  publishFolder,
  removePartials,
  removeTree,
  requireSpace,
  syncDirectory,
  withDiskErrors,
} from "../../host/files.js";

/**
 * Has `write` make a file or a folder under a hidden name beside `out`, then gives it that name. Where `write` gives null, or
 * throws, nothing is left. What killed runs left is removed first.
 *
 * @throws AirgapError OUT_EXISTS, DISK, NO_SPACE where there is less room than `bytes`
 */
export async function writeNew<T>(
  out: { readonly path: string; readonly kind: "file" | "folder"; readonly bytes: number },
  write: (partial: string) => Promise<T | null>,
): Promise<T | null> {
  const { path, kind, bytes } = out;
  const folder = dirname(path);
  if (await exists(path)) fail("OUT_EXISTS", { subject: path });
  await withDiskErrors(folder, () => mkdir(folder, { recursive: true }));
  await removePartials(path);
  await requireSpace({ path: folder, bytes, elsewhere: "give --out on another disk" });
  const partial = partialName(path);
  try {
    const result = await write(partial);
    if (result === null) return null;
    if (kind === "file") await publishFile(partial, path);
    else await publishFolder(partial, path);
    await syncDirectory(folder);
    return result;
  } finally {
    await removeTree(partial);
  }
}
