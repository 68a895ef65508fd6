/** The release as a bundle on the disk, signed: a folder, and a tar. What is changed in it, each target says. */
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type Contents, contentsOf } from "../../../src/bundle/contents.js";
import { blobName, docName } from "../../../src/bundle/layout.js";
import { finishDirectory, writeTar } from "../../../src/bundle/write.js";
import { approvals, documents, release } from "./material.js";
import { lazy, scratch } from "./scratch.js";

export const signedFolder = lazy(async (): Promise<{ dir: string; contents: Contents }> => {
  const dir = join(scratch(), "bundle");
  for (const folder of ["blobs/sha256", "docs"]) mkdirSync(join(dir, folder), { recursive: true });
  for (const { blob } of release.document.paths) {
    writeFileSync(join(dir, blobName(blob)), release.blobs.get(blob)!);
  }
  for (const { name, sha256 } of release.document.docs) {
    writeFileSync(join(dir, docName(name)), release.blobs.get(sha256)!);
  }
  await finishDirectory(dir, release.document, approvals);
  return { dir, contents: contentsOf(release.document, documents[0]!, approvals) };
});

export const signedTar = lazy(async (): Promise<Buffer> => {
  const { dir } = await signedFolder();
  const tar = `${dir}.tar`;
  await writeTar(dir, tar, { document: release.document, approvals, report: () => {} });
  return readFileSync(tar);
});
