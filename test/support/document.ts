/** A small document that is right in itself: no bundle has these paths. Tests change one thing in it. */
import type { BundleDocument, Path } from "../../src/generated/types.js";

const SRI = "sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=";

export const FLAKE_PATH = `/nix/store/${"1".repeat(32)}-source`;
export const INPUT_PATH = `/nix/store/${"2".repeat(32)}-source`;
export const DRV_PATH = `/nix/store/${"3".repeat(32)}-pump.drv`;
export const OUT_PATH = `/nix/store/${"4".repeat(32)}-pump`;

export function sampleDocument(): BundleDocument {
  const paths: Path[] = [
    samplePath({ storePath: FLAKE_PATH, blob: "a".repeat(64), kinds: ["flake"] }),
    samplePath({ storePath: INPUT_PATH, blob: "a".repeat(64), kinds: ["flake", "input"] }),
    samplePath({
      storePath: DRV_PATH,
      blob: "b".repeat(64),
      kinds: ["derivation"],
      references: [INPUT_PATH],
    }),
    samplePath({
      storePath: OUT_PATH,
      blob: "c".repeat(64),
      kinds: ["output"],
      ca: null,
      deriver: DRV_PATH,
      references: [INPUT_PATH, OUT_PATH],
      signatures: [`cache.example-1:${"A".repeat(86)}==`],
    }),
  ];
  return {
    created: "2026-01-31T12:00:00Z",
    docs: [{ mediaType: "text/plain", name: "notice.txt", sha256: "d".repeat(64), size: 7 }],
    evaluation: { env: [], method: "topq", pure: true, wrapper: null },
    features: ["approvals"],
    flake: {
      dir: "",
      lastModified: 1769860800,
      lock: "{}\n",
      narHash: SRI,
      ref: null,
      rev: "0".repeat(40),
      revCount: 12,
      storePath: FLAKE_PATH,
      submodules: false,
      url: "git+https://example.org/acme-pump",
    },
    format: "nix-airgap-bundle",
    inputs: [{ narHash: SRI, node: "motor", parent: null, storePath: INPUT_PATH }],
    knownIrreproducible: [],
    minimumNix: "2.8.0",
    paths,
    previous: { sequence: 4, sha256: "e".repeat(64) },
    product: "acme-pump",
    release: "1.4.0",
    requires: [],
    roots: [
      {
        attr: "packages.x86_64-linux.default",
        drvPath: DRV_PATH,
        outputs: [{ name: "out", path: OUT_PATH }],
        purpose: "output",
        system: "x86_64-linux",
      },
    ],
    sequence: 5,
    storeDir: "/nix/store",
    systems: ["x86_64-linux"],
    tier: "build",
    tools: { nix: "2.8.0", nixAirgap: "0.1.0" },
    totals: { blobBytes: 300, blobs: 3, narBytes: 800, paths: 4 },
    version: "1.1",
  };
}

/** A content-addressed path without references, but for what is given. */
export function samplePath(given: Partial<Path>): Path {
  return {
    blob: "f".repeat(64),
    blobSize: 100,
    ca: `fixed:r:sha256:${"0".repeat(52)}`,
    cause: null,
    compression: "zstd",
    deriver: null,
    kinds: ["output"],
    narHash: SRI,
    narSize: 200,
    references: [],
    signatures: [],
    storePath: FLAKE_PATH,
    ...given,
  };
}
