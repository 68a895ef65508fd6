import { cpSync, mkdtempSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, dirname, join } from "node:path";
import { beforeAll, describe, expect, it, vi } from "vitest";
import { expectedFiles } from "../../src/bundle/contents.js";
import { formatDocument } from "../../src/bundle/document.js";
import { openMedium } from "../../src/bundle/medium.js";
import { completeSignature, readApprovals, setApprovals } from "../../src/bundle/set-approvals.js";
import { tarBytes } from "../../src/bundle/tar.js";
import { finishDirectory, writeTar } from "../../src/bundle/write.js";
import { makeSampleBundle, type SampleBundle, sampleApprovals, sha256 } from "../support/sample-bundle.js";

const STOPPED = new Error("stopped");
const steps = { left: Number.POSITIVE_INFINITY };
/** Every change to the bundle is a rename or a removal: these can be counted, and stop at any of them. */
vi.mock("node:fs/promises", async (importOriginal) => {
  const real = await importOriginal<typeof import("node:fs/promises")>();
  const step = () => {
    if (steps.left-- <= 0) throw STOPPED;
  };
  const isStaging = (path: unknown) => String(path).includes(".sign-");
  return {
    ...real,
    rename: async (...args: Parameters<typeof real.rename>) => {
      step();
      return real.rename(...args);
    },
    rm: async (...args: Parameters<typeof real.rm>) => {
      if (!isStaging(args[0])) step();
      return real.rm(...args);
    },
  };
});

const one = sampleApprovals("one");
const two = sampleApprovals("one", "two");
/** The same name as in `one`, other bytes. */
const again = new Map([...one].map(([name]) => [name, Buffer.from('{"approval": "again"}\n')]));

let sample: SampleBundle;
let tar: string;
const scratch = mkdtempSync(join(tmpdir(), "nix-airgap-sign-"));
beforeAll(async () => {
  sample = makeSampleBundle();
  await finishDirectory(sample.dir, sample.document, one);
  tar = `${sample.dir}.tar`;
  await writeTar(sample.dir, tar, { document: sample.document, approvals: one, report: () => {} });
});

const filesWith = (approvals: ReadonlyMap<string, Buffer>) =>
  expectedFiles(sample.document, formatDocument(sample.document), approvals);
const namesWith = (approvals: ReadonlyMap<string, Buffer>) => [...filesWith(approvals).keys()];

/** A fresh copy of the sample, as directory or tar. */
function copy(form: "directory" | "tar"): string {
  const path = join(mkdtempSync(join(scratch, "copy-")), form === "tar" ? "b.tar" : "b");
  cpSync(form === "tar" ? tar : sample.dir, path, { recursive: true });
  return path;
}

async function contents(path: string): Promise<Map<string, Buffer>> {
  const { medium, findings } = await openMedium(path, { allowExtra: false });
  expect(findings).toEqual([]);
  const files = new Map<string, Buffer>();
  for (const name of medium.files.keys()) files.set(name, await medium.read(name, 1e6));
  return files;
}

async function expectBundleWith(path: string, approvals: ReadonlyMap<string, Buffer>): Promise<void> {
  const files = await contents(path);
  expect([...files.keys()].sort()).toEqual(namesWith(approvals).sort());
  for (const [name, bytes] of filesWith(approvals)) {
    if (Buffer.isBuffer(bytes)) expect(files.get(name)!.equals(bytes), name).toBe(true);
  }
  expect(readdirSync(dirname(path))).toEqual([basename(path)]);
}

describe.each(["directory", "tar"] as const)("setting approvals of a %s", (form) => {
  it.each([
    ["adds one", two],
    ["removes all", new Map<string, Buffer>()],
    ["replaces one of the same name", again],
    ["changes nothing", one],
  ])("%s", async (_, approvals) => {
    const path = copy(form);
    await setApprovals(path, approvals);
    await expectBundleWith(path, approvals);
    await setApprovals(path, one);
    await expectBundleWith(path, one);
  });

  it("leaves everything else's bytes alone", async () => {
    const path = copy(form);
    const before = await contents(path);
    await setApprovals(path, two);
    const after = await contents(path);
    const kept = namesWith(one).filter((name) => namesWith(two).includes(name) && name !== "index.json");
    for (const name of kept) expect(after.get(name)!.equals(before.get(name)!), name).toBe(true);
    expect(kept.length).toBeGreaterThan(10);
  });

  it("refuses a bundle whose document is not one", async () => {
    const path = copy(form);
    if (form === "directory") writeFileSync(join(path, "bundle.json"), "{}\n");
    else writeFileSync(path, Buffer.from(readFileSync(path)).fill(0x20, 512, 513));
    await expect(setApprovals(path, two)).rejects.toThrow(
      expect.objectContaining({ code: expect.stringMatching(/^(DOCUMENT|JSON)_/) }),
    );
  });
});

describe.each(["directory", "tar"] as const)("a signature of a %s that stops before any step", (form) => {
  it.each([
    ["adding", two],
    ["replacing", again],
    ["removing", new Map<string, Buffer>()],
  ])("while %s is completed by the next one", async (_, approvals) => {
    for (let step = 0; ; step++) {
      const path = copy(form);
      steps.left = step;
      const stopped = await setApprovals(path, approvals).then(
        () => false,
        (error) => error === STOPPED,
      );
      steps.left = Number.POSITIVE_INFINITY;
      if (!stopped) {
        expect(step).toBeGreaterThan(form === "tar" ? 1 : 3);
        break;
      }
      // What `sign` does: the approvals that are there, and its own.
      await completeSignature(path);
      const { medium, findings } = await openMedium(path, { allowExtra: false });
      expect(findings).toEqual([]);
      const next = new Map([...(await readApprovals(medium)), ...sampleApprovals("three")]);
      await setApprovals(path, next);
      await expectBundleWith(path, next);
    }
  });
});

describe("a signature of a tar that stops in the middle", () => {
  /** The tar before and after, and where its tail begins. */
  async function change(): Promise<{ path: string; before: Buffer; after: Buffer; cut: number }> {
    const path = copy("tar");
    const before = readFileSync(path);
    await setApprovals(path, two);
    const after = readFileSync(path);
    const { medium } = await openMedium(path, { allowExtra: false });
    const first = [...medium.files.values()].find(({ name }) => name.startsWith("approvals/"))!;
    return { path, before, after, cut: first.segments[0]!.offset - 512 };
  }

  const bundleId = () => sha256(formatDocument(sample.document));

  it("has changed nothing before its tail", async () => {
    const { before, after, cut } = await change();
    expect(cut).toBeGreaterThan(0);
    expect(after.subarray(0, cut).equals(before.subarray(0, cut))).toBe(true);
  });

  it("is completed from its journal, wherever it stopped", async () => {
    const { path, before, after, cut } = await change();
    const journal = Buffer.concat([
      Buffer.from(`nix-airgap-tail 1 ${cut} ${bundleId()}\n`),
      after.subarray(cut),
    ]);
    const torn = Buffer.concat([after.subarray(0, cut + 700), Buffer.alloc(900, 0xff)]);
    for (const state of [before, before.subarray(0, cut), after.subarray(0, cut + 700), torn, after]) {
      writeFileSync(path, state);
      writeFileSync(`${path}.tail`, journal);
      expect(await completeSignature(path)).toBe(true);
      expect(readFileSync(path).equals(after)).toBe(true);
      await expectBundleWith(path, two);
    }
    expect(await completeSignature(path)).toBe(false);
  });

  it("is completed by the next signature too, and a torn journal is as none", async () => {
    const { path, before, after, cut } = await change();
    writeFileSync(path, before.subarray(0, cut));
    const head = Buffer.from(`nix-airgap-tail 1 ${cut} ${bundleId()}\n`);
    writeFileSync(`${path}.tail`, Buffer.concat([head, after.subarray(cut)]));
    writeFileSync(`${path}.tail.partial`, head);
    await setApprovals(path, one);
    await expectBundleWith(path, one);
    expect(readFileSync(path).equals(before)).toBe(true);
  });

  it("is seen as a cut tar by who opens it", async () => {
    const { path, before, cut } = await change();
    writeFileSync(path, before.subarray(0, cut));
    const { findings } = await openMedium(path, { allowExtra: false });
    expect(findings.map(({ code }) => code)).toEqual(["TAR_TRUNCATED"]);
  });

  it("is not completed on another tar, at another place, or from text that is no journal", async () => {
    const { path, after, cut } = await change();
    const tail = after.subarray(cut);
    const line = (at: number, id: string) => `nix-airgap-tail 1 ${at} ${id}\n`;
    const wrong = [
      line(cut, "0".repeat(64)),
      line(cut - 512, bundleId()),
      line(cut + 1, bundleId()),
      line(0, bundleId()),
      line(after.length + 512, bundleId()),
      line(cut, bundleId()).replace("tail 1", "tail 2"),
      "",
    ];
    for (const head of wrong) {
      writeFileSync(`${path}.tail`, Buffer.concat([Buffer.from(head), tail]));
      await expect(completeSignature(path)).rejects.toThrow(
        expect.objectContaining({ code: "TAIL_INVALID" }),
      );
      expect(readFileSync(path).equals(after), head).toBe(true);
    }
  });

  it("is refused before it begins when members are in another order", async () => {
    const path = copy("tar");
    const files = [...(await contents(path))];
    writeFileSync(path, tarBytes([files[1]!, files[0]!, ...files.slice(2)]));
    await expect(setApprovals(path, two)).rejects.toThrow(expect.objectContaining({ code: "TAR_ORDER" }));
    expect(readdirSync(dirname(path)).length).toBe(1);
  });
});
