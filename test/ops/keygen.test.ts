import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { parsePublicKey, parseSecretKey } from "../../src/nix/signature.js";
import { keygen } from "../../src/ops/keygen.js";
import { formatVerificationKey, parseVerificationKey } from "../../src/trust/keys.js";
import { tempDir } from "../support/bundle.js";

const modeOf = (path: string) => statSync(path).mode & 0o777;

describe("keygen", () => {
  it("writes a pair whose three files belong together", async () => {
    const cwd = tempDir();
    const report = await keygen({ name: "acme-1", out: "a/b" }, { cwd });
    const read = (path: string) => readFileSync(path, "utf8");
    const secret = parseSecretKey(read(report.files.secret).trimEnd());
    expect(read(report.files.public)).toBe(`${report.publicKey}\n`);
    expect(parsePublicKey(report.publicKey).bytes).toEqual(secret.publicKey.bytes);
    expect(formatVerificationKey(parseVerificationKey(read(report.files.pem), "acme-1"))).toBe(
      report.publicKey,
    );
    expect([report.files.secret, report.files.public, join(cwd, "a/b")].map(modeOf)).toEqual([
      0o600, 0o644, 0o700,
    ]);
  });

  it("gives the fingerprint that openssl and sha256sum give", async () => {
    const { files, keyHash } = await keygen({ name: "acme-1", out: "k" }, { cwd: tempDir() });
    const der = execFileSync("openssl", ["pkey", "-pubin", "-in", files.pem, "-outform", "DER"]);
    expect(execFileSync("sha256sum", { input: der }).toString()).toBe(`${keyHash}  -\n`);
  });

  it.each(["acme-1.sec", "acme-1.pub", "acme-1.pub.pem"])(
    "changes nothing where %s is there",
    async (name) => {
      const cwd = tempDir();
      writeFileSync(join(cwd, name), "old");
      await expect(keygen({ name: "acme-1", out: "." }, { cwd })).rejects.toMatchObject({
        code: "OUT_EXISTS",
      });
      expect(readdirSync(cwd)).toEqual([name]);
      expect(readFileSync(join(cwd, name), "utf8")).toBe("old");
    },
  );

  it.each(["", "-x", ".x", "a/b", "a b", "a:b", "ä", "x".repeat(129)])(
    "refuses the name %j",
    async (name) => {
      const cwd = tempDir();
      await expect(keygen({ name, out: "k" }, { cwd })).rejects.toMatchObject({ code: "USAGE" });
      expect(existsSync(join(cwd, "k"))).toBe(false);
    },
  );

  it("says when the folder cannot be made", async () => {
    const cwd = tempDir();
    writeFileSync(join(cwd, "k"), "");
    await expect(keygen({ name: "a", out: "k/keys" }, { cwd })).rejects.toMatchObject({ code: "DISK" });
  });

  it("makes another key each time", async () => {
    const cwd = tempDir();
    mkdirSync(join(cwd, "k"));
    const [one, two] = [
      await keygen({ name: "a", out: "k" }, { cwd }),
      await keygen({ name: "b", out: "k" }, { cwd }),
    ];
    expect(one.publicKey.split(":")[1]).not.toBe(two.publicKey.split(":")[1]);
  });
});
