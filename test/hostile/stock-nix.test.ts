/**
 * What stock Nix imports and we refuse, side by side: each forgery is let into a store by the real Nix of this machine, with
 * signatures required, or without as guides for isolated machines recommend. README.md has the table, which is of Nix 2.8.
 * Where a Nix refuses one of these that is not known to, this test fails: then the table is out of date.
 */
import { execFileSync } from "node:child_process";
import {
  existsSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { blobName, narinfoName } from "../../src/bundle/layout.js";
import type { RestoreReceipt, VerifyReport } from "../../src/generated/types.js";
import { writeNar } from "../../src/nix/nar-writer.js";
import { cliJson, type Outcome, runProgram } from "../support/cli.js";
import { nixEnvironment } from "../support/fixtures.js";
import { installedNix, isOlder } from "../support/installed-nix.js";
import { FEATURES } from "../support/packed.js";
import { file, tree } from "../support/release.js";
import { type Battlefield, makeBattlefield } from "./battle.js";
import type { Victim } from "./victim.js";

const NIX = installedNix();

let field: Battlefield;
beforeAll(async () => {
  field = await makeBattlefield();
});
afterAll(() => field.packed.remove());

type Signatures = "required" | "not checked";

interface Forgery {
  readonly name: string;
  readonly signatures: Signatures;
  /** The name of the path that stock Nix is asked for. */
  readonly path: RegExp;
  readonly change: (victim: Victim) => void;
  /** The same, once the bundle lies on disk. */
  readonly onDisk?: (bundle: string, victim: Victim) => void;
  /** What is now in the store that should not be. `at`: the path's place on disk. */
  readonly evidence: (at: string, victim: Victim) => void;
  /** Nix says no in the end, when all is written. */
  readonly leavesBehind?: boolean;
  /** The Nix from which on it is refused, of those that we know: "2.34". */
  readonly refusedFrom?: string;
  readonly ours: readonly [exit: number, code: string];
}

const evil = "evil\n";
const narinfoOf = (victim: Victim, path: RegExp) => narinfoName(victim.path(path).storePath);

/** By whoever holds the key: all fits, all is signed. */
function forge(victim: Victim): void {
  victim.signPaths(field.packer);
  victim.forge(field.packer);
}

const holdsEvil = (at: string) => expect(readFileSync(at, "utf8")).toBe(evil);
const isThere = (at: string) => expect(existsSync(at)).toBe(true);

const FORGERIES: readonly Forgery[] = [
  {
    name: "everything made anew, and signed by a stranger",
    signatures: "not checked",
    path: /^stamp$/,
    change(victim) {
      victim.setNar(victim.path(/^stamp$/), writeNar(file(evil)));
      victim.signPaths(field.stranger);
      victim.forge(field.stranger);
    },
    evidence: holdsEvil,
    ours: [12, "APPROVAL_UNTRUSTED"],
  },
  {
    name: "a source with other content, its content address taken away",
    signatures: "not checked",
    path: /^names\.txt$/,
    change(victim) {
      const path = victim.path(/^names\.txt$/);
      victim.setNar(path, writeNar(file(evil)));
      path.ca = null;
      forge(victim);
    },
    evidence(at) {
      holdsEvil(at);
      // Nix's own check finds nothing afterwards.
      const store = at.slice(0, at.indexOf("/nix/store/"));
      const verify = [...FEATURES, "store", "verify", "--no-trust", "--store", store, at.slice(store.length)];
      expect(() =>
        execFileSync("nix", verify, { env: nixEnvironment(`${store}.nix`), stdio: "pipe" }),
      ).not.toThrow();
    },
    ours: [11, "EVALUATION_UNEXPLAINED"],
  },
  {
    name: "a flake's input replaced under its own store path",
    signatures: "not checked",
    path: /^source$/,
    change(victim) {
      const path = victim.path(/^source$/);
      victim.setNar(path, writeNar(tree({ "flake.nix": evil })));
      path.ca = null;
      forge(victim);
    },
    evidence: (at) => expect(readFileSync(join(at, "flake.nix"), "utf8")).toBe(evil),
    ours: [11, "CA_PATH"],
  },
  {
    name: "an output that hides what it refers to",
    signatures: "not checked",
    path: /^acme-pump-1\.4\.0$/,
    change(victim) {
      victim.edit(narinfoOf(victim, /^acme-pump-1\.4\.0$/), (text) =>
        text.replace(/References: .*/, "References: "),
      );
    },
    evidence: isThere,
    ours: [11, "DERIVED_DIFFERS"],
  },
  {
    name: "a narinfo that lies about its file's hash, its size and its deriver",
    signatures: "required",
    path: /^stamp$/,
    change(victim) {
      victim.edit(narinfoOf(victim, /^stamp$/), (text) =>
        text
          .replace(/FileHash: sha256:.{52}/, `FileHash: sha256:${"0".repeat(52)}`)
          .replace(/FileSize: .*/, "FileSize: 1")
          .replace(/Deriver: .*/, `Deriver: ${"0".repeat(32)}-evil.drv`),
      );
    },
    evidence: isThere,
    ours: [11, "DERIVED_DIFFERS"],
  },
  {
    name: "a second zstd frame behind the first",
    signatures: "required",
    path: /^stamp$/,
    change(victim) {
      const path = victim.path(/^stamp$/);
      const more = execFileSync("zstd", ["-c"], { input: "" });
      victim.setBlob(path, Buffer.concat([victim.get(blobName(path.blob)), more]));
      forge(victim);
    },
    evidence: isThere,
    ours: [11, "ZSTD_TRAILING"],
  },
  {
    name: "a blob that is a symlink out of the bundle",
    signatures: "required",
    path: /^stamp$/,
    change() {},
    onDisk(bundle, victim) {
      const blob = join(bundle, blobName(victim.path(/^stamp$/).blob));
      renameSync(blob, `${bundle}.elsewhere`);
      symlinkSync(`${bundle}.elsewhere`, blob);
    },
    evidence: isThere,
    ours: [10, "FILE_TYPE"],
  },
  {
    name: "a narinfo whose URL leads out of the bundle",
    signatures: "required",
    path: /^stamp$/,
    refusedFrom: "2.34",
    change(victim) {
      victim.edit(narinfoOf(victim, /^stamp$/), (text) => text.replace(/URL: .*/, "URL: ../outside"));
    },
    onDisk(bundle, victim) {
      renameSync(join(bundle, blobName(victim.path(/^stamp$/).blob)), join(bundle, "../outside"));
    },
    evidence: isThere,
    ours: [11, "DERIVED_DIFFERS"],
  },
  {
    name: "a NAR whose entries are not sorted",
    signatures: "required",
    path: /^codegen$/,
    refusedFrom: "2.26",
    change(victim) {
      const nar = Buffer.from(writeNar(tree({ aa: "x", bb: "y" }))).toString("latin1");
      const swapped = nar.replace("bb", "@@").replace("aa", "bb").replace("@@", "aa");
      victim.setNar(victim.path(/^codegen$/), Buffer.from(swapped, "latin1"));
      forge(victim);
    },
    evidence: isThere,
    ours: [10, "NAR_ENTRY_ORDER"],
  },
  {
    name: "a small blob that expands without end (here to 200 MB), signed",
    signatures: "required",
    path: /^stamp$/,
    change(victim) {
      const path = victim.path(/^stamp$/);
      const head = writeNar(file(""));
      const size = 200_000_000;
      const length = Buffer.alloc(8);
      length.writeUInt32LE(size);
      const empty = Buffer.from(head).subarray(0, -24);
      const nar = Buffer.concat([empty, length, Buffer.alloc(size), Buffer.from(head).subarray(-16)]);
      const { narHash, narSize } = path;
      victim.setNar(path, nar);
      Object.assign(path, { narHash, narSize });
      forge(victim);
    },
    leavesBehind: true,
    evidence: (at) => expect(statSync(at).size).toBe(200_000_000),
    ours: [11, "NAR_SIZE"],
  },
];

it.each(FORGERIES.map((forgery) => [forgery.name, forgery.signatures, forgery] as const))(
  "%s: stock Nix lets it in with signatures %s, we do not",
  async (_, signatures, { path, change, onDisk, leavesBehind, refusedFrom, evidence, ours }) => {
    const dir = mkdtempSync(field.packed.path("stock-"));
    const victim = field.good.clone();
    change(victim);
    const bundle = victim.write(dir, "directory");
    onDisk?.(bundle, victim);
    const { storePath } = victim.path(path);
    const isRefused = refusedFrom !== undefined && !isOlder(NIX, refusedFrom);
    const { code: stock } = await nixCopy(dir, bundle, { signatures, storePath }, leavesBehind ?? isRefused);
    if (isRefused) expect(stock).not.toBe(0);
    else evidence(join(dir, "store", storePath), victim);

    const { code, json } = await cliJson<VerifyReport>([
      "verify",
      bundle,
      "--public-key",
      field.packed.publicKey,
    ]);
    expect(code).toBe(ours[0]);
    expect(json.findings.map((finding) => finding.code)).toContain(ours[1]);
    execFileSync("chmod", ["-R", "u+w", dir]);
    rmSync(dir, { recursive: true });
  },
);

it("other content in the store already: stock Nix says all is well, we do not", async () => {
  const dir = mkdtempSync(field.packed.path("stock-"));
  const bundle = field.good.write(dir, "directory");
  const { storePath } = field.good.path(/^stamp$/);
  await nixCopy(dir, bundle, { signatures: "required", storePath });
  const at = join(dir, "store", storePath);
  execFileSync("chmod", ["u+w", at]);
  writeFileSync(at, evil);
  const again = await nixCopy(dir, bundle, { signatures: "required", storePath });
  expect(again.code).toBe(0);
  holdsEvil(at);

  const args = ["restore", bundle, "--public-key", field.packed.publicKey, "--store", join(dir, "store")];
  const { code, json } = await cliJson<RestoreReceipt>(args);
  expect([code, json.verdict, json.paths?.imported]).toEqual([11, "refused", 0]);
  expect(json.findings).toMatchObject([{ code: "STORE_CONTENT", subject: storePath }]);
});

it("a path in the store already, that hides what it refers to: stock Nix says all is well, we do not", async () => {
  const dir = mkdtempSync(field.packed.path("stock-"));
  const victim = field.good.clone();
  const { storePath } = victim.path(/^acme-pump-1\.4\.0$/);
  victim.edit(narinfoName(storePath), (text) => text.replace(/References: .*/, "References: "));
  const forged = victim.write(dir, "directory");
  await nixCopy(dir, forged, { signatures: "not checked", storePath });
  rmSync(forged, { recursive: true });
  const bundle = field.good.write(dir, "directory");
  expect((await nixCopy(dir, bundle, { signatures: "required", storePath })).code).toBe(0);

  const args = ["restore", bundle, "--public-key", field.packed.publicKey, "--store", join(dir, "store")];
  const { code, json } = await cliJson<RestoreReceipt>(args);
  expect([code, json.verdict, json.paths?.imported]).toEqual([11, "refused", 0]);
  expect(json.findings).toMatchObject([
    { code: "STORE_RECORD", subject: storePath, actual: expect.stringMatching(/refers to nothing$/) },
  ]);
  // What the advice says.
  const remove = ["--store", join(dir, "store"), "--delete", "--ignore-liveness", storePath];
  execFileSync("nix-store", remove, { env: nixEnvironment(join(dir, "nix")), stdio: "pipe" });
  expect((await cliJson<RestoreReceipt>(args)).json.verdict).toBe("complete");
});

it("a flipped byte: stock Nix leaves half of it behind, we begin nothing", async () => {
  const dir = mkdtempSync(field.packed.path("stock-"));
  const victim = field.good.clone();
  const root = victim.path(/^acme-pump-1\.4\.0$/);
  const blob = Buffer.from(victim.get(blobName(root.blob)));
  blob[blob.length >> 1]! ^= 1;
  victim.files.set(blobName(root.blob), blob);
  const bundle = victim.write(dir, "directory");
  const stock = await nixCopy(dir, bundle, { signatures: "required", storePath: root.storePath }, true);
  expect(stock.code).not.toBe(0);
  const valid = execFileSync("nix", [...FEATURES, "path-info", "--all", "--store", join(dir, "store")], {
    env: nixEnvironment(join(dir, "nix")),
  });
  expect(valid.toString().trim().split("\n").length).toBeGreaterThan(3);

  const store = join(dir, "ours");
  const args = ["restore", bundle, "--public-key", field.packed.publicKey, "--store", store];
  const { code, json } = await cliJson<RestoreReceipt>(args);
  expect([code, json.verdict, existsSync(store)]).toEqual([11, "refused", false]);
  expect(json.findings).toMatchObject([{ code: "BLOB_HASH", subject: root.storePath }]);
});

/** `nix copy` as a guide has it; fails the test where Nix refuses, unless it may. */
async function nixCopy(
  dir: string,
  bundle: string,
  { signatures, storePath }: { readonly signatures: Signatures; readonly storePath: string },
  mayFail: boolean | undefined = false,
): Promise<Outcome> {
  const { publicKey } = field.packed;
  const checks = ["--option", "require-sigs", "true", "--option", "trusted-public-keys", publicKey];
  const argv = [
    ...["nix", ...FEATURES, "copy", "--from", `file://${bundle}`, "--to", join(dir, "store")],
    ...(signatures === "required" ? checks : ["--no-check-sigs"]),
    storePath,
  ];
  const outcome = await runProgram(argv, { env: nixEnvironment(join(dir, "nix")) });
  if (!mayFail) expect([outcome.code, outcome.stderr]).toEqual([0, expect.any(String)]);
  return outcome;
}
