/** Writes a release made by hand as a bundle, signed, for tests that take one apart. */

import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { formatDocument } from "../../src/bundle/document.js";
import { blobName, docName } from "../../src/bundle/layout.js";
import { finishDirectory, writeTar } from "../../src/bundle/write.js";
import { formatHex, hashOf } from "../../src/nix/hash.js";
import { generateSecretKey, type SecretKey } from "../../src/nix/signature.js";
import { makeApproval } from "../../src/trust/approval.js";
import { signingKey } from "../../src/trust/signing.js";
import { machineStatement } from "../../src/trust/statement.js";
import type { Release } from "./release.js";

/** The packer's, whom tests trust. */
export const packerKey = generateSecretKey("packer-1", new Uint8Array(32).fill(1));
/** Of somebody whom they do not. */
export const strangerKey = generateSecretKey("stranger-1", new Uint8Array(32).fill(2));

export interface WriteOptions {
  readonly form?: "directory" | "tar";
  /** Who approves it; default: the packer alone. */
  readonly keys?: readonly SecretKey[];
}

/** Into `dir`, which is made; of a tar beside it, as `dir`.tar. Returns the bundle's path. */
export async function writeRelease(
  dir: string,
  { document, blobs }: Pick<Release, "document" | "blobs">,
  { form = "directory", keys = [packerKey] }: WriteOptions = {},
): Promise<string> {
  for (const folder of ["blobs/sha256", "docs"]) mkdirSync(join(dir, folder), { recursive: true });
  const listed = new Set(document.paths.map(({ blob }) => blob));
  for (const [sha256, blob] of blobs) {
    if (listed.has(sha256)) writeFileSync(join(dir, blobName(sha256)), blob);
  }
  for (const { name, sha256 } of document.docs) writeFileSync(join(dir, docName(name)), blobs.get(sha256)!);
  const approvals = approvalsOf(document, keys);
  await finishDirectory(dir, document, approvals);
  if (form === "directory") return dir;
  const tar = `${dir}.tar`;
  await writeTar(dir, tar, { document, approvals, report: () => {} });
  return tar;
}

export function approvalsOf(document: Release["document"], keys: readonly SecretKey[]): Map<string, Buffer> {
  const documentSha256 = formatHex(hashOf("sha256", formatDocument(document)));
  return new Map(
    keys.map((key) => {
      const about = { document, documentSha256, role: "packer", signedAt: document.created };
      const statement = machineStatement({ ...about, keyName: key.publicKey.name });
      const { fileName, bytes } = makeApproval(statement, signingKey(key));
      return [`approvals/${fileName}`, bytes];
    }),
  );
}
