/**
 * What Nix noted in its fetcher cache (`nix/fetcher-cache-v*.sqlite` below XDG_CACHE_HOME) while it evaluated. From 2.19 on
 * it reads git repositories, archives and files by itself: it runs no program that could be missing.
 *
 * Source: libfetchers/cache.cc, git.cc, tarball.cc; measured on 2.26.3 and 2.34.8. A row is its domain, its key and its
 * value, the last two in JSON, one after the other in the file.
 */
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { errorCode, withDiskErrors } from "../files.js";

/** Keys of what was fetched: a revision of a repository, an archive or a file. Trees that were in the store have others. */
const FETCHED = /\b[A-Za-z]+\{"(rev|url)":"([^"\\]{1,4096})"/g;

/** Revisions and URLs that were fetched, sorted. `cacheDir`: an XDG_CACHE_HOME that one evaluation alone had. @throws DISK */
export async function fetchedInto(cacheDir: string): Promise<string[]> {
  const dir = join(cacheDir, "nix");
  const names = await withDiskErrors(dir, () =>
    readdir(dir).catch((error: unknown) => {
      if (errorCode(error) === "ENOENT") return [];
      throw error;
    }),
  );
  const fetched = new Set<string>();
  for (const name of names.filter((one) => one.startsWith("fetcher-cache"))) {
    const text = (await withDiskErrors(dir, () => readFile(join(dir, name)))).toString("latin1");
    for (const [, kind, what] of text.matchAll(FETCHED)) {
      fetched.add(kind === "rev" ? `revision ${what} of a repository` : what!);
    }
  }
  return [...fetched].sort();
}
