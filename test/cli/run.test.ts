/** The program as a whole, in this process: exit codes, what goes to which stream, and that JSON keeps its schemas. */

import { chmodSync, existsSync, mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { Writable } from "node:stream";
import { beforeAll, describe, expect, it } from "vitest";
import { runMain } from "../../src/cli/run.js";
import {
  validateDoctorReport,
  validateErrorReport,
  validateInspectReport,
  validateKeygenReport,
  validateSignReport,
  validateVerifyReport,
} from "../../src/generated/report-validators.js";
import { formatPublicKey, formatSecretKey, generateSecretKey, toSpkiPem } from "../../src/nix/signature.js";
import { packerKey, strangerKey, tempDir, writeBundle } from "../support/bundle.js";
import { makeRelease } from "../support/release.js";
import { run } from "../support/run-main.js";
import { SIGN_WORDS } from "../support/trust.js";

const KEY = formatPublicKey(packerKey.publicKey);
let dir: string;
let bundle: string;

beforeAll(async () => {
  dir = tempDir();
  bundle = await writeBundle(makeRelease());
});

function file(name: string, text: string, mode = 0o600): string {
  const path = join(dir, name);
  writeFileSync(path, text);
  chmodSync(path, mode);
  return path;
}

describe("an answer", () => {
  it("goes to stdout, its progress to stderr", async () => {
    const { code, stdout, stderr } = await run(["verify", bundle, "--public-key", KEY]);
    expect(code).toBe(0);
    expect(stdout).toMatch(/^VERIFIED: pump 1\.0\.0 is complete and unchanged, approved by packer-1\n/);
    expect(stdout).toMatch(/\nVERIFIED: [^\n]+\n$/);
    expect(stderr).toContain("blobs: done");
  });

  it("is one document with --json, also when it is no", async () => {
    for (const [key, exit] of [
      [KEY, 0],
      [formatPublicKey(strangerKey.publicKey), 12],
    ] as const) {
      const { code, stdout } = await run(["verify", "--json", "--quiet", "--public-key", key, bundle]);
      const report: unknown = JSON.parse(stdout);
      expect(validateVerifyReport(report)).toBe(true);
      expect(report).toMatchObject({ exit });
      expect(code).toBe(exit);
    }
  });

  it("of --integrity-only says first and last that origin is unproven", async () => {
    const { code, stdout } = await run(["verify", bundle, "--integrity-only"]);
    const lines = stdout.trimEnd().split("\n");
    expect(code).toBe(0);
    for (const line of [lines[0], lines.at(-1)]) expect(line).toMatch(/^INTACT: .*ORIGIN UNPROVEN/);
  });

  it("of --document-only says first and last that contents were not checked", async () => {
    const { code, stdout } = await run(["verify", bundle, "--document-only", "--public-key", KEY]);
    const lines = stdout.trimEnd().split("\n");
    expect(code).toBe(0);
    for (const line of [lines[0], lines.at(-1)])
      expect(line).toMatch(/^DOCUMENT HOLDS: .*contents were NOT checked/);
  });

  it("shows a finding with its code and what to do", async () => {
    const broken = await writeBundle(makeRelease());
    rmSync(join(broken, "roots.txt"));
    const { code, stdout } = await run(["verify", broken, "--public-key", KEY]);
    expect(code).toBe(13);
    expect(stdout).toMatch(/^REFUSED: 1 finding \(exit 13\)/);
    expect(stdout).toMatch(/DERIVED_MISSING: .*\n +about: +roots\.txt\n +do: /);
  });
});

describe("an error", () => {
  it("of usage is one line, and where help is", async () => {
    expect(await run(["verify"])).toEqual({
      code: 2,
      stdout: "",
      stderr: "nix-airgap verify: BUNDLE is missing\nSee nix-airgap verify --help\n",
    });
  });

  it.each([
    [["verify", "--json"], 2, "USAGE", "verify"],
    [["verfy", "--json"], 2, "USAGE", null],
    [["verify", "/nowhere/b", "--integrity-only", "--json"], 2, "BUNDLE_NOT_FOUND", "verify"],
    [["restore", "/nowhere/b", "--json"], 12, "KEY_REQUIRED", "restore"],
    [["rebuild", "/nowhere/b", "--json"], 12, "KEY_REQUIRED", "rebuild"],
    [["keygen", "--name", "a/b", "--out", "x", "--json"], 2, "USAGE", "keygen"],
    [["verify", "b", "--integrity-only", "--public-key", KEY, "--json"], 2, "USAGE", "verify"],
  ])("%j is a document too", async (argv, exit, code, command) => {
    const ran = await run(argv);
    const report: unknown = JSON.parse(ran.stdout);
    expect(validateErrorReport(report)).toBe(true);
    expect(report).toMatchObject({ exit, command, error: { code } });
    expect(ran.code).toBe(exit);
    expect(ran.stderr).toContain("nix-airgap");
  });

  it("is escaped, whatever the path holds", async () => {
    const { stderr, code } = await run(["inspect", "/no\x1b[2Jwhere"]);
    expect(code).toBe(2);
    expect(stderr).toContain("/no\\u{1b}[2Jwhere: there is no bundle here");
    expect(stderr).not.toContain("\x1b");
  });

  it("that nobody foresaw is a bug, with its stack", async () => {
    const now = () => {
      throw new TypeError("oops");
    };
    const { code, stdout, stderr } = await run(["verify", bundle, "--integrity-only", "--json"], { now });
    expect(code).toBe(70);
    expect(JSON.parse(stdout)).toMatchObject({
      exit: 70,
      error: { code: "BUG", message: "TypeError: oops" },
    });
    expect(stderr).toMatch(/This is a bug in nix-airgap/);
    expect(stderr).toMatch(/run\.test\.ts/);
  });

  it("after Ctrl-C is 130", async () => {
    const controller = new AbortController();
    controller.abort();
    const { code, stderr } = await run(["verify", bundle, "--integrity-only"], { signal: controller.signal });
    expect(code).toBe(130);
    expect(stderr).toContain("INTERRUPTED");
  });

  it("of a full disk below stdout is 22; a reader that went away is none", async () => {
    const outcome = (error: NodeJS.ErrnoException) => {
      const stdout = new Writable({ write: (_chunk, _encoding, done) => done(error) });
      stdout.on("error", () => {});
      const stderr = new Writable({ write: (_chunk, _encoding, done) => done() });
      const io = { stdin: process.stdin, stdout, stderr, env: {}, cwd: dir, now: () => new Date(0) };
      const rest = { signal: new AbortController().signal, workerEntry: new URL("file:///none") };
      return runMain(["inspect", bundle], { ...io, ...rest });
    };
    const system = (code: string) => Object.assign(new Error(code), { code, syscall: "write" });
    expect(await outcome(system("ENOSPC"))).toBe(22);
    expect(await outcome(system("EPIPE"))).toBe(0);
  });
});

describe("doctor", () => {
  const site = () => ["doctor", "--state", join(dir, "site"), "--policy", join(dir, "policy.json")];

  it("is one document with --json, with the exit code of the worst", async () => {
    mkdirSync(join(dir, "site"), { recursive: true, mode: 0o755 });
    file("policy.json", "{}", 0o666);
    const { code, stdout } = await run([...site(), "--json"]);
    const report: unknown = JSON.parse(stdout);
    expect(validateDoctorReport(report)).toBe(true);
    expect(report).toMatchObject({ exit: 12, tools: { nix: expect.stringMatching(/^nix \(/) } });
    expect(code).toBe(12);
  });

  it("shows people the worst first, with what to do", async () => {
    file("policy.json", "{}", 0o666);
    const { code, stdout } = await run(site());
    expect(code).toBe(12);
    expect(stdout).toMatch(/^NOT FIT of 16 checks: \d+ bad, .*\(exit 12\)\nNix: nix \(/);
    expect(stdout).toMatch(
      /\n\nBAD +Who may change the policy\n {2}found: .*everyone may write it \(mode 0666\).*\n {2}why: .*\n {2}do: .*chmod 644/,
    );
    const labels = stdout.match(/^(BAD|WARN|UNKNOWN|ok)\b/gm) ?? [];
    const order = ["BAD", "WARN", "UNKNOWN", "ok"];
    expect(labels).toEqual([...labels].sort((a, b) => order.indexOf(a) - order.indexOf(b)));
    expect(labels).toHaveLength(16);
  });

  it("takes nothing but options", async () => {
    expect(await run(["doctor", "x"])).toMatchObject({ code: 2, stderr: expect.stringContaining('"x"') });
  });
});

describe("a public key", () => {
  it.each([
    ["text", () => KEY],
    ["a file with a final newline", () => file("a.pub", `${KEY}\n`)],
    ["a file without", () => file("b.pub", KEY)],
    ["a PEM file", () => file("c.pub.pem", toSpkiPem(packerKey.publicKey))],
    ["a path from the folder we are in", () => basename(file("d.pub", KEY))],
  ])("may be %s", async (_, key) => {
    const { code } = await run(["verify", "--public-key", key(), bundle, "--document-only"], { cwd: dir });
    expect(code).toBe(0);
  });

  it.each([
    ["nowhere.pub", "USAGE"],
    [".", "USAGE"],
    ["garbage", "KEY_INVALID"],
    ["large", "KEY_INVALID"],
  ])("%s is refused with exit 2", async (name, code) => {
    file("garbage", "no key\n");
    file("large", "x".repeat(100_000));
    const ran = await run(["verify", bundle, "--json", "--public-key", name], { cwd: dir });
    expect(ran.code).toBe(2);
    expect(JSON.parse(ran.stdout)).toMatchObject({ error: { code, subject: `--public-key ${name}` } });
  });
});

describe("a secret", () => {
  const secret = generateSecretKey("qa-1", new Uint8Array(32).fill(7));
  const text = formatSecretKey(secret);

  it("on the command line is refused, and not repeated", async () => {
    for (const argv of [
      ["sign", ...SIGN_WORDS, bundle, "--key", text],
      ["verify", bundle, "--public-key", text],
    ]) {
      const { code, stdout, stderr } = await run([...argv, "--json"]);
      expect(code).toBe(2);
      expect(stdout + stderr).not.toContain(text.slice(10, 40));
    }
  });

  it("that others can read is noted", async () => {
    const copy = await writeBundle(makeRelease());
    const open = await run(["sign", ...SIGN_WORDS, copy, "--key", file("open.sec", `${text}\n`, 0o640)]);
    expect(open.stderr).toContain("can be read by others");
    const closed = await run(["sign", ...SIGN_WORDS, copy, "--key", file("closed.sec", `${text}\n`)]);
    expect(closed.stderr).not.toContain("can be read by others");
    expect([open.code, closed.code]).toEqual([0, 0]);
  });

  it("comes by stdin with -", async () => {
    const copy = await writeBundle(makeRelease());
    const { code, stdout } = await run(["sign", ...SIGN_WORDS, "--key", "-", copy, "--json"], {
      stdin: text,
    });
    const report: unknown = JSON.parse(stdout);
    expect(code).toBe(0);
    expect(validateSignReport(report)).toBe(true);
    expect(report).toMatchObject({
      verdict: "signed",
      approval: { keyName: "qa-1", signedAt: "2026-02-03T04:05:06Z" },
    });
    const again = await run([
      "verify",
      copy,
      "--public-key",
      formatPublicKey(secret.publicKey),
      "--document-only",
    ]);
    expect(again.code).toBe(0);
  });
});

describe("keygen", () => {
  it("writes what verify and sign read, and overwrites nothing", async () => {
    const out = join(dir, "keys");
    const argv = ["keygen", "--name", "acme-1", "--out", "keys", "--json"];
    const { code, stdout } = await run(argv, { cwd: dir });
    const report: unknown = JSON.parse(stdout);
    expect(code).toBe(0);
    expect(validateKeygenReport(report)).toBe(true);
    expect(stdout).not.toContain(readFileSync(join(out, "acme-1.sec"), "utf8").trim());
    expect(statSync(join(out, "acme-1.sec")).mode & 0o777).toBe(0o600);
    const before = readFileSync(join(out, "acme-1.sec"));
    expect((await run(argv, { cwd: dir })).code).toBe(2);
    expect(readFileSync(join(out, "acme-1.sec"))).toEqual(before);
  });
});

describe("inspect", () => {
  it("says first that nothing is verified", async () => {
    const { code, stdout } = await run(["inspect", bundle, "--tree", "--sizes"]);
    expect(code).toBe(0);
    expect(stdout).toMatch(/^NOT VERIFIED: /);
    expect(stdout).toContain("github:example/motor");
  });

  it("has a document", async () => {
    const { stdout } = await run(["inspect", bundle, "--tree", "--json"]);
    const report: unknown = JSON.parse(stdout);
    expect(validateInspectReport(report)).toBe(true);
    expect(report).toMatchObject({ verified: false, document: { product: "pump" }, problems: [] });
  });
});

it("leaves nothing of a command that was refused", async () => {
  const out = join(dir, "refused");
  mkdirSync(out);
  await run(["keygen", "--name", "-x", "--out", join(out, "k")]);
  expect(existsSync(join(out, "k"))).toBe(false);
});
