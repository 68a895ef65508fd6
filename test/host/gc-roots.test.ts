import { mkdirSync, mkdtempSync, readdirSync, readlinkSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { makeRoots, parseRootName } from "../../src/host/gc-roots.js";
import { chrootStore } from "../../src/host/store.js";

const dir = mkdtempSync(join(tmpdir(), "airgap-roots-"));
afterAll(() => rmSync(dir, { recursive: true }));

const storePath = (n: number) => `/nix/store/${String(n).padStart(32, "0")}-path`;
const store = await chrootStore(dir);
const parent = join(store.stateDir, "gcroots/nix-airgap");
const rooted = (name: string) =>
  readdirSync(join(parent, name))
    .map((entry) => readlinkSync(join(parent, name, entry)))
    .sort();

describe("makeRoots", () => {
  it("holds the new paths before they replace the old, and the old until then", async () => {
    await (await makeRoots(store, "pump-1", [storePath(1)])).commit();
    const pending = await makeRoots(store, "pump-1", [storePath(2)]);
    const held = readdirSync(parent).flatMap(rooted);
    expect(held.sort()).toEqual([storePath(1), storePath(2)]);
    await pending.commit();
    expect(readdirSync(parent)).toEqual(["pump-1"]);
    expect(rooted("pump-1")).toEqual([storePath(2)]);
  });

  it("takes away what interrupted runs left, of its own name only", async () => {
    await makeRoots(store, "pump-2", [storePath(3)]);
    await makeRoots(store, "pump-2.1", [storePath(4)]);
    await (await makeRoots(store, "pump-2", [storePath(5)])).commit();
    const left = readdirSync(parent).filter((name) => name.startsWith("."));
    expect(left).toHaveLength(1);
    expect(rooted(left[0]!)).toEqual([storePath(4)]);
  });

  it("makes thousands", async () => {
    const paths = Array.from({ length: 4001 }, (_, n) => storePath(n));
    await (await makeRoots(store, "many", paths)).commit();
    expect(rooted("many")).toEqual(paths);
  });

  it("says DISK where the state cannot be written", async () => {
    const other = await chrootStore(join(dir, "other"));
    mkdirSync(join(dir, "other/nix/var"), { recursive: true });
    const file = { ...other, rootsDir: "/dev/null/gcroots" };
    await expect(makeRoots(file, "x", [])).rejects.toThrow(expect.objectContaining({ code: "DISK" }));
  });
});

it.each(["", ".x", "../x", "a/b", "a b", "a\n", "x".repeat(201)])("refuses the name %j", (name) => {
  expect(() => parseRootName(name)).toThrow(expect.objectContaining({ code: "USAGE" }));
});
