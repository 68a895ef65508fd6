/** What killed runs left: folders go, programs are ended; what is in use, or not ours, stays. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, it } from "vitest";
import { ownerVariable } from "../../src/host/orphans.js";
import { ownMark, ownName } from "../../src/host/owner.js";
import { makeRunDir } from "../../src/host/run-dir.js";

const dir = mkdtempSync(join(tmpdir(), "run-dir-test-"));
afterAll(() => rmSync(dir, { recursive: true, force: true }));
const gone = `4194304.123.${ownMark().split(".")[2]}`;

it("removes folders of runs that are gone, and no other", async () => {
  const abandoned = `nix-airgap-restore-${gone}-00000000`;
  mkdirSync(join(dir, abandoned, "deep"), { recursive: true });
  const stay = ["nix-airgap-failed-abcdef", `other-${gone}-00000000`, ownName("nix-airgap-pack-")];
  for (const name of stay) writeFileSync(join(dir, name), "");
  const foreign = `nix-airgap-pack-4194304.123.${"0".repeat(8)}-00000000`;
  mkdirSync(join(dir, foreign));
  const path = await makeRunDir("pack", dir);
  expect(statSync(path).mode & 0o777).toBe(0o700);
  expect(
    readdirSync(dir)
      .map((name) => join(dir, name))
      .sort(),
  ).toEqual([path, ...[...stay, foreign].map((name) => join(dir, name))].sort());
});

it("ends the Nix of runs that are gone, with what it has started, and nothing else", async () => {
  const start = (argv0: string, mark: Readonly<Record<string, string>>) =>
    spawn("sh", ["-c", "env -i sleep 60 & wait"], {
      argv0,
      env: { PATH: process.env["PATH"], ...mark },
      stdio: ["ignore", "pipe", "ignore"],
    });
  const orphan = start("/usr/bin/nix-store", { NIX_AIRGAP_RUN: gone });
  const others = [start("/usr/bin/nix", ownerVariable()), start("ssh", { NIX_AIRGAP_RUN: gone })];
  try {
    // The pipe is closed when the last of them has ended.
    const closed = once(orphan, "close");
    await new Promise((resolve) => setTimeout(resolve, 300));
    await makeRunDir("pack", dir);
    expect((await closed)[1]).toBe("SIGTERM");
    for (const { exitCode, signalCode } of others) expect([exitCode, signalCode]).toEqual([null, null]);
  } finally {
    for (const child of [orphan, ...others]) child.kill("SIGKILL");
  }
});
