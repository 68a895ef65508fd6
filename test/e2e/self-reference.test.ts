/** A content-addressed path that refers to itself: Nix 2.8 and newer ones name it by two rules, and each imports its own alone. */
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, it } from "vitest";
import type { RestoreReceipt, VerifyReport } from "../../src/generated/types.js";
import { formatPublicKey } from "../../src/nix/signature.js";
import { cliJson } from "../support/cli.js";
import { installedNix, isOlder } from "../support/installed-nix.js";
import { makeRelease } from "../support/release.js";
import { packerKey, writeRelease } from "../support/write-release.js";

const dir = mkdtempSync(join(tmpdir(), "airgap-self-"));
const key = ["--public-key", formatPublicKey(packerKey.publicKey)];

afterAll(() => {
  execFileSync("chmod", ["-R", "u+w", dir]);
  rmSync(dir, { recursive: true, force: true });
});

it.each(["2.8", "newer"] as const)(
  "by the rule of %s: verified, and restored or refused in words",
  async (rule) => {
    const release = makeRelease({ selfReferring: rule });
    const bundle = await writeRelease(join(dir, rule), release);
    const verified = await cliJson<VerifyReport>(["verify", bundle, ...key]);
    expect([verified.code, verified.json.findings]).toEqual([0, []]);

    const store = join(dir, `store-${rule}`);
    const { code, json } = await cliJson<RestoreReceipt>(["restore", bundle, ...key, "--store", store]);
    if ((rule === "2.8") === isOlder(installedNix(), "2.19")) {
      expect([code, json.verdict]).toEqual([0, "complete"]);
    } else {
      expect([code, json.verdict]).toEqual([20, "failed"]);
      expect(json.findings).toMatchObject([
        {
          code: "NIX_FAILED",
          subject: release.named.selfish,
          advice: expect.stringMatching(/refers to itself/),
        },
      ]);
    }
  },
);
