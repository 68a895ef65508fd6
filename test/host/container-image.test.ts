import { execFileSync } from "node:child_process";
import {
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { gzipSync } from "node:zlib";
import { afterAll, describe, expect, it } from "vitest";
import { containerImageIn } from "../../src/host/container-image.js";

const dir = mkdtempSync(join(tmpdir(), "airgap-image-"));
afterAll(() => rmSync(dir, { recursive: true }));
let count = 0;

/** A tar of these files, in this order, as the machine's tar writes it. */
function tarOf(files: Readonly<Record<string, string>>, ...options: string[]): string {
  const folder = join(dir, `${count++}`);
  for (const [name, content] of Object.entries(files)) {
    mkdirSync(dirname(join(folder, name)), { recursive: true });
    writeFileSync(join(folder, name), content);
  }
  const tar = `${folder}.tar`;
  execFileSync("tar", ["-C", folder, "-cf", tar, ...options, ...Object.keys(files)]);
  return tar;
}

function zipped(tar: string): string {
  writeFileSync(`${tar}.gz`, gzipSync(readFileSync(tar)));
  return `${tar}.gz`;
}

const LAYER = { "0123/layer.tar": "x".repeat(300_000) };
const manifest = (RepoTags: unknown) => ({
  "manifest.json": JSON.stringify([{ Config: "0123.json", Layers: ["0123/layer.tar"], RepoTags }]),
});
const OCI = {
  "oci-layout": '{"imageLayoutVersion":"1.0.0"}',
  "blobs/sha256/0123": "x",
  "index.json": JSON.stringify({
    schemaVersion: 2,
    manifests: [{ annotations: { "org.opencontainers.image.ref.name": "pump:1.4" } }],
  }),
};
const STREAM = `#!/bin/bash -e
exec "/nix/store/${"1".repeat(32)}-stream"  /nix/store/${"2".repeat(32)}-pump-conf.json "$@"
`;

function fileOf(content: string): string {
  const path = join(dir, `${count++}`);
  writeFileSync(path, content, "latin1");
  return path;
}

describe("a container image is", () => {
  it.each([
    ["plain", (tar: string) => tar, false],
    ["zipped", zipped, true],
  ])("a tar of docker save, %s, with its manifest at the end", async (_, form, isZipped) => {
    const image = { kind: "docker-archive", isZipped, name: "acme/pump:1.4" };
    expect(await containerImageIn(form(tarOf({ ...LAYER, ...manifest(["acme/pump:1.4"]) })))).toEqual(image);
    const dotted = form(tarOf({ ...LAYER, ...manifest(["acme/pump:1.4"]) }, "--transform", "s,^,./,"));
    expect(await containerImageIn(dotted)).toEqual(image);
    const pax = form(tarOf({ ...LAYER, ...manifest(null) }, "--format=pax"));
    expect(await containerImageIn(pax)).toEqual({ ...image, name: null });
    expect(await containerImageIn(form(tarOf(OCI)))).toEqual({
      kind: "oci-archive",
      isZipped,
      name: "pump:1.4",
    });
  });

  it("a script that streams one", async () => {
    expect(await containerImageIn(fileOf(STREAM))).toEqual({ kind: "stream", isZipped: false, name: null });
  });

  it("not a name that a terminal or a shell would take for something else", async () => {
    for (const name of ["-x", "a b", "a;b", "\u001b[1m", "x".repeat(300), 7]) {
      expect(await containerImageIn(tarOf(manifest([name])))).toMatchObject({ name: null });
    }
  });
});

describe("no container image is", () => {
  it.each([
    ["another tar", () => tarOf(LAYER)],
    ["a manifest without layers", () => tarOf({ "manifest.json": "[{}]" })],
    ["a manifest that is no JSON", () => tarOf({ "manifest.json": "[" })],
    ["half of an OCI layout", () => tarOf({ "index.json": OCI["index.json"] })],
    ["a manifest in a folder", () => tarOf({ "x/manifest.json": manifest([])["manifest.json"] })],
    ["a text", () => fileOf("manifest.json")],
    ["one byte", () => fileOf("\u001f")],
    ["nothing", () => fileOf("")],
    ["another script", () => fileOf("#!/bin/sh\nexec /nix/store/x-stream\n")],
    ["a zipped text", () => zipped(fileOf("text"))],
    ["what begins as gzip does", () => fileOf("\u001f\u008bxxxx")],
    ["a folder", () => dir],
  ])("%s", async (_, make) => {
    expect(await containerImageIn(make())).toBeNull();
  });

  it("one that is cut before what tells, in either form", async () => {
    const tar = tarOf({ ...LAYER, ...manifest([]) });
    const zip = zipped(tar);
    truncateSync(tar, 200_000);
    truncateSync(zip, 500);
    expect([await containerImageIn(tar), await containerImageIn(zip)]).toEqual([null, null]);
  });

  it("a symlink, wherever it leads", async () => {
    const link = join(dir, "link");
    symlinkSync(tarOf({ ...LAYER, ...manifest([]) }), link);
    expect(await containerImageIn(link)).toBeNull();
  });
});
