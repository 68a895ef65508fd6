/**
 * The temporary folder of one run, which is removed even if the run is killed: by the next that has one in the same
 * place. What such a run had started is ended first. Folders that are to be kept are made by makeTempDir.
 */
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { removeAbandoned, withDiskErrors } from "./files.js";
import { endOrphans } from "./orphans.js";
import { ownName } from "./owner.js";

const PREFIX = "nix-airgap-";

/** A new empty folder in `parent` that only we can enter. @throws AirgapError DISK, NO_SPACE */
export async function makeRunDir(purpose: string, parent: string): Promise<string> {
  await endOrphans();
  await removeAbandoned(parent, PREFIX);
  const path = join(parent, ownName(`${PREFIX}${purpose}-`));
  await withDiskErrors(parent, () => mkdir(path, { mode: 0o700 }));
  return path;
}
