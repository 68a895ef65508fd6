import { mkdirSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { beforeEach, describe, expect, it } from "vitest";
import { contentsOf, expectedFiles } from "../../src/bundle/contents.js";
import { formatDocument } from "../../src/bundle/document.js";
import { checkTarOrder } from "../../src/bundle/layout.js";
import { openMedium } from "../../src/bundle/medium.js";
import { MAX_LAYERS } from "../../src/bundle/oci.js";
import { finishDirectory, writeTar } from "../../src/bundle/write.js";
import type { Event } from "../../src/events.js";
import { samplePath } from "../support/document.js";
import { makeSampleBundle, readTree, type SampleBundle, sampleApprovals } from "../support/sample-bundle.js";

const approvals = sampleApprovals("one");
const report = () => {};
let sample: SampleBundle;
beforeEach(() => {
  sample = makeSampleBundle();
});

const expected = ({ document }: SampleBundle) => expectedFiles(document, formatDocument(document), approvals);
const refusal = (code: string) => expect.objectContaining({ code });

describe("a finished directory", () => {
  it("has exactly the files that document and approvals give", async () => {
    await finishDirectory(sample.dir, sample.document, approvals);
    const { medium, findings } = await openMedium(sample.dir, { allowExtra: false });
    expect(findings).toEqual([]);
    const files = expected(sample);
    expect([...medium.files.keys()].sort()).toEqual([...files.keys()].sort());
    for (const [name, file] of files) {
      const bytes = await medium.read(name, 1e6);
      if (Buffer.isBuffer(file)) expect(bytes.equals(file)).toBe(true);
      else expect(bytes.length).toBe(file.size);
    }
  });

  it("loses what an earlier run left of another document", async () => {
    await finishDirectory(sample.dir, { ...sample.document, sequence: 6 }, sampleApprovals("other"));
    writeFileSync(join(sample.dir, `blobs/sha256/${"0".repeat(64)}`), "left");
    await finishDirectory(sample.dir, sample.document, approvals);
    expect([...readTree(sample.dir).keys()]).toEqual([...expected(sample).keys()].sort());
  });

  it("is refused when a NAR or a doc is missing or has another size", async () => {
    const doc = join(sample.dir, "docs/notice.txt");
    truncateSync(doc, 3);
    await expect(finishDirectory(sample.dir, sample.document, approvals)).rejects.toThrow(
      refusal("BLOB_SIZE"),
    );
    rmSync(doc);
    await expect(finishDirectory(sample.dir, sample.document, approvals)).rejects.toThrow(
      refusal("BLOB_MISSING"),
    );
    expect(readdirSync(sample.dir)).not.toContain("index.json");
  });
});

describe("a written tar", () => {
  const write = async (): Promise<{ path: string; events: Event[] }> => {
    const path = join(dirname(sample.dir), "b.tar");
    const events: Event[] = [];
    const { document } = sample;
    await writeTar(sample.dir, path, { document, approvals, report: (event) => events.push(event) });
    return { path, events };
  };

  it("is the directory, file by file, in the order of the format", async () => {
    const { path, events } = await write();
    await finishDirectory(sample.dir, sample.document, approvals);
    const { medium, findings } = await openMedium(path, { allowExtra: false });
    expect(findings).toEqual([]);
    expect(checkTarOrder(medium.files.keys(), expected(sample).keys())).toEqual([]);
    expect([...medium.files.keys()]).toEqual([...expected(sample).keys()]);
    const tree = readTree(sample.dir);
    expect(medium.files.size).toBe(tree.size);
    for (const [name, bytes] of tree) expect((await medium.read(name, 1e6)).equals(bytes)).toBe(true);
    expect(events[0]).toEqual({ type: "phase.started", phase: "tar", bytes: readFileSync(path).length });
  });

  it("has the same bytes every time", async () => {
    const first = readFileSync((await write()).path);
    sample = makeSampleBundle();
    expect(readFileSync((await write()).path).equals(first)).toBe(true);
  });

  it("begins with the document, and ends with what signing changes", async () => {
    const { document } = sample;
    const { files, tail } = contentsOf(document, formatDocument(document), approvals);
    const names = [...files.keys()];
    expect(names[0]).toBe("bundle.json");
    expect(names.slice(-tail.size)).toEqual([...tail]);
    expect(names.at(-1)).toBe("index.json");
    expect(tail.size).toBe(4);
  });

  it("is refused when a NAR is missing, has another size, or nobody waits for it", async () => {
    const blob = join(sample.dir, "blobs/sha256", sample.document.paths[0]!.blob);
    const bytes = readFileSync(blob);
    writeFileSync(blob, Buffer.concat([bytes, Buffer.from("x")]));
    await expect(write()).rejects.toThrow(refusal("BLOB_SIZE"));
    rmSync(blob);
    mkdirSync(blob);
    await expect(write()).rejects.toThrow(refusal("BLOB_MISSING"));
    rmSync(blob, { recursive: true });
    writeFileSync(blob, bytes);
    const { document, dir } = sample;
    const signal = AbortSignal.abort();
    await expect(writeTar(dir, `${dir}.tar`, { document, approvals, report, signal })).rejects.toThrow(
      refusal("INTERRUPTED"),
    );
  });
});

describe("a bundle of too many blobs for OCI", () => {
  it("has no OCI file, and no blob for document, docs and approvals", () => {
    const { document } = sample;
    const paths = Array.from({ length: MAX_LAYERS }, (_, i) =>
      samplePath({
        storePath: `/nix/store/${String(i).padStart(32, "0")}-source`,
        blob: String(i).padStart(64, "0"),
      }),
    );
    const large = { ...document, paths };
    const { files, tail } = contentsOf(large, formatDocument(large), approvals);
    expect([...tail]).toEqual([...approvals.keys()]);
    expect(files.has("docs/notice.txt")).toBe(true);
    expect(files.has("oci-layout") || files.has("index.json")).toBe(false);
    expect([...files.keys()].filter((name) => name.startsWith("blobs/")).length).toBe(paths.length);
  });
});
