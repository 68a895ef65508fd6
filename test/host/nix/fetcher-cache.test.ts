import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { fetchedInto } from "../../../src/host/nix/fetcher-cache.js";

let dir: string;
beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), "fetcher-cache-"));
});
afterAll(() => rmSync(dir, { recursive: true }));

const REV = "91c64d7efd5e167d8a297fbb22332f05ad99f4f0";

/** Rows as they lie in the file, of 2.26.3 and 2.34.8. */
const ROWS = {
  store: `fetchToStore{"fingerprint":"${REV}","method":"nar","name":"source","path":"/","store":"/nix/store"}{"storePath":"x-source"}k`,
  hash: `sourcePathToHash{"fingerprint":"path:sha256-x=","method":"nar","path":"/"}{"hash":"sha256-x="}k`,
  git: `gitLastModified{"rev":"${REV}"}{"lastModified":1709294400}k`,
  tarball: `tarball{"url":"file:///tmp/ft.tar.gz"}{"etag":"","lastModified":1,"treeHash":"25af"}k`,
};

function cache(name: string, files: Record<string, string>): string {
  mkdirSync(join(dir, name, "nix"), { recursive: true });
  for (const [file, text] of Object.entries(files)) writeFileSync(join(dir, name, "nix", file), text);
  return join(dir, name);
}

it("tells what was fetched from what was found in the store", async () => {
  const found = cache("found", { "fetcher-cache-v3.sqlite": `SQLite\0${ROWS.store}${ROWS.hash}` });
  expect(await fetchedInto(found)).toEqual([]);
  const fetched = cache("fetched", {
    "fetcher-cache-v4.sqlite": `SQLite\0${ROWS.store}${ROWS.git}`,
    "fetcher-cache-v4.sqlite-wal": ROWS.tarball,
  });
  expect(await fetchedInto(fetched)).toEqual(["file:///tmp/ft.tar.gz", `revision ${REV} of a repository`]);
});

it("finds nothing where Nix kept no cache", async () => {
  expect(await fetchedInto(join(dir, "none"))).toEqual([]);
});
