/**
 * The executable with Node.js inside, as it comes to a site: named by SHA256SUMS, the same bytes whenever it is built, and
 * whole in itself. Made for Linux on x86-64 only, and so is this.
 */
import { execFileSync } from "node:child_process";
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { ErrorReport, KeygenReport, VerifyReport } from "../../src/generated/types.js";
import { VERSION } from "../../src/generated/version.js";
import { formatPublicKey } from "../../src/nix/signature.js";
import { BareRoot } from "../support/bare-root.js";
import { packerKey, writeBundle } from "../support/bundle.js";
import { RELEASE, runProgram } from "../support/cli.js";
import { addFetched, zeroNar } from "../support/large-nar.js";
import { makeRelease } from "../support/release.js";

const FOLDER = dirname(RELEASE);
const EXECUTABLE = join(FOLDER, "nix-airgap-linux-x86_64");
const GOLDEN = resolve(import.meta.dirname, "../../fixtures/golden");
const KEY = formatPublicKey(packerKey.publicKey);

const dir = mkdtempSync(join(tmpdir(), "airgap-executable-"));
afterAll(() => rmSync(dir, { recursive: true, force: true }));

const isMadeHere = process.platform === "linux" && process.arch === "x64";

describe.skipIf(!isMadeHere)("the release", () => {
  it("is what SHA256SUMS says, by sha256sum, and that names all of it", () => {
    const checked = execFileSync("sha256sum", ["--strict", "-c", "SHA256SUMS"], {
      cwd: FOLDER,
      encoding: "utf8",
    });
    expect(checked.trim().split("\n")).toEqual(["nix-airgap.mjs: OK", "nix-airgap-linux-x86_64: OK"]);
  });

  it("comes out the same when it is made again", async () => {
    const script = resolve(import.meta.dirname, "../../scripts/release.mjs");
    const made = await runProgram([process.execPath, script, "--out", join(dir, "again")]);
    expect(made.code, made.stderr).toBe(0);
    expect(readFileSync(join(dir, "again/SHA256SUMS"), "utf8")).toBe(
      readFileSync(join(FOLDER, "SHA256SUMS"), "utf8"),
    );
  }, 120_000);
});

describe.skipIf(!isMadeHere)("the executable, in a root without Node.js or anything else", () => {
  let root: BareRoot;
  beforeAll(() => {
    root = new BareRoot(join(dir, "root"), EXECUTABLE);
    cpSync(GOLDEN, join(root.work, "golden"), { recursive: true });
  });

  const run = (...args: string[]) =>
    runProgram(root.command(...args), { env: { PATH: process.env["PATH"] } });
  async function runJson<T>(...args: string[]): Promise<{ code: number | null; json: T }> {
    const { code, stdout, stderr } = await run(...args, "--json");
    if (stdout === "") throw new Error(`exit ${code}: ${stderr}`);
    return { code, json: JSON.parse(stdout) as T };
  }

  it("says its version, and helps", async () => {
    expect(await run("--version")).toEqual({ code: 0, stdout: `${VERSION}\n`, stderr: "" });
    const help = await run("verify", "--help");
    expect([help.code, help.stdout]).toEqual([0, expect.stringContaining("Usage: nix-airgap verify")]);
  });

  it("makes a key, and signs with it", async () => {
    const { code, json } = await runJson<KeygenReport>("keygen", "--name", "site-1", "--out", "/work/keys");
    expect([code, json.publicKey]).toEqual([0, expect.stringMatching(/^site-1:/)]);
    expect(existsSync(join(root.work, "keys/site-1.sec"))).toBe(true);
  });

  it("verifies a bundle of an earlier format", async () => {
    const golden = "/work/golden/format-1.0";
    const { code, json } = await runJson<VerifyReport>(
      ...["verify", `${golden}.tar`, "--public-key", `${golden}.pub`],
    );
    expect([code, json.verdict, json.findings]).toEqual([0, "verified", []]);
  });

  it("verifies by worker threads, which begin inside it, and says what is wrong", async () => {
    const release = addFetched(makeRelease(), "large", await zeroNar(32));
    const bundle = await writeBundle(release);
    cpSync(bundle, join(root.work, "large"), { recursive: true });
    const verify = () => runJson<VerifyReport>("verify", "/work/large", "--public-key", KEY);
    const good = await verify();
    expect([good.code, good.json.verdict, good.json.findings]).toEqual([0, "verified", []]);

    const { blob, storePath } = release.document.paths.find(({ cause, narSize }) => cause && narSize > 1e7)!;
    const file = join(root.work, "large/blobs/sha256", blob);
    const bytes = readFileSync(file);
    bytes[bytes.length - 1]! ^= 1;
    writeFileSync(file, bytes);
    const bad = await verify();
    expect([bad.code, bad.json.findings.map(({ code }) => code)]).toEqual([11, ["BLOB_HASH"]]);
    expect(JSON.stringify(bad.json.findings)).toContain(storePath);
  });

  it("has the exit codes of the program", async () => {
    const missing = await runJson<ErrorReport>("verify", "/work/nowhere", "--public-key", KEY);
    expect([missing.code, missing.json.error.code]).toEqual([2, "BUNDLE_NOT_FOUND"]);
    expect((await run("verify")).code).toBe(2);
    mkdirSync(join(root.work, "../tmp"), { recursive: true });
    const nix = await runJson<ErrorReport>("pack", "/work");
    expect([nix.code, nix.json.error.code]).toEqual([20, "NIX_MISSING"]);
  });
});

describe.skipIf(!isMadeHere)("the executable, where Node.js would read settings from its environment", () => {
  it("runs nothing that NODE_OPTIONS or OPENSSL_CONF name", async () => {
    mkdirSync(join(dir, "env"));
    const evil = join(dir, "env/evil.cjs");
    writeFileSync(evil, 'require("node:fs").writeFileSync(__filename + ".ran", "");');
    writeFileSync(join(dir, "env/openssl.cnf"), "nodejs_conf = none\n");
    const env = {
      NODE_OPTIONS: `--require=${evil}`,
      OPENSSL_CONF: join(dir, "env/openssl.cnf"),
      NODE_PATH: join(dir, "env"),
    };
    const args = ["keygen", "--name", "a", "--out", join(dir, "env/keys")];
    // A section that is not there would end it: "OpenSSL configuration error".
    expect(await runProgram([EXECUTABLE, ...args], { env })).toMatchObject({ code: 0, stderr: "" });
    expect(existsSync(`${evil}.ran`)).toBe(false);
    const { code } = await runProgram([process.execPath, RELEASE, "--version"], {
      env: { NODE_OPTIONS: env.NODE_OPTIONS },
    });
    expect([code, existsSync(`${evil}.ran`)], "the variable has an effect on Node.js").toEqual([0, true]);
  });
});
