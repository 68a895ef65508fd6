/**
 * A medium that answers the second read differently: whole while it is verified, other bytes when they are imported. The
 * moment is exact: a `nix` first on PATH changes the medium, then is the real one.
 */
import { execFileSync } from "node:child_process";
import { chmodSync, cpSync, existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Path, RebuildReport, RestoreReceipt } from "../../src/generated/types.js";
import { cliJson } from "../support/cli.js";
import { installedNix, isOlder } from "../support/installed-nix.js";
import { documentOf, LEND, Packed } from "../support/packed.js";

let packed: Packed;
let directory: string;
let tar: string;
/** A path in the middle of the import, and another one. */
let victim: Path;
let other: Path;
let runs = 0;

beforeAll(async () => {
  packed = await Packed.make();
  directory = await packed.pack("bundle", ["default"], "--tier", "source");
  tar = await packed.pack("bundle.tar", ["default"], "--tier", "source");
  const { paths } = documentOf(directory);
  victim = paths.find(({ storePath }) => storePath.endsWith("-boot.hex"))!;
  other = paths.find(({ storePath }) => storePath.endsWith("-pins.drv"))!;
});
afterAll(() => packed.remove());

/** What the changed medium is run with. `when`: a pattern of sh for the arguments of Nix. */
interface Change {
  readonly bundle: string;
  readonly when: string;
  readonly script: string;
  /** Run when that Nix has ended. */
  readonly after?: string;
}

async function run<T>(verb: "restore" | "rebuild", change: Change, ...args: string[]) {
  const bin = packed.path(`bin-${runs++}`);
  mkdirSync(bin);
  const path = process.env["PATH"] ?? "";
  for (const program of ["nix", "nix-store"]) {
    const real = execFileSync("sh", ["-c", `command -v ${program}`], { encoding: "utf8" }).trim();
    const lines = [
      "#!/bin/sh",
      `PATH='${path}'`,
      `case " $* " in ${change.when}) ${change.script};; esac`,
      change.after === undefined ? `exec ${real} "$@"` : `${real} "$@"; code=$?; ${change.after}; exit $code`,
    ];
    writeFileSync(join(bin, program), `${lines.join("\n")}\n`);
    chmodSync(join(bin, program), 0o755);
  }
  const all = [verb, change.bundle, "--public-key", packed.publicKey, ...args];
  return cliJson<T>(all, { env: { ...packed.siteEnv, PATH: `${bin}:${path}` } });
}

async function restore(change: Change) {
  const store = packed.path(`store-${runs}`);
  const receipt = packed.path(`receipt-${runs}.json`);
  const outcome = await run<RestoreReceipt>("restore", change, "--store", store, "--receipt", receipt);
  expect(JSON.parse(readFileSync(receipt, "utf8"))).toEqual(outcome.json);
  return { ...outcome, store, codes: outcome.json.findings.map(({ code }) => code) };
}

/** Every valid path has its own content. */
async function expectSound(store: string, { imported }: NonNullable<RestoreReceipt["paths"]>): Promise<void> {
  if (!existsSync(store)) return expect(imported).toBe(0);
  const valid = (await packed.valid(store)).filter((path) => path !== "");
  expect(valid.length).toBe(imported);
  const { code, stderr } = await packed.sh(`nix-store --store ${store} --verify --check-contents`);
  expect(code, stderr).toBe(0);
}

describe("a directory whose blob is changed as Nix begins to import", () => {
  const cases: [what: string, script: (blob: string) => string, codes: string[], exit?: number][] = [
    ["another NAR", (blob) => `cp ${blobOf(other)} ${blob}`, ["BLOB_SIZE"]],
    ["one byte", (blob) => `printf X | dd of=${blob} bs=1 seek=40 conv=notrunc status=none`, ["BLOB_HASH"]],
    ["a part of it", (blob) => `truncate -s 30 ${blob}`, ["BLOB_SIZE", "BLOB_HASH"]],
    ["nothing", (blob) => `rm ${blob}`, ["BLOB_MISSING"], 13],
    ["an empty file", (blob) => `: > ${blob}`, ["BLOB_SIZE", "BLOB_HASH"]],
  ];
  const blobOf = ({ blob }: Path) => join(directory, "blobs/sha256", blob);
  const copyOfDirectory = (): string => {
    const copy = packed.path(`copy-${runs}`);
    cpSync(directory, copy, { recursive: true });
    return copy;
  };

  it.each(cases)("for %s", async (_, script, expected, exit = 11) => {
    const bundle = copyOfDirectory();
    const blob = join(bundle, "blobs/sha256", victim.blob);
    const { code, json, codes, store } = await restore({
      bundle,
      when: '*" copy "*',
      script: script(blob),
    });
    expect([code, json.verdict]).toEqual([exit, "failed"]);
    expect(codes).toEqual(expect.arrayContaining(expected));
    expect(new Set(json.findings.map(({ subject }) => subject))).toEqual(new Set([victim.storePath]));
    expect(json.findings[0]?.advice).toMatch(/other bytes than when it was verified/);
    expect(json.gcRoots).toBeNull();
    await expectSound(store, json.paths!);
    // What came in before is of use.
    const again = await run<RestoreReceipt>(
      "restore",
      { bundle: directory, when: "-", script: ":" },
      "--store",
      store,
    );
    expect([again.code, again.json.verdict]).toEqual([0, "complete"]);
  });

  it("for a second frame after it, which newer Nix does not read", async () => {
    const bundle = copyOfDirectory();
    const blob = join(bundle, "blobs/sha256", victim.blob);
    const { code, json, codes, store } = await restore({
      bundle,
      when: '*" copy "*',
      script: `cat ${blobOf(other)} >> ${blob}`,
    });
    if (isOlder(installedNix(), "2.26")) {
      expect([code, json.verdict, codes]).toEqual([11, "failed", ["BLOB_SIZE"]]);
    } else {
      expect([code, json.verdict, codes]).toEqual([0, "complete", []]);
    }
    await expectSound(store, json.paths!);
  });

  it("and changed back afterwards", async () => {
    const bundle = copyOfDirectory();
    const blob = join(bundle, "blobs/sha256", victim.blob);
    const { code, json, codes, store } = await restore({
      bundle,
      when: '*" copy "*',
      script: `cp ${blobOf(other)} ${blob}`,
      after: `cp ${blobOf(victim)} ${blob}`,
    });
    expect([code, json.verdict, codes]).toEqual([11, "failed", ["NAR_HASH"]]);
    expect(json.findings[0]?.subject).toBe(victim.storePath);
    await expectSound(store, json.paths!);
  });

  it("while narinfos and document are not read again, so that changing them changes nothing", async () => {
    const bundle = copyOfDirectory();
    const { code, json } = await restore({
      bundle,
      when: '*" --version "*',
      script: `for file in ${bundle}/*.narinfo ${bundle}/bundle.json; do echo evil > $file; done`,
    });
    expect([code, json.verdict]).toEqual([0, "complete"]);
  });
});

describe("a tar that is changed once it is verified", () => {
  const cases: [what: string, script: (bundle: string, at: number) => string, code: string, exit?: number][] =
    [
      ["for a FIFO", (bundle) => `rm ${bundle}; mkfifo ${bundle}`, "FILE_TYPE", 10],
      [
        "in a byte",
        (bundle, at) => `printf X | dd of=${bundle} bs=1 seek=${at} conv=notrunc status=none`,
        "BLOB_HASH",
      ],
      ["in its length", (bundle, at) => `truncate -s ${at} ${bundle}`, "BLOB_SIZE"],
      [
        "for zeros",
        (bundle) => `s=$(stat -c %s ${bundle}); : > ${bundle}; truncate -s $s ${bundle}`,
        "BLOB_HASH",
      ],
    ];

  it.each(cases)("%s imports nothing of it", async (_, script, expected, exit = 11) => {
    const bundle = packed.path(`copy-${runs}.tar`);
    cpSync(tar, bundle);
    const at = readFileSync(bundle).indexOf(`blobs/sha256/${victim.blob}\0`) + 512 + 40;
    const { code, json, codes, store } = await restore({
      bundle,
      when: '*" --version "*',
      script: script(bundle, at),
    });
    expect(code).toBe(exit);
    expect(["failed", "refused"]).toContain(json.verdict);
    expect(codes).toContain(expected);
    await expectSound(store, json.paths!);
  });
});

it.each(["directory", "tar"] as const)("a rebuild from a %s that changes builds nothing", async (form) => {
  const bundle = packed.path(`copy-${runs}${form === "tar" ? ".tar" : ""}`);
  cpSync(form === "tar" ? tar : directory, bundle, { recursive: true });
  const blob = join(bundle, "blobs/sha256", victim.blob);
  const { code, json } = await run<RebuildReport>(
    "rebuild",
    form === "tar"
      ? { bundle, when: '*" --version "*', script: `truncate -s 20000 ${bundle}` }
      : { bundle, when: '*" copy "*', script: `cp ${directory}/blobs/sha256/${other.blob} ${blob}` },
    ...LEND,
  );
  expect([code, json.verdict, json.derivations]).toEqual([11, "failed", []]);
  expect(json.findings.map((finding) => finding.code)).toContain("BLOB_SIZE");
});
