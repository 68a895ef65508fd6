/** With the real Nix: the wrapper gives the derivation that the flake itself gives, with the originals gone. */
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { wrapperOf } from "../../src/bundle/wrapper.js";
import type { Flake } from "../../src/generated/types.js";
import { parseFlakeLock, resolveFlakeLock } from "../../src/nix/flake-lock.js";
import { sampleDocument } from "../support/document.js";
import { makeFixtures, nixEnvironment, SANDBOX_PATHS } from "../support/fixtures.js";

const lock = (name: string) =>
  readFileSync(new URL(`../vectors/locks/${name}.flake.lock`, import.meta.url), "utf8");
const flakeWith = (given: Partial<Flake>): Flake => ({ ...sampleDocument().flake, ...given });

describe("a wrapper in the real Nix", () => {
  const scratch = mkdtempSync(join(tmpdir(), "nix-airgap-wrapper-"));
  const env = nixEnvironment(join(scratch, "env"));
  const store = join(scratch, "store");
  const nix = (...args: string[]): string =>
    execFileSync("nix", args, { encoding: "utf8", env, stdio: ["ignore", "pipe", "pipe"] });
  afterAll(() => rmSync(scratch, { recursive: true }));
  const { originals, flakes } = makeFixtures(join(scratch, "d"));

  it.each([
    ["in a subfolder", "dir-flake", "nested"],
    ["with follows and inputs of all kinds", "acme-pump", ""],
  ] as const)("evaluates a flake %s to the same derivation", (_, name, dir) => {
    const at = ["--store", store, "--no-update-lock-file", "--option", "sandbox-paths", SANDBOX_PATHS];
    const { locked, path } = JSON.parse(nix("flake", "metadata", "--json", ...at, flakes[name]));
    const expected = nix("eval", "--raw", ...at, `${flakes[name]}#default.drvPath`);
    const wrapper = wrapperOf({
      ...flakeWith(locked),
      storePath: path,
      narHash: locked.narHash,
      dir,
      lock: readFileSync(join(store, path, dir, "flake.lock"), "utf8"),
    });

    const folder = join(scratch, name);
    mkdirSync(folder);
    writeFileSync(join(folder, "flake.nix"), wrapper.flakeNix);
    writeFileSync(join(folder, "flake.lock"), wrapper.flakeLock);
    const added = nix("store", "add-path", "--store", store, "--name", "source", folder).trim();
    expect(added).toBe(wrapper.storePath);
    const nar = execFileSync("nix-store", ["--dump", folder], { env });
    expect(nar.equals(wrapper.nar)).toBe(true);

    renameSync(originals, `${originals}.gone`);
    try {
      rmSync(join(scratch, "env/cache"), { recursive: true });
      const reference = `path:${added}?narHash=${encodeURIComponent(wrapper.narHash)}#default.drvPath`;
      expect(nix("eval", "--offline", "--raw", ...at, reference)).toBe(expected);
    } finally {
      renameSync(`${originals}.gone`, originals);
    }
  });

  it("reads a folder of any name as that name", () => {
    const dir = `a"b\\c$${"{d}$e é"}`;
    const { flakeNix } = wrapperOf(flakeWith({ dir, lock: null }));
    const read = `(${flakeNix}).inputs.top.dir`;
    expect(JSON.parse(nix("eval", "--json", "--store", store, "--expr", read))).toBe(dir);
  });
});

describe("a wrapper's lock", () => {
  it.each(["newer", "nix-2.8", "older"])("has all nodes of %s.flake.lock one level further down", (name) => {
    const before = resolveFlakeLock(parseFlakeLock(Buffer.from(lock(name))));
    const { flakeLock } = wrapperOf(flakeWith({ lock: lock(name), dir: "sub" }));
    const [top, ...after] = resolveFlakeLock(parseFlakeLock(Buffer.from(flakeLock)));
    const { flake } = sampleDocument();
    expect(top).toMatchObject({
      key: "top",
      original: { type: "path", path: flake.storePath, dir: "sub" },
      locked: { narHash: flake.narHash, rev: flake.rev, revCount: 12, lastModified: flake.lastModified },
    });
    const moved = before.map((input) => ({
      ...input,
      key: `top-${input.key}`,
      path: ["top", ...input.path],
    }));
    expect(after.map(({ key, path, locked, flake }) => ({ key, path, locked, flake }))).toEqual(
      moved.map(({ key, path, locked, flake }) => ({ key, path, locked, flake })),
    );
    const targets = (inputs: ReadonlyMap<string, string>) => [...inputs];
    expect(after.map(({ inputs }) => targets(inputs))).toEqual(
      before.map(({ inputs }) =>
        targets(inputs).map(([input, key]) => [input, key === "root" ? "top" : `top-${key}`]),
      ),
    );
    expect(after.filter(({ parent }) => parent !== undefined).length).toBe(
      before.filter(({ parent }) => parent !== undefined).length,
    );
  });

  it("keeps the root apart from a node of the same name", () => {
    const text = JSON.stringify({
      nodes: { r: { inputs: { root: "root", top: "top" } }, root: node("root"), top: node("top") },
      root: "r",
      version: 7,
    });
    const { flakeLock } = wrapperOf(flakeWith({ lock: text }));
    const keys = resolveFlakeLock(parseFlakeLock(Buffer.from(flakeLock))).map(({ key }) => key);
    expect(keys).toEqual(["top", "top-root", "top-top"]);
  });

  it("is refused when the flake's is none", () => {
    expect(() => wrapperOf(flakeWith({ lock: "{}" }))).toThrow(
      expect.objectContaining({ code: "FLAKE_LOCK_INVALID" }),
    );
  });
});

function node(id: string) {
  return { locked: { type: "indirect", id }, original: { type: "indirect", id } };
}
