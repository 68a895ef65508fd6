/**
 * What we rely on of Nix, fact by fact, asked of the Nix that is installed: docs/nix-behaviour.md has the list. Where versions
 * differ a test says so; where a newer one differs from all, it fails, and what relies on it has to be looked at.
 */
import { execFileSync, spawnSync } from "node:child_process";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { parsePathInfo } from "../../src/host/nix/path-info.js";
import { formatNix32 } from "../../src/nix/hash.js";
import { HashModulo } from "../../src/nix/hash-modulo.js";
import { MAX_DEPTH } from "../../src/nix/nar.js";
import { type NarNode, writeNar } from "../../src/nix/nar-writer.js";
import { nixEnvironment, SANDBOX_PATHS, SYSTEM } from "../support/fixtures.js";
import { installedNix, isOlder } from "../support/installed-nix.js";
import { FEATURES } from "../support/packed.js";

const NIX = installedNix();
const dir = mkdtempSync(join(tmpdir(), "airgap-nix-"));
const path = (name: string) => join(dir, name);
const env = nixEnvironment(path("nix"));
const store = path("store");

afterAll(() => {
  execFileSync("chmod", ["-R", "u+w", dir]);
  rmSync(dir, { recursive: true, force: true });
});

interface Said {
  readonly status: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

function run(program: string, args: readonly string[]): Said {
  return spawnSync(program, args, { env, cwd: dir, encoding: "utf8" });
}
const nix = (...args: string[]) => run("nix", [...FEATURES, ...args]);
const nixStore = (...args: string[]) => run("nix-store", args);

function must({ status, stdout, stderr }: Said): string {
  expect(status, stderr).toBe(0);
  return stdout.trim();
}

/** A folder as a source in the store; its store path. */
function add(name: string, files: Readonly<Record<string, string>>, target = store): string {
  const folder = path(name);
  mkdirSync(folder, { recursive: true });
  for (const [file, text] of Object.entries(files)) writeFileSync(join(folder, file), text);
  return must(nixStore("--store", target, "--add", folder));
}

/** A derivation that a shell of this machine builds. */
function instantiate(name: string, script: string): string {
  const file = path(`${name}.nix`);
  writeFileSync(
    file,
    `derivation { name = "${name}"; system = "${SYSTEM}"; builder = "/bin/sh"; args = [ "-c" ${JSON.stringify(script)} ]; }`,
  );
  return must(run("nix-instantiate", ["--store", store, file])).split("!")[0]!;
}
const LEND = ["--option", "sandbox-paths", SANDBOX_PATHS];
const build = (drvPath: string) => must(nixStore("--store", store, "--realise", drvPath, ...LEND));

describe("asking", () => {
  it("nix --version ends with the version, and has the implementation in brackets", () => {
    expect(must(nix("--version"))).toBe(`nix (Nix) ${NIX}`);
  });

  it("path-info --json has one of three shapes, and what is not valid is none of the paths", () => {
    const source = add("asked", { file: "x" });
    const text = must(nix("path-info", "--json", "--store", store, source));
    const shape = JSON.parse(text) as unknown;
    expect(Array.isArray(shape)).toBe(isOlder(NIX, "2.19"));
    const [info] = parsePathInfo(text, "/nix/store");
    expect(info).toMatchObject({ storePath: source, references: [], deriver: null });
    expect(info?.ca).toMatch(/^fixed:r:sha256:/);
  });

  it("--check-validity --print-invalid names what is not valid, .drv files too, and makes a store where there is none", () => {
    const source = add("valid", { file: "y" });
    const drvPath = instantiate("unbuilt", "echo > $out");
    const missing = "/nix/store/00000000000000000000000000000000-missing.drv";
    const args = ["--check-validity", "--print-invalid", source, drvPath, missing];
    expect(must(nixStore("--store", store, ...args))).toBe(missing);
    expect(existsSync(path("made"))).toBe(false);
    must(nixStore("--store", path("made"), "--check-validity"));
    expect(existsSync(path("made/nix/var/nix/db/db.sqlite"))).toBe(true);
  });

  it("the log in JSON tells of copies and builds by the numbers 100 and 105, and of builders' lines by 101", () => {
    const drvPath = instantiate("telling", "echo a line; echo > $out");
    const { stderr } = nixStore(
      ...["--store", store, "--realise", drvPath, ...LEND, "--log-format", "internal-json"],
    );
    const events = stderr
      .split("\n")
      .filter((line) => line.startsWith("@nix "))
      .map((line) => JSON.parse(line.slice(5)) as Record<string, unknown>);
    const started = events.filter(({ action, type }) => action === "start" && type === 105);
    expect(started.map(({ fields }) => (fields as string[])[0])).toEqual([drvPath]);
    const lines = events.filter(({ action, type }) => action === "result" && type === 101);
    expect(lines.map(({ fields }) => fields)).toContainEqual(["a line"]);
    const source = add("told", { file: "z" });
    const copied = nix(
      "copy",
      "--to",
      `file://${path("cache")}`,
      "--from",
      store,
      source,
      "--log-format",
      "internal-json",
    );
    expect(copied.stderr).toMatch(/"action":"start".*"type":100\b/);
  });
});

describe("copying", () => {
  it("a cache gives each narinfo a blob, and --derivation copies a .drv with what it is made from", () => {
    const drvPath = instantiate("carried", "echo > $out");
    const cache = path("drv-cache");
    must(nix("copy", "--derivation", "--from", store, "--to", `file://${cache}?compression=zstd`, drvPath));
    const narinfo = readFileSync(join(cache, `${drvPath.slice(11, 43)}.narinfo`), "utf8");
    expect(narinfo).toMatch(/^StorePath: .*-carried\.drv$/m);
    expect(narinfo).toMatch(/^CA: text:sha256:/m);
  });

  it("without --derivation a .drv is its output to 2.8, and itself to newer ones", () => {
    const drvPath = instantiate("ambiguous", "echo > $out");
    const output = build(drvPath);
    const cache = path("output-cache");
    must(nix("copy", "--from", store, "--to", `file://${cache}`, drvPath));
    const has = (storePath: string) => existsSync(join(cache, `${storePath.slice(11, 43)}.narinfo`));
    expect([has(output), has(drvPath)]).toEqual(isOlder(NIX, "2.15") ? [true, false] : [false, true]);
  });

  it("a path that is not content-addressed needs a signature; one that is needs none", () => {
    const output = build(instantiate("unsigned", "echo unsigned > $out"));
    const source = add("addressed", { file: "w" });
    const cache = `file://${path("unsigned-cache")}`;
    must(nix("copy", "--from", store, "--to", cache, output, source));
    const checks = ["--option", "require-sigs", "true", "--option", "trusted-public-keys", ""];
    const copy = (wanted: string) => nix("copy", "--from", cache, "--to", path("strict"), ...checks, wanted);
    must(copy(source));
    const refused = copy(output);
    expect(refused.status).toBe(1);
    expect(refused.stderr).toMatch(/lacks a (valid signature|signature by a trusted key)/);
  });

  it("a content address of something else ends 2.26 and newer by a signal", () => {
    const source = add("crooked", { file: "v" });
    const cache = path("crooked-cache");
    must(nix("copy", "--from", store, "--to", `file://${cache}`, source));
    const narinfo = join(cache, `${source.slice(11, 43)}.narinfo`);
    writeFileSync(
      narinfo,
      readFileSync(narinfo, "utf8").replace(/^CA: .*$/m, `CA: fixed:r:sha256:${"0".repeat(52)}`),
    );
    const { status, signal } = nix(
      "copy",
      "--from",
      `file://${cache}`,
      "--to",
      path("crooked-store"),
      source,
    );
    expect(signal ?? status).toBe(isOlder(NIX, "2.19") ? 1 : "SIGABRT");
  });

  it("what lies under a name that is not valid is replaced", () => {
    const source = add("replaced", { file: "u" });
    const target = path("littered");
    must(nixStore("--store", target, "--check-validity"));
    mkdirSync(join(target, source), { recursive: true });
    writeFileSync(join(target, source, "litter"), "");
    const cache = `file://${path("replacing")}`;
    must(nix("copy", "--from", store, "--to", cache, source));
    must(nix("copy", "--from", cache, "--to", target, source));
    expect(existsSync(join(target, source, "litter"))).toBe(false);
    expect(readFileSync(join(target, source, "file"), "utf8")).toBe("u");
  });
});

describe("what is kept", () => {
  it("a symlink anywhere below gcroots keeps what it leads to, .drv files too", () => {
    const kept = path("collected");
    const source = add("rooted", { file: "t" }, kept);
    const loose = add("loose", { file: "s" }, kept);
    const roots = join(kept, "nix/var/nix/gcroots/nix-airgap/release");
    mkdirSync(roots, { recursive: true });
    symlinkSync(source, join(roots, "0"));
    must(nixStore("--store", kept, "--gc"));
    const invalid = must(nixStore("--store", kept, "--check-validity", "--print-invalid", source, loose));
    expect(invalid).toBe(loose);
  });

  it("a build that failed is kept below TMPDIR, from 2.30 on below the store's own state", () => {
    const drvPath = instantiate("failing", "exit 3");
    const said = nixStore("--store", store, "--realise", drvPath, "--keep-failed", ...LEND);
    expect(said.status).not.toBe(0);
    const folder = /keeping build directory ['"]([^'"]+)['"]/.exec(said.stderr)?.[1] ?? "";
    expect(existsSync(folder), said.stderr).toBe(true);
    expect(folder.startsWith(join(store, "nix/var/nix/builds/"))).toBe(!isOlder(NIX, "2.30"));
    rmSync(folder, { recursive: true });
  });
});

describe("flakes", () => {
  const flake = () => {
    const folder = path("flake");
    mkdirSync(folder, { recursive: true });
    writeFileSync(
      join(folder, "flake.nix"),
      `{ outputs = { self }: { packages.${SYSTEM}.default = derivation {
         name = "named-\${toString (self.lastModified or 0)}"; system = "${SYSTEM}"; builder = "/bin/sh"; }; }; }`,
    );
    execFileSync("git", ["init", "-q", "-b", "main"], { cwd: folder, env });
    execFileSync("git", ["add", "flake.nix"], { cwd: folder, env });
    const who = ["-c", "user.name=a", "-c", "user.email=a@example.org"];
    execFileSync("git", [...who, "commit", "-q", "-m", "x"], { cwd: folder, env });
    return folder;
  };

  it("a path: reference with narHash, rev and lastModified evaluates as the repository did", () => {
    const folder = flake();
    const metadata = JSON.parse(must(nix("flake", "metadata", "--json", `git+file://${folder}`))) as {
      path: string;
      locked: { rev: string; narHash: string; lastModified: number; revCount: number };
    };
    const { rev, narHash, lastModified, revCount } = metadata.locked;
    const asked = `path:${metadata.path}?lastModified=${lastModified}&rev=${rev}&revCount=${revCount}&narHash=${encodeURIComponent(narHash)}`;
    const drvPathOf = (ref: string) => nix("eval", "--raw", `${ref}#packages.${SYSTEM}.default.drvPath`);
    const original = must(drvPathOf(`git+file://${folder}`));
    expect(must(drvPathOf(asked))).toBe(original);
    expect(must(drvPathOf(`path:${metadata.path}`))).not.toBe(original);
  });

  it("a lock that lacks an input is refused under --no-update-lock-file, in these words", () => {
    const folder = path("stale");
    mkdirSync(folder, { recursive: true });
    writeFileSync(
      join(folder, "flake.nix"),
      `{ inputs.other.url = "path:${path("flake")}"; outputs = _: { }; }`,
    );
    const { status, stderr } = nix("flake", "metadata", "--json", "--no-update-lock-file", `path:${folder}`);
    expect(status).toBe(1);
    expect(stderr).toContain("requires lock file changes");
  });
});

describe("NARs and names", () => {
  it("2.34 takes no tree deeper than ours do, older ones any", () => {
    const nested = (depth: number) => {
      let node: NarNode = { kind: "regular", executable: false, contents: Buffer.from("x") };
      for (let i = 0; i < depth; i++)
        node = { kind: "directory", entries: [{ name: Buffer.from("d"), node }] };
      return writeNar(node);
    };
    const restores = (depth: number) => {
      const target = path(`depth-${depth}`);
      const { status } = spawnSync("nix-store", ["--restore", target], { env, input: nested(depth) });
      return status === 0;
    };
    expect([restores(MAX_DEPTH), restores(MAX_DEPTH + 1)]).toEqual([true, isOlder(NIX, "2.34")]);
  });

  it("a content-addressed path with references to itself is named with their positions by 2.8, without by newer ones", () => {
    const output = build(instantiate("selfish", "echo $out and $out > $out"));
    const said = nix("store", "make-content-addressed", "--json", "--store", store, output);
    const rewritten = Object.values(
      (JSON.parse(must(said)) as { rewrites: Record<string, string> }).rewrites,
    )[0]!;
    const [info] = parsePathInfo(must(nix("path-info", "--json", "--store", store, rewritten)), "/nix/store");
    const nar = execFileSync("nix-store", ["--store", store, "--dump", join(store, rewritten)], { env });
    const hash = new HashModulo("sha256", rewritten.slice(11, 43));
    hash.update(nar);
    const { withPositions, withoutPositions } = hash.digests()!;
    const named = isOlder(NIX, "2.19") ? withPositions : withoutPositions;
    expect(info?.ca).toBe(`fixed:r:${formatNix32(named)}`);
  });
});
