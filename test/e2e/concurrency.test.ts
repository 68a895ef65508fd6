/** Two runs in one place: one works, the other says who does, and nothing is lost. */

import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, readFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { ErrorReport, RebuildReport, RestoreReceipt } from "../../src/generated/types.js";
import { type CliOptions, cli, cliJson } from "../support/cli.js";
import { nixEnvironment } from "../support/fixtures.js";
import { runAround, runUntil } from "../support/interrupted.js";
import { documentOf, LEND, Packed } from "../support/packed.js";
import { SIGN_WORDS } from "../support/trust.js";

let packed: Packed;
let packer: CliOptions;
let installable: string;
const bundles = { directory: "", tar: "" };
let places = 0;

beforeAll(async () => {
  packed = await Packed.make();
  packer = { env: nixEnvironment(packed.path("packer")) };
  installable = `${packed.fixtures.flakes["no-default"]}#primer`;
  bundles.directory = await packed.pack("bundle", [installable], "--tier", "source");
  bundles.tar = await packed.pack("bundle.tar", [installable], "--tier", "source");
  for (const name of ["qa-1", "qa-2"]) {
    expect((await cli(["keygen", "--name", name, "--out", packed.dir])).code).toBe(0);
  }
});
afterAll(() => packed.remove());

const place = () => {
  const dir = packed.path(`place-${places++}`);
  mkdirSync(dir);
  return dir;
};
const onSite = (): CliOptions => ({ wrap: packed.site, env: packed.siteEnv });
const publicKey = (name: string) => readFileSync(packed.path(`${name}.pub`), "utf8").trim();
const named = (form: "directory" | "tar") => (form === "tar" ? "bundle.tar" : "bundle");

async function verify(bundle: string, ...names: string[]): Promise<(number | null)[]> {
  const codes: (number | null)[] = [];
  for (const name of names) {
    codes.push((await cli(["verify", bundle, "--public-key", publicKey(name)])).code);
  }
  return codes;
}

/** Runs it where another is at work, and expects to be told so. */
async function expectLocked(args: readonly string[], options: CliOptions, pid: number): Promise<void> {
  const { code, json } = await cliJson<
    Partial<Pick<ErrorReport, "error"> & Pick<RestoreReceipt, "findings">>
  >(args, options);
  const refused = json.error ?? json.findings?.[0];
  expect([code, refused?.code]).toEqual([22, "LOCKED"]);
  expect(refused?.actual).toMatch(new RegExp(`^held by process ${pid} on this machine since 20\\S+Z$`));
  expect(refused?.advice).toMatch(/^Wait until that run has ended, .* remove \/.*\.lock\.$/);
}

describe.each(["directory", "tar"] as const)("of two packs to one %s", (form) => {
  const args = (out: string) => [
    ...["pack", installable, "--key", packed.path("packer-1.sec"), "--tier", "source", "--out", out],
  ];

  it("the second says that the first is at work, which completes", async () => {
    const out = join(place(), named(form));
    const { code, stderr } = await runAround(args(out), "compress ...", packer, async (pid) => {
      await expectLocked(args(out), packer, pid);
    });
    expect(code, stderr).toBe(0);
    expect(await verify(out, "packer-1")).toEqual([0]);
    expect(readdirSync(dirname(out))).toEqual([basename(out)]);
  });

  it("at the same moment one completes, the other finds it at work or done", async () => {
    const out = join(place(), named(form));
    const runs = await Promise.all([0, 1, 2].map(() => cli([...args(out), "--json"], packer)));
    const codes = runs.map(({ code, stdout }) =>
      code === 0 ? "done" : (JSON.parse(stdout) as ErrorReport).error.code,
    );
    expect(codes.filter((code) => code === "done")).toEqual(["done"]);
    expect(["done", "LOCKED", "OUT_EXISTS"]).toEqual(expect.arrayContaining(codes));
    expect(await verify(out, "packer-1")).toEqual([0]);
    expect(readdirSync(dirname(out))).toEqual([basename(out)]);
  });
});

describe("of two restores into one store", () => {
  const args = (store: string) => [
    ...["restore", bundles.tar, "--public-key", packed.publicKey, "--store", store],
  ];
  const expectWhole = async (store: string) => {
    const paths = documentOf(bundles.tar).paths.map(({ storePath }) => storePath);
    expect(await packed.valid(store)).toEqual(paths);
    const { json } = await cliJson<RestoreReceipt>(args(store), onSite());
    expect([json.verdict, json.paths?.present, json.paths?.checked]).toEqual(["complete", 3, 3]);
    expect(readdirSync(join(store, "nix/var/nix/nix-airgap"))).toEqual(["current", "releases"]);
  };

  it("the second says that the first is at work, which completes", async () => {
    const store = join(place(), "store");
    const { code, stderr } = await runAround(args(store), "import ...", onSite(), async (pid) => {
      await expectLocked(args(store), onSite(), pid);
    });
    expect(code, stderr).toBe(0);
    await expectWhole(store);
  });

  it("at the same moment one completes, the others find it at work or done", async () => {
    const store = join(place(), "store");
    const runs = await Promise.all([0, 1, 2].map(() => cli(args(store), onSite())));
    const codes = runs.map(({ code }) => code);
    expect(codes).toContain(0);
    expect([0, 22]).toEqual(expect.arrayContaining(codes));
    await expectWhole(store);
  });

  it("the first of which was killed, the second takes over", async () => {
    const store = join(place(), "store");
    const point = { at: "line", text: "import ...", ms: 0 } as const;
    expect((await runUntil(args(store), point, { ...onSite(), orphans: true })).killed).toBe(true);
    expect(existsSync(join(store, "nix/var/nix/nix-airgap/store.lock"))).toBe(true);
    expect((await cli(args(store), onSite())).code).toBe(0);
    await expectWhole(store);
  });
});

it("while a rebuild works in a scratch store neither another nor a restore gets in", async () => {
  const scratch = join(place(), "scratch");
  const common = [bundles.tar, "--public-key", packed.publicKey];
  const rebuild = ["rebuild", ...common, "--scratch", scratch, ...LEND];
  const { code, stderr } = await runAround(rebuild, "import ...", onSite(), async (pid) => {
    await expectLocked(rebuild, onSite(), pid);
    await expectLocked(["restore", ...common, "--store", scratch], onSite(), pid);
  });
  expect(code, stderr).toBe(0);
  const { json } = await cliJson<RebuildReport>(rebuild, onSite());
  expect([json.verdict, json.counts?.resumed]).toEqual(["identical", 1]);
});

describe.each(["directory", "tar"] as const)("of two who sign one %s", (form) => {
  const sign = (bundle: string, name: string) => [
    "sign",
    ...SIGN_WORDS,
    bundle,
    "--key",
    packed.path(`${name}.sec`),
  ];
  const copy = () => {
    const bundle = join(place(), named(form));
    execFileSync("cp", ["-R", bundles[form], bundle]);
    return bundle;
  };

  it("the second says that the first is at work, and signs after it", async () => {
    const bundle = copy();
    const { code, stderr } = await runAround(
      sign(bundle, "qa-1"),
      "derived files ...",
      packer,
      async (pid) => {
        await expectLocked(sign(bundle, "qa-2"), packer, pid);
      },
    );
    expect(code, stderr).toBe(0);
    expect((await cli(sign(bundle, "qa-2"), packer)).code).toBe(0);
    expect(await verify(bundle, "packer-1", "qa-1", "qa-2")).toEqual([0, 0, 0]);
  });

  it("at the same moment no approval is lost", async () => {
    const bundle = copy();
    const names = ["qa-1", "qa-2"];
    const runs = await Promise.all(names.map((name) => cli(sign(bundle, name), packer)));
    expect(runs.some(({ code }) => code === 0)).toBe(true);
    expect([0, 22]).toEqual(expect.arrayContaining(runs.map(({ code }) => code)));
    const signed = names.filter((_, i) => runs[i]!.code === 0);
    expect(await verify(bundle, "packer-1", ...signed)).toEqual([0, ...signed.map(() => 0)]);
    expect(readdirSync(dirname(bundle))).toEqual([basename(bundle)]);
  });
});
