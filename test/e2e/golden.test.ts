/** One bundle of every released format version lies in fixtures/golden, and verifies for ever. Never make one anew. */
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { expect, it } from "vitest";
import type { VerifyReport } from "../../src/generated/types.js";
import { cliJson } from "../support/cli.js";
import { runBlocks, shellBlocks } from "../support/verify-md.js";

const GOLDEN = resolve(import.meta.dirname, "../../fixtures/golden");

it.each([
  ["1.0", "e022f6c92e561fd8fcc8fe0ddfea4fe13794b20fcc910509c91bb31106aa9d02"],
  // Evaluated with a variable.
  ["1.2", "a97b9857adb6f50b6a10fc1a6545a89f85b9b7b8031e8c6ee7b39f62eb588a75"],
])("format %s", async (version, id) => {
  const bundle = [`${GOLDEN}/format-${version}.tar`, "--public-key", `${GOLDEN}/format-${version}.pub`];
  const { code, json } = await cliJson<VerifyReport>(["verify", ...bundle]);
  expect(json.findings).toEqual([]);
  expect([code, json.verdict, json.bundle.sha256]).toEqual([0, "verified", id]);
});

it("format 1.1, by the policy of those who approved it", async () => {
  const bundle = [`${GOLDEN}/format-1.1.tar`, "--policy", `${GOLDEN}/format-1.1.policy.json`, "--no-state"];
  const { code, json } = await cliJson<VerifyReport>(["verify", ...bundle]);
  expect(json.findings).toEqual([]);
  const id = "45a4f35d84a6c32c9516e3e1b4bd9c204d82de63c8923d36b8439e238a2df045";
  expect([code, json.verdict, json.bundle.sha256]).toEqual([0, "verified", id]);
  expect(json.approvals.map(({ role, state }) => `${role} ${state}`)).toEqual([
    "packer valid",
    "qa valid",
    "release valid",
    "security valid",
  ]);
});

it("format 1.2, by its own VERIFY.md", () => {
  const dir = mkdtempSync(join(tmpdir(), "golden-"));
  try {
    execFileSync("tar", ["-xf", `${GOLDEN}/format-1.2.tar`, "-C", dir]);
    const blocks = shellBlocks(readFileSync(join(dir, "VERIFY.md"), "utf8"));
    const KEY = readFileSync(`${GOLDEN}/format-1.2.pub`, "utf8").trim();
    const withoutNix = blocks.filter(({ heading }) => !heading.includes("stock Nix"));
    expect(runBlocks(withoutNix, dir, { KEY })).toMatchObject({ status: 0, bad: [] });
  } finally {
    rmSync(dir, { recursive: true });
  }
});
