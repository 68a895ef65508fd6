/** Every kind of input that a lock may have: packed, and evaluated, restored and built where none of the originals is. */
import { execFileSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { ErrorReport, PackReport, RebuildReport } from "../../src/generated/types.js";
import { cliJson, runProgram } from "../support/cli.js";
import { Family, nixVersion } from "../support/family.js";
import { SYSTEM } from "../support/fixtures.js";
import { commitAll } from "../support/git.js";
import { documentOf, LEND, Packed } from "../support/packed.js";

const IS_OLD = nixVersion().startsWith("2.8.");

let packed: Packed;
let family: Family;
let server: Server;
let archive: Buffer;

beforeAll(async () => {
  packed = await Packed.make();
  server = createServer((_, response) => response.end(archive)).listen(0, "127.0.0.1");
  await new Promise((done) => server.once("listening", done));
  family = new Family("inputs", join(packed.fixtures.originals, "inputs"), packed.env, {
    URL: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    SYSTEM,
  });
});
afterAll(() => {
  server.close();
  packed.remove();
});

/** The same flake reference for packers of every Nix. */
const top = (member = "top") => `git+file://${family.path(member)}`;

interface Lock {
  version: number;
  nodes: Record<string, Record<"locked" | "original" | "info", Record<string, unknown>>>;
}

const lockOf = (member: string) => join(family.path(member), "flake.lock");
const readLock = (member: string) => JSON.parse(readFileSync(lockOf(member), "utf8")) as Lock;

function commitLock(member: string, lock: Lock): void {
  writeFileSync(lockOf(member), `${JSON.stringify(lock, null, 2)}\n`);
  commitAll(family.path(member), "Lock");
}

/** The program must not be waited for synchronously while this process serves the archive. */
async function lock(member: string, ...args: string[]): Promise<void> {
  const { code, stderr } = await runProgram(["nix", "flake", "lock", ...args, top(member)], {
    env: packed.env,
  });
  if (code !== 0) throw new Error(stderr);
}

async function layOutInputs(): Promise<void> {
  for (const member of [
    "base",
    "other-base",
    "registered",
    "folder",
    "submodule",
    "first",
    "second",
    "tree",
  ]) {
    family.commit(member);
  }
  family.git("tree", "submodule", "add", "-q", family.path("submodule"), "submodule");
  commitAll(family.path("tree"), "Add submodule");
  family.commit("without-submodule");
  family.git("without-submodule", "submodule", "add", "-q", family.path("submodule"), "submodule");
  commitAll(family.path("without-submodule"), "Add submodule");
  family.place("plain");
  const unpacked = family.place("archive");
  archive = execFileSync("tar", ["-C", join(unpacked, ".."), "-czf", "-", "archive"]);
  family.commit("top");

  const registry = packed.path("registry.json");
  const to = { type: "git", url: `file://${family.path("registered")}` };
  const entry = { from: { type: "indirect", id: "registered" }, to };
  writeFileSync(registry, JSON.stringify({ version: 2, flakes: [entry] }));
  const hub = family.place("hub");
  await lock(
    "top",
    ...["--override-input", "hub", `path:${hub}`],
    ...["--option", "use-registries", "true", "--option", "flake-registry", registry],
  );
  // No forge is asked for what is in the store under the hash that the lock gives.
  const written = readLock("top");
  const { narHash } = written.nodes["hub"]!.locked;
  const repository = { type: "github", owner: "acme", repo: "hub" };
  const rev = "0123456789012345678901234567890123456789";
  written.nodes["hub"]!.locked = { ...repository, lastModified: 1700000000, narHash, rev };
  written.nodes["hub"]!.original = repository;
  commitLock("top", written);
}

describe("a flake with an input of every kind", () => {
  let bundle: string;
  beforeAll(async () => {
    await layOutInputs();
    bundle = await packed.pack("inputs", [top()], "--tier", "source");
  });

  it("evaluates to what was packed, and is built again, where none of them is", async () => {
    const receipt = await packed.restore(bundle, "store-inputs");
    expect([receipt.verdict, receipt.findings]).toEqual(["complete", []]);
    const { commands, outputs } = receipt.roots[0]!;
    const { code, stdout, stderr } = await packed.sh(commands[0]!.shell);
    expect(code, stderr).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject([{ outputs: { out: outputs[0]!.path } }]);
    expect(stderr).not.toMatch(/building|fetching|unpacking|copying/);

    const rebuilt = await cliJson<RebuildReport>(
      ["rebuild", bundle, "--public-key", packed.publicKey, ...LEND],
      { wrap: packed.site, env: packed.siteEnv },
    );
    expect(rebuilt.json.verdict).toBe("identical");
  });

  it("reads each input, and of two that are wanted under one name the one that is followed", () => {
    const text = readFileSync(
      join(packed.path("store-inputs"), documentOf(bundle).roots[0]!.outputs[0]!.path),
      "utf8",
    );
    expect(
      text
        .split("\n")
        .map((line) => line.replace(/[0-9a-f]{40}/, "REV"))
        .filter((line) => line !== ""),
    ).toEqual([
      "tree: a file of a submodule",
      "hub: from a forge 0123456",
      "archive: unpacked",
      "plain: a plain folder",
      "beside: beside the top",
      "registered: from a registry 1",
      "folder: above the folder",
      "second: second with first with the one base",
      "deepest: the one base REV",
      "named: the one base the one base",
      "named: the one base the one base the one base the one base",
    ]);
  });

  it("says the oldest Nix that can evaluate it", () => {
    // Nix 2.26 and newer lock a relative input, and an archive's time, in a way that older ones refuse.
    expect(documentOf(bundle).minimumNix).toBe(IS_OLD ? "2.8.0" : "2.26.0");
  });
});

describe("locks of other versions", () => {
  beforeAll(() => family.commit("one-input"));

  it("5 and 6 give what 7 gives", async () => {
    await lock("one-input");
    const written = readLock("one-input");
    commitLock("one-input", written);
    const [before] = await dryRun("one-input");
    // Its text is part of the tree, but not of what is evaluated.
    commitLock("one-input", { ...written, version: 6 });
    expect(await dryRun("one-input")).toEqual([before]);
    // Version 5 had some attributes of `locked` in `info`.
    const { locked, ...node } = written.nodes["base"]!;
    const { lastModified, narHash, ...rest } = locked;
    const old = { ...node, locked: rest, info: { lastModified, narHash } };
    commitLock("one-input", { ...written, version: 5, nodes: { ...written.nodes, base: old } });
    expect(await dryRun("one-input")).toEqual([before]);
  });

  it("one without the hash of a tree is refused by the name of the input", async () => {
    const written = readLock("one-input");
    delete written.nodes["base"]!.locked["narHash"];
    delete (written.nodes["base"] as Partial<Lock["nodes"][string]>).info;
    written.nodes["base"]!.locked["lastModified"] = 1709294400;
    commitLock("one-input", { ...written, version: 7 });
    expect(await refusals("one-input")).toEqual(["LOCK_NAR_HASH input base"]);
  });

  it.runIf(IS_OLD)("one of a newer Nix is refused by an older one, which says so", async () => {
    const written = readLock("one-input");
    written.nodes["base"]!.locked = { type: "path", path: "./beside" };
    commitLock("one-input", written);
    expect(await refusals("one-input")).toEqual([`NIX_TOO_OLD ${top("one-input")}`]);
  });

  it.runIf(!IS_OLD)("a single file is an input too, for newer Nix alone", async () => {
    writeFileSync(join(family.dir, "file.txt"), "only a file");
    family.commit("file-input");
    await lock("file-input");
    commitLock("file-input", readLock("file-input"));
    const document = documentOf(await packed.pack("file", [top("file-input")]));
    expect(document.minimumNix).toBe("2.26.0");
    const receipt = await packed.restore(packed.path("file"), "store-file");
    expect(receipt.verdict).toBe("complete");
    expect((await packed.sh(receipt.roots[0]!.commands[0]!.shell)).code).toBe(0);
  });
});

it("a tree that lacks its submodules says so where files are missing", async () => {
  const { json } = await cliJson<PackReport>(["pack", top("without-submodule"), "--release", "1"], {
    cwd: packed.dir,
    env: packed.env,
  });
  expect(json.findings[0]?.advice).toMatch(/submodules=1/);
});

/** The derivations that a pack would be of. */
async function dryRun(member: string): Promise<string[]> {
  const { json } = await cliJson<PackReport>(["pack", top(member), "--release", "1", "--dry-run"], {
    cwd: packed.dir,
    env: packed.env,
  });
  return json.plan!.roots.map(({ drvPath }) => drvPath);
}

async function refusals(member: string): Promise<string[]> {
  const { json } = await cliJson<PackReport | ErrorReport>(
    ["pack", top(member), "--release", "1", "--dry-run"],
    { cwd: packed.dir, env: packed.env },
  );
  const found = "error" in json ? [json.error] : json.findings;
  return found.map(({ code, subject }) => `${code} ${subject}`);
}
