/** A bundle in parts: cut, read as it lies on one or several media, made whole again; and what is wrong with a part. */
import { execFileSync } from "node:child_process";
import {
  copyFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import * as fc from "fast-check";
import { beforeAll, describe, expect, it } from "vitest";
import { formatPartsIndex, parsePartsIndex } from "../../src/bundle/parts-index.js";
import { validatePartsReport } from "../../src/generated/report-validators.js";
import type { PartsIndex, VerifyReport } from "../../src/generated/types.js";
import { joinParts } from "../../src/ops/bundle/join-parts.js";
import { bundleSplit } from "../../src/ops/bundle/split.js";
import { inspect } from "../../src/ops/inspect.js";
import { sign } from "../../src/ops/sign.js";
import { verify } from "../../src/ops/verify.js";
import { packerKey, tempDir, testContext, writeBundle } from "../support/bundle.js";
import { makeRelease } from "../support/release.js";
import { signedBy, trusting } from "../support/trust.js";

/** Seven parts of it. */
let tar: string;
let partSize: number;
const refusal = (code: string) => expect.objectContaining({ code });

beforeAll(async () => {
  tar = await writeBundle(makeRelease(), { form: "tar" });
  partSize = Math.ceil(readFileSync(tar).length / 7);
});

/** A new folder with the parts of a bundle. */
async function split(size = partSize, bundle = tar): Promise<string> {
  const out = join(tempDir(), "parts");
  const report = await bundleSplit(bundle, { partSize: size, out }, testContext());
  expect(report).toMatchObject({ verdict: "split", exit: 0, out });
  expect(validatePartsReport(report), JSON.stringify(validatePartsReport.errors)).toBe(true);
  return out;
}

const verified = (path: string, parts: readonly string[] = [], documentOnly = false) =>
  verify(path, { trust: trusting(packerKey), documentOnly, allowExtra: false, parts }, testContext());

const said = ({ exit, findings }: Pick<VerifyReport, "exit" | "findings">) => [
  exit,
  findings.map(({ code, subject }) => [code, subject]),
];
const part = (number: number) => `part ${number} of 7: bundle.tar.00${number}`;

/** What is said of a bundle, wherever it lies. */
function gist({ bundle, notes: _, ...report }: VerifyReport) {
  return { ...report, bundle: { ...bundle, path: "", kind: "" } };
}

describe("parts", () => {
  it("are the bytes of the tar, with hashes and an index, as others read them", async () => {
    const folder = await split();
    const names = readdirSync(folder).sort();
    expect(names).toEqual([
      ...[1, 2, 3, 4, 5, 6, 7].map((number) => `bundle.tar.00${number}`),
      "bundle.tar.parts.json",
      "bundle.tar.sha256",
    ]);
    expect(execFileSync("sh", ["-c", "cat bundle.tar.00?"], { cwd: folder })).toEqual(readFileSync(tar));
    execFileSync("sha256sum", ["--quiet", "-c", "bundle.tar.sha256"], { cwd: folder });
    const index = readFileSync(join(folder, "bundle.tar.parts.json"));
    expect(execFileSync("jq", ["-S", "."], { input: index })).toEqual(index);
    expect(parsePartsIndex(index, "bundle.tar")).toMatchObject({
      product: "pump",
      size: readFileSync(tar).length,
    });
  });

  it("of any size give the same tar back, and the same words about the bundle", async () => {
    const whole = gist(await verified(tar));
    expect(whole.verdict).toBe("verified");
    const bytes = readFileSync(tar);
    const sizes = fc.oneof(
      fc.integer({ min: Math.ceil(bytes.length / 150), max: bytes.length + 1 }),
      fc.constantFrom(64 * 512, bytes.length - 1, bytes.length, bytes.length + 1),
    );
    await fc.assert(
      fc.asyncProperty(sizes, async (size) => {
        const folder = await split(size);
        expect(gist(await verified(folder))).toEqual(whole);
        const out = join(folder, "whole.tar");
        expect(await joinParts(folder, { out }, testContext())).toMatchObject({ verdict: "joined", exit: 0 });
        expect(readFileSync(out).equals(bytes)).toBe(true);
      }),
      { numRuns: 8 },
    );
  });

  it("of a directory, and of other parts, are those of the same tar", async () => {
    const release = makeRelease();
    const fromDirectory = await split(partSize, await writeBundle(release));
    const fromParts = await split(partSize, await split(1000));
    const whole = await split();
    for (const name of readdirSync(whole)) {
      expect(readFileSync(join(fromDirectory, name)), name).toEqual(readFileSync(join(whole, name)));
      expect(readFileSync(join(fromParts, name)), name).toEqual(readFileSync(join(whole, name)));
    }
  });

  it("are found by any of them, by the index, by the folder, by a symlink; in several folders", async () => {
    const folder = await split();
    const other = tempDir();
    for (const number of [2, 5, 7]) {
      renameSync(join(folder, `bundle.tar.00${number}`), join(other, `bundle.tar.00${number}`));
    }
    const link = join(tempDir(), "link");
    symlinkSync(folder, link);
    for (const path of [
      folder,
      link,
      join(folder, "bundle.tar.parts.json"),
      join(folder, "bundle.tar.004"),
    ]) {
      expect(said(await verified(path, [other]))).toEqual([0, []]);
    }
    // The index lies on the other medium.
    expect(said(await verified(join(other, "bundle.tar.002"), [folder]))).toEqual([0, []]);
    await expect(verified(join(other, "bundle.tar.002"))).rejects.toThrow(refusal("PARTS_INDEX_MISSING"));
    // One that is damaged counts where it is the first.
    writeFileSync(join(other, "bundle.tar.parts.json"), "{}\n");
    expect(said(await verified(folder, [other]))).toEqual([0, []]);
    expect(said(await verified(other, [folder]))).toEqual([
      10,
      [["PARTS_INDEX_INVALID", "bundle.tar.parts.json"]],
    ]);
    const { medium, problems } = await inspect(
      folder,
      { tree: false, sizes: false, parts: [other] },
      testContext(),
    );
    expect([medium.kind, problems]).toEqual(["parts", []]);
  });

  it("are not signed where they lie, and stay as they are", async () => {
    const folder = await split();
    const before = readdirSync(folder);
    for (const path of [folder, join(folder, "bundle.tar.parts.json"), join(folder, "bundle.tar.001")]) {
      const signing = sign(path, signedBy(packerKey), testContext());
      await expect(signing).rejects.toThrow(
        expect.objectContaining({
          code: "PARTS_SIGN",
          details: expect.objectContaining({ hint: expect.stringContaining("bundle join-parts") }),
        }),
      );
    }
    expect(readdirSync(folder)).toEqual(before);
  });

  it("more than 9,999 are refused, and nothing is left", async () => {
    const out = join(tempDir(), "parts");
    const asked = bundleSplit(tar, { partSize: 5, out }, testContext());
    await expect(asked).rejects.toThrow(refusal("USAGE"));
    expect(readdirSync(join(out, ".."))).toEqual([]);
  });

  it("are made of nothing that is no whole bundle, and over nothing that is there", async () => {
    const out = join(tempDir(), "parts");
    const cut = join(tempDir(), "cut.tar");
    writeFileSync(cut, readFileSync(tar).subarray(0, 5000));
    const refused = await bundleSplit(cut, { partSize, out }, testContext());
    expect(refused).toMatchObject({ verdict: "refused", exit: 10, out: null });
    const directory = await writeBundle(makeRelease());
    rmSync(join(directory, "blobs/sha256", readdirSync(join(directory, "blobs/sha256"))[0]!));
    expect(await bundleSplit(directory, { partSize, out }, testContext())).toMatchObject({
      verdict: "refused",
    });
    expect(existsSync(out)).toBe(false);
    mkdirSync(out);
    await expect(bundleSplit(tar, { partSize, out }, testContext())).rejects.toThrow(refusal("OUT_EXISTS"));
    expect(readdirSync(join(out, ".."))).toEqual(["parts"]);
  });

  it("folders of parts go with a bundle in parts alone", async () => {
    await expect(verified(tar, [tempDir()])).rejects.toThrow(refusal("USAGE"));
    await expect(verified(await split(), ["/nowhere"])).rejects.toThrow(refusal("BUNDLE_NOT_FOUND"));
    const join = joinParts(tar, { out: `${tar}.2.tar` }, testContext());
    await expect(join).rejects.toThrow(refusal("USAGE"));
  });
});

describe("of parts", () => {
  it("all that are missing are named at once, and those that are damaged", async () => {
    const folder = await split();
    for (const number of [3, 6]) rmSync(join(folder, `bundle.tar.00${number}`));
    expect(said(await verified(folder))).toEqual([
      13,
      [
        ["PART_MISSING", part(3)],
        ["PART_MISSING", part(6)],
      ],
    ]);
    flip(join(folder, "bundle.tar.007"), 10);
    const report = await verified(folder);
    expect(said(report)).toEqual([
      11,
      [
        ["PART_MISSING", part(3)],
        ["PART_MISSING", part(6)],
        ["PART_HASH", part(7)],
      ],
    ]);
    expect(report.findings[0]!.advice).toContain("Insert the medium that holds this part");
    const joined = await joinParts(folder, { out: join(folder, "w.tar") }, testContext());
    expect([joined.exit, joined.findings.map(({ subject }) => subject)]).toEqual([
      11,
      [part(3), part(6), part(7)],
    ]);
    expect(existsSync(join(folder, "w.tar"))).toBe(false);
  });

  it("any byte that changed is found, as integrity, and as that part's", async () => {
    const folder = await split();
    const bytes = readFileSync(tar);
    await fc.assert(
      fc.asyncProperty(fc.nat(bytes.length - 1), fc.integer({ min: 1, max: 255 }), async (at, change) => {
        const number = Math.floor(at / partSize) + 1;
        const file = join(folder, `bundle.tar.00${number}`);
        const undo = flip(file, at % partSize, change);
        expect(said(await verified(folder))).toEqual([11, [["PART_HASH", part(number)]]]);
        undo();
      }),
      { numRuns: 25 },
    );
    expect(said(await verified(folder))).toEqual([0, []]);
  });

  it("a damaged one is named by join-parts, which writes nothing, and goes on to the last", async () => {
    const folder = await split();
    flip(join(folder, "bundle.tar.002"), 3);
    flip(join(folder, "bundle.tar.007"), 3);
    const report = await joinParts(folder, { out: join(folder, "whole.tar") }, testContext());
    expect(report).toMatchObject({ verdict: "refused", exit: 11, out: null });
    expect(report.findings.map(({ code, subject }) => [code, subject])).toEqual([
      ["PART_HASH", part(2)],
      ["PART_HASH", part(7)],
    ]);
    expect(readdirSync(folder).length).toBe(9);
  });

  it("a truncated one, and one that grew, have the wrong size", async () => {
    const folder = await split();
    truncateSync(join(folder, "bundle.tar.004"), partSize - 1);
    truncateSync(join(folder, "bundle.tar.002"), partSize + 1);
    const codes = [
      ["PART_SIZE", part(2)],
      ["PART_SIZE", part(4)],
    ];
    expect(said(await verified(folder))).toEqual([11, codes]);
    expect(said(await verified(folder, [], true))).toEqual([11, codes]);
    // A whole one elsewhere is taken in its place.
    expect(said(await verified(folder, [await split()]))).toEqual([0, []]);
  });

  it("two that changed places are both named", async () => {
    const folder = await split();
    const [second, fifth] = ["bundle.tar.002", "bundle.tar.005"].map((name) => join(folder, name));
    renameSync(second!, `${second}.x`);
    renameSync(fifth!, second!);
    renameSync(`${second}.x`, fifth!);
    expect(said(await verified(folder))).toEqual([
      11,
      [
        ["PART_HASH", part(2)],
        ["PART_HASH", part(5)],
      ],
    ]);
  });

  it("one of another bundle is named, and a medium of another bundle as a whole", async () => {
    const other = await writeBundle(makeRelease({ tier: "build" }), { form: "tar" });
    const [folder, foreign] = [await split(), await split(partSize, other)];
    copyFileSync(join(foreign, "bundle.tar.003"), join(folder, "bundle.tar.003"));
    expect(said(await verified(folder))).toEqual([11, [["PART_HASH", part(3)]]]);
    rmSync(join(folder, "bundle.tar.003"));
    expect(said(await verified(folder, [foreign]))).toEqual([
      11,
      [
        ["PARTS_FOREIGN", foreign],
        ["PART_MISSING", part(3)],
      ],
    ]);
    // The index of another bundle, made to fit these parts.
    const right = await split();
    const index = JSON.parse(readFileSync(join(right, "bundle.tar.parts.json"), "utf8")) as PartsIndex;
    const wrong = { ...index, bundle: "0".repeat(64) };
    writeFileSync(join(right, "bundle.tar.parts.json"), formatPartsIndex(wrong));
    expect((await verified(right)).findings.map(({ code }) => code)).toEqual(["PARTS_FOREIGN"]);
  });

  it("an index that vouches for changed bytes vouches for nothing", async () => {
    const bytes = Buffer.from(readFileSync(tar));
    const blob = bytes.length - 20_000;
    bytes[blob]! ^= 1;
    const changed = join(tempDir(), "bundle.tar");
    writeFileSync(changed, bytes);
    const [ofTar, ofParts] = [await verified(changed), await verified(await split(partSize, changed))];
    expect(ofTar.exit).not.toBe(0);
    expect(gist(ofParts)).toEqual(gist(ofTar));
  });

  it("a symlink, a FIFO and a folder are no part, and are not opened", async () => {
    const folder = await split();
    const [real] = ["bundle.tar.001"].map((name) => join(folder, name));
    renameSync(real!, `${real}.real`);
    symlinkSync(`${real}.real`, real!);
    rmSync(join(folder, "bundle.tar.002"));
    execFileSync("mkfifo", [join(folder, "bundle.tar.002")]);
    rmSync(join(folder, "bundle.tar.003"));
    mkdirSync(join(folder, "bundle.tar.003"));
    const [exit, codes] = said(await verified(folder));
    expect([exit, codes]).toEqual([10, [1, 2, 3].map((number) => ["FILE_TYPE", part(number)])]);
    // Nor is an index.
    const index = join(folder, "bundle.tar.parts.json");
    renameSync(index, `${index}.real`);
    symlinkSync(`${index}.real`, index);
    expect(said(await verified(folder))).toEqual([10, [["FILE_TYPE", index]]]);
  });

  it("that lie in two folders, the first that has the size counts", async () => {
    const [first, second] = [await split(), await split()];
    flip(join(second, "bundle.tar.003"), 5);
    expect(said(await verified(first, [second]))).toEqual([0, []]);
    const { exit, findings } = await verified(second, [first]);
    expect([exit, findings[0]!.actual]).toEqual([11, expect.stringContaining(`in ${second}`)]);
  });

  it("a folder with the parts of two bundles asks which is meant", async () => {
    const folder = await split();
    for (const name of readdirSync(folder)) {
      copyFileSync(join(folder, name), join(folder, name.replace("bundle", "other")));
    }
    await expect(verified(folder)).rejects.toThrow(refusal("PARTS_AMBIGUOUS"));
    expect(said(await verified(join(folder, "bundle.tar.001")))).toEqual([0, []]);
  });

  it("a bundle's own folder is a bundle, whatever else lies there", async () => {
    const directory = await writeBundle(makeRelease());
    const folder = await split();
    cpSync(folder, directory, { recursive: true });
    expect((await verified(directory)).bundle.kind).toBe("directory");
  });
});

/** Changes one byte; gives what undoes it. */
function flip(path: string, at: number, change = 1): () => void {
  const bytes = readFileSync(path);
  bytes[at]! ^= change;
  writeFileSync(path, bytes);
  return () => {
    bytes[at]! ^= change;
    writeFileSync(path, bytes);
  };
}
