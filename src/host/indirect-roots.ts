/**
 * GC roots of who may not write to the store's state: symlinks in a folder of their own, of which Nix's daemon is told.
 * The daemon looks at each symlink, not into folders, so there is one for each path that no other refers to.
 */
import { randomBytes } from "node:crypto";
import { mkdir, readdir } from "node:fs/promises";
import { join } from "node:path";
import { removeTree, withDiskErrors } from "./files.js";
import type { PendingRoots } from "./gc-roots.js";
import { addRoots, type NixContext } from "./nix/index.js";
import { chunkArguments } from "./nix/invoke.js";
import type { TargetStore } from "./store.js";

interface RootedPath {
  readonly storePath: string;
  readonly references: readonly string[];
}

/**
 * Holds nothing before `commit`: the daemon roots only what is valid. A collection that comes in between is seen by who
 * asks afterwards whether all is there.
 *
 * @throws AirgapError DISK, NO_SPACE; `commit` also NIX_FAILED
 */
export async function makeIndirectRoots(
  nix: NixContext,
  store: TargetStore,
  name: string,
  paths: readonly RootedPath[],
): Promise<PendingRoots> {
  const path = join(store.rootsDir, name);
  await withDiskErrors(path, () => mkdir(path, { recursive: true }));
  const topmost = unreferenced(paths);
  return {
    path,
    count: topmost.length,
    async commit() {
      // The daemon knows the symlinks by where they are: they can never be renamed.
      const folder = join(path, randomBytes(6).toString("hex"));
      await withDiskErrors(folder, () => mkdir(folder));
      for (const kind of ["drv", "path"]) {
        const wanted = topmost.filter((each) => each.endsWith(".drv") === (kind === "drv"));
        for (const [n, chunk] of chunkArguments(wanted).entries()) {
          await addRoots(nix, join(folder, `${kind}-${n}`), chunk, store.uri);
        }
      }
      const older = await withDiskErrors(path, () => readdir(path));
      for (const entry of older) {
        if (join(path, entry) !== folder) await removeTree(join(path, entry));
      }
    },
  };
}

/** A root keeps all that it refers to. */
function unreferenced(paths: readonly RootedPath[]): string[] {
  const referenced = new Set(
    paths.flatMap(({ storePath, references }) => references.filter((path) => path !== storePath)),
  );
  return paths.map(({ storePath }) => storePath).filter((path) => !referenced.has(path));
}
