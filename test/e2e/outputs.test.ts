/** Every kind of output of a flake, on the packer and on the site: asked for by name, or all of them. */
import { appendFileSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { PackReport, RebuildReport, RestoreReceipt } from "../../src/generated/types.js";
import { cli, cliJson } from "../support/cli.js";
import { nixEnvironment, SYSTEM } from "../support/fixtures.js";
import { layOutFlake, writeFlake } from "../support/flakes.js";
import { documentOf, LEND, Packed } from "../support/packed.js";

/** The one of the two that this machine is not. */
const FOREIGN = SYSTEM === "x86_64-linux" ? "aarch64-linux" : "x86_64-linux";
const [OWN_HOST, FOREIGN_HOST] = SYSTEM === "x86_64-linux" ? ["ward", "pi"] : ["pi", "ward"];
const toplevel = (host: string) => `nixosConfigurations.${host}.config.system.build.toplevel`;
/** What `--all` takes of the fixture for a system. */
const outputsOf = (system: string, host: string) => [
  `apps.${system}.default`,
  `checks.${system}.self-test`,
  `devShells.${system}.default`,
  `formatter.${system}`,
  toplevel(host),
  `packages.${system}."d.o t s"`,
  `packages.${system}.default`,
  `packages.${system}.pump`,
  `packages.${system}.ünï%^#?`,
];
const bashOf = (system: string) => `inputs.nixpkgs.legacyPackages.${system}.bashInteractive`;

let packed: Packed;
let flake: string;
/** The fixture with `--all`. */
let all: { readonly code: number | null; readonly json: PackReport };

beforeAll(async () => {
  packed = await Packed.make();
  flake = layOutFlake(packed.path("originals"), "outputs", ["shell-nixpkgs"]);
  all = await pack([flake, "--all", "--key", packed.path("packer-1.sec"), "--out", "all.tar"]);
});
afterAll(() => packed.remove());

/** `foreign`: this machine's Nix builds for the other system too, which with the host's shell it can. */
async function pack(
  args: readonly string[],
  { foreign = false } = {},
): Promise<{ code: number | null; json: PackReport }> {
  const env = nixEnvironment(packed.path(foreign ? "foreign-packer" : "packer"));
  if (foreign) appendFileSync(join(env["NIX_CONF_DIR"]!, "nix.conf"), `extra-platforms = ${FOREIGN}\n`);
  return cliJson<PackReport>(["pack", ...args, "--release", "1"], { cwd: packed.dir, env });
}

const attrsOf = ({ json }: { json: PackReport }) => json.plan?.roots.map(({ attr }) => attr);

describe("--all", () => {
  it("is every output of this system that Nix knows, and the bash of the flake's nixpkgs for its shells", () => {
    expect([all.code, all.json.findings]).toEqual([0, []]);
    expect(attrsOf(all)).toEqual([...outputsOf(SYSTEM, OWN_HOST), bashOf(SYSTEM)].sort());
    expect(all.json.plan?.leftOut).toEqual(["legacyPackages", "lib", toplevel(FOREIGN_HOST)]);
  });

  it("leaves out what --except names, as a package or by its whole path", async () => {
    const [, , , formatter, , ...packages] = outputsOf(SYSTEM, OWN_HOST);
    const rest = ["apps", "checks"].map(
      (kind) => `${kind}.${SYSTEM}.${kind === "apps" ? "default" : "self-test"}`,
    );
    const except = [
      "pump",
      "default",
      ...rest,
      `devShells.${SYSTEM}.default`,
      `nixosConfigurations.${OWN_HOST}`,
    ];
    const args = except.flatMap((attr) => ["--except", attr]);
    const outcome = await pack([flake, "--all", ...args, "--dry-run"]);
    const left = [`packages.${SYSTEM}.pump`, `devShells.${SYSTEM}.default`, toplevel(OWN_HOST)];
    const isLeft = (attr: string) => /\.(pump|default)$/.test(attr);
    expect(attrsOf(outcome)).toEqual([formatter, ...packages.filter((attr) => !isLeft(attr))]);
    expect(outcome.json.plan?.leftOut).toEqual(expect.arrayContaining(left));
  });

  it("names all that it cannot take at once, each with how to leave it out", async () => {
    const text = `{ outputs = { self }: {
      packages.${SYSTEM} = { broken = throw "is marked as broken"; nested.tool = 1; "quo\\"te" = 1; };
      apps.${SYSTEM} = { script = { type = "app"; program = "\${./flake.nix}"; }; };
    }; }`;
    const { code, json } = await pack([
      writeFlake(packed.dir, "broken", text),
      "--all",
      "--except",
      "no-such",
    ]);
    expect(code).toBe(2);
    expect(json.findings.map((finding) => [finding.code, finding.subject])).toEqual([
      ["ATTR_UNSUPPORTED", `"packages"."${SYSTEM}"."quo\\"te"`],
      ["ATTR_MISSING", "--except no-such"],
      ["ATTR_UNSUPPORTED", `apps.${SYSTEM}.script`],
      ["EVALUATION_FAILED", `packages.${SYSTEM}.broken`],
      ["ATTR_UNSUPPORTED", `packages.${SYSTEM}.nested`],
    ]);
    for (const { advice } of json.findings.slice(2)) expect(advice).toContain("--except ATTR");
  });

  it("goes with no attribute, and --except with nothing else", async () => {
    const run = async (...args: string[]) => (await cli(["pack", ...args], { cwd: packed.dir })).code;
    expect([await run(`${flake}#pump`, "--all"), await run(flake, "--except", "pump")]).toEqual([2, 2]);
  });
});

it("attributes are taken as Nix takes them, a configuration by its name alone", async () => {
  const asked = [`nixosConfigurations.${OWN_HOST}`, `apps.${SYSTEM}.default`, `formatter.${SYSTEM}`];
  const odd = ['"d.o t s"', "%C3%BCn%C3%AF%25%5E%23%3F"];
  const outcome = await pack([...[...asked, ...odd].map((attr) => `${flake}#${attr}`), "--dry-run"]);
  expect([outcome.code, outcome.json.findings]).toEqual([0, []]);
  expect(attrsOf(outcome)).toEqual([
    `apps.${SYSTEM}.default`,
    `formatter.${SYSTEM}`,
    toplevel(OWN_HOST),
    `packages.${SYSTEM}."d.o t s"`,
    `packages.${SYSTEM}.ünï%^#?`,
  ]);
});

describe("several systems", () => {
  it("go into one bundle, an attribute without system for each; packed apart and joined, it is the same", async () => {
    const key = ["--key", packed.path("packer-1.sec")];
    const bundles: string[] = [];
    for (const systems of [[SYSTEM, FOREIGN], [FOREIGN], [SYSTEM]]) {
      const out = packed.path(`${systems.join("+")}.tar`);
      const args = [...systems.flatMap((system) => ["--system", system]), "--out", out, ...key];
      const { code, json } = await pack([`${flake}#pump`, ...args], { foreign: true });
      expect([code, json.findings]).toEqual([0, []]);
      bundles.push(out);
    }
    const [both, ...parts] = bundles as [string, ...string[]];
    const { roots, systems } = documentOf(both);
    expect(systems).toEqual([SYSTEM, FOREIGN].sort());
    expect(roots.map(({ attr, system }) => [attr, system])).toEqual(
      systems.map((system) => [`packages.${system}.pump`, system]),
    );
    const joined = packed.path("joined.tar");
    const args = ["bundle", "join", ...parts, "--public-key", packed.publicKey, ...key, "--out", joined];
    const { code, stderr } = await cli(args);
    expect(code, stderr).toBe(0);
    expect(readFileSync(joined).equals(readFileSync(both))).toBe(true);
  });

  it("are rebuilt where --system says that only this machine's are, else refused by name", async () => {
    const rebuild = (...args: string[]) =>
      cliJson<RebuildReport>(
        ["rebuild", packed.path("joined.tar"), "--public-key", packed.publicKey, ...args, ...LEND],
        { wrap: packed.site, env: packed.siteEnv },
      );
    const refused = await rebuild();
    expect([refused.code, refused.json.verdict]).toEqual([13, "refused"]);
    expect(refused.json.findings.map(({ code, subject }) => [code, subject])).toEqual([
      ["SYSTEM_UNAVAILABLE", FOREIGN],
    ]);
    expect(refused.json.findings[0]?.advice).toContain(`--system ${SYSTEM}`);
    const { code, json } = await rebuild("--system", SYSTEM);
    expect([code, json.verdict, json.counts?.identical]).toEqual([0, "identical", 1]);
    expect(json.leftOut.map(({ attr }) => attr)).toEqual([`packages.${FOREIGN}.pump`]);
    expect(json.summary).toContain(`1 roots for ${FOREIGN} left out`);
    expect((await rebuild("--system", "riscv64-linux")).code).toBe(2);
  });

  it("are refused by name where this machine has no way to build for one", async () => {
    const text = `{ outputs = { self }: { packages.${FOREIGN}.default = derivation {
      name = "far"; system = "${FOREIGN}"; builder = "/bin/sh"; args = [ "-c" "echo ${packed.dir} > $out" ]; }; }; }`;
    const { code, json } = await pack([writeFlake(packed.dir, "far", text), "--system", FOREIGN]);
    expect([code, json.findings.map((finding) => [finding.code, finding.subject])]).toEqual([
      13,
      [["SYSTEM_UNAVAILABLE", FOREIGN]],
    ]);
    expect(json.findings[0]?.advice).toContain("nix-airgap bundle join");
  });
});

describe("on the site, without a network", () => {
  it("each output builds nothing, runs or is entered, with the locked bash, by the printed commands", async () => {
    const store = packed.path("store");
    const { code, json } = await cliJson<RestoreReceipt>(
      ["restore", packed.path("all.tar"), "--public-key", packed.publicKey, "--store", store, ...LEND],
      { wrap: packed.site, env: packed.siteEnv },
    );
    expect([code, json.findings]).toEqual([0, []]);
    const before = await packed.valid(store);
    const purposes = json.roots.flatMap(({ attr, commands }) =>
      commands.map(({ purpose }) => `${purpose} ${attr.replaceAll(SYSTEM, "S")}`),
    );
    expect(purposes).toEqual([
      "run apps.S.default",
      "build checks.S.self-test",
      "build devShells.S.default",
      "enter devShells.S.default",
      "build formatter.S",
      "run formatter.S",
      `build ${toplevel(OWN_HOST)}`,
      'build packages.S."d.o t s"',
      "build packages.S.default",
      "run packages.S.default",
      "build packages.S.pump",
      "run packages.S.pump",
      "build packages.S.ünï%^#?",
    ]);
    const commands = json.roots.flatMap((root) => root.commands);
    for (const { purpose, shell } of commands.filter(({ purpose }) => purpose !== "enter")) {
      const { code, stdout, stderr } = await packed.sh(shell);
      expect(code, `${shell}\n${stderr}`).toBe(0);
      if (purpose === "run") expect(stdout).toBe(`pump for ${SYSTEM}\n`);
    }
    expect(await packed.valid(store)).toEqual(before);
    const enter = commands.find(({ purpose }) => purpose === "enter")!;
    const { stdout } = await packed.sh(`${enter.shell} -c sh -c 'sh "$PUMP/bin/pump"; echo "$LOCKED_BASH"'`);
    // Newer Nix looks for the bash outside of a store in a folder, finds none, and takes the machine's.
    const [ran, locked] = stdout.split("\n");
    expect([ran, ["yes", ""]]).toEqual([`pump for ${SYSTEM}`, expect.arrayContaining([locked])]);
    // The shell's own environment is the one thing that is built.
    const built = (await packed.valid(store)).filter((path) => !before.includes(path));
    expect(built.map((path) => path.slice(44)).sort()).toEqual(["get-env.sh", "shell-env", "shell-env.drv"]);
  });
});
