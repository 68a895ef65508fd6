import { createHash } from "node:crypto";
import { appendFileSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import { removeTree } from "../../src/host/files.js";
import { type GatePath, makeGate } from "../../src/host/gate.js";
import { importPaths } from "../../src/host/import.js";
import { type CopyEvent, invalidPaths } from "../../src/host/nix/index.js";
import { siteNix } from "../../src/host/nix/site.js";
import { hashOf, parseHex } from "../../src/nix/hash.js";
import { writeNar } from "../../src/nix/nar-writer.js";
import { parseNarInfo } from "../../src/nix/narinfo.js";
import { partOf } from "../../src/segments.js";
import { compress } from "../support/zstd.js";

const dir = mkdtempSync(join(tmpdir(), "airgap-gate-"));
afterAll(() => removeTree(dir));
const { signal } = new AbortController();
let gates = 0;
const newDir = (name: string) => join(dir, `${name}-${gates++}`);

/** An input-addressed path, whose blob lies in a file together with others. */
function path(n: number, blobs: { file: string; offset: number }): GatePath {
  const nar = writeNar({ kind: "regular", executable: false, contents: Buffer.from(`path ${n}`) });
  const blob = compress(nar);
  const sha256 = createHash("sha256").update(blob).digest("hex");
  const { offset } = blobs;
  appendFileSync(blobs.file, blob);
  blobs.offset += blob.length;
  return {
    blob: partOf(blobs.file, blob.length, offset),
    narInfo: {
      storePath: `/nix/store/${String(n).padStart(32, "0")}-path-${n}`,
      url: `blobs/sha256/${sha256}`,
      compression: "zstd",
      fileHash: parseHex("sha256", sha256),
      fileSize: blob.length,
      narHash: hashOf("sha256", nar),
      narSize: nar.length,
      references: [],
      signatures: [],
    },
  };
}

function pathsInOneFile(count: number): GatePath[] {
  const blobs = { file: newDir("tar"), offset: 5 };
  writeFileSync(blobs.file, "12345");
  return Array.from({ length: count }, (_, n) => path(n, blobs));
}

const nameOf = ({ narInfo }: GatePath) => narInfo.storePath;

describe("blobs out of a tar", () => {
  const stagedIn = (gateDir: string) => readdirSync(join(gateDir, "blobs/sha256")).sort();
  const blobsOf = (paths: readonly GatePath[]) => paths.map(({ narInfo }) => narInfo.url.slice(13)).sort();

  it("are there from the time when they are staged until they are not needed any more", async () => {
    const paths = pathsInOneFile(3);
    const gateDir = newDir("gate");
    const gate = await makeGate(gateDir, paths, { blobs: null, signal });
    const [first, second] = [paths.slice(0, 2), paths.slice(2)];
    await Promise.all([gate.stage(first.map(nameOf)), gate.stage(second.map(nameOf))]);
    expect(stagedIn(gateDir)).toEqual(blobsOf(paths));
    for (const name of stagedIn(gateDir)) {
      const bytes = readFileSync(join(gateDir, "blobs/sha256", name));
      expect(createHash("sha256").update(bytes).digest("hex")).toBe(name);
    }
    await gate.unstage(first.map(nameOf));
    expect(stagedIn(gateDir)).toEqual(blobsOf(second));
  });

  it("stay while one of the paths that share them needs them", async () => {
    const [one, other] = pathsInOneFile(2) as [GatePath, GatePath];
    const same = { ...one, narInfo: { ...one.narInfo, storePath: other.narInfo.storePath } };
    const gateDir = newDir("gate");
    const gate = await makeGate(gateDir, [one, same], { blobs: null, signal });
    await Promise.all([gate.stage([nameOf(one)]), gate.stage([nameOf(same)])]);
    await gate.unstage([nameOf(one)]);
    expect(stagedIn(gateDir)).toEqual(blobsOf([one]));
    await gate.unstage([nameOf(same)]);
    expect(stagedIn(gateDir)).toEqual([]);
  });

  it("stop when told to", async () => {
    const paths = pathsInOneFile(1);
    const gate = await makeGate(newDir("gate"), paths, { blobs: null, signal: AbortSignal.abort() });
    await expect(gate.stage(paths.map(nameOf))).rejects.toThrow(
      expect.objectContaining({ code: "INTERRUPTED" }),
    );
  });
});

it("narinfos are signed by a key of this gate alone, content-addressed ones not at all", async () => {
  const [signed, addressed] = pathsInOneFile(2) as [GatePath, GatePath];
  const ca = { kind: "fixed", method: "nar", hash: addressed.narInfo.narHash } as const;
  const gateDir = newDir("gate");
  const paths = [signed, { ...addressed, narInfo: { ...addressed.narInfo, ca } }];
  const gate = await makeGate(gateDir, paths, { blobs: null, signal });
  await gate.stage(paths.map(nameOf));
  const other = await makeGate(newDir("gate"), paths, { blobs: null, signal });
  expect(gate.publicKey).not.toBe(other.publicKey);
  const signers = paths.map(({ narInfo }) => {
    const file = join(gateDir, `${narInfo.storePath.slice(11, 43)}.narinfo`);
    return parseNarInfo(readFileSync(file, "latin1")).signatures.map((text) => text.split(":")[0]);
  });
  expect(signers).toEqual([[gate.publicKey.split(":")[0]], []]);
});

it("refuses a folder that Nix cannot be told of", async () => {
  await expect(makeGate(join(dir, "a b"), [], { blobs: null, signal })).rejects.toThrow(
    expect.objectContaining({ code: "USAGE" }),
  );
});

describe("the real Nix", () => {
  const nixFor = async () => {
    const nixDir = newDir("nix");
    mkdirSync(nixDir);
    return siteNix({ dir: nixDir, path: process.env["PATH"], signal, report: () => {} });
  };

  it("imports what the gate shows, and nothing whose bytes changed since it was verified", async () => {
    const paths = pathsInOneFile(2);
    const nix = await nixFor();
    const store = newDir("store");
    const gate = await makeGate(newDir("gate"), paths, { blobs: null, signal });
    const imported: string[] = [];
    const onEvent = (event: CopyEvent) => {
      if (event.type === "finished") imported.push(event.subject);
    };
    await importPaths(nix, gate, [nameOf(paths[0]!)], { store, lanes: 2, onEvent });
    expect(imported).toEqual([nameOf(paths[0]!)]);

    const [blob] = paths[1]!.blob.segments;
    const other = compress(writeNar({ kind: "regular", executable: true, contents: Buffer.from("evil!!") }));
    const file = readFileSync(blob!.path);
    const changed = Buffer.concat([file.subarray(0, blob!.offset), other]);
    writeFileSync(blob!.path, changed);
    const swapped = [paths[0]!, { ...paths[1]!, blob: partOf(blob!.path, other.length, blob!.offset) }];
    const second = await makeGate(newDir("gate"), swapped, { blobs: null, signal });
    await expect(importPaths(nix, second, swapped.map(nameOf), { store, lanes: 2, onEvent })).rejects.toThrow(
      expect.objectContaining({ code: "NIX_FAILED" }),
    );
    // And out of a directory.
    const blobs = newDir("blobs");
    mkdirSync(join(blobs, "sha256"), { recursive: true });
    writeFileSync(join(blobs, paths[1]!.narInfo.url.slice("blobs/".length)), other);
    const third = await makeGate(newDir("gate"), paths, { blobs, signal });
    await expect(importPaths(nix, third, [nameOf(paths[1]!)], { store, lanes: 2, onEvent })).rejects.toThrow(
      expect.objectContaining({ code: "NIX_FAILED" }),
    );
    expect(await invalidPaths(nix, paths.map(nameOf), store)).toEqual(new Set([nameOf(paths[1]!)]));
  });

  it("takes nothing that another key signed", async () => {
    const paths = pathsInOneFile(1);
    const nix = await nixFor();
    const store = newDir("store");
    const gate = await makeGate(newDir("gate"), paths, { blobs: null, signal });
    const other = await makeGate(newDir("gate"), paths, { blobs: null, signal });
    const forged = { ...gate, publicKey: other.publicKey };
    await expect(
      importPaths(nix, forged, paths.map(nameOf), { store, lanes: 2, onEvent: () => {} }),
    ).rejects.toThrow(expect.objectContaining({ code: "NIX_FAILED" }));
  });
});
