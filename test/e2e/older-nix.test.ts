/** A site whose Nix is older than the bundle says it needs: it is told before anything is imported. */
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import type { RebuildReport, RestoreReceipt } from "../../src/generated/types.js";
import { formatPublicKey } from "../../src/nix/signature.js";
import { cliJson } from "../support/cli.js";
import { nixVersion } from "../support/family.js";
import { makeRelease } from "../support/release.js";
import { packerKey, writeRelease } from "../support/write-release.js";

let dir: string;
let bundle: string;
beforeAll(async () => {
  dir = mkdtempSync(join(tmpdir(), "older-nix-"));
  const release = makeRelease();
  const document = { ...release.document, minimumNix: "99.1.0" };
  bundle = await writeRelease(join(dir, "bundle"), { ...release, document });
});
afterAll(() => rmSync(dir, { recursive: true }));

it.each(["restore", "rebuild"] as const)(
  "%s names both versions, and leaves the store alone",
  async (verb) => {
    const place = join(dir, verb);
    const store = verb === "restore" ? ["--store", place] : ["--scratch", place];
    const args = [verb, bundle, "--public-key", formatPublicKey(packerKey.publicKey), ...store];
    const { code, json } = await cliJson<RestoreReceipt | RebuildReport>(args, { cwd: dir });
    expect([code, json.verdict]).toEqual([20, "refused"]);
    expect(json.findings.map(({ code, expected, actual }) => [code, expected, actual])).toEqual([
      ["NIX_TOO_OLD", "Nix 99.1.0 or newer", `Nix ${nixVersion()}`],
    ]);
    expect(existsSync(place)).toBe(false);
  },
);
