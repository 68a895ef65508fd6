/**
 * `index.json` as a verifier finds it (docs/format.md, section 6): our own bytes, or those of an OCI tool that rewrote
 * the file. Only as much is let through as such tools are known to write: nobody signs this file.
 */
import { AirgapError } from "../errors.js";
import { excerpt } from "../nix/excerpt.js";
import { isJsonObject, type JsonObject, type JsonValue, parseStrictJson } from "../strict-json.js";
import { MAX_INDEX_SIZE } from "./layout.js";
import { ARTIFACT, type Descriptor, INDEX } from "./oci.js";

/** What is wrong with an index that was rewritten, in words; null where it names `manifest` and nothing else. */
export function problemOfIndex(bytes: Buffer, manifest: Descriptor): string | null {
  const index = parse(bytes);
  if (index === null) return "no JSON object";
  if (!isToolsEncoding(bytes, index)) return "JSON in another encoding than ours or that of OCI tools";
  const { schemaVersion, mediaType = INDEX, manifests, ...more } = index;
  const [unknown] = Object.keys(more);
  if (unknown !== undefined) return `a field ${excerpt(unknown)}`;
  if (schemaVersion !== 2) return "another schemaVersion than 2";
  if (mediaType !== INDEX) return "another mediaType than that of an index";
  if (!Array.isArray(manifests) || manifests.length === 0) return "no manifests";
  return (
    manifests.map((entry: JsonValue) => problemOfDescriptor(entry, manifest)).find((text) => text) ?? null
  );
}

/** Digests that an index names, whatever else is in it; none where it cannot be read. */
export function digestsOfIndex(bytes: Buffer): string[] {
  const manifests = parse(bytes)?.["manifests"];
  if (!Array.isArray(manifests)) return [];
  return manifests.flatMap((entry: JsonValue) => {
    const digest = isJsonObject(entry) ? entry["digest"] : undefined;
    return typeof digest === "string" && /^sha256:[0-9a-f]{64}$/.test(digest) ? [digest] : [];
  });
}

function parse(bytes: Buffer): JsonObject | null {
  try {
    const value = parseStrictJson(bytes, { maxBytes: MAX_INDEX_SIZE });
    return isJsonObject(value) ? value : null;
  } catch (error) {
    if (error instanceof AirgapError) return null;
    throw error;
  }
}

/** Compact as skopeo, oras and podman write it, or indented by three as go-containerregistry does; keys in any order. */
function isToolsEncoding(bytes: Buffer, index: JsonObject): boolean {
  const text = bytes.toString("utf8").replace(/\n$/, "");
  return [JSON.stringify(index), JSON.stringify(index, null, 3)].includes(text);
}

function problemOfDescriptor(entry: JsonValue, manifest: Descriptor): string | null {
  if (!isJsonObject(entry)) return "a descriptor that is no object";
  const { digest, mediaType, size, artifactType = ARTIFACT, annotations = {}, ...more } = entry;
  const [unknown] = Object.keys(more);
  if (unknown !== undefined) return `a descriptor's field ${excerpt(unknown)}`;
  if (digest !== manifest.digest) return typeof digest === "string" ? excerpt(digest) : "no digest";
  if (size !== manifest.size) return "another size of the manifest";
  if (mediaType !== manifest.mediaType) return "another media type of the manifest";
  if (artifactType !== ARTIFACT) return "another artifact type of the manifest";
  // Tools keep the tag here, which is whatever their user called it.
  const isText = isJsonObject(annotations) && Object.values(annotations).every((v) => typeof v === "string");
  return isText ? null : "annotations that are no texts";
}
