/** A real bundle in the hands of people without this program: stock Nix, skopeo, and the commands of its own VERIFY.md. */
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { type CliOptions, cli, runProgram } from "../support/cli.js";
import { makeFixtures, nixEnvironment } from "../support/fixtures.js";
import { runBlocks, shellBlocks } from "../support/verify-md.js";

let dir: string;
let bundle: string;
let publicKey: string;
let env: NodeJS.ProcessEnv;

beforeAll(async () => {
  dir = mkdtempSync(join(tmpdir(), "airgap-stock-"));
  const fixtures = makeFixtures(join(dir, "originals"));
  env = nixEnvironment(join(dir, "nix"));
  const options: CliOptions = { cwd: dir, env };
  expect((await cli(["keygen", "--name", "packer-1", "--out", "keys"], options)).code).toBe(0);
  publicKey = readFileSync(join(dir, "keys/packer-1.pub"), "utf8").trim();
  const args = ["--key", "keys/packer-1.sec", "--tier", "source", "--out", "bundle"];
  expect((await cli(["pack", fixtures.flakes["acme-pump"], ...args], options)).code).toBe(0);
  bundle = join(dir, "bundle");
});
afterAll(() => rmSync(dir, { recursive: true, force: true }));

it("stock Nix restores the roots from a read-only medium, with signatures required", async () => {
  const store = join(dir, "store");
  // The mount ends with the namespace.
  const script = `mount --bind "$1" "$1" && mount -o remount,bind,ro "$1" && ! touch "$1/x" 2>/dev/null && shift &&
    exec nix copy --from "file://$0" --to "$1" --option require-sigs true --option trusted-public-keys "$2" $(cat "$0/roots.txt")`;
  const argv = ["unshare", "--mount", "--net", "sh", "-ec", script, bundle, bundle, store, publicKey];
  const { code, stderr } = await runProgram(argv, { env });
  expect(stderr).not.toMatch(/error/);
  expect(code).toBe(0);
  const root = readFileSync(join(bundle, "roots.txt"), "utf8").trim();
  expect(readdirSync(join(store, root)).length).toBeGreaterThan(0);

  const other = "other-1:1wz9GlvYLFYqTTg5HGSKgcQJO0gOLOGQe1XnZHzBRUM=";
  const refused = await runProgram([...argv.slice(0, -2), join(dir, "store-2"), other], { env });
  expect(refused.code).not.toBe(0);
});

it("skopeo copies the layout to another layout and back with identical blobs", () => {
  const skopeo = (from: string, to: string) =>
    execFileSync("skopeo", ["--insecure-policy", "copy", `oci:${from}`, `oci:${to}`], { stdio: "pipe" });
  skopeo(bundle, join(dir, "there"));
  skopeo(join(dir, "there"), join(dir, "back"));
  const blobs = (of: string) =>
    readdirSync(join(of, "blobs/sha256"))
      .sort()
      .map((name) => [name, readFileSync(join(of, "blobs/sha256", name)).toString("base64")]);
  expect(blobs(join(dir, "back"))).toEqual(blobs(bundle));
});

it("an auditor finds nothing by the commands of VERIFY.md, and finds a changed byte", () => {
  const blocks = shellBlocks(readFileSync(join(bundle, "VERIFY.md"), "utf8"));
  const conf = { ...env, KEY: publicKey } as Record<string, string>;
  const good = runBlocks(blocks, bundle, conf);
  expect(good.bad, good.output).toEqual([]);
  expect(good.status).toBe(0);

  const bad = join(dir, "tampered");
  execFileSync("cp", ["-R", bundle, bad]);
  const name = join(bad, "blobs/sha256", readdirSync(join(bad, "blobs/sha256"))[7]!);
  const bytes = readFileSync(name);
  bytes[bytes.length >> 1]! ^= 1;
  writeFileSync(name, bytes);
  expect(runBlocks(blocks, bad, conf).bad.length).toBeGreaterThan(0);
});

it("a bundle works from a folder with an odd name", async () => {
  const odd = join(dir, "a b?c#d%20é");
  mkdirSync(odd);
  execFileSync("cp", ["-R", bundle, join(odd, "bundle")]);
  expect(
    (await cli(["verify", join(odd, "bundle"), "--public-key", publicKey], { cwd: dir, env })).code,
  ).toBe(0);
});
