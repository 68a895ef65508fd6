/** Odd places: what a path may look like, media that cannot be written, names in capitals, and things that are no bundle. */

import { execFileSync } from "node:child_process";
import {
  chmodSync,
  chownSync,
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  renameSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { ErrorReport, RebuildReport, RestoreReceipt, VerifyReport } from "../../src/generated/types.js";
import { type CliOptions, cli, cliJson, runProgram } from "../support/cli.js";
import { nixEnvironment } from "../support/fixtures.js";
import { LEND, Packed } from "../support/packed.js";
import { SIGN_WORDS } from "../support/trust.js";

let packed: Packed;
/** Of `primer`: small, and whole. */
const bundles = { directory: "", tar: "" };
let installable: string;
const FORMS = ["directory", "tar"] as const;

beforeAll(async () => {
  packed = await Packed.make();
  installable = `${packed.fixtures.flakes["no-default"]}#primer`;
  bundles.directory = await packed.pack("bundle", [installable], "--tier", "source");
  bundles.tar = await packed.pack("bundle.tar", [installable], "--tier", "source");
});
afterAll(() => packed.remove());

const key = () => ["--public-key", packed.publicKey];
const here = (options: CliOptions = {}): CliOptions => ({ cwd: packed.dir, env: packed.siteEnv, ...options });

/** Exit and first code: of a finding, or of the error. */
async function run(
  args: readonly string[],
  options: CliOptions = {},
): Promise<[number | null, string | null]> {
  const { code, json } = await cliJson<VerifyReport | ErrorReport>(args, here(options));
  return [code, "error" in json ? json.error.code : (json.findings?.[0]?.code ?? null)];
}

function folder(name: string): string {
  const path = join(packed.dir, name);
  mkdirSync(path, { recursive: true });
  return path;
}

describe("a folder named", () => {
  const names: [
    what: string,
    name: string,
    canHoldStore: boolean,
    forms: readonly (typeof FORMS)[number][],
  ][] = [
    ["with spaces and what URLs, globs and shells mean something by", "a b?c#d%20é*[$(x)'\"&;", true, FORMS],
    ["as an option", "--help", true, ["tar"]],
    ["with a newline and an escape sequence", "a\nb\u001b[31m", false, ["directory"]],
  ];

  it.each(names)("%s holds everything", async (_, name, canHoldStore, forms) => {
    const dir = folder(name);
    const sites = nixEnvironment(packed.path("packer"));
    const made = await cli(["keygen", "--name", "odd-1", "--out", join(dir, "keys")], here());
    expect(made.code, made.stderr).toBe(0);
    const out = { directory: join(dir, "out"), tar: join(dir, "out.tar") };
    for (const form of forms) {
      const secret = join(dir, "keys/odd-1.sec");
      const args = ["pack", installable, "--tier", "source", "--key", secret, "--out", out[form]];
      expect(await run(args, { env: sites })).toEqual([0, null]);
      const publicKey = ["--public-key", join(dir, "keys/odd-1.pub")];
      expect(await run(["verify", out[form], ...publicKey])).toEqual([0, null]);
      expect(await run(["inspect", out[form]])).toEqual([0, null]);
      expect(await run(["sign", ...SIGN_WORDS, out[form], "--key", packed.path("packer-1.sec")])).toEqual([
        0,
        null,
      ]);
      const store = join(canHoldStore ? dir : packed.dir, `store-${form}-${name.length}`);
      const receipt = join(dir, `receipt-${form}`);
      const links = join(dir, `links-${form}`);
      const more = ["--store", store, "--receipt", receipt, "--out-link", links];
      expect(await run(["restore", out[form], ...publicKey, ...more])).toEqual([0, null]);
      expect([existsSync(receipt), existsSync(join(links, "primer"))]).toEqual([true, true]);
      const scratch = join(canHoldStore ? dir : packed.dir, `scratch-${form}-${name.length}`);
      expect(await run(["rebuild", out[form], ...publicKey, ...LEND, "--scratch", scratch])).toEqual([
        0,
        null,
      ]);
    }
    if (canHoldStore) return;
    for (const option of ["--store", "--scratch"]) {
      const verb = option === "--store" ? "restore" : "rebuild";
      expect(await run([verb, bundles.tar, ...key(), option, join(dir, "store")])).toEqual([2, "USAGE"]);
    }
  });

  it.each(FORMS)("so that it is 3,700 bytes long holds a %s", async (form) => {
    let dir = packed.dir;
    while (dir.length < 3500) dir = join(dir, "x".repeat(200));
    execFileSync("mkdir", ["-p", dir]);
    const bundle = join(dir, form);
    cpSync(bundles[form], bundle, { recursive: true });
    expect(await run(["verify", bundle, ...key()])).toEqual([0, null]);
    const store = packed.path(`store-long-${form}`);
    expect(await run(["restore", bundle, ...key(), "--store", store])).toEqual([0, null]);
    expect(await run(["verify", join(dir, "y".repeat(300)), ...key()])).toEqual([22, "DISK"]);
  });
});

describe("a bundle is found", () => {
  it("by a relative path, with slashes to spare, through symlinks, after --", async () => {
    symlinkSync("bundle", packed.path("link"));
    symlinkSync("bundle.tar", packed.path("link.tar"));
    mkdirSync(packed.path("-dash"));
    cpSync(bundles.directory, packed.path("-dash/-bundle"), { recursive: true });
    for (const path of ["bundle", "bundle/", ".//bundle/./", "link", "link.tar", "./-dash/-bundle"]) {
      expect(await run(["verify", path, ...key()]), path).toEqual([0, null]);
    }
    const dashed = await cli(["verify", ...key(), "--", "-bundle"], here({ cwd: packed.path("-dash") }));
    expect(dashed.code).toBe(0);
  });

  it("when the current folder was removed, only that is said", async () => {
    const gone = packed.path("gone");
    const wrap = ["sh", "-c", `mkdir ${gone} && cd ${gone} && rmdir ${gone} && exec "$@"`, "sh"];
    for (const path of ["bundle", bundles.directory]) {
      expect(await run(["verify", path, ...key()], { wrap })).toEqual([22, "DISK"]);
    }
    const { code, stdout } = await cli(["--help"], here({ wrap }));
    expect([code, stdout]).toEqual([0, expect.stringContaining("verify")]);
  });
});

describe("a medium that cannot be written", () => {
  const mount = (form: (typeof FORMS)[number]): { wrap: string[]; bundle: string } => {
    const at = folder(`medium-${form}`);
    const root = process.getuid?.() === 0 ? [] : ["--user", "--map-root-user"];
    // A disc of its own: a tmpfs that is filled, then made read-only.
    const script =
      `mount -t tmpfs medium ${at} && cp -R ${bundles[form]} ${at}/ && mount -o remount,ro ${at} && ` +
      `! touch ${at}/x 2> /dev/null && exec "$@"`;
    return {
      wrap: ["unshare", ...root, "--mount", "--propagation", "private", "sh", "-c", script, "sh"],
      bundle: join(at, form === "tar" ? "bundle.tar" : "bundle"),
    };
  };

  it.each(FORMS)(
    "serves verify, inspect, restore and rebuild from a %s; sign says what is wrong",
    async (form) => {
      const { wrap, bundle } = mount(form);
      const store = packed.path(`store-ro-${form}`);
      expect(await run(["verify", bundle, ...key()], { wrap })).toEqual([0, null]);
      expect(await run(["inspect", bundle], { wrap })).toEqual([0, null]);
      const restored = await cliJson<RestoreReceipt>(
        ["restore", bundle, ...key(), "--store", store],
        here({ wrap }),
      );
      expect([restored.code, restored.json.verdict]).toEqual([0, "complete"]);
      const rebuilt = await cliJson<RebuildReport>(["rebuild", bundle, ...key(), ...LEND], here({ wrap }));
      expect([rebuilt.code, rebuilt.json.verdict]).toEqual([0, "identical"]);
      const other = packed.path(`other-${form}`);
      await cli(["keygen", "--name", "other-1", "--out", other], here());
      expect(
        await run(["sign", ...SIGN_WORDS, bundle, "--key", join(other, "other-1.sec")], { wrap }),
      ).toEqual([22, "DISK"]);
    },
  );

  it.each(FORMS)("is not touched: no file, no time, no mode of a %s", async (form) => {
    const copy = packed.path(`untouched-${form}`);
    cpSync(bundles[form], copy, { recursive: true, preserveTimestamps: true });
    const state = () =>
      execFileSync("find", [copy, "-printf", "%P %m %s %T@ %C@\n"], { encoding: "utf8" }).split("\n").sort();
    const before = state();
    expect(await run(["verify", copy, ...key()])).toEqual([0, null]);
    expect(await run(["restore", copy, ...key(), "--store", packed.path(`store-un-${form}`)])).toEqual([
      0,
      null,
    ]);
    expect(await run(["rebuild", copy, ...key(), ...LEND])).toEqual([0, null]);
    expect(state()).toEqual(before);
  });
});

describe("names in capitals, as some media give them", () => {
  const changes: [from: string, to: string][] = [
    ["blobs", "BLOBS"],
    ["bundle.json", "BUNDLE.JSON"],
    ["blobs/sha256", "blobs/SHA256"],
    ["approvals", "Approvals"],
    ["VERIFY.md", "verify.md"],
  ];
  it.each(changes)("%s as %s are named, with what to do", async (from, to) => {
    const copy = packed.path(`upper-${to.replace("/", "-")}`);
    cpSync(bundles.directory, copy, { recursive: true });
    renameSync(join(copy, from), join(copy, to));
    const { code, json } = await cliJson<VerifyReport>(["verify", copy, ...key()], here());
    expect([10, 12]).toContain(code);
    const finding = json.findings.find((one) => one.code === "NAME_ILLEGAL");
    expect(finding).toMatchObject({ expected: from, advice: expect.stringMatching(/case of names/) });
  });
});

describe("what is no bundle is called that, at once", () => {
  const things: [what: string, name: string, exit: number, code: string][] = [
    ["a FIFO", "fifo", 2, "BUNDLE_NOT_FOUND"],
    ["/dev/zero", "/dev/zero", 2, "BUNDLE_NOT_FOUND"],
    ["/dev/stdin", "/dev/stdin", 2, "BUNDLE_NOT_FOUND"],
    ["nothing", "nothing", 2, "BUNDLE_NOT_FOUND"],
    ["an empty folder", "nothing-in-it", 2, "BUNDLE_NOT_FOUND"],
    ["a large folder of other things", "/usr/bin", 2, "BUNDLE_NOT_FOUND"],
    ["the root", "/", 2, "BUNDLE_NOT_FOUND"],
    ["a symlink to itself", "loop", 2, "BUNDLE_NOT_FOUND"],
    ["an empty file", "empty", 10, "TAR_TRUNCATED"],
    ["a program", process.execPath, 10, "TAR_HEADER"],
  ];
  beforeAll(() => {
    execFileSync("mkfifo", [packed.path("fifo")]);
    folder("nothing-in-it");
    symlinkSync("loop", packed.path("loop"));
    writeFileSync(packed.path("empty"), "");
  });

  it.each(things)("%s", async (_, name, exit, code) => {
    expect(await run(["verify", name, ...key()])).toEqual([exit, code]);
  });

  it.each(["restore", "rebuild"])("by %s as well", async (verb) => {
    for (const [, name, exit, code] of [things[0]!, things.at(-1)!])
      expect(await run([verb, name, ...key()])).toEqual([exit, code]);
  });

  it("a bundle among other things", async () => {
    const dir = packed.path("among");
    cpSync(bundles.directory, dir, { recursive: true });
    for (let i = 0; i < 500; i++) writeFileSync(join(dir, `holiday-${i}.jpg`), "");
    expect(await run(["verify", dir, ...key()])).toEqual([10, "NAME_ILLEGAL"]);
  });

  it.runIf(process.getuid?.() === 0)("what may not be read is told from what is not there", async () => {
    const dir = folder("forbidden");
    cpSync(bundles.directory, join(dir, "bundle"), { recursive: true });
    cpSync(bundles.tar, join(dir, "bundle.tar"));
    // The release itself lies where only its owner may look.
    const release = packed.path("nix-airgap.mjs");
    cpSync(join(import.meta.dirname, "../../dist/release/nix-airgap.mjs"), release);
    chmodSync(packed.dir, 0o755);
    const nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", process.execPath, release];
    const outcome = async (...args: string[]): Promise<[number | null, string | null]> => {
      const env = { PATH: process.env["PATH"] };
      const { code, stdout } = await runProgram([...nobody, ...args, "--json"], { cwd: "/", env });
      const json = JSON.parse(stdout) as VerifyReport | ErrorReport;
      return [code, "error" in json ? json.error.code : (json.findings[0]?.code ?? null)];
    };
    expect(await outcome("verify", join(dir, "bundle"), ...key())).toEqual([0, null]);
    chmodSync(join(dir, "bundle/blobs"), 0o700);
    chmodSync(join(dir, "bundle.tar"), 0o600);
    for (const name of ["bundle", "bundle.tar"])
      expect(await outcome("verify", join(dir, name), ...key())).toEqual([22, "DISK"]);
    chmodSync(dir, 0o700);
    expect(await outcome("verify", join(dir, "bundle"), ...key())).toEqual([22, "DISK"]);
    // Nor may who can read it write where he must not.
    chmodSync(dir, 0o755);
    chmodSync(join(dir, "bundle/blobs"), 0o755);
    const closed = folder("closed");
    chownSync(closed, 0, 0);
    chmodSync(closed, 0o755);
    expect(await outcome("restore", join(dir, "bundle"), ...key(), "--store", join(closed, "store"))).toEqual(
      [22, "DISK"],
    );
    expect([readdirSync(closed), statSync(closed).mode & 0o777]).toEqual([[], 0o755]);
  });
});
