import { execFileSync } from "node:child_process";
import { mkdirSync } from "node:fs";
import { dirname, join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { cacheView } from "../../src/bundle/derived.js";
import { formatDocument } from "../../src/bundle/document.js";
import { MAX_LAYERS, ociView } from "../../src/bundle/oci.js";
import { finishDirectory } from "../../src/bundle/write.js";
import type { BundleDocument } from "../../src/generated/types.js";
import { sampleDocument, samplePath } from "../support/document.js";
import {
  makeSampleBundle,
  readTree,
  type SampleBundle,
  sampleApprovals,
  sha256,
} from "../support/sample-bundle.js";

const viewOf = (document: BundleDocument, approvals = sampleApprovals("one")) =>
  ociView(document, formatDocument(document), approvals, cacheView(document))!;

/** As OCI tools print it: no Unicode name may stop them. */
const skopeo = (...args: string[]) =>
  execFileSync("skopeo", ["--insecure-policy", ...args], {
    encoding: "utf8",
    stdio: ["ignore", "pipe", "pipe"],
  });

describe("a bundle as an OCI layout", () => {
  let sample: SampleBundle;
  let blobs: Map<string, Buffer>;
  beforeAll(async () => {
    sample = makeSampleBundle();
    await finishDirectory(sample.dir, sample.document, sampleApprovals("one", "two"));
    blobs = readTree(join(sample.dir, "blobs"));
  });
  const beside = (name: string) => join(dirname(sample.dir), name);

  it("goes through skopeo to another layout and back with identical blobs", () => {
    skopeo("copy", `oci:${sample.dir}`, `oci:${beside("there")}`);
    expect(readTree(beside("there/blobs"))).toEqual(blobs);
    skopeo("copy", `oci:${beside("there")}`, `oci:${beside("back")}:acme-pump-1.4.0`);
    expect(readTree(beside("back/blobs"))).toEqual(blobs);
  });

  it("is found by its name, and into a directory of skopeo's too", () => {
    skopeo("copy", "--preserve-digests", `oci:${sample.dir}:acme-pump-1.4.0`, `dir:${beside("flat")}`);
    const flat = [...readTree(beside("flat")).values()].map(sha256);
    for (const bytes of blobs.values()) expect(flat).toContain(sha256(bytes));
  });

  it("gives the cache view back from the tar of narinfos", () => {
    const { layers } = JSON.parse(skopeo("inspect", "--raw", `oci:${sample.dir}`));
    const layer = layers.find(({ mediaType }: { mediaType: string }) =>
      mediaType.endsWith("narinfos.v1.tar"),
    );
    mkdirSync(beside("cache"));
    const blob = join(sample.dir, "blobs/sha256", layer.digest.slice(7));
    execFileSync("tar", ["-xf", blob, "-C", beside("cache")]);
    const expected = cacheView(sample.document);
    expected.delete("VERIFY.md");
    expect(readTree(beside("cache"))).toEqual(new Map([...expected].sort(([a], [b]) => (a < b ? -1 : 1))));
  });
});

describe("the OCI view", () => {
  const document = sampleDocument();
  const approvals = sampleApprovals("one", "two");
  const { files, manifest: described, tailBlobs } = viewOf(document, approvals);
  const manifestDigest = described.digest;
  const manifest = JSON.parse(files.get(`blobs/sha256/${manifestDigest.slice(7)}`)!.toString());

  it("names every blob once, in the order of the format", () => {
    const last = (name: string) =>
      name.split(/[./]/).find((part) => /^(document|narinfos|plain|nar|dev)$/.test(part));
    expect(manifest.layers.map(({ mediaType }: { mediaType: string }) => last(mediaType))).toEqual([
      "document",
      "narinfos",
      "plain",
      "nar",
      "nar",
      "nar",
      "dev",
      "dev",
    ]);
    const digests = manifest.layers.map(({ digest }: { digest: string }) => digest);
    expect(digests.slice(3, 6)).toEqual(["a", "b", "c"].map((c) => `sha256:${c.repeat(64)}`));
    expect(digests.slice(6)).toEqual(
      [...approvals.values()]
        .map((bytes) => `sha256:${sha256(bytes)}`)
        .sort((a, b) => orderOf(a) - orderOf(b)),
    );
    function orderOf(digest: string): number {
      const names = [...approvals.keys()].sort();
      return names.findIndex((name) => `sha256:${sha256(approvals.get(name)!)}` === digest);
    }
  });

  it("has the bytes that jq prints", () => {
    const jq = (options: string, bytes: Buffer) => execFileSync("jq", [options, "."], { input: bytes });
    const bytes = files.get(`blobs/sha256/${manifestDigest.slice(7)}`)!;
    expect(jq("-cS", bytes).equals(bytes)).toBe(true);
    const index = files.get("index.json")!;
    expect(jq("-S", index).equals(index)).toBe(true);
    expect(JSON.parse(index.toString()).manifests[0]).toMatchObject({
      digest: manifestDigest,
      size: bytes.length,
    });
  });

  it("leaves a layer's repetition out", () => {
    const twice = sampleDocument();
    twice.docs.push({ ...twice.docs[0]!, name: "same.txt", mediaType: "text/markdown" });
    const {
      files,
      manifest: { digest: manifestDigest },
    } = viewOf(twice);
    const { layers } = JSON.parse(files.get(`blobs/sha256/${manifestDigest.slice(7)}`)!.toString());
    const docs = layers.filter(({ digest }: { digest: string }) => digest === `sha256:${"d".repeat(64)}`);
    expect(docs.map(({ mediaType }: { mediaType: string }) => mediaType)).toEqual(["text/plain"]);
  });

  it("changes by a signature in manifest, index and the approval's blob only", () => {
    const before = viewOf(document, new Map());
    const changed = [...files].filter(([name, bytes]) => !before.files.get(name)?.equals(bytes));
    expect(new Set(changed.map(([name]) => name))).toEqual(new Set([...tailBlobs, "index.json"]));
  });

  it("holds a manifest that registries take, at its largest", () => {
    const huge = largeDocument(MAX_LAYERS);
    const approvals = sampleApprovals(...Array.from({ length: 1000 }, (_, i) => String(i)));
    const {
      files,
      manifest: { digest: manifestDigest },
    } = viewOf(huge, approvals);
    const size = files.get(`blobs/sha256/${manifestDigest.slice(7)}`)!.length;
    expect(size).toBeGreaterThan(3.9e6);
    expect(size).toBeLessThan(4 * 1024 * 1024);
  });

  it("is left out above that, whatever the approvals", () => {
    expect(ociView(largeDocument(MAX_LAYERS + 1), Buffer.alloc(1), new Map(), new Map())).toBeNull();
  });
});

/** Layers: the document, the narinfos, and a blob of some GB for each path. */
function largeDocument(layers: number): BundleDocument {
  const document = sampleDocument();
  document.docs = [];
  document.paths = Array.from({ length: layers - 2 }, (_, i) =>
    samplePath({
      storePath: `/nix/store/${String(i).padStart(32, "0")}-source`,
      blob: String(i).padStart(64, "0"),
      blobSize: 9_000_000_000,
    }),
  );
  return document;
}
