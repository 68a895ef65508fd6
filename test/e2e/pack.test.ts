/** pack on real flakes with the real Nix: what goes in, and what is refused. */

import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { validatePackReport } from "../../src/generated/report-validators.js";
import type { BundleDocument, ErrorReport, PackReport, VerifyReport } from "../../src/generated/types.js";
import { type CliOptions, cli, cliJson } from "../support/cli.js";
import { type Fixtures, makeFixtures, nixEnvironment, SYSTEM } from "../support/fixtures.js";
import { commitAll } from "../support/git.js";
import { SIGN_WORDS } from "../support/trust.js";

let dir: string;
let fixtures: Fixtures;
let options: CliOptions & { readonly cwd: string };
let publicKey: string;

beforeAll(async () => {
  dir = mkdtempSync(join(tmpdir(), "airgap-pack-"));
  fixtures = makeFixtures(join(dir, "originals"));
  mkdirSync(join(dir, "work"));
  options = { cwd: join(dir, "work"), env: nixEnvironment(join(dir, "nix")) };
  expect((await cli(["keygen", "--name", "packer-1", "--out", "."], options)).code).toBe(0);
  publicKey = readFileSync(join(options.cwd, "packer-1.pub"), "utf8").trim();
});
afterAll(() => rmSync(dir, { recursive: true, force: true }));

async function pack(...args: string[]): Promise<{ code: number | null; json: PackReport; stderr: string }> {
  const outcome = await cliJson<PackReport>(["pack", ...args], options);
  expect(validatePackReport(outcome.json), JSON.stringify(validatePackReport.errors)).toBe(true);
  return outcome;
}

const inWork = (name: string) => join(options.cwd, name);
const sha256 = (file: string) => createHash("sha256").update(readFileSync(file)).digest("hex");

describe("a bundle", () => {
  it("has the same bytes when packed twice, as tar and as directory, and verifies", async () => {
    const product = fixtures.flakes["acme-pump"];
    for (const out of ["a.tar", "b.tar", "a"]) {
      const { code, json } = await pack(product, "--key", "packer-1.sec", "--tier", "source", "--out", out);
      expect(code).toBe(0);
      expect(json.bundle?.path).toBe(inWork(out));
      const verified = await cliJson<VerifyReport>(["verify", "--public-key", publicKey, out], options);
      expect(verified.json.findings).toEqual([]);
      expect(verified.code).toBe(0);
    }
    expect(sha256(inWork("a.tar"))).toBe(sha256(inWork("b.tar")));
    execFileSync("mkdir", ["unpacked"], { cwd: options.cwd });
    execFileSync("tar", ["xf", "../a.tar"], { cwd: inWork("unpacked") });
    for (const name of readdirSync(inWork("unpacked"), { recursive: true, withFileTypes: true })) {
      if (!name.isFile()) continue;
      const relative = join(name.parentPath, name.name).slice(inWork("unpacked").length);
      expect(sha256(join(inWork("a"), relative)), relative).toBe(sha256(join(inWork("unpacked"), relative)));
    }
    expect(readdirSync(options.cwd).filter((name) => name.startsWith("."))).toEqual([]);
  });

  it("holds what each tier promises, import from derivation as a root of its own", async () => {
    const kinds = async (tier: string) => {
      const { json } = await pack(fixtures.flakes["acme-pump"], "--tier", tier, "--dry-run");
      return json.plan!;
    };
    const [runtime, build, source] = [await kinds("runtime"), await kinds("build"), await kinds("source")];
    expect(runtime.kinds.map(({ kind }) => kind)).toEqual(["evaluation", "flake", "output"]);
    expect(build.kinds.map(({ kind }) => kind)).toEqual([
      "derivation",
      "evaluation",
      "flake",
      "input",
      "output",
    ]);
    expect(source.kinds.map(({ kind }) => kind)).toEqual([
      "derivation",
      "evaluation",
      "fixed",
      "flake",
      "input",
      "output",
    ]);
    expect(runtime.roots.map(({ purpose }) => purpose)).toEqual(["output"]);
    expect(source.roots.map(({ purpose }) => purpose)).toEqual(["evaluation", "output"]);
    expect([runtime.paths < build.paths, build.paths < source.paths]).toEqual([true, true]);
    expect(readdirSync(options.cwd).filter((name) => name.endsWith(`-${SYSTEM}-source.tar`))).toEqual([]);
  });

  it("takes several installables, all outputs of each, devShells and checks", async () => {
    const product = fixtures.flakes["acme-pump"];
    const shell = `devShells.${SYSTEM}.default`;
    const check = `checks.${SYSTEM}.self-test`;
    const { json } = await pack(
      `${product}#libpump`,
      `${product}#${shell}`,
      `${product}#${check}`,
      "--dry-run",
    );
    const roots = json.plan!.roots.filter(({ purpose }) => purpose === "output");
    expect(roots.map(({ attr }) => attr)).toEqual([check, shell, `packages.${SYSTEM}.libpump`]);
    expect(roots.at(-1)!.outputs.map(({ name }) => name)).toEqual(["dev", "doc", "out"]);
  });

  it("says its defaults from the flake: product, git tag, time, sequence", async () => {
    const { code, json } = await pack(fixtures.flakes["acme-pump"], "--dry-run");
    expect(code).toBe(0);
    const { product, release, sequence, created, signedBy, out } = json.plan!;
    expect({ product, release, sequence, created, signedBy }).toEqual({
      product: "acme-pump",
      release: "v1.4.0",
      sequence: 1709294400,
      created: "2024-03-01T12:00:00Z",
      signedBy: null,
    });
    expect(out).toMatch(new RegExp(`/acme-pump-v1.4.0-${SYSTEM}-(build|source).tar$`));
  });

  it("carries a flake in a subfolder through a wrapper", async () => {
    const { code } = await pack(fixtures.flakes["dir-flake"], "--out", "dir", "--key", "packer-1.sec");
    expect(code).toBe(0);
    const document = JSON.parse(readFileSync(inWork("dir/bundle.json"), "utf8")) as BundleDocument;
    expect(document.evaluation.method).toBe("wrapper");
    expect(document.flake.dir).toBe("nested");
    expect((await cli(["verify", "dir", "--public-key", publicKey], options)).code).toBe(0);
  });

  it("without a key is unsigned, which verify refuses until it is signed", async () => {
    const { code, json } = await pack(`${fixtures.flakes["no-default"]}#primer`, "--out", "unsigned.tar");
    expect([code, json.plan?.signedBy]).toEqual([0, null]);
    const before = await cliJson<VerifyReport>(
      ["verify", "unsigned.tar", "--public-key", publicKey],
      options,
    );
    expect([before.code, before.json.findings[0]?.code]).toEqual([12, "APPROVAL_MISSING"]);
    expect((await cli(["sign", ...SIGN_WORDS, "unsigned.tar", "--key", "packer-1.sec"], options)).code).toBe(
      0,
    );
    expect((await cli(["verify", "unsigned.tar", "--public-key", publicKey], options)).code).toBe(0);
  });

  it("names the bundle of the release before, whose sequence must be smaller", async () => {
    const primer = `${fixtures.flakes["no-default"]}#primer`;
    await pack(primer, "--out", "first.tar", "--product", "primer", "--sequence", "1");
    const same = ["--out", "x.tar", "--product", "primer", "--sequence", "1", "--previous", "first.tar"];
    const refused = await cliJson<ErrorReport>(["pack", primer, ...same], options);
    expect([refused.code, refused.json.error.code, refused.json.error.subject]).toEqual([
      2,
      "USAGE",
      "--sequence",
    ]);
    const { code } = await pack(
      primer,
      "--out",
      "second",
      "--product",
      "primer",
      "--sequence",
      "2",
      "--previous",
      "first.tar",
    );
    expect(code).toBe(0);
    const document = JSON.parse(readFileSync(inWork("second/bundle.json"), "utf8")) as BundleDocument;
    execFileSync("tar", ["xf", "first.tar", "bundle.json"], { cwd: options.cwd });
    expect(document.previous).toEqual({ sequence: 1, sha256: sha256(inWork("bundle.json")) });
  });
});

it("keeps what evaluation fetched, whatever it is called, and drops only a tarball beside its tree", async () => {
  writeFileSync(join(dir, "data.txt"), "data");
  const fetch = `builtins.fetchurl { url = "file://${dir}/data.txt"; name = "source"; sha256 = "${sha256(join(dir, "data.txt"))}"; }`;
  const flake = flakeOf("fetches", shellDerivation(`echo \${builtins.readFile (${fetch})} > $out`));
  expect((await pack(flake, "--release", "1", "--out", "fetches")).code).toBe(0);
  const { paths } = JSON.parse(readFileSync(inWork("fetches/bundle.json"), "utf8")) as BundleDocument;
  const fetched = paths
    .filter(({ cause }) => cause === "fetched")
    .map(({ ca }) => ca!.replace(/:[^:]*$/, ""));
  expect(fetched).toEqual(["fixed:sha256"]);
});

describe("a flake that cannot be packed is refused by name, and nothing is written", () => {
  const refusals: [what: string, flake: () => string, exit: number, code: string, subject: RegExp][] = [
    ["a lock that lacks an input", () => fixtures.flakes["stale-lock"], 2, "LOCK_STALE", /stale-lock/],
    [
      "fetchGit while it evaluates",
      () => fixtures.flakes["fetch-git"],
      2,
      "EVALUATION_FETCHES",
      /packages\..*default/,
    ],
    [
      "a content-addressed derivation",
      () => fixtures.flakes["floating-ca"],
      2,
      "DERIVATION_FLOATING",
      /default/,
    ],
    ["no default output", () => fixtures.flakes["no-default"], 2, "ATTR_MISSING", /#default/],
    ["a flake that is not there", () => join(dir, "nowhere"), 2, "FLAKE_UNREADABLE", /nowhere/],
    ["a dirty tree", dirtyFlake, 2, "TREE_DIRTY", /dirty/],
    ["sources that are gone, all of them", goneFlake, 13, "SOURCE_UNAVAILABLE", /src-a/],
    ["reading the environment", impureFlake, 2, "EVALUATION_IMPURE", /default/],
  ];

  it.each(refusals)("%s", async (_, flake, exit, expected, subject) => {
    const before = readdirSync(options.cwd);
    const { code, stdout } = await cli(["pack", flake(), "--release", "1", "--json"], options);
    expect(code).toBe(exit);
    const json = JSON.parse(stdout) as {
      findings?: PackReport["findings"];
      error?: { code: string; subject?: string };
    };
    const found = json.findings?.[0] ?? json.error;
    expect(found?.code).toBe(expected);
    expect(found?.subject).toMatch(subject);
    expect(readdirSync(options.cwd)).toEqual(before);
  });

  it("names every lost source, with its URL and hash", async () => {
    const { json } = await pack(goneFlake(), "--release", "1");
    expect(json.findings.map(({ code, actual }) => [code, actual])).toEqual([
      ["SOURCE_UNAVAILABLE", "file:///nonexistent/a"],
      ["SOURCE_UNAVAILABLE", "file:///nonexistent/b"],
    ]);
    expect(json.findings[0]?.expected).toMatch(/^sha256-/);
  });

  it("lists the outputs there are where default is missing", async () => {
    const { json } = await pack(fixtures.flakes["no-default"]);
    expect(json.findings[0]?.actual).toMatch(/primer, purger/);
  });

  it("an output that exists is left alone", async () => {
    writeFileSync(inWork("taken.tar"), "precious");
    const { code, stdout } = await cli(
      ["pack", fixtures.flakes["acme-pump"], "--out", "taken.tar", "--json"],
      options,
    );
    expect([code, JSON.parse(stdout).error.code]).toEqual([2, "OUT_EXISTS"]);
    expect(readFileSync(inWork("taken.tar"), "utf8")).toBe("precious");
  });

  it("installables of two flakes do not go into one bundle", async () => {
    const two = [fixtures.flakes["acme-pump"], fixtures.flakes["no-default"]];
    expect((await cli(["pack", ...two], options)).code).toBe(2);
  });
});

function flakeOf(name: string, outputs: string): string {
  const folder = join(dir, name);
  mkdirSync(folder, { recursive: true });
  writeFileSync(
    join(folder, "flake.nix"),
    `{ outputs = { self }: { packages.${SYSTEM}.default = ${outputs}; }; }\n`,
  );
  return folder;
}

function shellDerivation(script: string): string {
  return `derivation { name = "small"; system = "${SYSTEM}"; builder = "/bin/sh"; args = [ "-c" "${script}" ]; }`;
}

function dirtyFlake(): string {
  const folder = flakeOf("dirty", shellDerivation("echo 1 > $out"));
  commitAll(folder, "Start");
  flakeOf("dirty", shellDerivation("echo 2 > $out"));
  return folder;
}

function goneFlake(): string {
  const fetch = (name: string) =>
    `(derivation { name = "src-${name}"; system = "builtin"; builder = "builtin:fetchurl"; url = "file:///nonexistent/${name}"; ` +
    `outputHash = "sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="; outputHashAlgo = "sha256"; outputHashMode = "flat"; unpack = false; executable = false; })`;
  return flakeOf("gone", shellDerivation(`cat \${${fetch("a")}} \${${fetch("b")}} > $out`));
}

function impureFlake(): string {
  return flakeOf("impure", shellDerivation(`echo \${builtins.readFile /etc/hostname} > $out`));
}
