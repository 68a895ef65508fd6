/**
 * All that `serve` gives, by exact name: the cache view, made anew from the document and signed here; the blobs as they lie on the
 * medium; the whole bundle below bundle/, for other machines that verify it themselves; and what people and monitors look at.
 */
import { contentsOf } from "../../bundle/contents.js";
import { CACHE_INFO, narinfoOf } from "../../bundle/derived.js";
import { formatDocument } from "../../bundle/document.js";
import {
  blobName,
  CACHE_INFO_NAME,
  classify,
  docName,
  INDEX_NAME,
  MAX_INDEX_SIZE,
  narinfoName,
} from "../../bundle/layout.js";
import type { MediumFile } from "../../bundle/medium.js";
import { FILES_NAME, formatServedFiles } from "../../bundle/served-files.js";
import type { HealthReport, Path } from "../../generated/types.js";
import { signed } from "../../host/gate.js";
import type { Lookup, Resource } from "../../host/http-server.js";
import { formatHex, hashOf } from "../../nix/hash.js";
import { formatNarInfo } from "../../nix/narinfo.js";
import type { SecretKey } from "../../nix/signature.js";
import type { Segment } from "../../segments.js";
import type { VerifiedBundle } from "../verify/verified-bundle.js";
import { PAGE_HEADERS } from "./page.js";

const BUNDLE_FOLDER = "/bundle/";
const TEXT = "text/plain; charset=utf-8";
const JSON_TYPE = "application/json";
/** What a name with a hash in it gives never changes. */
const FOR_EVER = { "Cache-Control": "public, max-age=31536000, immutable" };
const ASK_AGAIN = { "Cache-Control": "no-cache" };

export interface ServedParts {
  readonly bundle: VerifiedBundle;
  readonly key: SecretKey;
  readonly page: () => string;
  readonly health: () => Promise<HealthReport>;
}

/** @throws AirgapError DISK */
export async function resourcesOf({ bundle, key, page, health }: ServedParts): Promise<Lookup> {
  const { document, documentSha256, medium } = bundle;
  const hashes = await hashesOf(bundle);
  const sizes = new Map([...medium.files.values()].map(({ name, size }) => [name, size]));
  const fixed = new Map<string, Resource>([
    [`/${CACHE_INFO_NAME}`, inMemory(CACHE_INFO, "text/x-nix-cache-info", ASK_AGAIN)],
    [`/${FILES_NAME}`, inMemory(formatServedFiles(documentSha256, sizes), JSON_TYPE, ASK_AGAIN)],
  ]);
  const paths = new Map(document.paths.map((path) => [`/${narinfoName(path.storePath)}`, path]));
  const file = (name: string): Resource | null => {
    const found = medium.files.get(name);
    const sha256 = hashes.get(name) ?? hashInBlobName(name);
    return found === undefined || sha256 === null ? null : onMedium(found, sha256);
  };
  return async (path) => {
    if (path === "/") return inMemory(page(), "text/html; charset=utf-8", PAGE_HEADERS);
    if (path === "/health") return healthResource(await health());
    const known = fixed.get(path);
    if (known !== undefined) return known;
    const narinfo = paths.get(path);
    if (narinfo !== undefined) return narinfoResource(narinfo, key);
    if (path.startsWith(BUNDLE_FOLDER)) return file(path.slice(BUNDLE_FOLDER.length));
    const name = path.slice(1);
    return classify(name) === "blob" ? file(name) : null;
  };
}

/** Where a file of the bundle lies. */
export function partsOf({ segments }: MediumFile): readonly Segment[] {
  return segments;
}

/** Hex SHA-256 by name, of all files that do not have it in their name. */
async function hashesOf({ document, approvalFiles, medium }: VerifiedBundle): Promise<Map<string, string>> {
  const { files } = contentsOf(document, formatDocument(document), approvalFiles);
  const hashes = new Map(document.docs.map(({ name, sha256 }) => [docName(name), sha256]));
  for (const [name, bytes] of files) {
    if (Buffer.isBuffer(bytes) && classify(name) !== "blob") hashes.set(name, sha256Of(bytes));
  }
  // OCI tools may have rewritten it, in a form that verification takes.
  if (medium.files.has(INDEX_NAME)) {
    hashes.set(INDEX_NAME, sha256Of(await medium.read(INDEX_NAME, MAX_INDEX_SIZE)));
  }
  return hashes;
}

function onMedium(file: MediumFile, sha256: string): Resource {
  const isBlob = classify(file.name) === "blob";
  const type = isBlob ? "application/octet-stream" : file.name.endsWith(".json") ? JSON_TYPE : TEXT;
  return { type, size: file.size, sha256, body: partsOf(file), headers: isBlob ? FOR_EVER : ASK_AGAIN };
}

/** Made when it is asked for: all of a large bundle would not fit into memory. The same bytes each time. */
function narinfoResource(path: Path, key: SecretKey): Resource {
  return inMemory(formatNarInfo(signed(narinfoOf(path), key)), "text/x-nix-narinfo", ASK_AGAIN);
}

function healthResource(report: HealthReport): Resource {
  const text = `${JSON.stringify(report, null, 2)}\n`;
  const resource = inMemory(text, JSON_TYPE, { "Cache-Control": "no-store" });
  return report.status === "ok" ? resource : { ...resource, status: 503 };
}

function inMemory(text: string, type: string, headers: Resource["headers"] = {}): Resource {
  const body = Buffer.from(text);
  return { type, size: body.length, sha256: sha256Of(body), body, headers };
}

function hashInBlobName(name: string): string | null {
  const sha256 = name.slice(-64);
  return classify(name) === "blob" && name === blobName(sha256) ? sha256 : null;
}

function sha256Of(bytes: Uint8Array): string {
  return formatHex(hashOf("sha256", bytes));
}
