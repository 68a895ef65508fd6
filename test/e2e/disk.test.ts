/**
 * A disk that is too small is said before work starts where that can be known, and else when it is full: exit 22, what to
 * free, what was there before is as it was, and once there is room the same command completes.
 */

import { createHash } from "node:crypto";
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { ErrorReport, PackReport, RebuildReport, RestoreReceipt } from "../../src/generated/types.js";
import { type CliOptions, cli, cliJson, RELEASE, runProgram } from "../support/cli.js";
import { nixEnvironment, SANDBOX_PATHS, SYSTEM } from "../support/fixtures.js";
import { installedNix, isOlder } from "../support/installed-nix.js";
import { documentOf, FEATURES, LEND, Packed } from "../support/packed.js";
import { CAN_MOUNT, type DiskSize, Tmpfs } from "../support/tmpfs.js";
import { SIGN_WORDS } from "../support/trust.js";

const PAGE = 4096;
const NOISE = 4 * 1024 * 1024;
const FILES = 1500;

let packed: Packed;
let packer: NodeJS.ProcessEnv;
/** 4 MB of source that no compression makes smaller; an output of many files, each far smaller than a disk's block. */
let product: string;
/** In both forms. */
let bundles: { readonly directory: string; readonly tar: string };
let small: { readonly directory: string; readonly tar: string };
const disks: Tmpfs[] = [];

beforeAll(async () => {
  packed = await Packed.make();
  packer = nixEnvironment(packed.path("packer"));
  product = makeProduct(packed.path("product"));
  const primer = `${packed.fixtures.flakes["no-default"]}#primer`;
  const both = async (name: string, ref: string) => ({
    directory: await packed.pack(name, [ref], "--release", "1", "--tier", "source"),
    tar: await packed.pack(`${name}.tar`, [ref], "--release", "1", "--tier", "source"),
  });
  bundles = await both("bundle", `path:${product}`);
  small = await both("small", primer);
  expect((await cli(["keygen", "--name", "qa-1", "--out", packed.dir])).code).toBe(0);
});
afterAll(() => {
  for (const disk of disks) disk.unmount();
  packed.remove();
});

function makeProduct(folder: string): string {
  mkdirSync(folder);
  let noise = Buffer.alloc(32);
  const blocks: Buffer[] = [];
  for (let size = 0; size < NOISE; size += noise.length) {
    noise = createHash("sha256").update(noise).digest();
    blocks.push(noise);
  }
  writeFileSync(join(folder, "noise.bin"), Buffer.concat(blocks));
  // A builder that meets a full disk fails, as most do.
  const build = `set -e; export PATH=/bin:/usr/bin; mkdir $out; i=0; while [ $i -lt ${FILES} ]; do echo $i > $out/$i; i=$((i + 1)); done`;
  writeFileSync(
    join(folder, "flake.nix"),
    `{ outputs = { self }: { packages.${SYSTEM}.default = derivation { name = "many"; system = "${SYSTEM}"; builder = "/bin/sh"; args = [ "-c" "${build}" ]; }; }; }\n`,
  );
  return folder;
}

/** A flake whose output is 16 MB, of a few bytes of source. */
function makeFetched(folder: string): string {
  mkdirSync(folder);
  const build = `export PATH=/bin:/usr/bin; head -c ${4 * NOISE} /dev/zero > $out`;
  writeFileSync(
    join(folder, "flake.nix"),
    `{ outputs = _: { packages.${SYSTEM}.default = derivation { name = "large"; system = "${SYSTEM}"; builder = "/bin/sh"; args = [ "-c" "${build}" ]; }; }; }\n`,
  );
  return folder;
}

function mount(size: DiskSize): Tmpfs {
  const disk = new Tmpfs(packed.path(`disk-${disks.length}`), size);
  disks.push(disk);
  return disk;
}

/** What says no: a report's first finding, or an error. */
async function refusal(
  args: readonly string[],
  options: CliOptions,
): Promise<{
  code: number | null;
  finding: {
    code: string;
    subject: string | null;
    expected: string | null;
    actual: string | null;
    advice: string;
  };
}> {
  const { code, json, stderr } = await cliJson<
    Partial<Pick<PackReport, "findings"> & Pick<ErrorReport, "error">>
  >(args, options);
  const finding = json.error ?? json.findings?.[0];
  if (finding === undefined) throw new Error(`exit ${code}: ${stderr}`);
  return { code, finding };
}

const onSite = (): CliOptions => ({ wrap: packed.site, env: packed.siteEnv });
const verify = (bundle: string) => cli(["verify", bundle, "--public-key", packed.publicKey]);
const sha256 = (file: string) => createHash("sha256").update(readFileSync(file)).digest("hex");
/** By name in a folder. */
const hashes = (folder: string) =>
  Object.fromEntries(
    readdirSync(folder, { recursive: true, encoding: "utf8" })
      .filter((name) => statSync(join(folder, name)).isFile())
      .sort()
      .map((name) => [name, sha256(join(folder, name))]),
  );

/** How a refusal before work names what is needed and what there is. */
const tooSmall = (subject: string | RegExp) => ({
  code: "NO_SPACE",
  subject: typeof subject === "string" ? subject : expect.stringMatching(subject),
  expected: expect.stringMatching(/^room for \d+ bytes$/),
  actual: expect.stringMatching(/^\d+ bytes free$/),
  advice: expect.stringMatching(/^Free \d+ bytes on the disk of \S+, or .*; then run the command again\.$/),
});
const full = (subject: string | RegExp) => ({
  code: "NO_SPACE",
  subject: typeof subject === "string" ? subject : expect.stringMatching(subject),
  actual: expect.stringMatching(/no space left|disk is full/i),
  advice: expect.stringMatching(/Free space/),
});

describe.skipIf(!CAN_MOUNT)("pack", () => {
  const args = (out: string) => [
    ...["pack", `path:${product}`, "--release", "1", "--tier", "source"],
    ...["--key", packed.path("packer-1.sec"), "--out", out],
  ];

  it.each(["bundle", "bundle.tar"])("to %s where there is no room says so before it starts", async (name) => {
    const disk = mount({ size: "1m" });
    const { code, finding } = await refusal(args(join(disk.path, name)), { env: packer });
    expect(code).toBe(22);
    expect(finding).toMatchObject(tooSmall(disk.path));
    expect(readdirSync(disk.path)).toEqual([]);
  });

  it("of what compresses worse than expected: the earlier bundle holds, and with room the next run completes", async () => {
    const disk = mount({ size: "3m" });
    const earlier = join(disk.path, "earlier.tar");
    cpSync(small.tar, earlier);
    const out = join(disk.path, "bundle");
    const { code, finding } = await refusal(args(out), { env: packer });
    expect([code, existsSync(out)]).toEqual([22, false]);
    expect(finding).toMatchObject(full(join(disk.path, ".bundle.partial/cache/0")));
    expect((await verify(earlier)).code).toBe(0);
    disk.resize({ size: "32m" });
    expect((await cli(args(out), { env: packer })).code).toBe(0);
    expect(hashes(out)).toEqual(hashes(bundles.directory));
    expect(readdirSync(disk.path).sort()).toEqual(["bundle", "earlier.tar"]);
  });

  it("with room for the blobs but not for the tar says so before it writes that, and goes on from the blobs", async () => {
    const disk = mount({ size: "6m" });
    const out = join(disk.path, "bundle.tar");
    const { code, finding } = await refusal(args(out), { env: packer });
    expect([code, existsSync(out)]).toEqual([22, false]);
    expect(finding).toMatchObject(tooSmall(disk.path));
    // Just what is lacking: what is there already is not asked for again.
    disk.resize({ size: "9m" });
    expect((await cli(args(out), { env: packer })).code).toBe(0);
    expect(sha256(out)).toBe(sha256(bundles.tar));
  });

  it("whose disk is full while the tar is written, or has no more inodes, leaves no bundle", async () => {
    const disk = mount({ size: "32m" });
    const out = join(disk.path, "bundle.tar");
    const { blobBytes } = documentOf(bundles.tar).totals;
    // Compresses, then lacks room for a tar.
    disk.fill(1.5 * blobBytes);
    expect((await cli(args(out), { env: packer })).code).toBe(22);
    disk.drain();
    disk.fill(blobBytes + 2 * PAGE);
    const { code, finding } = await refusal(args(out), { env: packer });
    expect([code, existsSync(out)]).toEqual([22, false]);
    expect(finding).toMatchObject({ code: "NO_SPACE", subject: expect.stringMatching(/bundle\.tar$/) });
    const other = mount({ size: "32m", inodes: 16 });
    const noInodes = await refusal(args(join(other.path, "bundle")), { env: packer });
    expect([noInodes.code, noInodes.finding.code]).toEqual([22, "NO_SPACE"]);
    expect(existsSync(join(other.path, "bundle"))).toBe(false);
    disk.drain();
    expect((await cli(args(out), { env: packer })).code).toBe(0);
    expect(sha256(out)).toBe(sha256(bundles.tar));
  });

  it("with no room in TMPDIR for the flake's sources says so before it evaluates there", async () => {
    const disk = mount({ size: "1m" });
    const out = packed.path("never.tar");
    const { code, finding } = await refusal(args(out), { env: { ...packer, TMPDIR: disk.path } });
    expect(code).toBe(22);
    expect(finding).toMatchObject(tooSmall(new RegExp(`^${disk.path}/`)));
    expect(finding.advice).toMatch(/TMPDIR/);
    expect([existsSync(out), readdirSync(disk.path)]).toEqual([false, []]);
  });

  // Newer ones write compressed NARs where they belong.
  it.skipIf(!isOlder(installedNix(), "2.26"))(
    "with room in TMPDIR for the sources and no more says what is lacking, and leaves nothing there",
    async () => {
      const disk = mount({ size: "5m" });
      const out = packed.path("never.tar");
      const { code, finding } = await refusal(args(out), { env: { ...packer, TMPDIR: disk.path } });
      expect([code, finding.code]).toEqual([22, "NO_SPACE"]);
      expect(finding.advice).toMatch(/TMPDIR/);
      expect([existsSync(out), readdirSync(disk.path)]).toEqual([false, []]);
    },
  );

  it("from a store without room for what is to be fetched says so before it fetches", async () => {
    const settings = nixEnvironment(packed.path("fetching"));
    const conf = join(settings["NIX_CONF_DIR"]!, "nix.conf");
    const cache = `file://${packed.path("cache")}`;
    const lent = `sandbox-paths = ${SANDBOX_PATHS}`;
    const more = ["require-sigs = false", `substituters = ${cache}`, lent];
    const stock = (...argv: string[]) => runProgram([...argv], { env: packer });
    const folder = makeFetched(packed.path("fetched"));
    const built = await stock("nix", ...FEATURES, "build", "--no-link", `path:${folder}`);
    expect(built.code, built.stderr).toBe(0);
    const copied = await stock("nix", ...FEATURES, "copy", "--to", cache, `path:${folder}`);
    expect(copied.code, copied.stderr).toBe(0);
    writeFileSync(
      conf,
      `${readFileSync(conf, "utf8").replace(/^substituters.*\n/m, "")}${more.join("\n")}\n`,
    );

    // Room for a database.
    const disk = mount({ size: "12m" });
    const store = join(disk.path, "store");
    const asked = [
      "pack",
      `path:${folder}`,
      "--release",
      "1",
      "--store",
      store,
      "--out",
      packed.path("never.tar"),
    ];
    const { code, finding } = await refusal(asked, { env: settings });
    expect(code).toBe(22);
    expect(finding).toMatchObject(tooSmall(join(store, "nix/store")));
    expect(readdirSync(join(store, "nix/store")).filter((name) => name.endsWith("-large"))).toEqual([]);
    disk.resize({ size: "64m" });
    expect((await cli(asked, { env: settings })).code).toBe(0);
  });
});

describe.skipIf(!CAN_MOUNT)("restore", () => {
  const args = (bundle: string, store: string, ...more: string[]) => [
    ...["restore", bundle, "--public-key", packed.publicKey, "--store", store, ...more],
  ];
  const restored = async (bundle: string, store: string) => {
    const { code, json } = await cliJson<RestoreReceipt>(args(bundle, store), onSite());
    return [code, json.verdict];
  };

  it("into a store without room says so before it imports, and the receipt has it", async () => {
    const disk = mount({ size: "2m" });
    const receipt = packed.path("receipt-small.json");
    const { code, finding } = await refusal(
      args(bundles.directory, join(disk.path, "store"), "--receipt", receipt),
      onSite(),
    );
    expect(code).toBe(22);
    expect(finding).toMatchObject(tooSmall(join(disk.path, "store/nix/store")));
    expect(JSON.parse(readFileSync(receipt, "utf8"))).toMatchObject({
      verdict: "failed",
      exit: 22,
      paths: { imported: 0 },
    });
    expect(existsSync(join(disk.path, "store/nix/store"))).toBe(false);
  });

  it("from a tar with no room to copy its blobs out names TMPDIR before it imports", async () => {
    const disk = mount({ size: "2m" });
    const { code, finding } = await refusal(args(bundles.tar, packed.path("store-tmp")), {
      ...onSite(),
      env: { ...packed.siteEnv, TMPDIR: disk.path },
    });
    expect(code).toBe(22);
    expect(finding).toMatchObject(tooSmall(new RegExp(`^${disk.path}/`)));
    expect(finding.advice).toMatch(/TMPDIR/);
    expect(readdirSync(disk.path)).toEqual([]);
  });

  it.each<[what: string, shrink: (disk: Tmpfs) => DiskSize]>([
    ["files take more than their bytes", (disk) => ({ size: `${disk.used.kilobytes + 4600}k` })],
    ["files need more inodes than there are", (disk) => ({ size: "64m", inodes: disk.used.inodes + 100 })],
  ])("where %s: what was there stays, and with room the next run completes", async (_, shrink) => {
    const disk = mount({ size: "64m", inodes: 100_000 });
    const store = join(disk.path, "store");
    expect(await restored(small.tar, store)).toEqual([0, "complete"]);
    disk.resize(shrink(disk));
    const { code, finding } = await refusal(args(bundles.tar, store), onSite());
    expect(code).toBe(22);
    expect(finding).toMatchObject(full(store));
    const before = documentOf(small.tar).paths.map(({ storePath }) => storePath);
    expect(await packed.valid(store)).toEqual(expect.arrayContaining(before));
    const check = await packed.sh(`nix-store --store ${store} --verify-path ${before.join(" ")}`);
    expect(check.code, check.stderr).toBe(0);
    disk.resize({ size: "64m", inodes: 100_000 });
    expect(await restored(bundles.tar, store)).toEqual([0, "complete"]);
    expect(await restored(small.tar, store)).toEqual([0, "complete"]);
  });

  it("whose receipt finds no room says so", async () => {
    const disk = mount({ size: "64k" });
    disk.fill();
    const store = packed.path("store-receipt");
    const { code, finding } = await refusal(
      args(small.tar, store, "--receipt", join(disk.path, "receipt.json")),
      onSite(),
    );
    expect(code).toBe(22);
    expect(finding).toMatchObject(full(join(disk.path, "receipt.json")));
    expect(readdirSync(disk.path)).toEqual(["filler"]);
    expect(await restored(small.tar, store)).toEqual([0, "complete"]);
  });
});

describe.skipIf(!CAN_MOUNT)("rebuild", () => {
  const args = (scratch: string) => [
    ...["rebuild", bundles.tar, "--public-key", packed.publicKey, "--scratch", scratch, ...LEND],
  ];

  it("into a scratch store without room says so before it imports", async () => {
    const disk = mount({ size: "100k" });
    const { code, finding } = await refusal(args(join(disk.path, "scratch")), onSite());
    expect(code).toBe(22);
    expect(finding).toMatchObject(tooSmall(join(disk.path, "scratch/nix/store")));
  });

  it("whose builder fills the disk does not blame the bundle, and with room the next run completes", async () => {
    const disk = mount({ size: "3m" });
    const { code, finding } = await refusal(args(join(disk.path, "scratch")), onSite());
    expect(code).toBe(22);
    expect(finding).toMatchObject(full(join(disk.path, "scratch")));
    disk.resize({ size: "32m" });
    const again = await cliJson<RebuildReport>(args(join(disk.path, "scratch")), onSite());
    expect([again.code, again.json.verdict]).toEqual([0, "identical"]);
  });
});

describe.skipIf(!CAN_MOUNT)("sign, with less and less room,", () => {
  it.each(["directory", "tar"] as const)("either signs a %s or leaves it as it was", async (form) => {
    const disk = mount({ size: "4m" });
    const folder = join(disk.path, "folder");
    const bundle = join(folder, form === "tar" ? "bundle.tar" : "bundle");
    mkdirSync(folder);
    cpSync(small[form], bundle, { recursive: true });
    const before = hashes(folder);
    const sign = ["sign", ...SIGN_WORDS, bundle, "--key", packed.path("qa-1.sec")];
    let refused = 0;
    for (;;) {
      disk.fill(refused * PAGE);
      const { code, json } = await cliJson<Partial<Pick<ErrorReport, "error">>>(sign);
      disk.drain();
      if (code === 0) break;
      expect([code, json.error?.code]).toEqual([22, "NO_SPACE"]);
      expect(hashes(folder), `with ${refused} pages free`).toEqual(before);
      refused += 1;
    }
    expect(refused).toBeGreaterThan(2);
    const qa = readFileSync(packed.path("qa-1.pub"), "utf8").trim();
    expect((await cli(["verify", bundle, "--public-key", qa])).code).toBe(0);
    expect(readdirSync(folder)).toHaveLength(1);
  });

  it("does not cut a tar that may not grow, as one at the end of a FAT file", async () => {
    const bundle = packed.path("limited.tar");
    cpSync(small.tar, bundle);
    const before = sha256(bundle);
    const limit = statSync(bundle).size / 512;
    const sign = ["sign", ...SIGN_WORDS, bundle, "--key", packed.path("qa-1.sec")];
    const { code } = await cli(sign, { wrap: ["sh", "-c", `ulimit -f ${limit} && exec "$@"`, "sh"] });
    expect([code, sha256(bundle), existsSync(`${bundle}.tail`)]).toEqual([22, before, false]);
    expect((await cli(sign)).code).toBe(0);
    expect((await verify(bundle)).code).toBe(0);
  });
});

describe.skipIf(!CAN_MOUNT)("keygen", () => {
  it("without room leaves no part of a key", async () => {
    const disk = mount({ size: "64k" });
    for (const pages of [0, 1, 2]) {
      disk.fill(pages * PAGE);
      const { code, finding } = await refusal(["keygen", "--name", "k", "--out", disk.path], {});
      expect([code, finding.code]).toEqual([22, "NO_SPACE"]);
      expect(readdirSync(disk.path)).toEqual(["filler"]);
      disk.drain();
    }
  });
});

describe("a full output", () => {
  it.each([
    ["verify", () => ["verify", small.tar, "--public-key", packed.publicKey, "--json"]],
    ["verify, for people", () => ["verify", small.tar, "--public-key", packed.publicKey]],
    ["inspect", () => ["inspect", small.tar, "--json"]],
    ["help", () => ["--help"]],
  ] as const)("of %s is no yes", async (_, args) => {
    const line = `exec "$@" > /dev/full`;
    const argv = ["sh", "-c", line, "sh", process.execPath, RELEASE, ...args()];
    const { code, stderr } = await runProgram(argv);
    expect(code).toBe(22);
    expect(stderr).toMatch(/NO_SPACE, exit 22/);
  });
});
