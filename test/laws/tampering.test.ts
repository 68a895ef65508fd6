/**
 * Any byte of any file of a bundle changed, dropped or doubled, any file gone, renamed, or with another's contents:
 * verify says no, with the class that the format gives. Exhaustive over files, sampled over bytes: SAMPLES=20 takes more
 * than one byte of each file.
 */

import { mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { classify } from "../../src/bundle/layout.js";
import { EXIT } from "../../src/errors.js";
import type { VerifyReport } from "../../src/generated/types.js";
import type { PublicKey, SecretKey } from "../../src/nix/signature.js";
import { verify } from "../../src/ops/verify.js";
import { ed25519Key } from "../../src/trust/keys.js";
import { packGood, treeOf } from "../hostile/battle.js";
import type { Victim } from "../hostile/victim.js";
import { testContext } from "../support/bundle.js";
import { RELEASE, runProgram } from "../support/cli.js";
import type { Packed } from "../support/packed.js";

const SAMPLES = Number(process.env["SAMPLES"] ?? 1);
const SEED = Number(process.env["SEED"] ?? 20261125);

let packed: Packed;
let good: Victim;
let publicKey: PublicKey;
let work: string;
let directory: string;
let tar: string;

beforeAll(async () => {
  let packer: SecretKey;
  ({ packed, good, packer } = await packGood());
  publicKey = packer.publicKey;
  work = mkdtempSync(join(tmpdir(), "airgap-laws-"));
  directory = good.write(work, "directory");
  tar = good.write(work, "tar");
});
afterAll(() => {
  packed.remove();
  rmSync(work, { recursive: true, force: true });
});

function verified(bundle: string): Promise<VerifyReport> {
  const options = { documentOnly: false, allowExtra: false };
  return verify(bundle, { ...options, trust: { by: "keys", keys: [ed25519Key(publicKey)] } }, testContext());
}

/** What the format says of a file whose bytes are not those that were packed. */
function classOf(name: string): number {
  const kind = classify(name);
  return kind === "document" || kind === "approval" ? EXIT.trust : EXIT.integrity;
}

type Change = readonly [what: string, change: (bytes: Buffer, at: number) => Buffer];

const CHANGES: readonly Change[] = [
  [
    "a bit flipped",
    (bytes, at) => {
      const changed = Buffer.from(bytes);
      changed[at]! ^= 1 << (at % 8);
      return changed;
    },
  ],
  ["a byte dropped", (bytes, at) => Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + 1)])],
  ["a byte doubled", (bytes, at) => Buffer.concat([bytes.subarray(0, at + 1), bytes.subarray(at)])],
];

/** Some of `candidates`, the same ones for the same `salt`. */
function sampled<T>(candidates: fc.Arbitrary<T>, salt: number): Set<T> {
  return new Set(fc.sample(candidates, { numRuns: SAMPLES, seed: SEED + salt }));
}

/** The ends more often than chance would have it. */
function placeIn(size: number): fc.Arbitrary<number> {
  return fc.oneof({ arbitrary: fc.nat({ max: size - 1 }), weight: 3 }, fc.constantFrom(0, size - 1));
}

describe("a directory", () => {
  it.each(CHANGES)("with %s in any file is refused with that file's class", async (_, change) => {
    for (const [name, bytes] of good.files) {
      if (bytes.length === 0) continue;
      const file = join(directory, name);
      for (const at of sampled(placeIn(bytes.length), bytes.length + name.charCodeAt(1))) {
        writeFileSync(file, change(bytes, at));
        const report = await verified(directory);
        expect([name, at, report.verdict, report.exit]).toEqual([name, at, "refused", classOf(name)]);
      }
      writeFileSync(file, bytes);
    }
    expect((await verified(directory)).verdict).toBe("verified");
  });

  it("names the store path, and who needs it, for a bit flipped in any NAR", async () => {
    for (const { storePath, blob } of good.document.paths) {
      const file = join(directory, `blobs/sha256/${blob}`);
      const bytes = readFileSync(file);
      writeFileSync(file, CHANGES[0]![1](bytes, bytes.length >> 1));
      const { findings } = await verified(directory);
      writeFileSync(file, bytes);
      const about = findings.filter(({ subject }) => subject === storePath);
      expect(about.map(({ code }) => code)).toContain("BLOB_HASH");
      for (const { neededBy } of about) expect(neededBy.length).toBeGreaterThan(0);
    }
  });

  it("without any one of its files is refused", async () => {
    for (const [name, bytes] of good.files) {
      rmSync(join(directory, name));
      const { exit } = await verified(directory);
      writeFileSync(join(directory, name), bytes);
      expect([name, exit]).toEqual([name, classify(name) === "approval" ? EXIT.trust : EXIT.incomplete]);
    }
  });

  it("with any one of its files renamed is refused", async () => {
    for (const name of good.files.keys()) {
      const renamed = join(dirname(name), "renamed");
      renameSync(join(directory, name), join(directory, renamed));
      const report = await verified(directory);
      renameSync(join(directory, renamed), join(directory, name));
      const expected = classify(name) === "approval" ? EXIT.trust : EXIT.malformed;
      expect([name, report.exit]).toEqual([name, classify(renamed) === "doc" ? EXIT.integrity : expected]);
    }
  });

  it("with the contents of any two files swapped is refused", async () => {
    const names = [...good.files.keys()].filter((name) => good.get(name).length > 0);
    for (const [i, name] of names.entries()) {
      const other = names[(i + 1) % names.length]!;
      if (good.get(name).equals(good.get(other))) continue;
      writeFileSync(join(directory, name), good.get(other));
      writeFileSync(join(directory, other), good.get(name));
      const { exit } = await verified(directory);
      for (const one of [name, other]) writeFileSync(join(directory, one), good.get(one));
      // A file may also be over its own cap then.
      expect([name, other, exit]).toEqual([name, other, Math.max(classOf(name), classOf(other))]);
    }
  });
});

describe("a tar", () => {
  it.each(CHANGES)("with %s anywhere is refused", async (_, change) => {
    const bytes = readFileSync(tar);
    const places = [...good.files.keys()].flatMap((name, i) => {
      const header = bytes.indexOf(`${name}\0`);
      const { length } = good.get(name);
      // Its name, its size, its checksum, its first and last byte, its padding, or anywhere.
      const ends = [0, 130, 150, 512, 511 + length, 512 + length].map((offset) => header + offset);
      return [...sampled(fc.oneof(fc.constantFrom(...ends), fc.nat({ max: bytes.length - 1 })), i)];
    });
    for (const at of new Set(places)) {
      writeFileSync(tar, change(bytes, at));
      const report = await verified(tar);
      expect([at, report.verdict], JSON.stringify(report.findings[0])).toEqual([at, "refused"]);
      expect([EXIT.malformed, EXIT.integrity, EXIT.trust, EXIT.incomplete]).toContain(report.exit);
    }
    writeFileSync(tar, bytes);
    expect((await verified(tar)).verdict).toBe("verified");
  });

  it("cut at the end of any member is refused as malformed, or without its approval as untrusted", async () => {
    const bytes = readFileSync(tar);
    for (const name of good.files.keys()) {
      writeFileSync(tar, bytes.subarray(0, bytes.indexOf(`${name}\0`)));
      const { exit, findings } = await verified(tar);
      expect(findings.map(({ code }) => code)).toContain("TAR_TRUNCATED");
      expect([EXIT.malformed, EXIT.trust]).toContain(exit);
    }
    writeFileSync(tar, bytes);
  });
});

describe("verify", () => {
  it("leaves bundle and disk as they are, and needs no more than to read", async () => {
    for (const bundle of [directory, tar]) {
      const before = treeOf(work);
      await verified(bundle);
      expect(treeOf(work)).toEqual(before);
      // All of the machine read-only, the folder for temporary files too.
      const script = 'mount -o remount,bind,ro / && ! touch "$1.x" 2>/dev/null && shift && exec "$@"';
      const argv = ["unshare", "--mount", "--net", "sh", "-ec", script, "sh", bundle];
      const { code, stderr } = await runProgram([
        ...argv,
        process.execPath,
        RELEASE,
        "verify",
        bundle,
        "--public-key",
        packed.publicKey,
      ]);
      expect([code, stderr.includes("rror")]).toEqual([0, false]);
    }
  });
});
