/** Every kind of derivation, and of content, that a bundle carries: packed, restored and built again; and those that it refuses. */
import { appendFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { PackReport, RebuildReport, RestoreReceipt, VerifyReport } from "../../src/generated/types.js";
import { cliJson, runProgram } from "../support/cli.js";
import { nixEnvironment, SYSTEM } from "../support/fixtures.js";
import { layOutFlake, writeFlake } from "../support/flakes.js";
import { documentOf, LEND, Packed } from "../support/packed.js";

let packed: Packed;
let report: PackReport;
let bundle: string;

beforeAll(async () => {
  packed = await Packed.make();
  const flake = layOutFlake(packed.path("originals"), "derivations");
  bundle = packed.path("bundle.tar");
  const key = ["--key", packed.path("packer-1.sec")];
  const { json } = await pack([flake, "--all", "--tier", "source", ...key, "--out", bundle]);
  report = json;
});
afterAll(() => packed.remove());

async function pack(
  args: readonly string[],
  settings = "",
): Promise<{ code: number | null; json: PackReport }> {
  const env = nixEnvironment(packed.path("packer"));
  appendFileSync(join(env["NIX_CONF_DIR"]!, "nix.conf"), settings);
  return cliJson<PackReport>(["pack", ...args, "--release", "1"], { cwd: packed.dir, env });
}

it("all of them go into one bundle, which verifies", async () => {
  expect(report.findings).toEqual([]);
  const { json } = await cliJson<VerifyReport>(["verify", bundle, "--public-key", packed.publicKey]);
  expect(json.findings).toEqual([]);
  const { paths, roots } = documentOf(bundle);
  expect(roots).toHaveLength(13);
  const addresses = paths
    .filter(({ kinds }) => kinds.includes("fixed"))
    .map(({ ca }) => ca?.replace(/:[^:]*$/, ""));
  expect([...new Set(addresses)].sort()).toEqual(
    ["fixed:md5", "fixed:r:md5", "fixed:r:sha1", "fixed:sha1", "fixed:sha256", "fixed:sha512"].sort(),
  );
  const named = (name: string) => paths.find(({ storePath }) => storePath.slice(44) === name)!;
  expect(named("self-reference").references).toContain(named("self-reference").storePath);
  const longest = Math.max(...paths.map(({ storePath }) => storePath.slice(44).length));
  expect(longest).toBe(211);
  // What a derivation reads of another as a file is packed with all that this one needs.
  expect(named("reads-derivation.drv").references).toContain(named("fixed-user.drv").storePath);
});

it("all of them are restored, and built by the printed commands from what is there", async () => {
  const store = packed.path("store");
  const { code, json } = await cliJson<RestoreReceipt>(
    ["restore", bundle, "--public-key", packed.publicKey, "--store", store, ...LEND],
    { wrap: packed.site, env: packed.siteEnv },
  );
  expect([code, json.findings]).toEqual([0, []]);
  const before = await packed.valid(store);
  const script = json.roots.map(({ commands }) => commands[0]!.shell).join(" && ");
  const { code: built, stderr } = await packed.sh(script);
  expect(built, stderr).toBe(0);
  expect(await packed.valid(store)).toEqual(before);
});

it("all of them are built again, identical, every used output compared", async () => {
  const { code, json } = await cliJson<RebuildReport>(
    ["rebuild", bundle, "--public-key", packed.publicKey, ...LEND],
    { wrap: packed.site, env: packed.siteEnv },
  );
  expect([code, json.verdict, json.findings]).toEqual([0, "identical", []]);
  const multi = json.derivations.find(({ drvPath }) => drvPath.endsWith("-multi.drv"));
  expect(multi?.outputs).toHaveLength(4);
});

it("names of files that are not UTF-8 are packed in a flake's own tree too", async () => {
  const flake = layOutFlake(packed.path("latin1"), "no-default");
  const folder = flake.slice("git+file://".length);
  const make = `cd '${folder}' && echo x > "$(printf 'caf\\351')" && mkdir "$(printf '\\377')" && echo x > "$(printf '\\377/x')"`;
  expect(
    (
      await runProgram([
        "bash",
        "-c",
        `${make} && git add --all && git -c user.name=x -c user.email=x@example.invalid commit -qm x`,
      ])
    ).code,
  ).toBe(0);
  const { code, json } = await pack([`${flake}#primer`, "--out", "bytes.tar"]);
  expect([code, json.findings]).toEqual([0, []]);
});

describe("refused by name, with what to do", () => {
  const FEATURES = "extra-experimental-features = ca-derivations impure-derivations dynamic-derivations\n";
  const flakeOf = (attrs: string) => `{ outputs = { self }: { packages.${SYSTEM}.default = derivation ({
    name = "refused"; system = "${SYSTEM}"; builder = "/bin/sh"; args = [ "-c" "echo > $out" ];
  } // ${attrs}); }; }`;

  it.each([
    ["floating", '{ __contentAddressed = true; outputHashMode = "recursive"; outputHashAlgo = "sha256"; }'],
    ["impure", '{ __impure = true; outputHashMode = "recursive"; outputHashAlgo = "sha256"; }'],
    ["text", `{ outputHashMode = "text"; outputHashAlgo = "sha256"; outputHash = "${"0".repeat(64)}"; }`],
  ])("%s outputs, whether Nix is told to take them or not", async (kind, attrs) => {
    const flake = writeFlake(packed.dir, kind, flakeOf(attrs));
    for (const settings of ["", FEATURES]) {
      const { code, json } = await pack([flake], settings);
      expect([code, json.findings.map((finding) => finding.code)]).toEqual([2, ["DERIVATION_FLOATING"]]);
    }
  });

  it("a name that is too long, in Nix's words", async () => {
    const flake = writeFlake(packed.dir, "long", flakeOf(`{ name = "${"n".repeat(208)}"; }`));
    const { code, json } = await pack([flake]);
    expect([code, json.findings[0]?.code, json.findings[0]?.actual]).toEqual([
      2,
      "EVALUATION_FAILED",
      expect.stringMatching(/211/),
    ]);
  });
});
