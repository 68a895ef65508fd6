/** rebuild on the site: no network, originals, caches and the packer's store masked; every verdict there is. */
import {
  appendFileSync,
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { validateRebuildReport } from "../../src/generated/report-validators.js";
import type { RebuildReport } from "../../src/generated/types.js";
import { cli, cliJson } from "../support/cli.js";
import { SYSTEM } from "../support/fixtures.js";
import { documentOf, LEND, Packed } from "../support/packed.js";

let packed: Packed;
/** The product, its check and its shell, tier source, in both forms. */
const bundles: Record<"directory" | "tar", string> = { directory: "", tar: "" };

beforeAll(async () => {
  packed = await Packed.make();
  const attrs = ["default", `checks.${SYSTEM}.self-test`, `devShells.${SYSTEM}.default`];
  bundles.directory = await packed.pack("bundle", attrs, "--tier", "source");
  bundles.tar = await packed.pack("bundle.tar", attrs, "--tier", "source");
});
afterAll(() => packed.remove());

async function rebuild(
  bundle: string,
  ...args: string[]
): Promise<{ code: number | null; json: RebuildReport; stderr: string }> {
  const outcome = await cliJson<RebuildReport>(
    ["rebuild", bundle, "--public-key", packed.publicKey, ...args],
    { wrap: packed.site, env: packed.siteEnv },
  );
  expect(validateRebuildReport(outcome.json), JSON.stringify(validateRebuildReport.errors)).toBe(true);
  expect(outcome.json.exit).toBe(outcome.code);
  return outcome;
}

/** Verdicts by the derivation's name. */
const verdicts = ({ derivations }: RebuildReport) =>
  Object.fromEntries(derivations.map(({ drvPath, verdict }) => [drvPath.slice(44, -4), verdict]));

describe.each(["directory", "tar"] as const)("from a %s", (form) => {
  it("everything but fixed outputs is built again from sources, identical", async () => {
    const { code, json } = await rebuild(bundles[form], ...LEND);
    expect([code, json.verdict, json.from]).toEqual([0, "identical", "source"]);
    expect(json.counts).toMatchObject({ toBuild: 15, identical: 15, resumed: 0 });
    expect(Object.keys(verdicts(json))).toEqual(
      expect.arrayContaining([
        "acme-pump-1.4.0",
        "codegen",
        "parameters.nix",
        "libpump",
        "self-test",
        "pins",
      ]),
    );
    // Of derivations only the three fixed outputs were there: fetched, recursive, flat with an old hash.
    expect(json.startedWith?.outputs).toBe(3);
    expect(json.summary).toMatch(
      /^15 of 15 derivations rebuilt identical from tier source; none start from prebuilt/,
    );
    expect(json.sandbox.paths).toContain("/usr");
  });

  it("the roots and imports from derivation are built again from their direct inputs", async () => {
    const { code, json } = await rebuild(bundles[form], "--from", "build", ...LEND);
    expect([code, json.from]).toEqual([0, "build"]);
    expect(verdicts(json)).toEqual({
      "acme-pump-1.4.0": "identical",
      "acme-pump-shell": "identical",
      "parameters.nix": "identical",
      "self-test": "identical",
    });
  });
});

it("a bundle of tier build is rebuilt from it, and refuses more; one of tier runtime refuses both", async () => {
  const build = await packed.pack("build.tar", ["default"], "--tier", "build");
  const runtime = await packed.pack("runtime.tar", ["default"], "--tier", "runtime");
  expect((await rebuild(build, ...LEND)).json).toMatchObject({
    exit: 0,
    from: "build",
    verdict: "identical",
  });
  for (const [bundle, ...args] of [[build, "--from", "source"], [runtime]] as const) {
    const { code, json } = await rebuild(bundle, ...args, ...LEND);
    expect([code, json.verdict, json.findings[0]?.code]).toEqual([13, "refused", "TIER_TOO_LOW"]);
  }
});

describe("what is not reproducible", () => {
  it("differs, with the files that do, and is told from what only inherits it", async () => {
    const bundle = await packed.pack("irreproducible.tar", ["inherits-irreproducible"], "--tier", "source");
    const { code, json } = await rebuild(bundle, ...LEND);
    expect([code, json.verdict]).toEqual([1, "differs"]);
    expect(verdicts(json)).toEqual({ irreproducible: "differs", "inherits-irreproducible": "inherited" });
    const [own, inherited] = json.derivations;
    expect(own?.outputs[0]?.expected).not.toBe(own?.outputs[0]?.actual);
    expect(inherited?.because).toEqual([own?.drvPath]);
    expect(inherited?.outputs[0]?.differences).toEqual([{ path: "copy", difference: "content" }]);
    expect(json.findings.map((finding) => [finding.code, finding.subject])).toEqual([
      ["REBUILD_DIFFERS", own?.outputs[0]?.path],
    ]);
  });

  it("names the first differing files of the output itself", async () => {
    const bundle = await packed.pack("uuid", ["irreproducible"], "--tier", "build");
    const { json } = await rebuild(bundle, ...LEND);
    expect(json.derivations[0]?.outputs[0]?.differences).toEqual([{ path: "uuid", difference: "content" }]);
  });

  it("is no failure where the document names it with a reason", async () => {
    const flake = packed.path("known");
    mkdirSync(flake);
    const known = [{ derivation: "noisy", reason: "takes a random number" }];
    writeFileSync(join(flake, "nix-airgap.json"), JSON.stringify({ knownIrreproducible: known }));
    writeFileSync(
      join(flake, "flake.nix"),
      `{ outputs = { self }:
          let mk = name: script: derivation { inherit name; system = "${SYSTEM}"; builder = "/bin/sh"; args = [ "-c" script ]; };
          in { packages.${SYSTEM} = rec {
            noisy = mk "noisy" "/bin/cat /proc/sys/kernel/random/uuid > $out";
            default = mk "default" "/bin/cat \${noisy} > $out";
          }; }; }\n`,
    );
    const attrs = ["default", "noisy"].map((attr) => `path:${flake}#${attr}`);
    const bundle = await packed.pack("known.tar", attrs, "--tier", "source", "--release", "1");
    const { code, json } = await rebuild(bundle, ...LEND);
    expect([code, json.verdict, json.findings]).toEqual([0, "identical", []]);
    expect(verdicts(json)).toEqual({ noisy: "known-irreproducible", default: "inherited" });
    expect(json.derivations[0]?.reason).toBe("takes a random number");
  });
});

it("an input that refers to another root waits until that root was built", async () => {
  const flake = packed.path("stages");
  mkdirSync(flake);
  writeFileSync(
    join(flake, "flake.nix"),
    `{ outputs = { self }:
        let mk = name: script: derivation { inherit name; system = "${SYSTEM}"; builder = "/bin/sh"; args = [ "-c" script ]; };
        in { packages.${SYSTEM} = rec {
          lib = mk "lib" "echo lib > $out";
          middle = mk "middle" "echo \${lib} > $out";
          default = mk "top" "echo \${middle} > $out";
        }; }; }\n`,
  );
  const attrs = ["default", "lib"].map((attr) => `path:${flake}#${attr}`);
  const bundle = await packed.pack("stages.tar", attrs, "--tier", "build", "--release", "1");
  const { code, json } = await rebuild(bundle, ...LEND);
  expect([code, json.findings]).toEqual([0, []]);
  expect(verdicts(json)).toEqual({ lib: "identical", top: "identical" });
  expect(json.phases.map(({ phase }) => phase)).toEqual(["import", "build", "import", "build", "compare"]);
});

describe("what fails", () => {
  it("is told with its log, what depends on it is not built, and the exit is Nix's", async () => {
    const { code, json } = await rebuild(bundles.tar);
    expect([code, json.verdict, json.findings[0]?.code]).toEqual([20, "failed", "BUILD_FAILED"]);
    expect(verdicts(json)).toMatchObject({
      libpump: "failed",
      codegen: "failed",
      "acme-pump-1.4.0": "not-built",
    });
    const of = (name: string) => json.derivations.find(({ drvPath }) => drvPath.endsWith(`-${name}.drv`))!;
    expect(of("parameters.nix").because).toEqual([of("codegen").drvPath]);
    const { sandbox, counts } = json;
    expect(counts).toMatchObject({ toBuild: 15, notBuilt: 4, failed: 11 - counts!.identical });
    // Debian's newer Nix lends every build a shell, with which four need no program.
    const isShellLent = sandbox.byNix.length > 0;
    const word = isShellLent ? /mkdir: command not found$/ : /'\/bin\/sh': No such file or directory$/;
    expect(of("libpump").log.at(-1)).toMatch(word);
    expect(counts!.identical).toBe(isShellLent ? 4 : 0);
    expect(json.summary.includes("this Nix lends every build /bin/sh=")).toBe(isShellLent);
  });

  it("leaves its folder only when asked to", async () => {
    const { json } = await rebuild(bundles.tar, "--keep-failed");
    expect(json.kept).toHaveLength(json.counts!.failed);
    expect(json.kept.every((folder) => existsSync(folder))).toBe(true);
    rmSync(join(json.kept[0]!, ".."), { recursive: true });
  });
});

describe("a scratch store", () => {
  const scratch = (name: string) => packed.path(`scratch-${name}`);

  it("is resumed from: what was built there is not built again, but compared again", async () => {
    const args = ["--scratch", scratch("resumed"), ...LEND];
    expect((await rebuild(bundles.tar, ...args)).json.counts).toMatchObject({ identical: 15, resumed: 0 });
    const { json } = await rebuild(bundles.tar, ...args);
    expect(json.counts).toMatchObject({ identical: 15, resumed: 15 });
    expect(json.scratch).toBe(scratch("resumed"));
    // A built output that was changed since is no proof.
    const output = json.derivations[0]!.outputs[0]!.path;
    const file = join(scratch("resumed"), output);
    chmodSync(file, 0o644);
    appendFileSync(file, "evil");
    const { code, json: changed } = await rebuild(bundles.tar, ...args);
    expect([code, changed.verdict, changed.findings[0]?.subject]).toEqual([1, "differs", output]);
  });

  it("whose imports were changed is not used", async () => {
    const args = ["--scratch", scratch("changed"), ...LEND];
    await rebuild(bundles.tar, ...args);
    const source = documentOf(bundles.tar).paths.find(({ storePath }) => storePath.endsWith("-names.txt"))!;
    const file = join(scratch("changed"), source.storePath);
    chmodSync(file, 0o644);
    appendFileSync(file, "evil");
    const { code, json } = await rebuild(bundles.tar, ...args);
    expect([code, json.verdict, json.findings[0]?.code]).toEqual([11, "refused", "STORE_CONTENT"]);
  });

  it("of another rebuild, or of anything else, is refused", async () => {
    const run = (...args: string[]) =>
      cli(["rebuild", bundles.tar, "--public-key", packed.publicKey, ...args, ...LEND], {
        wrap: packed.site,
        env: packed.siteEnv,
      });
    const theirs = scratch("theirs");
    mkdirSync(theirs);
    writeFileSync(join(theirs, "precious"), "");
    expect((await run("--scratch", theirs)).code).toBe(2);
    expect(readdirSync(theirs)).toEqual(["precious"]);
    expect((await run("--scratch", scratch("tier"), "--from", "build")).code).toBe(0);
    expect((await run("--scratch", scratch("tier"), "--from", "source")).code).toBe(2);
  });
});

it("a dry run says what would be built, and builds nothing", async () => {
  const { code, json } = await rebuild(bundles.tar, "--dry-run", ...LEND);
  expect([code, json.verdict, json.counts?.toBuild, json.derivations]).toEqual([0, "planned", 15, []]);
});

it("a bundle that does not verify is not built from", async () => {
  const other = packed.publicKey.replace(/:.*/, ":O2onvM62pC1io6jQKm8Nc2UyFXcd4kOmOsBIoYtZ2ik=");
  const args = ["rebuild", bundles.tar, "--public-key", other, ...LEND];
  const { code, json } = await cliJson<RebuildReport>(args, { wrap: packed.site, env: packed.siteEnv });
  expect([code, json.verdict, json.derivations]).toEqual([12, "refused", []]);
});
