import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { describe, expect, it } from "vitest";
import {
  type LockAttributes,
  type LockedInput,
  parseFlakeLock,
  resolveFlakeLock,
} from "../../src/nix/flake-lock.js";
import { minimumNix } from "../../src/nix/minimum-nix.js";

const locksOf = (name: string) =>
  resolveFlakeLock(parseFlakeLock(readFileSync(resolve("test/vectors/locks", name))));

function input(locked: LockAttributes, original: LockAttributes = locked, parent?: string): LockedInput {
  return {
    key: "x",
    path: ["x"],
    inputs: new Map(),
    narHash: undefined,
    flake: true,
    locked,
    original,
    parent,
  };
}

const of = (...inputs: LockedInput[]) =>
  minimumNix(inputs, { hasSelfAttributes: false, evaluatedBy: "2.34.8" });

describe("the oldest Nix for a lock", () => {
  it("is the oldest that we know, for what that one reads itself", () => {
    expect(of()).toBe("2.8.0");
    expect(of(...locksOf("nix-2.8.flake.lock"))).toBe("2.8.0");
    expect(of(...locksOf("older.flake.lock"))).toBe("2.8.0");
    const github = {
      type: "github",
      owner: "o",
      repo: "r",
      rev: "0".repeat(40),
      lastModified: 1,
      dir: "sub",
    };
    expect(of(input(github), input({ type: "indirect", id: "x" }))).toBe("2.8.0");
  });

  it.each([
    ["an archive's time", input({ type: "tarball", url: "https://example.org/a.tar.gz", lastModified: 1 })],
    ["a single file", input({ type: "file", url: "https://example.org/a.txt" })],
    ["a relative input", input({ type: "path", path: "./x" }, { type: "path", path: "./x" }, "root")],
    ["an attribute of git", input({ type: "git", url: "https://example.org/a", lfs: true })],
    ["a folder that is not in the URL", input({ type: "git", url: "https://example.org/a", dir: "sub" })],
  ])("is a newer one for %s", (_, newer) => {
    expect(of(input({ type: "git", url: "https://example.org/a?dir=b", dir: "b" }), newer)).toBe("2.26.0");
  });

  it("is newer still where a flake says how it is to be fetched itself", () => {
    expect(minimumNix([], { hasSelfAttributes: true, evaluatedBy: "2.34.8" })).toBe("2.27.0");
  });

  it("is never newer than the one that evaluated it", () => {
    const moved = input({ type: "git", url: "https://example.org/a", dir: "sub" });
    expect(minimumNix([moved], { hasSelfAttributes: false, evaluatedBy: "2.8.1" })).toBe("2.8.1");
    expect(minimumNix([moved], { hasSelfAttributes: false, evaluatedBy: "2.91.1" })).toBe("2.26.0");
  });
});
