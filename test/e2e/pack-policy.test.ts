/** What pack asks before anything travels: that no secret goes along, and that the lock is approved. */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import type { PackReport } from "../../src/generated/types.js";
import { type CliOptions, cli, cliJson, runProgram } from "../support/cli.js";
import { nixEnvironment, SYSTEM } from "../support/fixtures.js";
import { commitAll } from "../support/git.js";
import { SIGN_WORDS } from "../support/trust.js";

let dir: string;
let flake: string;
let options: CliOptions;
let count = 0;

beforeAll(async () => {
  dir = mkdtempSync(join(tmpdir(), "airgap-pack-policy-"));
  options = { cwd: dir, env: nixEnvironment(join(dir, "nix")) };
  for (const name of ["ada", "eve"]) {
    expect((await cli(["keygen", "--name", name, "--out", "keys"], options)).code).toBe(0);
  }
});
afterAll(() => rmSync(dir, { recursive: true, force: true }));

/** A flake with one input that lies beside it. */
beforeEach(() => {
  const place = join(dir, `flakes-${count++}`);
  flake = join(place, "top");
  for (const folder of [flake, join(place, "lib")]) mkdirSync(folder, { recursive: true });
  writeFileSync(join(place, "lib/flake.nix"), '{ outputs = _: { text = "lib"; }; }\n');
  writeFileSync(
    join(flake, "flake.nix"),
    `{
  inputs.lib.url = "git+file://${place}/lib";
  outputs = { self, lib }: { packages.${SYSTEM}.default = derivation {
    name = "it"; system = "${SYSTEM}"; builder = "/bin/sh"; args = [ "-c" "echo \${lib.text} > $out" ];
  }; };
}
`,
  );
});

const write = (path: string, text: string) => {
  mkdirSync(join(path, ".."), { recursive: true });
  writeFileSync(path, text);
};

/** Locks and commits, then plans. */
async function plan(...args: string[]): Promise<{ code: number | null; json: PackReport }> {
  commitAll(join(flake, "../lib"), "lib");
  await lock();
  commitAll(flake, "top");
  return cliJson<PackReport>(["pack", flake, "--dry-run", ...args], options);
}

async function lock(): Promise<void> {
  const argv = ["nix", "--extra-experimental-features", "nix-command flakes", "flake", "lock", flake];
  const { code, stderr } = await runProgram(argv, options);
  expect(code, stderr).toBe(0);
}

const found = ({ json }: { json: PackReport }) =>
  json.findings.map(({ code, subject, actual }) => `${code} ${subject}: ${actual}`);

describe("pack looks for secrets", () => {
  it("in the top flake and in inputs that nobody else can fetch, and names all of them", async () => {
    write(join(flake, ".env"), "PASSWORD=hunter2\n");
    write(join(flake, "deploy/server.txt"), "-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n");
    write(join(flake, ".env.example"), "PASSWORD=\n");
    write(join(flake, "docs/keys.pub"), "ssh-ed25519 AAAA\n");
    write(join(flake, "release.sec"), readFileSync(join(dir, "keys/ada.sec"), "utf8"));
    write(join(flake, "../lib/.netrc"), "machine x login y password z\n");
    const outcome = await plan();
    expect(outcome.code).toBe(2);
    expect(found(outcome)).toEqual([
      "SECRET_FOUND .env: looks like an environment file",
      "SECRET_FOUND deploy/server.txt: looks like a private key",
      "SECRET_FOUND lib:.netrc: looks like passwords for hosts (netrc)",
      "SECRET_FOUND release.sec: looks like a secret key of Nix",
    ]);
    expect(JSON.stringify(outcome.json)).not.toContain("hunter2");
    const text = await cli(["pack", flake, "--dry-run"], options);
    expect(text.stdout + text.stderr).not.toContain("hunter2");
  });

  it("and takes those that are allowed by name, on the command line or in nix-airgap.json", async () => {
    write(join(flake, ".env"), "A=1\n");
    write(join(flake, "test.pem"), "-----BEGIN PRIVATE KEY-----\n");
    write(
      join(flake, "nix-airgap.json"),
      '{ "product": "it", "release": "1", "allowSecrets": ["test.pem"] }\n',
    );
    const outcome = await plan("--allow-secret", ".env");
    expect(found(outcome)).toEqual([]);
    expect(outcome.json.plan?.secrets).toEqual({ allowed: 2, inPublic: 0 });
    expect(found(await cliJson<PackReport>(["pack", flake, "--dry-run"], options))).toEqual([
      "SECRET_FOUND .env: looks like an environment file",
    ]);
  });
});

describe("pack looks for secrets, too,", () => {
  it("in what flake.lock and the top flake's files say of hosts", async () => {
    write(join(flake, "fetch.sh"), "curl https://ada:hunter22@git.example.org/x\n");
    write(join(flake, "README.md"), "git clone https://user:password@git.example.org/x\n");
    write(join(flake, "../lib/conf.ini"), "access-tokens = git.example.org=abcdef\n");
    commitAll(join(flake, "../lib"), "lib");
    await lock();
    const file = join(flake, "flake.lock");
    const locked = JSON.parse(readFileSync(file, "utf8"));
    // As nix flake lock writes it, where the input is given so; Nix takes the tree from the store by its hash.
    const url = `http://ada:hunter22@127.0.0.1:9/lib.git`;
    locked.nodes.lib.locked.url = url;
    writeFileSync(file, JSON.stringify(locked));
    commitAll(flake, "top");
    const outcome = await cliJson<PackReport>(["pack", flake, "--dry-run"], options);
    expect(found(outcome)).toEqual([
      "SECRET_FOUND flake.lock:lib: looks like a password in a URL",
      "SECRET_FOUND fetch.sh: looks like a password in a URL",
      "SECRET_FOUND flake.lock: looks like a password in a URL",
      "SECRET_FOUND lib:conf.ini: looks like access tokens of Nix",
    ]);
    expect(JSON.stringify(outcome.json) + outcome.stderr).not.toContain("hunter22");
    const names = ["fetch.sh", "flake.lock", "flake.lock:lib", "lib:"].flatMap((name) => [
      "--allow-secret",
      name,
    ]);
    const allowed = await cliJson<PackReport>(["pack", flake, "--dry-run", ...names], options);
    expect(found(allowed)).toEqual([]);
    expect(allowed.json.plan?.secrets).toEqual({ allowed: 4, inPublic: 0 });
  });

  it("and tells no password of the flake's own URL", async () => {
    const ref = "git+http://ada:hunter22@127.0.0.1:9/x.git";
    const { code, stdout, stderr } = await cli(["pack", ref, "--json"], options);
    expect(code).toBe(2);
    expect(stdout).toContain("git+http://127.0.0.1:9/x.git");
    expect(stdout + stderr).not.toContain("hunter22");
  });
});

describe("pack --require-approved-lock", () => {
  const about = ["--product", "it", "--release", "1", "--require-approved-lock"];

  it("refuses a lock that nobody approved, that a stranger approved, or that changed since", async () => {
    const refusal = await plan(...about, "--public-key", "keys/ada.pub");
    expect([refusal.code, ...found(refusal).map((line) => line.split(" ")[0])]).toEqual([
      12,
      "LOCK_NOT_APPROVED",
      "APPROVAL_MISSING",
    ]);
    const sign = (key: string) =>
      cli(["sign", ...SIGN_WORDS, join(flake, "flake.lock"), "--key", key], options);
    expect((await sign("keys/eve.sec")).code).toBe(0);
    commit();
    const stranger = await cliJson<PackReport>(
      ["pack", flake, "--dry-run", ...about, "--public-key", "keys/ada.pub"],
      options,
    );
    expect(stranger.json.findings.map(({ code }) => code)).toEqual([
      "LOCK_NOT_APPROVED",
      "APPROVAL_UNTRUSTED",
    ]);

    expect((await sign("keys/ada.sec")).code).toBe(0);
    commit();
    const approved = ["pack", flake, "--dry-run", ...about, "--public-key", "keys/ada.pub"];
    expect(found(await cliJson<PackReport>(approved, options))).toEqual([]);

    write(join(flake, "../lib/more.txt"), "changed\n");
    commitAll(join(flake, "../lib"), "lib again");
    rmSync(join(flake, "flake.lock"));
    await lock();
    commit();
    const changed = await cliJson<PackReport>(approved, options);
    expect(changed.json.findings.map(({ code }) => code)).toEqual(["LOCK_NOT_APPROVED", "APPROVAL_MISSING"]);
  });

  it("goes by a policy's rule for locks", async () => {
    const person = "Ada Example <ada@example.org> qa,policy keys/ada.pub";
    const common = ["trust", "new", "--product", "it", "--person", person, "--require", "qa=1"];
    expect((await cli([...common, "--require-lock", "qa=1", "--out", "with.json"], options)).code).toBe(0);
    expect((await cli([...common, "--out", "without.json"], options)).code).toBe(0);
    const without = await plan(...about, "--policy", "without.json");
    expect(without.json.findings[0]).toMatchObject({ code: "LOCK_NOT_APPROVED" });
    const words = ["--role", "qa", "--meaning", "update reviewed", "--policy", "with.json", "--yes"];
    const lockFile = join(flake, "flake.lock");
    expect((await cli(["sign", lockFile, ...words, "--key", "keys/ada.sec"], options)).code).toBe(0);
    commit();
    const packed = await cliJson<PackReport>(
      ["pack", flake, "--dry-run", ...about, "--policy", "with.json"],
      options,
    );
    expect(found(packed)).toEqual([]);
  });

  it("takes --policy and --public-key for itself alone", async () => {
    const { code, stderr } = await cli(["pack", flake, "--policy", "with.json"], options);
    expect([code, stderr]).toEqual([2, expect.stringContaining("--require-approved-lock")]);
  });

  function commit(): void {
    // A new repository of one commit: the same files give the same revision.
    rmSync(join(flake, ".git"), { recursive: true });
    commitAll(flake, "top");
  }
});
