/** restore on the site: no network, originals, caches and the packer's store masked; what it leaves works offline. */
import { execFileSync } from "node:child_process";
import {
  appendFileSync,
  chmodSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { validateRestoreReceipt } from "../../src/generated/report-validators.js";
import type { RestoreReceipt } from "../../src/generated/types.js";
import { cli, cliJson, runProgram } from "../support/cli.js";
import { SYSTEM } from "../support/fixtures.js";
import { documentOf, FEATURES, LEND, Packed } from "../support/packed.js";

let packed: Packed;
/** The product, its check and its shell, tier source, in both forms. */
const bundles: Record<"directory" | "tar", string> = { directory: "", tar: "" };
let stores = 0;

beforeAll(async () => {
  packed = await Packed.make();
  const attrs = ["default", "libpump", `checks.${SYSTEM}.self-test`, `devShells.${SYSTEM}.default`];
  bundles.directory = await packed.pack("bundle", attrs, "--tier", "source");
  bundles.tar = await packed.pack("bundle.tar", attrs, "--tier", "source");
});
afterAll(() => packed.remove());

const newStore = () => packed.path(`store-${stores++}`);
const inStore = (store: string, path: string) => join(store, path);

async function restore(
  bundle: string,
  store: string,
  ...args: string[]
): Promise<{ code: number | null; json: RestoreReceipt; stderr: string }> {
  const outcome = await cliJson<RestoreReceipt>(
    ["restore", bundle, "--public-key", packed.publicKey, "--store", store, ...args],
    { wrap: packed.site, env: packed.siteEnv },
  );
  expect(validateRestoreReceipt(outcome.json), JSON.stringify(validateRestoreReceipt.errors)).toBe(true);
  expect(outcome.json.exit).toBe(outcome.code);
  return outcome;
}

describe.each(["directory", "tar"] as const)("from a %s", (form) => {
  it("every path of the bundle is valid afterwards, no other, and rooted; a collection takes none", async () => {
    const store = newStore();
    const { code, json } = await restore(bundles[form], store);
    expect([code, json.verdict, json.findings]).toEqual([0, "complete", []]);
    const paths = documentOf(bundles[form]).paths.map(({ storePath }) => storePath);
    expect(json.paths).toMatchObject({
      total: paths.length,
      present: 0,
      imported: paths.length,
      checked: paths.length,
    });
    expect(await packed.valid(store)).toEqual(paths);
    const roots = inStore(store, "/nix/var/nix/gcroots/nix-airgap/acme-pump-v1.4.0");
    expect(json.gcRoots).toBe(roots);
    expect(
      readdirSync(roots)
        .map((name) => readlinkSync(join(roots, name)))
        .sort(),
    ).toEqual(paths);
    expect((await packed.sh(`nix-store --store ${store} --gc`)).code).toBe(0);
    expect(await packed.valid(store)).toEqual(paths);
  });

  it("the printed commands build nothing, run and enter, word for word, with no network", async () => {
    const store = newStore();
    const { json } = await restore(bundles[form], store, ...LEND);
    const before = await packed.valid(store);
    const commands = json.roots.flatMap((root) => root.commands.map((command) => ({ root, ...command })));
    expect(commands.map(({ root, purpose }) => `${purpose} ${root.attr}`).sort()).toEqual([
      `build checks.${SYSTEM}.self-test`,
      `build devShells.${SYSTEM}.default`,
      `build packages.${SYSTEM}.default`,
      `build packages.${SYSTEM}.libpump`,
      `enter devShells.${SYSTEM}.default`,
      `run packages.${SYSTEM}.default`,
    ]);
    for (const { root, purpose, shell } of commands) {
      const more = purpose === "enter" ? ` -c sh -c 'cat "$PUMP_HEADERS/pump.h"'` : "";
      const { code, stdout, stderr } = await packed.sh(shell + more);
      expect(code, `${shell}\n${stderr}`).toBe(0);
      if (purpose === "build") {
        const [built] = JSON.parse(stdout) as [{ drvPath: string; outputs: Record<string, string> }];
        expect(built.drvPath).toBe(root.drvPath);
        expect(root.outputs.map(({ path }) => path)).toContain(built.outputs["out"]);
        expect(await packed.valid(store)).toEqual(before);
      } else expect(stdout).toMatch(purpose === "run" ? /max-pressure = 120/ : /int pump\(void\);/);
      // The shell's own environment is the one thing that is built.
      if (purpose === "enter") await packed.sh(`nix-store --store ${store} --gc`);
    }
  });

  it("content that is wrong in the store already is refused, left alone, and repaired by the printed command", async () => {
    const store = newStore();
    await restore(bundles[form], store);
    const { paths } = documentOf(bundles[form]);
    const victims = ["pins.drv", "boot.hex", "licence.txt"].map((name) =>
      inStore(store, paths.find(({ storePath }) => storePath.endsWith(name))!.storePath),
    );
    for (const victim of victims.slice(0, 2)) {
      chmodSync(victim, 0o644);
      appendFileSync(victim, "evil");
    }
    rmSync(victims[2]!);
    const { code, json } = await restore(bundles[form], store);
    expect([code, json.verdict]).toEqual([11, "refused"]);
    expect(json.findings.map((finding) => finding.code)).toEqual([
      "STORE_CONTENT",
      "STORE_CONTENT",
      "STORE_CONTENT",
    ]);
    expect(readFileSync(victims[0]!, "latin1")).toMatch(/evil$/);
    for (const { advice } of json.findings) {
      const { code, stderr } = await packed.sh(advice.slice(advice.indexOf("nix-store ")));
      expect(code, stderr).toBe(0);
    }
    expect((await restore(bundles[form], store)).json.paths).toMatchObject({
      imported: 0,
      checked: paths.length,
    });
    expect(readdirSync(inStore(store, "/nix/var/nix/nix-airgap"))).toEqual(["current", "releases"]);
  });

  it("nothing is imported when one bit of a blob is wrong, and the receipt says so", async () => {
    const copy = packed.path(`bad-${form}${form === "tar" ? ".tar" : ""}`);
    execFileSync("cp", ["-R", bundles[form], copy]);
    const { blob } = documentOf(copy).paths.find(({ storePath }) => storePath.endsWith("boot.hex"))!;
    flipByte(copy, `blobs/sha256/${blob}`);
    const store = newStore();
    const receipt = packed.path(`receipt-${form}.json`);
    const { code, json } = await restore(copy, store, "--receipt", receipt);
    expect([code, json.verdict]).toEqual([11, "refused"]);
    expect(json.findings.map((finding) => finding.code)).toContain("BLOB_HASH");
    expect(existsSync(store)).toBe(false);
    expect(JSON.parse(readFileSync(receipt, "utf8"))).toEqual(json);
  });
});

/** Turns one bit in the middle of a file of a bundle. */
function flipByte(bundle: string, name: string): void {
  const file = bundle.endsWith(".tar") ? bundle : join(bundle, name);
  const bytes = readFileSync(file);
  // ustar: the name begins the header, the content 512 bytes on.
  const start = bundle.endsWith(".tar") ? bytes.indexOf(`${name}\0`) + 512 : 0;
  const at = start + 20;
  bytes[at] = bytes[at]! ^ 1;
  writeFileSync(file, bytes);
}

it("a flake in a subfolder evaluates on site through its wrapper", async () => {
  const bundle = await packed.pack("dir-flake.tar", [packed.fixtures.flakes["dir-flake"]]);
  const { code, json } = await restore(bundle, newStore());
  expect(code).toBe(0);
  const { code: built, stderr } = await packed.sh(json.roots[0]!.commands[0]!.shell);
  expect(built, stderr).toBe(0);
});

it("tier runtime is enough to build and run, which builds nothing", async () => {
  const bundle = await packed.pack("runtime.tar", ["default"], "--tier", "runtime");
  const { json } = await restore(bundle, newStore());
  for (const { shell } of json.roots[0]!.commands) expect((await packed.sh(shell)).code).toBe(0);
  expect(json.roots[0]!.commands.map(({ purpose }) => purpose)).toEqual(["build", "run"]);
});

it("leaving out any one source or result that evaluation reads makes the site's evaluation fail", async () => {
  const document = documentOf(bundles.directory);
  const { roots } = (await restore(bundles.directory, newStore())).json;
  const build = roots.find(({ attr }) => attr === `packages.${SYSTEM}.default`)!.commands[0]!.shell;
  // The same words, but that it only evaluates.
  const evaluate = build
    .replace(" build ", " eval --raw ")
    .replace(" --no-link --json ", " ")
    .replace(/'$/, ".drvPath'");
  const inputsOfDerivations = new Set(
    document.paths
      .filter(({ storePath }) => storePath.endsWith(".drv"))
      .flatMap(({ references }) => references),
  );
  const evaluation = document.paths.filter(
    ({ kinds }) => kinds.includes("flake") || kinds.includes("evaluation"),
  );
  // What is an input of a derivation the evaluator copies out of a flake, or writes, by itself.
  const read = evaluation.filter(
    ({ storePath, kinds, cause }) =>
      kinds.includes("flake") ||
      cause === "import-from-derivation" ||
      (cause === "fetched" && !inputsOfDerivations.has(storePath)),
  );
  // The generated list; the flake, its inputs, and what fetchTarball got. What fetchurl got is an input of a derivation, too.
  expect(read.map(({ storePath }) => storePath.slice(44)).sort()).toEqual([
    "parameters.nix",
    ...Array<string>(read.length - 1).fill("source"),
  ]);
  expect(read.length).toBeGreaterThanOrEqual(8);
  const notice = evaluation.find(({ storePath }) => storePath.endsWith("-notice.txt"))!;
  for (const left of [null, notice, ...read]) {
    const store = newStore();
    const paths = evaluation.map(({ storePath }) => storePath).filter((path) => path !== left?.storePath);
    const copied = await packed.sh(
      `nix ${FEATURES[0]} '${FEATURES[1]}' copy --from file://${bundles.directory} --to ${store}` +
        ` --option trusted-public-keys '${packed.publicKey}' ${paths.join(" ")}`,
    );
    expect(copied.code, copied.stderr).toBe(0);
    const { code, stderr } = await packed.sh(evaluate.replace(/--store \S+/, `--store ${store}`));
    expect(code === 0, `without ${left?.storePath}: ${stderr}`).toBe(left === null);
  }
});

it("restores into a folder with an odd name, and links to the outputs", async () => {
  const store = join(mkdtempSync(packed.path("odd-")), "a b?c#d%20é");
  const links = packed.path("links");
  const { code, json } = await restore(bundles.tar, store, "--out-link", links);
  expect(code).toBe(0);
  expect(readdirSync(links).sort()).toEqual([
    "checks-self-test",
    "default",
    "devShells-default",
    "libpump",
    "libpump-dev",
    "libpump-doc",
  ]);
  expect(existsSync(join(links, "default/bin/acme-pump"))).toBe(true);
  const run = json.roots.flatMap(({ commands }) => commands).find(({ purpose }) => purpose === "run")!;
  expect((await packed.sh(run.shell)).stdout).toMatch(/max-pressure = 120/);
});

it("says of a container image how to load it, from its short link, with a name that the tools know", async () => {
  const flake = packed.fixtures.flakes["container"];
  const bundle = await packed.pack(
    "container.tar",
    ["default", "archive", "streamed"].map((attr) => `${flake}#${attr}`),
    ...["--tier", "runtime"],
  );
  const store = newStore();
  const links = packed.path("images");
  const { json } = await restore(bundle, store, "--out-link", links);
  const load = (attr: string) =>
    json.roots
      .find((root) => root.attr === `packages.${SYSTEM}.${attr}`)!
      .commands.filter(({ purpose }) => purpose === "load")
      .map(({ shell }) => shell);
  const [zip, archive] = [join(links, "default"), join(links, "archive")];
  expect(load("default").slice(0, 2)).toEqual([`docker load -i ${zip}`, `gunzip -c ${zip} | podman load`]);
  expect(load("archive")).toEqual([
    `docker load -i ${archive}`,
    `podman load -i ${archive}`,
    `skopeo copy docker-archive:${archive} docker-daemon:acme/pump:1.4.0`,
  ]);
  for (const attr of ["default", "archive"]) {
    // The daemons that these want are not here; skopeo reads the same.
    const copy = load(attr)
      .at(-1)!
      .replace(/docker-daemon:\S+/, `dir:${packed.path(`copied-${attr}`)}`)
      .replace("skopeo", "skopeo --insecure-policy");
    const { code, stderr } = await packed.sh(`cd ${packed.path("home")} && ${copy}`);
    expect(code, stderr).toBe(0);
  }
  const [stream] = load("streamed");
  expect(stream).toMatch(/^nix .* \| docker load$/);
  const { stdout, stderr } = await packed.sh(stream!.replace("docker load", "tar -xO manifest.json"));
  expect(stdout, stderr).toContain('"acme/pump:1.4.0"');
});

it("a dry run plans, and touches nothing", async () => {
  const store = newStore();
  const { code, json } = await restore(bundles.tar, store, "--dry-run");
  expect([code, json.verdict, json.paths?.imported]).toEqual([0, "planned", 0]);
  expect(existsSync(store)).toBe(false);
});

it("an untrusted key imports nothing", async () => {
  const store = newStore();
  const other = packed.publicKey.replace(/:.*/, ":O2onvM62pC1io6jQKm8Nc2UyFXcd4kOmOsBIoYtZ2ik=");
  const outcome = await cliJson<RestoreReceipt>(
    ["restore", bundles.tar, "--public-key", other, "--store", store],
    { wrap: packed.site, env: packed.siteEnv },
  );
  expect([outcome.code, outcome.json.verdict, existsSync(store)]).toEqual([12, "refused", false]);
});

it.each(["ssh://site", "s3://bucket", "https://cache.example.org", "local?store=/x"])(
  "refuses the store %s, whose bytes it could not read back",
  async (store) => {
    const args = ["restore", bundles.tar, "--public-key", packed.publicKey, "--store", store];
    expect((await cli(args, { wrap: packed.site, env: packed.siteEnv })).code).toBe(2);
  },
);

it("is not led astray by the environment", async () => {
  const store = newStore();
  const args = ["restore", bundles.tar, "--public-key", packed.publicKey, "--store", store];
  const hostile = {
    NIX_CONF_DIR: "/nonexistent",
    NIX_REMOTE: "ssh://elsewhere",
    NIX_STORE_DIR: "/elsewhere",
    NIX_USER_CONF_FILES: packed.path("nix.conf"),
    NIX_CONFIG: "require-sigs = nonsense",
  };
  const { code, stderr } = await cli(args, { wrap: packed.site, env: { ...packed.siteEnv, ...hostile } });
  expect(code, stderr).toBe(0);
});

it("killed without warning at any point, the next run completes", async () => {
  const bundle = await packed.pack("big.tar", ["big", "default"]);
  const store = newStore();
  const args = ["restore", bundle, "--public-key", packed.publicKey, "--store", store];
  for (const killAfter of [400, 900, 1200, 1500, 1800, 2100]) {
    const { code } = await cli(args, { wrap: packed.site, env: packed.siteEnv, killAfter });
    if (code === 0) break;
  }
  const { code, json } = await restore(bundle, store);
  expect([code, json.verdict]).toEqual([0, "complete"]);
  expect(await packed.valid(store)).toEqual(documentOf(bundle).paths.map(({ storePath }) => storePath));
  const roots = readdirSync(inStore(store, "/nix/var/nix/gcroots/nix-airgap"));
  expect(roots).toEqual(["acme-pump-v1.4.0"]);
});

it("works with the bundle on a read-only medium", async () => {
  const mount = packed.path("medium");
  execFileSync("mkdir", [mount]);
  const script = `mount --bind ${bundles.directory} ${mount} && mount -o remount,bind,ro ${mount} && exec "$@"`;
  const store = newStore();
  const { code, stderr } = await runProgram(
    [
      ...["unshare", "--mount", "--propagation", "private", "sh", "-c", script, "sh"],
      ...packed.site,
      ...[process.execPath, join(import.meta.dirname, "../../dist/release/nix-airgap.mjs")],
      ...["restore", mount, "--public-key", packed.publicKey, "--store", store],
    ],
    { env: packed.siteEnv },
  );
  expect(code, stderr).toBe(0);
});
