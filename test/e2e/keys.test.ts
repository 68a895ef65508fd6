/** Our keys in Nix's hands, and Nix's in ours. */

import { execFileSync } from "node:child_process";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { tempDir, writeBundle } from "../support/bundle.js";
import { makeRelease } from "../support/release.js";
import { run } from "../support/run-main.js";
import { SIGN_WORDS } from "../support/trust.js";

/** Nix with nothing of this machine's settings, and a store of its own. */
function makeNix(dir: string) {
  const conf = join(dir, "conf");
  mkdirSync(conf);
  writeFileSync(join(conf, "nix.conf"), "experimental-features = nix-command\nbuild-users-group =\n");
  const env = { PATH: process.env["PATH"], HOME: dir, NIX_CONF_DIR: conf };
  return (args: readonly string[], input = "") =>
    execFileSync("nix", args, { env, input, stdio: ["pipe", "pipe", "ignore"] })
      .toString()
      .trim();
}

describe("a key", () => {
  it("that Nix made signs a bundle, and verifies it", async () => {
    const dir = tempDir();
    const nix = makeNix(dir);
    const secret = nix(["key", "generate-secret", "--key-name", "from-nix-1"]);
    writeFileSync(join(dir, "nix.sec"), secret, { mode: 0o600 });
    writeFileSync(join(dir, "nix.pub"), nix(["key", "convert-secret-to-public"], secret));
    const bundle = await writeBundle(makeRelease(), { form: "tar", keys: [] });
    expect((await run(["sign", ...SIGN_WORDS, bundle, "--key", "nix.sec"], { cwd: dir })).code).toBe(0);
    expect((await run(["verify", bundle, "--public-key", "nix.pub"], { cwd: dir })).code).toBe(0);
  });

  it("of keygen signs a store path that Nix then trusts", async () => {
    const dir = tempDir();
    const nix = makeNix(dir);
    expect((await run(["keygen", "--name", "acme-1", "--out", dir])).code).toBe(0);
    const publicKey = readFileSync(join(dir, "acme-1.pub"), "utf8").trim();
    expect(nix(["key", "convert-secret-to-public"], readFileSync(join(dir, "acme-1.sec"), "utf8"))).toBe(
      publicKey,
    );

    const store = ["--store", join(dir, "store")];
    const path = nix(["store", "add-path", ...store, join(dir, "acme-1.pub")]);
    nix(["store", "sign", ...store, "--key-file", join(dir, "acme-1.sec"), path]);
    expect(nix(["path-info", ...store, "--sigs", path])).toContain("acme-1:");
    const verify = ["store", "verify", ...store, "--sigs-needed", "1", path];
    expect(() => nix([...verify, "--trusted-public-keys", publicKey])).not.toThrow();
  });
});
