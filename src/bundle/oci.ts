/**
 * The OCI view of a bundle (docs/format.md, section 6): one image manifest whose layers are the blobs, so that stock
 * OCI tools carry the bundle to any registry. A pure function of document and approvals.
 */
import { createHash } from "node:crypto";
import { formatJson } from "../canonical-json.js";
import type { BundleDocument } from "../generated/types.js";
import { blobName, INDEX_NAME, OCI_LAYOUT_NAME, VERIFY_NAME } from "./layout.js";
import { tarBytes } from "./tar.js";

const EMPTY_CONFIG = "application/vnd.oci.empty.v1+json";
const MANIFEST = "application/vnd.oci.image.manifest.v1+json";
export const INDEX = "application/vnd.oci.image.index.v1+json";
export const ARTIFACT = "application/vnd.nix-airgap.bundle.v1";
const DOCUMENT = "application/vnd.nix-airgap.document.v1+json";
const NARINFOS = "application/vnd.nix-airgap.narinfos.v1.tar";
const NAR = "application/vnd.nix-airgap.nar.v1+zstd";
const APPROVAL = "application/vnd.dev.sigstore.bundle.v0.3+json";
const REF_NAME = "org.opencontainers.image.ref.name";

/** Distinct layers without approvals. More, and the manifest passes the 4 MiB that registries take. */
export const MAX_LAYERS = 25_000;

export interface OciView {
  /** By name: all that the view adds to the bundle, apart from the blobs of NARs and docs. */
  readonly files: ReadonlyMap<string, Buffer>;
  readonly manifest: Descriptor;
  /** Names of the blobs that signing changes: the manifest, and approvals that nothing else has as a blob. */
  readonly tailBlobs: ReadonlySet<string>;
}

/** What names a blob: `sha256:<hex>`, as OCI tools print it, its media type, its bytes. */
export interface Descriptor {
  readonly digest: string;
  readonly mediaType: string;
  readonly size: number;
}

/**
 * `approvals`: by full name in the bundle. `cache`: the cache view. Null where the bundle has too many blobs for a manifest; that does not
 * depend on approvals, so that a signature never takes the view away.
 */
export function ociView(
  document: BundleDocument,
  documentBytes: Buffer,
  approvals: ReadonlyMap<string, Buffer>,
  cache: ReadonlyMap<string, Buffer>,
): OciView | null {
  const nars = new Map(document.paths.map(({ blob, blobSize }) => [blob, blobSize]));
  if (nars.size + document.docs.length + 2 > MAX_LAYERS) return null;

  const files = new Map<string, Buffer>([[OCI_LAYOUT_NAME, Buffer.from('{"imageLayoutVersion":"1.0.0"}\n')]]);
  const addBlob = (mediaType: string, bytes: Buffer): Descriptor => {
    const descriptor = describe(mediaType, bytes);
    files.set(nameOf(descriptor), bytes);
    return descriptor;
  };
  const config = addBlob(EMPTY_CONFIG, Buffer.from("{}"));
  const layers: Descriptor[] = [
    addBlob(DOCUMENT, documentBytes),
    addBlob(NARINFOS, narinfoTar(cache)),
    ...document.docs.map(({ mediaType, sha256, size }) => ({ digest: `sha256:${sha256}`, mediaType, size })),
    ...[...nars.keys()]
      .sort()
      .map((blob) => ({ digest: `sha256:${blob}`, mediaType: NAR, size: nars.get(blob)! })),
  ];
  const before = new Set([config, ...layers].map(nameOf));
  for (const name of [...approvals.keys()].sort()) layers.push(addBlob(APPROVAL, approvals.get(name)!));

  const manifest = addBlob(MANIFEST, manifestBytes(config, layers));
  files.set(INDEX_NAME, indexBytes(document, manifest));
  const tailBlobs = new Set([...layers, manifest].map(nameOf).filter((name) => !before.has(name)));
  return { files, manifest, tailBlobs };
}

/** The cache view without VERIFY.md: pulled and untarred beside the blobs it is a binary cache again. */
function narinfoTar(cache: ReadonlyMap<string, Buffer>): Buffer {
  const members = [...cache].filter(([name]) => name !== VERIFY_NAME);
  return tarBytes(members.sort(([a], [b]) => (a < b ? -1 : 1)));
}

/** Compact, as registries count its bytes. Keys are in order already. */
function manifestBytes(config: Descriptor, layers: readonly Descriptor[]): Buffer {
  const once = new Map(layers.toReversed().map((layer) => [layer.digest, layer]));
  const distinct = layers.filter((layer) => once.get(layer.digest) === layer);
  const manifest = {
    artifactType: ARTIFACT,
    config,
    layers: distinct,
    mediaType: MANIFEST,
    schemaVersion: 2,
  };
  return Buffer.from(`${JSON.stringify(manifest)}\n`);
}

function indexBytes(document: BundleDocument, manifest: Descriptor): Buffer {
  const annotations = { [REF_NAME]: `${document.product}-${document.release}` };
  return Buffer.from(
    formatJson({
      manifests: [{ annotations, artifactType: ARTIFACT, ...manifest }],
      mediaType: INDEX,
      schemaVersion: 2,
    }),
  );
}

function describe(mediaType: string, bytes: Buffer): Descriptor {
  return {
    digest: `sha256:${createHash("sha256").update(bytes).digest("hex")}`,
    mediaType,
    size: bytes.length,
  };
}

function nameOf({ digest }: Descriptor): string {
  return blobName(digest.slice("sha256:".length));
}
