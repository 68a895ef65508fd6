/** Where pack takes things from: another store, the user's own builders and hooks, hosts that ask for a password. */
import { execFileSync } from "node:child_process";
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { ErrorReport, PackReport } from "../../src/generated/types.js";
import { type CliOptions, cli, cliJson, runProgram } from "../support/cli.js";
import { nixEnvironment, SANDBOX_PATHS, SITE, SYSTEM } from "../support/fixtures.js";
import { commitAll } from "../support/git.js";
import { FEATURES } from "../support/packed.js";

let dir: string;
let env: NodeJS.ProcessEnv;
let options: CliOptions;

beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), "airgap-pack-sources-"));
  env = nixEnvironment(join(dir, "nix"));
  // A chroot store always has a sandbox, which is lent the host's shell.
  addSettings(env, `sandbox-paths = ${SANDBOX_PATHS}`);
  options = { cwd: dir, env };
});
afterAll(() => {
  execFileSync("chmod", ["-R", "u+w", dir]); // Nix stores are read-only
  rmSync(dir, { recursive: true, force: true });
});

function addSettings({ NIX_CONF_DIR }: NodeJS.ProcessEnv, ...lines: string[]): void {
  const file = join(NIX_CONF_DIR!, "nix.conf");
  writeFileSync(file, `${readFileSync(file, "utf8")}${lines.join("\n")}\n`);
}

/** A flake whose output nobody has built before. */
function makeFlake(name: string, { inputs = "", text = "made" } = {}): string {
  const folder = join(dir, name);
  mkdirSync(folder);
  writeFileSync(
    join(folder, "flake.nix"),
    `{ ${inputs}
  outputs = { self, ... }@all: { packages.${SYSTEM}.default = derivation {
    name = "${name}-${process.pid}"; system = "${SYSTEM}"; builder = "/bin/sh"; args = [ "-c" "echo ${text} > $out" ];
  }; };
}\n`,
  );
  return folder;
}

const about = ["--product", "it", "--release", "1"];

describe("pack --store", () => {
  it("packs from a store in a folder, and touches no other: the same bytes", async () => {
    const flake = makeFlake("stored");
    commitAll(flake, "Start");
    const installable = `git+file://${flake}`;
    const args = ["pack", installable, ...about, "--tier", "source"];
    // The machine's own store looks empty there, and could not be written.
    const masked = { ...options, wrap: [SITE, "--mask", "/nix", "--"] };
    const store = join(dir, "a store");
    const folder = await cli([...args, "--store", "a store", "--out", "folder.tar"], masked);
    expect(folder.code, folder.stderr).toBe(0);
    const uri = `local?root=${store.replace(" ", "%20")}`;
    const local = await cli([...args, "--store", uri, "--out", "uri.tar"], masked);
    expect(local.code, local.stderr).toBe(0);
    const own = await cli([...args, "--out", "own.tar"], options);
    expect(own.code, own.stderr).toBe(0);
    const [first, ...others] = ["folder", "uri", "own"].map((name) => readFileSync(join(dir, `${name}.tar`)));
    for (const other of others) expect(other.equals(first!)).toBe(true);
    expect(existsSync(join(store, "nix/store"))).toBe(true);
  }, 60_000);

  it.each(["ssh-ng://host", "s3://bucket", "file:///cache"])(
    "refuses %s, and says what to do",
    async (uri) => {
      const { code, json } = await cliJson<ErrorReport>(["pack", ".", "--store", uri], options);
      expect([code, json.error]).toMatchObject([
        2,
        {
          code: "USAGE",
          subject: "--store",
          actual: uri,
          advice: expect.stringContaining("nix copy --from"),
        },
      ]);
    },
  );
});

describe("pack leaves to the user's settings", () => {
  it("which builders there are: builds go to a remote one where they say so", async () => {
    const remote = nixEnvironment(join(dir, "remote"));
    const log = join(dir, "ssh.log");
    mkdirSync(join(dir, "bin"));
    writeFileSync(join(dir, "bin/ssh"), `#!/bin/sh\necho "$@" >> ${log}\nexit 1\n`);
    chmodSync(join(dir, "bin/ssh"), 0o755);
    addSettings(remote, "max-jobs = 0", `builders = ssh://the-builder ${SYSTEM} - 1 1`);
    const PATH = `${join(dir, "bin")}:${remote["PATH"]}`;
    const { code, json } = await cliJson<PackReport>(
      ["pack", `path:${makeFlake("remote-built")}`, ...about],
      {
        cwd: dir,
        env: { ...remote, PATH },
      },
    );
    expect([code, json.findings.map((finding) => finding.code)]).toEqual([20, ["BUILD_FAILED"]]);
    expect(json.findings[0]?.actual).toContain("the-builder");
    expect(readFileSync(log, "utf8")).toContain("the-builder");
  });

  it("what happens after a build", async () => {
    const hooked = nixEnvironment(join(dir, "hooked"));
    const hook = join(dir, "hook");
    writeFileSync(hook, `#!/bin/sh\necho "$DRV_PATH" >> ${hook}.log\n`);
    chmodSync(hook, 0o755);
    addSettings(hooked, `post-build-hook = ${hook}`);
    const args = ["pack", `path:${makeFlake("hook-seen")}`, ...about, "--out", "hooked.tar"];
    expect((await cli(args, { cwd: dir, env: hooked })).code).toBe(0);
    expect(readFileSync(`${hook}.log`, "utf8")).toMatch(/^\/nix\/store\/\S+-hook-seen-\d+\.drv\n$/m);
  });
});

describe("pack --netrc", () => {
  const PASSWORD = "correct-horse-battery";
  let server: Server;
  let tarball: Buffer;
  let url: string;
  let served = 0;

  beforeAll(async () => {
    mkdirSync(join(dir, "lib/lib"), { recursive: true });
    writeFileSync(join(dir, "lib/lib/data.txt"), "data\n");
    tarball = execFileSync("tar", ["-C", join(dir, "lib"), "-cz", "lib"]);
    const expected = `Basic ${Buffer.from(`ada:${PASSWORD}`).toString("base64")}`;
    server = createServer((request, response) => {
      const isKnown = request.headers.authorization === expected;
      if (isKnown) served += 1;
      else response.setHeader("WWW-Authenticate", 'Basic realm="it"');
      response.writeHead(isKnown ? 200 : 401).end(isKnown ? tarball : "");
    });
    await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
    url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/lib.tar.gz`;
    writeFileSync(join(dir, "netrc"), `machine 127.0.0.1 login ada password ${PASSWORD}\n`, { mode: 0o600 });
  });
  afterAll(() => server.close());

  /** As a machine that has fetched nothing yet. */
  const fresh = (name: string) => nixEnvironment(join(dir, name));

  it("fetches what asks for a password, and leaves that nowhere", async () => {
    const flake = makeFlake("fetching", { inputs: `inputs.lib = { url = "${url}"; flake = false; };` });
    const lock = [
      "nix",
      ...FEATURES,
      "flake",
      "lock",
      "--option",
      "netrc-file",
      join(dir, "netrc"),
      `path:${flake}`,
    ];
    const locked = await runProgram(lock, { cwd: dir, env: fresh("locking") });
    expect(locked.code, locked.stderr).toBe(0);

    const tmp = join(dir, "tmp");
    mkdirSync(tmp);
    const store = join(dir, "empty-store");
    const settings = fresh("packing");
    addSettings(settings, `sandbox-paths = ${SANDBOX_PATHS}`);
    const args = [
      "pack",
      `path:${flake}`,
      ...about,
      "--store",
      store,
      "--out",
      "bundle",
      "--compression-level",
      "1",
    ];
    const refused = await cliJson<ErrorReport>(args, { cwd: dir, env: { ...settings, TMPDIR: tmp } });
    expect(refused.code, "without it").not.toBe(0);
    served = 0;
    const packed = await cli([...args, "--netrc", "netrc", "--verbose"], {
      cwd: dir,
      env: { ...settings, TMPDIR: tmp },
    });
    expect(packed.code, packed.stderr).toBe(0);
    expect(served).toBeGreaterThan(0);

    expect(packed.stdout + packed.stderr).not.toContain(PASSWORD);
    // Everything that was written: the bundle, what is left of temporary files, caches, and the store.
    for (const place of ["bundle", "tmp", "packing", "empty-store"]) {
      const found = await runProgram(["grep", "-rlaF", "-e", PASSWORD, "-e", base64(), join(dir, place)]);
      expect([place, found.code, found.stdout]).toEqual([place, 1, ""]);
    }
    // NARs are compressed: what they hold is looked at as a site gets it.
    const restored = await runProgram(
      ["sh", "-c", 'cat bundle/blobs/sha256/* | zstd -dc 2>/dev/null | grep -caF -- "$1"', "sh", PASSWORD],
      { cwd: dir },
    );
    expect(restored.stdout.trim()).toBe("0");
  }, 60_000);

  const base64 = () => Buffer.from(`ada:${PASSWORD}`).toString("base64");

  it("is said to be missing by name", async () => {
    const { code, json } = await cliJson<ErrorReport>(["pack", ".", "--netrc", "nowhere"], options);
    expect([code, json.error.subject]).toEqual([22, `--netrc ${join(dir, "nowhere")}`]);
  });
});
