/** Writes a release made by hand as a bundle, signed, for tests that take one apart; and the context they run in. */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll } from "vitest";
import { formatDocument } from "../../src/bundle/document.js";
import { blobName, docName } from "../../src/bundle/layout.js";
import { finishDirectory, writeTar } from "../../src/bundle/write.js";
import type { Event } from "../../src/events.js";
import { formatHex, hashOf } from "../../src/nix/hash.js";
import { generateSecretKey, type SecretKey } from "../../src/nix/signature.js";
import type { Context } from "../../src/ops/context.js";
import { makeApproval } from "../../src/trust/approval.js";
import { makeStatement } from "../../src/trust/statement.js";
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

/** A new bundle in a temporary folder; returns its path. */
export async function writeBundle(
  { document, blobs }: Pick<Release, "document" | "blobs">,
  { form = "directory", keys = [packerKey] }: WriteOptions = {},
): Promise<string> {
  const dir = join(tempDir(), "bundle");
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
      const statement = makeStatement({ ...about, keyName: key.publicKey.name });
      const { fileName, bytes } = makeApproval(statement, key);
      return [fileName, bytes];
    }),
  );
}

const tempDirs: string[] = [];
afterAll(() => {
  for (const dir of tempDirs) rmSync(dir, { recursive: true, force: true });
});

/** A new folder, removed when the test file is done. */
export function tempDir(): string {
  const dir = mkdtempSync(join(tmpdir(), "nix-airgap-test-"));
  tempDirs.push(dir);
  return dir;
}

/** A context that keeps its events. */
export function testContext(
  signal: AbortSignal = new AbortController().signal,
): Context & { events: Event[] } {
  const events: Event[] = [];
  return {
    events,
    report: (event) => events.push(event),
    signal,
    env: {},
    now: () => new Date("2024-03-02T00:00:00Z"),
    workerEntry: new URL("../../src/host/worker-main.ts", import.meta.url),
    tmpDir: tmpdir(),
    cwd: tmpdir(),
  };
}
