/**
 * A machine that is set up to mislead: every variable, configuration file and program that Nix, git, shells or Node.js listen
 * to. Nothing of it may change an answer; what listens all the same would leave a canary behind.
 */
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join, resolve } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { ErrorReport, RebuildReport, RestoreReceipt, VerifyReport } from "../../src/generated/types.js";
import { type CliOptions, cli, cliJson, runProgram } from "../support/cli.js";
import { nixEnvironment, SYSTEM } from "../support/fixtures.js";
import { documentOf, LEND, Packed } from "../support/packed.js";

const PATH = process.env["PATH"] ?? "";

let packed: Packed;
let tar: string;
let directory: string;
/** Made by whatever should not have run. */
let canaries: string;
let hostile: NodeJS.ProcessEnv;
let settings: string;
let runs = 0;

beforeAll(async () => {
  packed = await Packed.make();
  canaries = packed.path("canaries");
  mkdirSync(canaries);
  settings = hostileSettings();
  hostile = hostileVariables();
  tar = await packed.pack("bundle.tar", ["default"], "--tier", "source");
  directory = await packed.pack("bundle", ["default"], "--tier", "source");
});
afterAll(() => packed.remove());

/** An executable that only leaves a canary. */
function trap(path: string, name: string): string {
  writeFileSync(path, `#!/bin/sh\n: > '${canaries}/${name}'\nexit 1\n`);
  chmodSync(path, 0o755);
  return path;
}

function folder(name: string): string {
  mkdirSync(packed.path(name), { recursive: true });
  return packed.path(name);
}

/** As nix.conf has them. */
function hostileSettings(): string {
  const hook = (name: string) => trap(join(folder("traps"), name), name);
  const forged = folder("forged-cache");
  writeFileSync(join(forged, "nix-cache-info"), "StoreDir: /nix/store\nPriority: 1\n");
  const secret = join(packed.dir, "evil.sec");
  writeFileSync(secret, `evil-1:${Buffer.alloc(64, 7).toString("base64")}`);
  return [
    `post-build-hook = ${hook("post-build-hook")}`,
    `pre-build-hook = ${hook("pre-build-hook")}`,
    `diff-hook = ${hook("diff-hook")}`,
    "run-diff-hook = true",
    `build-hook = ${hook("build-hook")}`,
    `builders = ssh://elsewhere ${SYSTEM} - 100 1 - -`,
    `substituters = file://${forged}`,
    `trusted-substituters = file://${forged}`,
    "require-sigs = false",
    "trusted-public-keys = evil-1:BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=",
    `secret-key-files = ${secret}`,
    `plugin-files = ${packed.path("nonexistent-plugin.so")}`,
    "sandbox = false",
    `extra-sandbox-paths = ${packed.dir}`,
    "fallback = true",
    "max-jobs = 0",
    "allowed-uris = https://",
    "allow-import-from-derivation = false",
    "restrict-eval = true",
    "store = ssh://elsewhere",
    "flake-registry = https://registry.example.org/",
    "accept-flake-config = true",
    "experimental-features =",
    "",
  ].join("\n");
}

function hostileVariables(): NodeJS.ProcessEnv {
  const home = folder("hostile-home");
  const conf = folder("hostile-conf");
  writeFileSync(join(conf, "nix.conf"), settings);
  for (const dir of [".config/nix", ".local/share/nix"]) mkdirSync(join(home, dir), { recursive: true });
  writeFileSync(join(home, ".config/nix/nix.conf"), settings);
  writeFileSync(join(home, ".config/nix/registry.json"), "no registry");
  writeFileSync(join(home, ".local/share/nix/trusted-settings.json"), "no settings");
  writeFileSync(join(home, ".netrc"), "machine example.org login x password y\n");
  const gitconfig = join(home, ".gitconfig");
  writeFileSync(gitconfig, `[core]\n  fsmonitor = ${trap(packed.path("traps/fsmonitor"), "fsmonitor")}\n`);
  const shell = join(home, "shell-startup");
  writeFileSync(shell, `: > '${canaries}/shell-startup'\n`);
  const git = folder("hostile-git");
  trap(join(git, "git-rev-list"), "git-exec-path");
  return {
    PATH,
    HOME: home,
    XDG_CONFIG_HOME: join(home, ".config"),
    XDG_CONFIG_DIRS: join(home, ".config"),
    XDG_DATA_HOME: join(home, ".local/share"),
    XDG_CACHE_HOME: "/dev/null",
    XDG_STATE_HOME: "/dev/null",
    NIX_CONFIG: settings,
    NIX_CONF_DIR: conf,
    NIX_USER_CONF_FILES: join(conf, "nix.conf"),
    NIX_STORE_DIR: "/elsewhere/store",
    NIX_STORE: "/elsewhere/store",
    NIX_STATE_DIR: "/elsewhere/state",
    NIX_LOCALSTATE_DIR: "/elsewhere/state",
    NIX_LOG_DIR: "/elsewhere/log",
    NIX_DATA_DIR: "/elsewhere/data",
    NIX_REMOTE: "daemon",
    NIX_DAEMON_SOCKET_PATH: "/elsewhere/socket",
    NIX_PATH: "nixpkgs=https://example.org/nixpkgs.tar",
    NIX_SSL_CERT_FILE: "/nonexistent",
    NIX_BUILD_HOOK: packed.path("traps/build-hook"),
    NIX_BUILD_SHELL: packed.path("traps/build-hook"),
    NIX_SSHOPTS: "-o ProxyCommand=false",
    NIX_ABORT_ON_WARN: "1",
    NIX_SHOW_STATS: "1",
    _NIX_TRACE_BUILT_OUTPUTS: "1",
    IN_NIX_SHELL: "impure",
    TMPDIR: folder("tmp"),
    LD_PRELOAD: "/nonexistent/canary.so",
    LD_LIBRARY_PATH: folder("hostile-lib"),
    LD_BIND_NOW: "1",
    GCONV_PATH: conf,
    LOCPATH: conf,
    BASH_ENV: shell,
    ENV: shell,
    "BASH_FUNC_exec%%": `() { : > '${canaries}/bash-function'; }`,
    PS4: `$(: > '${canaries}/ps4')`,
    CDPATH: "/tmp",
    IFS: "/",
    GIT_DIR: "/nonexistent",
    GIT_WORK_TREE: "/nonexistent",
    GIT_INDEX_FILE: "/nonexistent",
    GIT_EXEC_PATH: git,
    GIT_CONFIG_COUNT: "1",
    GIT_CONFIG_KEY_0: "core.fsmonitor",
    GIT_CONFIG_VALUE_0: packed.path("traps/fsmonitor"),
    http_proxy: "http://127.0.0.1:9",
    https_proxy: "http://127.0.0.1:9",
    all_proxy: "socks5://127.0.0.1:9",
    LANG: "tr_TR.UTF-8",
    LC_ALL: "no_SUCH",
    LANGUAGE: "de",
    TZ: "Pacific/Kiritimati",
    TERM: "\u001b[31m",
    COLUMNS: "-1",
    NODE_ENV: "x",
    NODE_PATH: conf,
    NODE_EXTRA_CA_CERTS: "/nonexistent",
    UV_THREADPOOL_SIZE: "1",
  };
}

const sprung = () => readdirSync(canaries);

/** What has nothing to do with when and where it ran. */
function essence<T extends object>(report: T): unknown {
  const changing = [
    "startedAt",
    "finishedAt",
    "seconds",
    "phases",
    "free",
    "uri",
    "storeDir",
    "gcRoots",
    "link",
    "shell",
    "argv",
  ];
  return JSON.parse(
    JSON.stringify(report, (key, value) => (changing.includes(key) ? null : (value as unknown))),
  );
}

async function verify(bundle: string, options: CliOptions) {
  const args = ["verify", bundle, "--public-key", packed.publicKey];
  return cliJson<VerifyReport>(args, options);
}

async function restore(bundle: string, options: CliOptions, store = packed.path(`store-${runs++}`)) {
  const args = ["restore", bundle, "--public-key", packed.publicKey, "--store", store];
  return { ...(await cliJson<RestoreReceipt>(args, options)), store };
}

async function rebuild(bundle: string, options: CliOptions) {
  const args = ["rebuild", bundle, "--public-key", packed.publicKey, ...LEND];
  return cliJson<RebuildReport>(args, options);
}

const clean = (): CliOptions => ({ env: packed.siteEnv });

describe("verify, restore and rebuild say the same", () => {
  it.each(["directory", "tar"] as const)("of a %s with every variable set against them", async (form) => {
    const bundle = form === "tar" ? tar : directory;
    for (const verb of [verify, restore, rebuild]) {
      const expected = await verb(bundle, clean());
      expect(expected.code).toBe(0);
      const actual = await verb(bundle, { env: hostile });
      expect(actual.code, actual.stderr).toBe(0);
      expect(essence(actual.json)).toEqual(essence(expected.json));
    }
    expect(sprung()).toEqual([]);
  });

  it("with the machine's own configuration against them", async () => {
    // A copy of /etc with a nix.conf, in a mount namespace.
    const etc = packed.path("etc");
    execFileSync("cp", ["-a", "/etc", etc]);
    mkdirSync(join(etc, "nix"), { recursive: true });
    writeFileSync(join(etc, "nix/nix.conf"), settings);
    writeFileSync(join(etc, "nix/registry.json"), "no registry");
    const root = process.getuid?.() === 0 ? [] : ["--user", "--map-root-user"];
    const inside = ["sh", "-c", `mount --bind '${etc}' /etc && exec "$@"`, "sh"];
    const wrap = ["unshare", ...root, "--mount", "--propagation", "private", ...inside];
    const options = { env: packed.siteEnv, wrap };
    expect((await restore(tar, options)).json.verdict).toBe("complete");
    expect((await rebuild(tar, options)).json.verdict).toBe("identical");
    expect(sprung()).toEqual([]);
  });

  it("with traps in the place of the programs that Nix starts", async () => {
    const bin = folder("trapped-bin");
    for (const name of ["git", "tar", "sh", "bash", "zstd", "xz", "gzip", "ssh", "unshare", "env", "uname"])
      trap(join(bin, name), `program-${name}`);
    const options = { env: { ...packed.siteEnv, PATH: `${bin}:${PATH}` } };
    expect((await verify(tar, options)).code).toBe(0);
    expect((await restore(tar, options)).json.verdict).toBe("complete");
    expect((await rebuild(tar, options)).json.verdict).toBe("identical");
    expect(sprung()).toEqual([]);
  });

  const environments: [what: string, env: () => NodeJS.ProcessEnv][] = [
    ["nothing but PATH", () => ({ PATH })],
    ["an empty PATH, Nix being where it usually is", () => ({ PATH: "", HOME: "/root" })],
    ["a home that is not there", () => ({ PATH, HOME: "/nonexistent/home" })],
    ["a home that is a file", () => ({ PATH, HOME: "/dev/null" })],
    ["a relative home", () => ({ PATH, HOME: "." })],
    ["a home that may not be written", () => ({ PATH, HOME: "/proc" })],
  ];
  it.each(environments)("with %s", async (_, env) => {
    const { code, json, stderr } = await restore(tar, { env: env() });
    expect([code, json.verdict], stderr).toEqual([0, "complete"]);
  });

  it.each(["000", "077", "0777"])("with umask %s", async (umask) => {
    const wrap = ["sh", "-c", `umask ${umask}; exec "$@"`, "sh"];
    expect((await verify(directory, { ...clean(), wrap })).code).toBe(0);
    if (umask === "0777" && process.getuid?.() !== 0) return;
    const { code, json, store } = await restore(tar, { ...clean(), wrap });
    expect([code, json.verdict]).toEqual([0, "complete"]);
    expect((await restore(tar, clean(), store)).json.paths?.imported).toBe(0);
  });

  it("with stdin, stdout and stderr closed", async () => {
    const wrap = ["sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh"];
    const receipt = packed.path("closed.json");
    const key = ["--public-key", packed.publicKey];
    expect((await cli(["verify", tar, ...key], { ...clean(), wrap })).code).toBe(0);
    const store = packed.path(`store-${runs++}`);
    const args = ["restore", directory, ...key, "--store", store, "--receipt", receipt];
    expect((await cli(args, { ...clean(), wrap })).code).toBe(0);
    expect((JSON.parse(readFileSync(receipt, "utf8")) as RestoreReceipt).verdict).toBe("complete");
    expect(existsSync(store)).toBe(true);
  });
});

describe("what Nix is given", () => {
  /** A `nix` that writes its environment down, then is the real one. */
  function spyingPath(log: string): string {
    const bin = folder(`spy-${runs++}`);
    for (const program of ["nix", "nix-store"]) {
      const real = execFileSync("sh", ["-c", `command -v ${program}`], { encoding: "utf8" }).trim();
      writeFileSync(
        join(bin, program),
        `#!/bin/sh\ncat /proc/self/environ | tr '\\0' '\\n' | sed 's/=.*//' >> '${log}'\nexec ${real} "$@"\n`,
      );
      chmodSync(join(bin, program), 0o755);
    }
    return `${bin}:${PATH}`;
  }

  const names = (log: string) => [...new Set(readFileSync(log, "utf8").trim().split("\n"))].sort();

  it("on a site is an environment of our own, whole", async () => {
    const log = packed.path("site-environment");
    const env = { ...hostile, PATH: spyingPath(log) };
    expect((await restore(tar, { env })).code).toBe(0);
    expect((await rebuild(tar, { env })).code).toBe(0);
    expect(names(log).filter((name) => !["PWD", "OLDPWD", "SHLVL", "_"].includes(name))).toEqual([
      "HOME",
      "LANG",
      "NIX_AIRGAP_RUN",
      "NIX_CONF_DIR",
      "NIX_USER_CONF_FILES",
      "PATH",
      "TMPDIR",
      "XDG_CACHE_HOME",
      "XDG_CONFIG_HOME",
      "XDG_DATA_HOME",
      "XDG_STATE_HOME",
    ]);
  });

  it("when packing is the user's, without what would change programs or the repository", async () => {
    const log = packed.path("packer-environment");
    const own = nixEnvironment(packed.path("spied-packer"));
    const env = {
      ...hostile,
      NIX_CONFIG: undefined,
      NIX_STORE_DIR: undefined,
      ...own,
      PATH: spyingPath(log),
    };
    await cli(["pack", packed.fixtures.flakes["no-default"], "--dry-run"], { env });
    const given = names(log);
    expect(given).toContain("http_proxy");
    expect(given.filter((name) => /^(LD_|NODE_|BASH|ENV$|IFS$|PS4$|GIT_)/.test(name))).toEqual([]);
  });
});

describe("a nix on PATH", () => {
  const fake = (name: string) => {
    const bin = folder(name);
    for (const program of ["nix", "nix-store"]) trap(join(bin, program), `fake-${name}`);
    return bin;
  };

  it("in a folder whose name depends on where one stands is not run", async () => {
    const cwd = folder("here");
    for (const bin of [cwd, join(cwd, "relative")]) {
      mkdirSync(bin, { recursive: true });
      trap(join(bin, "nix"), "relative");
    }
    const env = { ...packed.siteEnv, PATH: `:.:relative:../here/relative:${PATH}` };
    expect((await restore(tar, { cwd, env })).json.verdict).toBe("complete");
    expect(sprung()).toEqual([]);
  });

  const unsafe: [what: string, path: () => string][] = [
    [
      "in a folder that all may write",
      () => {
        chmodSync(fake("open-folder"), 0o777);
        return packed.path("open-folder");
      },
    ],
    [
      "that all may write",
      () => {
        chmodSync(join(fake("open-file"), "nix"), 0o777);
        return packed.path("open-file");
      },
    ],
    [
      "that leads to such a folder",
      () => {
        chmodSync(fake("open-target"), 0o777);
        const bin = folder("linked");
        symlinkSync(packed.path("open-target/nix"), join(bin, "nix"));
        return bin;
      },
    ],
  ];
  it.each(unsafe)("%s is refused, by restore, rebuild and pack", async (_, path) => {
    const env = { ...packed.siteEnv, PATH: `${path()}:${PATH}` };
    for (const verb of [restore, rebuild]) {
      const { code, json } = await verb(tar, { env });
      expect([code, json.verdict, json.findings[0]?.code]).toEqual([20, "failed", "NIX_UNSAFE"]);
    }
    const { code, json } = await cliJson<ErrorReport>(["pack", packed.fixtures.flakes["no-default"]], {
      env,
    });
    expect([code, json.error.code]).toEqual([20, "NIX_UNSAFE"]);
    expect(sprung()).toEqual([]);
  });

  it("in /tmp, but one's own, is run", async () => {
    const bin = folder("sticky");
    for (const program of ["nix", "nix-store"]) {
      const real = execFileSync("sh", ["-c", `command -v ${program}`], { encoding: "utf8" }).trim();
      writeFileSync(join(bin, program), `#!/bin/sh\nexec ${real} "$@"\n`);
      chmodSync(join(bin, program), 0o755);
    }
    chmodSync(bin, 0o1777);
    const env = { ...packed.siteEnv, PATH: `${bin}:${PATH}` };
    expect((await restore(tar, { env })).json.verdict).toBe("complete");
  });
});

describe("pack", () => {
  const sha256 = (file: string) => createHash("sha256").update(readFileSync(file)).digest("hex");

  it("makes the same bytes whatever shell, git, locale, time zone, umask and Node.js are told", async () => {
    const env = { ...hostile, ...nixEnvironment(packed.path("hostile-packer")) };
    for (const name of Object.keys(env))
      if (/^NIX_(?!CONF_DIR)|^XDG_CONFIG_DIRS$|proxy$/.test(name)) delete env[name];
    const out = packed.path("hostile.tar");
    const flake = `${packed.fixtures.flakes["acme-pump"]}#default`;
    const args = ["pack", flake, "--key", packed.path("packer-1.sec"), "--tier", "source", "--out", out];
    const wrap = ["sh", "-c", 'umask 077; exec "$@"', "sh"];
    const { code, stderr } = await cli(args, { cwd: packed.dir, env, wrap });
    expect(code, stderr).toBe(0);
    expect(sha256(out)).toBe(sha256(tar));
    expect(sprung()).toEqual([]);
  });

  it("does not heed a flake's nixConfig, nor do restore, rebuild and the printed commands", async () => {
    const flake = folder("configured");
    const value = (name: string, text: string) => `    ${name} = ${text};`;
    const hook = (name: string) =>
      value(name, `"${trap(packed.path(`traps/flake-${name}`), `flake-${name}`)}"`);
    writeFileSync(
      join(flake, "flake.nix"),
      [
        "{",
        "  nixConfig = {",
        ...["post-build-hook", "pre-build-hook", "build-hook", "diff-hook"].map(hook),
        value("run-diff-hook", "true"),
        value("substituters", `[ "file://${packed.path("forged-cache")}" ]`),
        value("extra-substituters", `[ "http://127.0.0.1:9" ]`),
        value("extra-trusted-public-keys", `[ "evil-1:BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=" ]`),
        value("require-sigs", "false"),
        value("sandbox", "false"),
        value("allow-import-from-derivation", "false"),
        value("max-jobs", "0"),
        value("bash-prompt-prefix", `"evil"`),
        value("plugin-files", `"${packed.path("nonexistent.so")}"`),
        "  };",
        "  outputs = { self }:",
        `    let make = name: script: derivation { inherit name; system = "${SYSTEM}"; builder = "/bin/sh"; args = [ "-c" script ]; };`,
        "    in {",
        `      packages.${SYSTEM}.default = make "configured" "echo made > $out # \${builtins.readFile (make "read" "echo read > $out")}";`,
        "    };",
        "}",
        "",
      ].join("\n"),
    );
    const out = packed.path("configured.tar");
    const env = nixEnvironment(packed.path("configured-packer"));
    const key = ["--key", packed.path("packer-1.sec")];
    const { code, stderr } = await cli(
      ["pack", flake, ...key, "--tier", "source", "--release", "1", "--out", out],
      { env, cwd: packed.dir },
    );
    expect(code, stderr).toBe(0);
    const restored = await restore(out, clean());
    expect(restored.json.verdict).toBe("complete");
    expect((await rebuild(out, clean())).json.verdict).toBe("identical");
    for (const { shell } of restored.json.roots.flatMap(({ commands }) => commands)) {
      const ran = await packed.sh(shell);
      expect(ran.code, ran.stderr).toBe(0);
    }
    expect(sprung()).toEqual([]);
    expect(documentOf(out).paths.map(({ storePath }) => storePath)).toEqual(
      await packed.valid(restored.store),
    );
  });
});

describe("bin/nix-airgap", () => {
  it("runs Node.js without what others told it", async () => {
    const program = resolve(import.meta.dirname, "../../bin/nix-airgap");
    const module = packed.path("preloaded.cjs");
    writeFileSync(
      module,
      `require("fs").writeFileSync(${JSON.stringify(join(canaries, "node-options"))}, "")`,
    );
    const coverage = packed.path("coverage");
    const env = {
      ...packed.siteEnv,
      NODE_OPTIONS: `--require ${module}`,
      NODE_V8_COVERAGE: coverage,
      NODE_PATH: packed.dir,
    };
    const args = ["verify", tar, "--public-key", packed.publicKey];
    const { code, stderr } = await runProgram([program, ...args], { env });
    expect(code, stderr).toBe(0);
    expect([sprung(), existsSync(coverage)]).toEqual([[], false]);
  });
});

it("an odd TMPDIR works, or is named", async () => {
  const odd = mkdtempSync(packed.path("tmp a?b#c%20é-"));
  const { code, json } = await restore(tar, { env: { ...packed.siteEnv, TMPDIR: odd } });
  expect([code, json]).toMatchObject([
    2,
    { error: { code: "USAGE", subject: expect.stringContaining("tmp a?b") } },
  ]);
  expect((await verify(tar, { env: { ...packed.siteEnv, TMPDIR: "/nonexistent" } })).code).toBe(0);
  const absent = await restore(tar, { env: { ...packed.siteEnv, TMPDIR: "/nonexistent" } });
  expect(absent.code).toBe(22);
  expect(readdirSync(odd)).toEqual([]);
  cpSync(tar, join(odd, "bundle.tar"));
  expect((await verify(join(odd, "bundle.tar"), clean())).code).toBe(0);
});
