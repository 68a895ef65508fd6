import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { formatDocument } from "../../src/bundle/document.js";
import type { BundleDocument } from "../../src/generated/types.js";
import { inspect } from "../../src/ops/inspect.js";
import { tempDir, testContext, writeBundle } from "../support/bundle.js";
import { sampleDocument, samplePath } from "../support/document.js";
import { makeRelease } from "../support/release.js";

const look = (bundle: string, options = {}) =>
  inspect(bundle, { tree: false, sizes: false, ...options }, testContext());

/** Nothing but a document. */
function documentOnly(document: BundleDocument): string {
  const dir = tempDir();
  writeFileSync(join(dir, "bundle.json"), formatDocument(document));
  return dir;
}

describe("inspect", () => {
  it.each(["directory", "tar"] as const)("tells what a %s says of itself", async (form) => {
    const release = makeRelease();
    const { document, medium, approvals, exit, problems } = await look(await writeBundle(release, { form }));
    expect({ exit, problems, kind: medium.kind }).toEqual({ exit: 0, problems: [], kind: form });
    expect(document).toMatchObject({
      product: "pump",
      release: "1.0.0",
      tier: "source",
      tree: null,
      unsigned: 4,
    });
    expect(document?.inputs).toEqual([
      {
        node: "motor",
        reference: "github:example/motor",
        rev: "2".repeat(40),
        lastModified: 1,
        parent: null,
        storePath: release.named.motor,
      },
    ]);
    expect(document?.roots.map(({ closurePaths }) => closurePaths)).toEqual([1, 3]);
    expect(document?.largest).toHaveLength(5);
    expect(approvals).toMatchObject([{ role: "packer", signer: "packer-1" }]);
  });

  it("names the largest paths with their closures", async () => {
    const { document } = await look(documentOnly(sampleDocument()), { sizes: true });
    const output = document?.largest.find(({ storePath }) => storePath.endsWith("-pump"));
    expect(output).toMatchObject({ narSize: 200, closureBytes: 400 });
  });

  it("follows many roots no longer than it takes, and says which sizes are left out", async () => {
    const document = sampleDocument();
    const template = document.paths[0]!;
    const all = Array.from({ length: 3000 }, (_, i) => `/nix/store/${String(i).padStart(32, "0")}-wide`);
    document.paths = all.map((storePath, i) => ({
      ...samplePath({ ...template, storePath, kinds: ["output"] }),
      references: all.slice(i + 1, i + 30),
    }));
    const root = document.roots[0]!;
    document.roots = all.map((path, i) => ({
      ...root,
      attr: `packages.x86_64-linux.p${String(i).padStart(5, "0")}`,
      outputs: [{ name: "out", path }],
    }));
    document.flake.storePath = all[0]!;
    document.inputs = [];
    document.flake.lock = null;
    document.totals = { paths: 3000, narBytes: 3000 * 200, blobs: 1, blobBytes: template.blobSize };
    const { document: seen, problems } = await look(documentOnly(document));
    expect(problems.filter(({ code }) => code.startsWith("DOCUMENT_"))).toEqual([]);
    expect(seen?.roots[0]).toMatchObject({ closurePaths: 3000, closureBytes: 600_000 });
    expect(seen?.roots.at(-1)).toMatchObject({ closurePaths: null, closureBytes: null });
  });

  it("shows each path of a tree once", async () => {
    const release = makeRelease();
    const { document } = await look(await writeBundle(release), { tree: true });
    const { parameters, pumpDev, pump, payload } = release.named;
    expect(document?.tree?.map(({ depth, storePath, note }) => [depth, storePath, note])).toEqual([
      [0, parameters, null],
      [0, pumpDev, null],
      [1, pump, null],
      [2, payload, null],
      [0, pump, "repeated"],
    ]);
  });

  it("ends on a graph as deep as it has paths, and with circles and gaps", async () => {
    const path = (i: number) => `/nix/store/${String(i).padStart(32, "0")}-p`;
    const document = sampleDocument();
    document.paths = Array.from({ length: 5000 }, (_, i) =>
      samplePath({ storePath: path(i), references: [path(i + 1)], kinds: ["output"] }),
    );
    document.paths.push(samplePath({ storePath: path(9000), references: [path(9000), path(9001)] }));
    document.paths.push(samplePath({ storePath: path(9001), references: [path(9000)] }));
    document.roots[0]!.outputs = [
      { name: "a", path: path(0) },
      { name: "b", path: path(9000) },
      { name: "c", path: path(9999) },
    ];
    const { document: shown } = await look(documentOnly(document), { tree: true });
    expect(shown?.tree?.filter(({ note }) => note !== null).map(({ depth, note }) => [depth, note])).toEqual([
      [100, "deep"],
      [2, "repeated"],
      [0, "missing"],
    ]);
  });
});

describe("inspect of something broken", () => {
  it("shows a document whose meaning is wrong, and says so", async () => {
    const bundle = await writeBundle(makeRelease());
    const path = join(bundle, "bundle.json");
    writeFileSync(path, readFileSync(path, "utf8").replace('"paths": 16', '"paths": 17'));
    const { document, exit, problems } = await look(bundle);
    expect(exit).toBe(0);
    expect(document?.product).toBe("pump");
    expect(problems.map(({ code }) => code)).toEqual(["DOCUMENT_TOTALS"]);
  });

  it("shows approvals and files where the document cannot be read", async () => {
    const bundle = await writeBundle(makeRelease());
    writeFileSync(join(bundle, "bundle.json"), "{");
    const { document, exit, approvals, sha256 } = await look(bundle);
    expect({ document, exit }).toEqual({ document: null, exit: 10 });
    expect(sha256).toMatch(/^[0-9a-f]{64}$/);
    expect(approvals).toHaveLength(1);
  });

  it("says what is missing", async () => {
    const bundle = await writeBundle(makeRelease());
    rmSync(join(bundle, "bundle.json"));
    const { exit, problems } = await look(bundle);
    expect(exit).toBe(13);
    expect(problems).toMatchObject([{ code: "DOCUMENT_MISSING" }]);
  });

  it("names an approval that is none", async () => {
    const bundle = await writeBundle(makeRelease());
    const file = `approvals/qa-${"0".repeat(32)}.sigstore.json`;
    writeFileSync(join(bundle, file), "{}");
    const { approvals, problems } = await look(bundle);
    expect(problems).toMatchObject([{ code: "APPROVAL_MALFORMED", subject: file }]);
    expect(approvals.find((approval) => approval.file === file)).toMatchObject({ role: "qa", signer: null });
  });

  it("needs a bundle", async () => {
    const dir = tempDir();
    mkdirSync(join(dir, "photos"));
    await expect(look(dir)).rejects.toMatchObject({ code: "BUNDLE_NOT_FOUND" });
  });
});
