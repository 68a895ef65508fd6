/** Writes a release made by hand as a bundle into folders of a test's own; and the context that tests run in. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll } from "vitest";
import type { Event } from "../../src/events.js";
import type { Context } from "../../src/ops/context.js";
import type { Release } from "./release.js";
import { type WriteOptions, writeRelease } from "./write-release.js";

export { approvalsOf, packerKey, strangerKey, type WriteOptions } from "./write-release.js";

/** A new bundle in a temporary folder; returns its path. */
export function writeBundle(
  release: Pick<Release, "document" | "blobs">,
  options: WriteOptions = {},
): Promise<string> {
  return writeRelease(join(tempDir(), "bundle"), release, options);
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
