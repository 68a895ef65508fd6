/** One good bundle of several damaged copies: of all forms, by trusted word alone; and what no copy has. */
import { execFileSync } from "node:child_process";
import { cpSync, existsSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import * as fc from "fast-check";
import { beforeAll, describe, expect, it } from "vitest";
import { openMedium } from "../../src/bundle/medium.js";
import { validateRepairReport } from "../../src/generated/report-validators.js";
import type { RepairReport } from "../../src/generated/types.js";
import { bundleSplit } from "../../src/ops/bundle/split.js";
import { type RepairOptions, repair } from "../../src/ops/repair.js";
import { packerKey, strangerKey, tempDir, testContext, writeBundle } from "../support/bundle.js";
import { makeRelease } from "../support/release.js";
import { readTree } from "../support/sample-bundle.js";
import { trusting } from "../support/trust.js";

let tar: string;
let directory: string;
let whole: Map<string, Buffer>;
let names: string[];
const release = makeRelease();
const refusal = (code: string) => expect.objectContaining({ code });

beforeAll(async () => {
  tar = await writeBundle(release, { form: "tar", keys: [packerKey, strangerKey] });
  directory = await writeBundle(release, { keys: [packerKey, strangerKey] });
  whole = readTree(directory);
  names = [...whole].filter(([, { length }]) => length > 0).map(([name]) => name);
});

const blobs = () => release.document.paths.map(({ blob }) => `blobs/sha256/${blob}`);

/** A copy of the directory, with these of its files damaged. */
function copyWith(...damaged: readonly string[]): string {
  const copy = join(tempDir(), "copy");
  cpSync(directory, copy, { recursive: true });
  for (const name of damaged) flip(join(copy, name), whole.get(name)!.length >> 1);
  return copy;
}

function flip(path: string, at: number): void {
  const bytes = readFileSync(path);
  bytes[at]! ^= 1;
  writeFileSync(path, bytes);
}

async function repaired(
  paths: readonly string[],
  change: Partial<RepairOptions> = {},
): Promise<{ report: RepairReport; out: string }> {
  const out = change.out ?? join(tempDir(), "new");
  const [first = "", ...from] = paths;
  const report = await repair(first, { trust: trusting(packerKey), from, out, ...change }, testContext());
  expect(validateRepairReport(report), JSON.stringify(validateRepairReport.errors)).toBe(true);
  expect(existsSync(out)).toBe(report.verdict === "repaired");
  // Nothing is left over beside it.
  expect(readdirSync(join(out, "..")).filter((name) => name.startsWith("."))).toEqual([]);
  return { report, out };
}

const said = ({ exit, findings }: RepairReport) => [exit, findings.map(({ code }) => code)];

describe("two copies with different bad files", () => {
  it("make the bundle that they were, whatever is bad on the one but not on the other", async () => {
    const shares = fc.array(fc.constantFrom("good", "first", "second"), {
      minLength: names.length,
      maxLength: names.length,
    });
    await fc.assert(
      fc.asyncProperty(shares, async (bad) => {
        const damaged = (copy: string) => names.filter((_, i) => bad[i] === copy);
        const { report, out } = await repaired([
          copyWith(...damaged("first")),
          copyWith(...damaged("second")),
        ]);
        expect(said(report)).toEqual([0, []]);
        expect(readTree(out)).toEqual(whole);
      }),
      { numRuns: 4 },
    );
  });

  it("may be a tar, parts and a directory; damaged headers and missing parts hide nothing behind them", async () => {
    const { medium } = await openMedium(tar, { allowExtra: false });
    const offset = (name: string) => medium.files.get(name)!.segments[0]!.offset;
    const order = [...new Set(blobs())].sort((a, b) => offset(a) - offset(b));
    const [first, last] = [order[0]!, order.at(-1)!];

    const badTar = join(tempDir(), "bad.tar");
    const bytes = readFileSync(tar);
    for (const name of ["bundle.json", first, last]) bytes[offset(name)]! ^= 1;
    // No walk comes past two headers that say nothing.
    for (const name of ["VERIFY.md", "nix-cache-info"]) bytes.fill(0xff, offset(name) - 512, offset(name));
    writeFileSync(badTar, bytes);

    // The first blob is missing in the parts, the last one is bad in the directory.
    const parts = join(tempDir(), "parts");
    const partSize = Math.ceil(bytes.length / 9);
    const partOf = (name: string) => Math.floor(offset(name) / partSize) + 1;
    expect(partOf(first)).toBeLessThan(partOf(last));
    await bundleSplit(tar, { partSize, out: parts }, testContext());
    rmSync(join(parts, `bundle.tar.00${partOf(first)}`));

    const out = join(tempDir(), "new.tar");
    const { report } = await repaired([badTar, parts, copyWith(last)], { out });
    expect(said(report)).toEqual([0, []]);
    expect(readFileSync(out).equals(readFileSync(tar))).toBe(true);
    expect(report.media.map(({ kind, document, bad }) => [kind, document, bad])).toEqual([
      ["tar", "damaged", [first, last].sort()],
      ["parts", "same", [first]],
      ["directory", "same", []],
    ]);
    expect(report.media.map(({ taken }) => taken)).toEqual([
      order.length - 2 + release.document.docs.length,
      1,
      1,
    ]);
  });

  it("are told of: what was taken of each, and what was bad", async () => {
    const [first, second] = [...new Set(blobs())];
    const { report } = await repaired([copyWith(first!, second!), copyWith(), copyWith()]);
    const [one, two, three] = report.media;
    expect([one!.bad, two!.bad, three!.bad]).toEqual(
      [[first, second], [], []].map((list) => expect.arrayContaining(list)),
    );
    expect([one!.badCount, two!.taken, three!.taken]).toEqual([2, 2, 0]);
    expect(report.bundle).toMatchObject({ product: "pump" });
  });

  it("where files are missing, symlinks or FIFOs in place of blobs, are as good", async () => {
    const [first, second, third] = [...new Set(blobs())];
    const copy = copyWith();
    for (const name of [first!, second!, third!]) rmSync(join(copy, name));
    symlinkSync(join(directory, second!), join(copy, second!));
    execFileSync("mkfifo", [join(copy, third!)]);
    rmSync(join(copy, "roots.txt"));
    rmSync(join(copy, "nar"), { recursive: true });
    writeFileSync(join(copy, "holiday.jpg"), "");
    const { report, out } = await repaired([copy, copyWith()]);
    expect(said(report)).toEqual([0, []]);
    expect(readTree(out)).toEqual(whole);
  });
});

describe("what no copy has", () => {
  it("is named by its store path, with who needs it, and nothing is written", async () => {
    const { pump } = release.named;
    const { blob } = release.document.paths.find(({ storePath }) => storePath === pump)!;
    const bad = copyWith(`blobs/sha256/${blob}`);
    const { report } = await repaired([bad, bad]);
    expect(said(report)).toEqual([11, ["BLOB_HASH"]]);
    const [finding] = report.findings;
    expect(finding).toMatchObject({
      subject: pump,
      neededBy: expect.arrayContaining([expect.stringContaining("root")]),
    });
    rmSync(join(bad, "blobs/sha256", blob));
    expect(said((await repaired([bad, bad])).report)).toEqual([13, ["BLOB_MISSING"]]);
  });

  it("is all named, not the first", async () => {
    const lost = [...new Set(blobs())].slice(0, 4);
    const { report } = await repaired([copyWith(...lost), copyWith(...lost)]);
    expect(report.findings.length).toBeGreaterThanOrEqual(4);
    expect(report.out).toBeNull();
  });
});

describe("by trusted word alone", () => {
  it("a bundle that no trusted key approved is not made whole", async () => {
    const trust = trusting({ ...packerKey, publicKey: strangerKey.publicKey });
    const other = await writeBundle(release, { keys: [packerKey] });
    const { report } = await repaired([other, other], { trust });
    expect(said(report)).toEqual([12, ["APPROVAL_UNTRUSTED"]]);
    expect(report.bundle).toBeNull();
  });

  it("a document that is damaged on one medium is taken from another; on all, nothing is believed", async () => {
    const bad = copyWith("bundle.json");
    const { report, out } = await repaired([bad, copyWith()]);
    expect([said(report), report.media.map(({ document }) => document)]).toEqual([
      [0, []],
      ["damaged", "same"],
    ]);
    expect(readTree(out)).toEqual(whole);
    expect((await repaired([bad, bad])).report.exit).toBe(12);
    rmSync(join(bad, "bundle.json"));
    expect(said((await repaired([bad, bad])).report)).toEqual([13, ["DOCUMENT_MISSING"]]);
  });

  it("of approvals the whole text is taken, also of those that nobody here can judge", async () => {
    const approvals = names.filter((name) => name.startsWith("approvals/"));
    expect(approvals.length).toBe(2);
    const lacks = copyWith(approvals[0]!);
    rmSync(join(lacks, approvals[1]!));
    for (const copies of [
      [copyWith(...approvals), copyWith()],
      [lacks, copyWith()],
      [copyWith(approvals[0]!), copyWith(approvals[1]!)],
    ]) {
      const { report, out } = await repaired(copies);
      expect(said(report)).toEqual([0, []]);
      expect(readTree(out)).toEqual(whole);
    }
  });

  it("two approved bundles are no copies of each other", async () => {
    const other = await writeBundle(makeRelease({ tier: "build" }));
    await expect(repaired([directory, other])).rejects.toThrow(refusal("MEDIA_DIFFER"));
  });

  it("a stranger's copy gives what has the hash that the approved document says, and no more", async () => {
    const strangers = await writeBundle(makeRelease({ tier: "build" }), { keys: [strangerKey] });
    const [first] = blobs();
    const { report, out } = await repaired([strangers, copyWith(), copyWith(first!)]);
    expect([said(report), report.media[0]!.document]).toEqual([[0, []], "damaged"]);
    const { findings, medium } = await openMedium(out, { allowExtra: false });
    expect([findings, [...medium.files.keys()].sort()]).toEqual([
      [],
      [...whole.keys()].filter((name) => medium.files.has(name)),
    ]);
  });

  it("nothing that is there is written over", async () => {
    await expect(repaired([directory, directory], { out: directory })).rejects.toThrow(refusal("OUT_EXISTS"));
    expect(readTree(directory)).toEqual(whole);
  });
});
