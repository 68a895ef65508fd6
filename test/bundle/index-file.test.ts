import { describe, expect, it } from "vitest";
import { digestsOfIndex, problemOfIndex } from "../../src/bundle/index-file.js";

const manifest = {
  digest: `sha256:${"a".repeat(64)}`,
  mediaType: "application/vnd.oci.image.manifest.v1+json",
  size: 7914,
};
const artifactType = "application/vnd.nix-airgap.bundle.v1";
const annotations = { "org.opencontainers.image.ref.name": "v1.4.0" };
const problem = (text: string) => problemOfIndex(Buffer.from(text), manifest);
const compact = (index: object) => problem(JSON.stringify(index));

describe("an index.json that an OCI tool wrote", () => {
  it.each([
    ["skopeo to a new layout", `{"schemaVersion":2,"manifests":[${JSON.stringify(manifest)}]}`],
    [
      "skopeo under a tag, beside ours",
      JSON.stringify({
        schemaVersion: 2,
        mediaType: "application/vnd.oci.image.index.v1+json",
        manifests: [
          { ...manifest, annotations, artifactType },
          { ...manifest, annotations },
        ],
      }),
    ],
    ["go-containerregistry", `${JSON.stringify({ schemaVersion: 2, manifests: [manifest] }, null, 3)}\n`],
  ])("is taken from %s", (_, text) => expect(problem(text)).toBeNull());

  const wrong: [string, string][] = [
    ["nothing", ""],
    ["a list", "[]"],
    ["no manifests", '{"schemaVersion":2,"manifests":[]}'],
    ["white space of another kind", JSON.stringify({ schemaVersion: 2, manifests: [manifest] }, null, 2)],
    ["a key twice", `{"schemaVersion":2,"schemaVersion":2,"manifests":[${JSON.stringify(manifest)}]}`],
  ];
  it.each(wrong)("is refused with %s", (_, text) => expect(problem(text)).toEqual(expect.any(String)));

  const changed: [string, object, object?][] = [
    ["another digest", { digest: `sha256:${"b".repeat(64)}` }],
    ["another size", { size: 1 }],
    ["another media type", { mediaType: "application/json" }],
    ["another artifact type", { artifactType: "application/x" }],
    ["places to fetch from", { urls: ["https://example.org"] }],
    ["contents of its own", { data: "e30=" }],
    ["annotations that are no texts", { annotations: { a: 1 } }],
    ["a subject", {}, { subject: manifest }],
    ["another schema version", {}, { schemaVersion: 1 }],
    ["another type of index", {}, { mediaType: "application/vnd.docker.distribution.manifest.list.v2+json" }],
  ];
  it.each(changed)("is refused with %s", (_, descriptor, index = {}) => {
    const manifests = [manifest, { ...manifest, ...descriptor }];
    expect(compact({ schemaVersion: 2, manifests, ...index })).toEqual(expect.any(String));
  });
});

it("gives the digests of any index, and none of what is no index", () => {
  expect(digestsOfIndex(Buffer.from('{"manifests":[{"digest":"sha256:x"},{"digest":3},null]}'))).toEqual([]);
  expect(digestsOfIndex(Buffer.from(JSON.stringify({ manifests: [manifest], x: 1 })))).toEqual([
    manifest.digest,
  ]);
  expect(digestsOfIndex(Buffer.from("{"))).toEqual([]);
});
