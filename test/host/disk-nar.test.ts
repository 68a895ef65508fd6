import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { chmodSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { compareTrees, hashPath, listPath } from "../../src/host/disk-nar.js";

const dir = mkdtempSync(join(tmpdir(), "disk-nar-test-"));
afterAll(() => rmSync(dir, { recursive: true, force: true }));

/** What Nix itself says. Neither reading nor writing a store. */
function nixDump(path: string) {
  const nar = execFileSync("nix-store", ["--dump", path], { maxBuffer: 2 ** 30 });
  return { narHash: `sha256-${createHash("sha256").update(nar).digest("base64")}`, narSize: nar.length };
}

function makeTree(name: string): string {
  const tree = join(dir, name);
  mkdirSync(join(tree, "a/deep/er"), { recursive: true });
  mkdirSync(join(tree, "empty"));
  writeFileSync(join(tree, "a.b"), "sorts between a and a/");
  writeFileSync(join(tree, "a/empty-file"), "");
  for (const size of [1, 7, 8, 9, 4095, 4096, 4097, 262_143, 262_144, 262_145, 1_000_000])
    writeFileSync(join(tree, `a/deep/${size}`), "x".repeat(size));
  writeFileSync(join(tree, "run"), "#!/bin/sh\n", { mode: 0o755 });
  writeFileSync(join(tree, "group-run"), "not executable for its owner", { mode: 0o654 });
  chmodSync(join(tree, "group-run"), 0o655);
  writeFileSync(Buffer.concat([Buffer.from(`${tree}/`), Buffer.from([0xff, 0xc3])]), "bytes");
  writeFileSync(join(tree, "é"), "text");
  symlinkSync("a/deep", join(tree, "link"));
  symlinkSync("/nowhere/é", join(tree, "a/dangling"));
  symlinkSync(Buffer.from([0x2f, 0xfe]), join(tree, "bytes-link"));
  return tree;
}

const refusal = (code: string, subject: string) =>
  expect.objectContaining({ code, details: expect.objectContaining({ subject }) });

describe("hashPath", () => {
  it("gives what Nix gives, for trees, files and symlinks", () => {
    const tree = makeTree("tree");
    for (const path of [
      tree,
      join(tree, "a.b"),
      join(tree, "run"),
      join(tree, "group-run"),
      join(tree, "link"),
      join(tree, "empty"),
      join(tree, "a/empty-file"),
    ]) {
      expect(hashPath(path)).toEqual(nixDump(path));
    }
  });

  it("takes paths with any characters", () => {
    const path = join(dir, "a b?c#d%20é");
    mkdirSync(path);
    writeFileSync(join(path, "x"), "y");
    expect(hashPath(path)).toEqual(nixDump(path));
  });

  it("refuses a FIFO without waiting for it, wherever it is", () => {
    const tree = join(dir, "fifo");
    mkdirSync(tree);
    execFileSync("mkfifo", [join(tree, "f")]);
    expect(() => hashPath(tree)).toThrow(refusal("FILE_TYPE", join(tree, "f")));
    expect(() => hashPath("/dev/null")).toThrow(refusal("FILE_TYPE", "/dev/null"));
  });

  it("names what is not there", () => {
    expect(() => hashPath(join(dir, "absent"))).toThrow(refusal("DISK", join(dir, "absent")));
  });

  it("refuses a file with another size than it says", () => {
    // Files of /proc say 0 bytes, and give more.
    expect(() => hashPath("/proc/self/status")).toThrow(refusal("DISK", "/proc/self/status"));
  });
});

describe("compareTrees", () => {
  it("finds nothing in equal trees", () => {
    expect(compareTrees(makeTree("one"), makeTree("two"), 10)).toEqual([]);
  });

  it("names the first paths that differ, and how", () => {
    const first = makeTree("first");
    const second = makeTree("second");
    writeFileSync(join(second, "a/deep/9"), "xxxxxxxxy");
    truncateSync(join(second, "a/deep/8"), 7);
    chmodSync(join(second, "run"), 0o644);
    rmSync(join(second, "link"));
    symlinkSync("elsewhere", join(second, "link"));
    rmSync(join(second, "é"));
    writeFileSync(join(second, "new"), "");
    rmSync(join(second, "empty"), { recursive: true });
    writeFileSync(join(second, "empty"), "");
    const all = [
      { path: "a/deep/8", difference: "content" },
      { path: "a/deep/9", difference: "content" },
      { path: "empty", difference: "type" },
      { path: "link", difference: "target" },
      { path: "new", difference: "only-in-second" },
      { path: "run", difference: "executable" },
      { path: "é", difference: "only-in-first" },
    ];
    expect(compareTrees(first, second, 100)).toEqual(all);
    expect(compareTrees(first, second, 3)).toEqual(all.slice(0, 3));
  });
});

describe("listPath", () => {
  it("lists a tree with the hash of each file", () => {
    const tree = join(dir, "listed");
    mkdirSync(join(tree, "d"), { recursive: true });
    writeFileSync(join(tree, "d/f"), "abc");
    symlinkSync("d", join(tree, "s"));
    expect(listPath(tree)).toEqual([
      { path: "", type: "directory" },
      { path: "d", type: "directory" },
      {
        path: "d/f",
        type: "regular",
        executable: false,
        size: 3,
        sha256: "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
      },
      { path: "s", type: "symlink", target: "d" },
    ]);
  });
});
