/**
 * Keeps store paths from Nix's garbage collector: plain symlinks under `gcroots/nix-airgap/<name>/` in the store's state,
 * one for each path, .drv files included. Nix follows them, whatever made them, and ignores what is not valid yet.
 */
import { randomBytes } from "node:crypto";
import { symlinkSync } from "node:fs";
import { mkdir, readdir, rename } from "node:fs/promises";
import { basename, join } from "node:path";
import { fail } from "../errors.js";
import { errorCode, removeTree, syncDirectory, withDiskErrors } from "./files.js";
import type { TargetStore } from "./store.js";

/** Symlinks made in one go, between which others may run. */
const CHUNK = 2000;

export interface PendingRoots {
  /** The folder that the roots have once `commit` is done. */
  readonly path: string;
  /** How many symlinks. */
  readonly count: number;
  /** Puts them in place of those that had this name before. @throws AirgapError DISK */
  commit(): Promise<void>;
}

/** A name of a set of roots. @throws AirgapError USAGE */
export function parseRootName(text: string): string {
  if (/^[A-Za-z0-9][A-Za-z0-9._+-]{0,199}$/.test(text)) return text;
  return fail("USAGE", {
    subject: "--gc-root",
    expected: "a name of letters, digits and ._+- (at most 200)",
    actual: JSON.stringify(text),
  });
}

/**
 * Makes roots under a name of their own, where they hold already: a collection during the import, or after one that was
 * interrupted, takes nothing away. Those that had the name before hold until `commit`.
 *
 * @throws AirgapError DISK, NO_SPACE
 */
export async function makeRoots(
  store: TargetStore,
  name: string,
  paths: readonly string[],
): Promise<PendingRoots> {
  const parent = store.rootsDir;
  const path = join(parent, name);
  // Names of sets never begin with a dot.
  const own = (kind: string) => `.${name}.${kind}-`;
  const pending = join(parent, own("pending") + randomBytes(6).toString("hex"));
  const leftOvers = await withDiskErrors(parent, async () => {
    await mkdir(parent, { recursive: true });
    const found = await readdir(parent);
    await mkdir(pending);
    return found.filter((entry) => entry.startsWith(own("pending")) || entry.startsWith(own("old")));
  });
  for (let at = 0; at < paths.length; at += CHUNK) {
    await withDiskErrors(pending, async () => {
      for (const storePath of paths.slice(at, at + CHUNK)) {
        symlinkSync(storePath, join(pending, basename(storePath)));
      }
    });
  }
  await syncDirectory(pending);
  for (const entry of leftOvers) await removeTree(join(parent, entry));
  return {
    path,
    count: paths.length,
    async commit() {
      const old = join(parent, own("old") + randomBytes(6).toString("hex"));
      // Both are inside gcroots all the time: no path is without a root for a moment.
      await withDiskErrors(path, async () => {
        await rename(path, old).catch((error: unknown) => {
          if (errorCode(error) !== "ENOENT") throw error;
        });
        await rename(pending, path);
      });
      await syncDirectory(parent);
      await removeTree(old);
    },
  };
}
