/** The programs that an output holds: executable files, and symlinks, in its `bin` folder. */
import { access, constants, readdir } from "node:fs/promises";
import { join } from "node:path";
import { errorCode, withDiskErrors } from "./files.js";

/** Names, sorted; none where there is no such folder. `path`: the output as it lies on disk. @throws AirgapError DISK */
export async function programsIn(path: string): Promise<string[]> {
  const bin = join(path, "bin");
  const entries = await withDiskErrors(bin, () =>
    readdir(bin, { withFileTypes: true }).catch((error: unknown) => {
      if (errorCode(error) === "ENOENT" || errorCode(error) === "ENOTDIR") return [];
      throw error;
    }),
  );
  const programs: string[] = [];
  for (const entry of entries) {
    // Symlinks into the store dangle on the host of a chroot store.
    const runs = entry.isFile()
      ? await access(join(bin, entry.name), constants.X_OK).then(
          () => true,
          () => false,
        )
      : entry.isSymbolicLink();
    if (runs) programs.push(entry.name);
  }
  return programs.sort();
}
