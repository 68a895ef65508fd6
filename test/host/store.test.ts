import { mkdirSync, mkdtempSync, realpathSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { realPath, resolveStore } from "../../src/host/store.js";

const dir = realpathSync(mkdtempSync(join(tmpdir(), "airgap-store-")));
afterAll(() => rmSync(dir, { recursive: true }));

describe("resolveStore", () => {
  it("makes a folder absolute, whether it is there or not", async () => {
    for (const text of ["site", "./site", join(dir, "site")]) {
      const store = await resolveStore(text, dir, {});
      expect(store).toEqual({
        kind: "chroot",
        realStoreDir: join(dir, "site/nix/store"),
        stateDir: join(dir, "site/nix/var/nix"),
        keptDir: join(dir, "site/nix/var/nix/nix-airgap"),
        rootsDir: join(dir, "site/nix/var/nix/gcroots/nix-airgap"),
        roots: "direct",
        uri: join(dir, "site"),
      });
    }
  });

  it("escapes a folder's odd name, and reads it back", async () => {
    const { uri, realStoreDir } = await resolveStore("a b?c#d%20é", dir, {});
    expect(uri).toBe(`local?root=${dir}/a%20b%3Fc%23d%2520%C3%A9`);
    expect((await resolveStore(uri, "/", {})).realStoreDir).toBe(realStoreDir);
  });

  it("resolves symlinks, which Nix refuses above a store", async () => {
    mkdirSync(join(dir, "real"));
    symlinkSync("real", join(dir, "link"));
    expect((await resolveStore("link/new", dir, {})).uri).toBe(join(dir, "real/new"));
  });

  it("knows this machine's own store by its names", async () => {
    expect(await resolveStore("/", dir, {})).toMatchObject({ kind: "local", stateDir: "/nix/var/nix" });
  });

  it("takes a root in each way that Nix writes it", async () => {
    for (const uri of [`local?root=${dir}/a%20b`, `local://?root=${dir}/a b`]) {
      expect((await resolveStore(uri, "/", {})).realStoreDir).toBe(join(dir, "a b/nix/store"));
    }
  });

  it("names the parameters that it does not take", async () => {
    await expect(resolveStore("local?root=/x&state=/y&real=/z", dir, {})).rejects.toThrow(
      /without state, real/,
    );
  });

  it.each([
    "ssh://x",
    "ssh-ng://x",
    "http://x",
    "s3://x",
    "file:///x",
    "unix:///x",
    "unix:///x?root=/y",
    "daemon?x=y",
    "auto?root=/x",
    "dummy://",
    "local:///x",
    "local?store=/x",
    "local?root=x",
    "local?root=/x&state=/y",
    "local?root=/x&root=/y",
    "local?root=/%zz",
    "local://?real=/x",
    "",
    "a\nb",
  ])("refuses %j", async (text) => {
    await expect(resolveStore(text, dir, {})).rejects.toThrow(expect.objectContaining({ code: "USAGE" }));
  });
});

it("a path lies in the real folder", async () => {
  const store = await resolveStore("site", dir, {});
  expect(realPath(store, "/nix/store/abc-x")).toBe(join(dir, "site/nix/store/abc-x"));
});
