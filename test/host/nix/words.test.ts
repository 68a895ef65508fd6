import { describe, expect, it } from "vitest";
import {
  daemonTrouble,
  failedDerivations,
  foreignSystem,
  fullDiskLine,
  importMismatch,
  isHashMismatch,
  isStaleLock,
  keptBuildFolder,
  unpackedBytes,
  unsignedLine,
} from "../../../src/host/nix/words.js";

const A = "/nix/store/iacrpklzi3md4rzbccwczw3z7yxg6m8y-src-a.drv";
const B = "/nix/store/w56zzxgw9avmkm9wyx85kj17pr6jj27h-src-b.drv";

describe("a build that failed", () => {
  it("is named by 2.8 and 2.26, and not what waits for it", () => {
    const message = [
      `builder for '${A}' failed with exit code 1;`,
      "       last 1 log lines:",
      "       > unable to download",
      `       For full logs, run 'nix log ${A}'.`,
      `1 dependencies of derivation '${B}' failed to build`,
    ].join("\n");
    expect([...failedDerivations(message)]).toEqual([A]);
  });

  it("is named by 2.34, and not what waits for it", () => {
    const message = [
      `Cannot build '${A}'.`,
      "Reason: builder failed with exit code 1.",
      "Output paths:",
      "  /nix/store/vlbz0vm44a9mni0li40y5adwgk2p314y-src-a",
      `\u001b[0mCannot build '${B}'.`,
      "       Reason: 2 dependencies failed.",
      `Cannot build '${B}x'.`,
    ].join("\n");
    expect([...failedDerivations(message)]).toEqual([A]);
    expect([...failedDerivations("Cannot build '/nix/store/a.drv'.\nReason: 1 dependency failed.")]).toEqual(
      [],
    );
  });
});

describe("a derivation of a system that is not this one", () => {
  const early = (system: string) =>
    `a '${system}' with features {} is required to build '${A}', but I am a 'x86_64-linux' with features {benchmark, kvm}`;
  const later = (reason: string) =>
    `Cannot build '${A}'.\nReason: ${reason}\nRequired system: 'aarch64-linux'\nCurrent system: 'x86_64-linux'`;

  it("is named with its system by 2.8 and 2.26, and by 2.34", () => {
    const found = { system: "aarch64-linux", drvPath: A };
    expect(foreignSystem(early("aarch64-linux"))).toEqual(found);
    expect(foreignSystem(`${later("platform mismatch")}\nbuild of '${A}' failed`)).toEqual(found);
  });

  it("is told from one that this machine lacks features for, and from any other failure", () => {
    expect(foreignSystem(early("x86_64-linux"))).toBeNull();
    expect(foreignSystem(later("builder failed with exit code 1."))).toBeNull();
  });
});

it("tells a fixed output that is another from one that is not there", () => {
  const words = `hash mismatch in fixed-output derivation '${A}':\n  specified: sha256-x\n  got: sha256-y`;
  expect([isHashMismatch(words, A), isHashMismatch(words, B)]).toEqual([true, false]);
});

it("reads what a NAR has and should have", () => {
  const words =
    "hash mismatch importing path '/nix/store/x-y';\n  specified: sha256:a\n  got:       sha256:b";
  expect(importMismatch(words)).toEqual({
    storePath: "/nix/store/x-y",
    expected: "sha256:a",
    actual: "sha256:b",
  });
  expect(importMismatch("hash mismatch importing path '/nix/store/x-y'")).toBeNull();
});

it.each([
  ["2.8", "note: keeping build directory '/tmp/nix-build-bad.drv-0'", "/tmp/nix-build-bad.drv-0"],
  ["2.26", "note: keeping build directory '/tmp/nix-build-bad.drv-0/build'", "/tmp/nix-build-bad.drv-0"],
  ["2.34", 'note: keeping build directory "/s/nix/builds/nix-24-4/build"', "/s/nix/builds/nix-24-4"],
  ["a builder", "> note: keeping build directory '/etc'", null],
])("finds the folder that %s kept", (_, words, folder) => {
  expect(keptBuildFolder(words)).toBe(folder);
});

it("knows a stale lock", () => {
  const words =
    "flake 'git+file:///f' requires lock file changes but they're not allowed due to '--no-update-lock-file'";
  expect([isStaleLock(words), isStaleLock("lock file changes")]).toEqual([true, false]);
});

it("finds the line about a full disk among others", () => {
  expect(fullDiskLine("a\nwriting to file: No space left on device\nb")).toBe(
    "writing to file: No space left on device",
  );
  expect(fullDiskLine("a\nb")).toBeUndefined();
});

describe("a daemon", () => {
  it.each([
    "cannot add path '/nix/store/x-a' because it lacks a valid signature",
    "cannot add path '/nix/store/x-a' because it lacks a signature by a trusted key",
  ])("refuses what no key signed that it trusts: %s", (line) => {
    expect(unsignedLine(`copying 1 paths\nerror: ${line}\n`)).toContain(line);
    expect(unsignedLine("cannot add path '/nix/store/x-a' because it is too large")).toBeUndefined();
  });

  it.each([
    ["absent", "cannot connect to socket at '/nix/var/nix/daemon-socket/socket': Connection refused"],
    [
      "hangs-up",
      "cannot open connection to remote store 'daemon': error: reading from file: Connection reset by peer",
    ],
    ["hangs-up", "cannot open connection to remote store 'daemon': error: writing to file: Broken pipe"],
    [
      "hangs-up",
      "cannot open connection to remote store 'daemon': error: read of 32768 bytes: Connection reset",
    ],
    [null, "path '/nix/store/x-a' is not valid"],
  ])("is %s", (trouble, line) => {
    expect(daemonTrouble(line)).toBe(trouble);
  });
});

it("reads how much is to be fetched", () => {
  expect(unpackedBytes("this path will be fetched (3.00 MiB download, 3.25 MiB unpacked):")).toBe(
    3.25 * 2 ** 20,
  );
  expect(unpackedBytes("these 12 paths will be fetched (1.5 GiB download, 2.0 KiB unpacked):")).toBe(2048);
  expect(unpackedBytes("these 2 derivations will be built:")).toBe(0);
});
