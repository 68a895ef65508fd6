/**
 * A small bundle directory that is whole as files go: the sample document, its blobs made by the real zstd, a doc.
 * What it packs is no real NAR. Its approvals are any bytes: who signed is not asked where this is used.
 */
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { BundleDocument } from "../../src/generated/types.js";
import { sampleDocument } from "./document.js";

export interface SampleBundle {
  /** Holds NAR blobs and docs only. */
  readonly dir: string;
  readonly document: BundleDocument;
}

/** Below a folder of its own, whose name no shell or URL would take unquoted. */
export function makeSampleBundle(): SampleBundle {
  const dir = join(mkdtempSync(join(tmpdir(), "nix-airgap-bundle-")), "a b?c#d%20é");
  mkdirSync(join(dir, "blobs/sha256"), { recursive: true });
  mkdirSync(join(dir, "docs"));
  const document = sampleDocument();
  const blobs = new Map<string, { blob: string; blobSize: number }>();
  for (const path of document.paths) {
    const placed = blobs.get(path.blob) ?? placeBlob(dir, path.blob.repeat(path.narSize));
    blobs.set(path.blob, placed);
    Object.assign(path, placed);
  }
  const notice = Buffer.from("notice\n");
  writeFileSync(join(dir, "docs/notice.txt"), notice);
  document.docs = [{ mediaType: "text/plain", name: "notice.txt", sha256: sha256(notice), size: 7 }];
  document.totals.blobBytes = [...blobs.values()].reduce((sum, { blobSize }) => sum + blobSize, 0);
  return { dir, document };
}

function placeBlob(dir: string, contents: string): { blob: string; blobSize: number } {
  const bytes = execFileSync("zstd", ["-qc"], { input: contents });
  const blob = sha256(bytes);
  writeFileSync(join(dir, "blobs/sha256", blob), bytes);
  return { blob, blobSize: bytes.length };
}

/** Approvals by name in the bundle; one more for each text. */
export function sampleApprovals(...texts: readonly string[]): Map<string, Buffer> {
  return new Map(
    texts.map((text) => [
      `approvals/packer-${sha256(Buffer.from(text)).slice(0, 32)}.sigstore.json`,
      Buffer.from(`{"approval": "${text}"}\n`),
    ]),
  );
}

export function sha256(bytes: Buffer): string {
  return createHash("sha256").update(bytes).digest("hex");
}

/** Every file below `dir`, by its path from there; sorted. */
export function readTree(dir: string): Map<string, Buffer> {
  const files = readdirSync(dir, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
  const names = files.map((entry) => join(entry.parentPath, entry.name).slice(dir.length + 1)).sort();
  return new Map(names.map((name) => [name, readFileSync(join(dir, name))]));
}
