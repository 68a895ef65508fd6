/** A bundle of which only a part was written, or copied, is never taken for whole: docs/format.md, "Order of writing". */
import {
  cpSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { classify, INDEX_NAME } from "../../src/bundle/layout.js";
import { openMedium } from "../../src/bundle/medium.js";
import { tarPadded } from "../../src/bundle/tar.js";
import { AirgapError } from "../../src/errors.js";
import { verify } from "../../src/ops/verify.js";
import { packerKey, tempDir, testContext, writeBundle } from "../support/bundle.js";
import { randomFrom } from "../support/interrupted.js";
import { makeRelease } from "../support/release.js";
import { trusting } from "../support/trust.js";

const SEED = Number(process.env["SEED"] ?? Date.now() % 1e6);
const BLOCK = 512;

const bundles = { directory: "", tar: "" };
beforeAll(async () => {
  for (const form of ["directory", "tar"] as const) {
    bundles[form] = await writeBundle(makeRelease({ tier: "source" }), { form });
  }
});

interface Verdict {
  readonly exit: number;
  readonly codes: readonly string[];
}

async function verdict(path: string): Promise<Verdict> {
  const options = { trust: trusting(packerKey), documentOnly: false };
  try {
    const { exit, findings } = await verify(path, { ...options, allowExtra: false }, testContext());
    return { exit, codes: findings.map(({ code }) => code) };
  } catch (error) {
    if (!(error instanceof AirgapError)) throw error;
    return { exit: error.exit, codes: [error.code] };
  }
}

describe("a directory", () => {
  /** Blobs, document, derived files and docs, approvals, their blobs and the manifest, index.json. */
  async function writingOrder(): Promise<string[]> {
    const { medium } = await openMedium(bundles.tar, { allowExtra: false });
    const names = [...medium.files.keys()];
    const firstApproval = names.findIndex((name) => classify(name) === "approval");
    const head = names.slice(0, firstApproval);
    const isBlob = (name: string) => classify(name) === "blob";
    return [...head.filter(isBlob), ...head.filter((name) => !isBlob(name)), ...names.slice(firstApproval)];
  }

  function copyFile(name: string, to: string, size?: number): void {
    const path = join(to, name);
    mkdirSync(dirname(path), { recursive: true });
    cpSync(join(bundles.directory, name), path);
    if (size !== undefined) truncateSync(path, size);
  }

  it("is refused after each file of the writing order, and in the middle of it, but the last", async () => {
    const order = await writingOrder();
    expect(order.at(-1)).toBe(INDEX_NAME);
    const dir = join(tempDir(), "bundle");
    for (const name of order) {
      const { length } = readFileSync(join(bundles.directory, name));
      for (const size of length > 1 ? [Math.floor(length / 2), length] : [length]) {
        copyFile(name, dir, size);
        const { exit, codes } = await verdict(dir);
        if (name === INDEX_NAME && size === length) {
          expect([exit, codes]).toEqual([0, []]);
          return;
        }
        expect([10, 11, 12, 13], `${name}, ${size} of ${length} bytes`).toContain(exit);
      }
    }
  });

  it("without any one of its files is incomplete, and without its one approval not signed", async () => {
    const dir = join(tempDir(), "bundle");
    cpSync(bundles.directory, dir, { recursive: true });
    for (const name of await writingOrder()) {
      const aside = join(tempDir(), "aside");
      renameSync(join(dir, name), aside);
      const { exit, codes } = await verdict(dir);
      const kind = classify(name);
      const expected =
        kind === "approval"
          ? [12, "APPROVAL_MISSING"]
          : kind === "document"
            ? [13, "DOCUMENT_MISSING"]
            : [13, kind === "blob" ? expect.stringMatching(/^(BLOB|DERIVED)_MISSING$/) : "DERIVED_MISSING"];
      if (kind === "doc") expected[1] = expect.stringMatching(/_MISSING$/);
      expect([exit, codes[0]], name).toEqual(expected);
      renameSync(aside, join(dir, name));
    }
    expect(await verdict(dir)).toEqual({ exit: 0, codes: [] });
  });

  it("under the name it has while it is written is refused until it has its index", async () => {
    const dir = tempDir();
    const partial = join(dir, ".bundle.partial", "bundle");
    mkdirSync(dirname(partial));
    cpSync(bundles.directory, partial, { recursive: true });
    rmSync(join(partial, INDEX_NAME));
    expect(await verdict(partial)).toMatchObject({ exit: 13 });
    expect((await verdict(join(dir, ".bundle.partial"))).exit).not.toBe(0);
    expect(readdirSync(dir)).toEqual([".bundle.partial"]);
  });
});

describe("a tar", () => {
  /** Where a header, a member's bytes or its padding ends, and one byte beside it. */
  async function boundaries(): Promise<number[]> {
    const { medium } = await openMedium(bundles.tar, { allowExtra: false });
    const ends = [...medium.files.values()].flatMap(({ segments: [{ offset } = { offset: 0 }], size }) => [
      offset - BLOCK,
      offset,
      offset + size,
      offset + tarPadded(size),
    ]);
    const { length } = readFileSync(bundles.tar);
    return [...new Set([...ends, length - BLOCK, length].flatMap((at) => [at - 1, at, at + 1]))].filter(
      (at) => at >= 0 && at < length,
    );
  }

  async function expectRefused(cuts: readonly number[]): Promise<void> {
    const whole = readFileSync(bundles.tar);
    const cut = join(tempDir(), "cut.tar");
    for (const size of cuts) {
      writeFileSync(cut, whole.subarray(0, size));
      const { exit, codes } = await verdict(cut);
      expect([10, 12], `${size} of ${whole.length} bytes`).toContain(exit);
      expect(["TAR_TRUNCATED", "TAR_END", "TAR_HEADER"], `${size} of ${whole.length}`).toContain(codes[0]);
    }
  }

  it("that was cut at a boundary, or beside one, is refused", async () => {
    const cuts = await boundaries();
    expect(cuts.length).toBeGreaterThan(100);
    await expectRefused(cuts);
  });

  it(`that was cut anywhere is refused (SEED=${SEED})`, async () => {
    const random = randomFrom(SEED);
    const { length } = readFileSync(bundles.tar);
    await expectRefused(Array.from({ length: 200 }, () => Math.floor(random() * length)));
  });

  it("of which the end is zeros, as of a file that was given its size first, is refused", async () => {
    const whole = readFileSync(bundles.tar);
    const file = join(tempDir(), "zeros.tar");
    for (const at of await boundaries()) {
      const bytes = Buffer.from(whole).fill(0, at);
      // Its own padding and end are zeros.
      if (bytes.equals(whole)) continue;
      writeFileSync(file, bytes);
      const { exit } = await verdict(file);
      expect([10, 11, 12, 13], `zeros from ${at}`).toContain(exit);
    }
  });
});
