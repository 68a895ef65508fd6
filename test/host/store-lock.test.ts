import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, it } from "vitest";
import { resolveStore } from "../../src/host/store.js";
import { withStoreLock } from "../../src/host/store-lock.js";
import { nixEnvironment } from "../support/fixtures.js";

const dir = mkdtempSync(join(tmpdir(), "airgap-store-lock-"));
afterAll(() => {
  execFileSync("chmod", ["-R", "u+w", dir]); // Nix stores are read-only
  rmSync(dir, { recursive: true });
});

it("lets Nix complete a store that a killed Nix left without the number of its schema, and keeps its paths", async () => {
  const nix = (...args: string[]) =>
    execFileSync("nix-store", ["--store", join(dir, "store"), ...args], {
      env: nixEnvironment(dir),
      encoding: "utf8",
      stdio: ["ignore", "pipe", "pipe"],
    }).trim();
  writeFileSync(join(dir, "kept"), "kept\n");
  const path = nix("--add", join(dir, "kept"));
  const store = await resolveStore(join(dir, "store"), dir, {});
  writeFileSync(join(store.stateDir, "db/schema"), "");
  expect(() => nix("-q", "--hash", path)).toThrow(/is corrupt/);
  const hash = await withStoreLock(store, async () => nix("-q", "--hash", path));
  expect(hash).toMatch(/^sha256:/);
});
