/**
 * Whether an output is a container image, by what is in it: a tar, zipped or not, of `docker save` or of an OCI layout; or
 * a script that writes such a tar, as nixpkgs' streamLayeredImage makes it. How it is loaded is for others.
 * The forms: https://github.com/moby/docker-image-spec, https://github.com/opencontainers/image-spec.
 */
import { createReadStream } from "node:fs";
import { type FileHandle, lstat, open } from "node:fs/promises";
import { pipeline } from "node:stream";
import { createGunzip } from "node:zlib";
import { AirgapError } from "../errors.js";
import { isJsonObject, type JsonValue, parseStrictJson } from "../strict-json.js";
import { errorCode, READ_SAFELY, withDiskErrors } from "./files.js";

export interface ContainerImage {
  readonly kind: "docker-archive" | "oci-archive" | "stream";
  /** By gzip, as a whole. */
  readonly isZipped: boolean;
  /** `name:tag` as the image says it, where it says one. */
  readonly name: string | null;
}

/** Layers may come before what tells: of a zipped tar no more than so many bytes are unpacked, and of any so many members. */
const MAX_UNPACKED = 4 * 1024 ** 3;
const MAX_MEMBERS = 10_000;
const MAX_JSON = 1024 * 1024;
const MAX_SCRIPT = 64 * 1024;
const BLOCK = 512;

/** Null where it is none that is known. `path`: the output as it lies on disk. @throws AirgapError DISK */
export async function containerImageIn(path: string): Promise<ContainerImage | null> {
  const stats = await withDiskErrors(path, () => lstat(path));
  if (!stats.isFile() || stats.size === 0) return null;
  return withDiskErrors(path, async () => {
    const file = await open(path, READ_SAFELY);
    try {
      const head = Buffer.alloc(Math.min(stats.size, MAX_SCRIPT));
      await file.read(head, 0, head.length, 0);
      const magic = head.toString("latin1", 0, 2);
      if (magic === "#!") return isStream(head) ? { kind: "stream", isZipped: false, name: null } : null;
      if (magic === GZIP_MAGIC) return await imageInZip(path);
      return await imageIn(new TarFile(file, stats.size));
    } finally {
      await file.close();
    }
  });
}

const GZIP_MAGIC = "\x1f\x8b";

/** The wrapper gives the one program, with the image's description, to Python. */
function isStream(script: Buffer): boolean {
  return /\/nix\/store\/[^\s"']*-stream(_layered_image)?(\.py)?["']?\s+["']?\/nix\/store\/[^\s"']*conf\.json/.test(
    script.toString("latin1"),
  );
}

/** Bytes one after the other; fewer than were asked for at the end. */
interface Source {
  read(bytes: number): Promise<Buffer>;
  skip(bytes: number): Promise<void>;
}

class TarFile implements Source {
  readonly #file: FileHandle;
  readonly #size: number;
  #at = 0;

  constructor(file: FileHandle, size: number) {
    this.#file = file;
    this.#size = size;
  }

  async read(bytes: number): Promise<Buffer> {
    const part = Buffer.alloc(Math.max(0, Math.min(bytes, this.#size - this.#at)));
    const { bytesRead } = await this.#file.read(part, 0, part.length, this.#at);
    this.#at += bytesRead;
    return part.subarray(0, bytesRead);
  }

  async skip(bytes: number): Promise<void> {
    this.#at += bytes;
  }
}

class Unzipped implements Source {
  readonly #chunks: AsyncIterator<Buffer>;
  #rest: Buffer = Buffer.alloc(0);
  #left = MAX_UNPACKED;

  constructor(chunks: AsyncIterable<Buffer>) {
    this.#chunks = chunks[Symbol.asyncIterator]();
  }

  async read(bytes: number): Promise<Buffer> {
    const parts: Buffer[] = [];
    for (let missing = bytes; missing > 0; ) {
      if (this.#rest.length === 0 && !(await this.#next())) break;
      const part = this.#rest.subarray(0, missing);
      this.#rest = this.#rest.subarray(part.length);
      parts.push(part);
      missing -= part.length;
    }
    return Buffer.concat(parts);
  }

  async skip(bytes: number): Promise<void> {
    for (let missing = bytes; missing > 0; ) {
      if (this.#rest.length === 0 && !(await this.#next())) return;
      const skipped = Math.min(missing, this.#rest.length);
      this.#rest = this.#rest.subarray(skipped);
      missing -= skipped;
    }
  }

  async #next(): Promise<boolean> {
    if (this.#left <= 0) return false;
    const { done, value } = await this.#chunks.next();
    if (done === true) return false;
    this.#rest = value;
    this.#left -= value.length;
    return true;
  }
}

async function imageInZip(path: string): Promise<ContainerImage | null> {
  const unzip = createGunzip();
  // What fails here comes out of the iteration.
  pipeline(createReadStream(path), unzip, () => {});
  try {
    const image = await imageIn(new Unzipped(unzip));
    return image && { ...image, isZipped: true };
  } catch (error) {
    // No gzip, after all.
    if (errorCode(error).startsWith("Z_")) return null;
    throw error;
  } finally {
    unzip.destroy();
  }
}

async function imageIn(source: Source): Promise<ContainerImage | null> {
  const found = new Map<string, JsonValue>();
  for (let members = 0; members < MAX_MEMBERS; members++) {
    const header = memberOf(await source.read(BLOCK));
    if (header === null) break;
    const { name, size } = header;
    const wanted = TELLING.has(name) && size <= MAX_JSON;
    const content = wanted ? await source.read(size) : Buffer.alloc(0);
    const json = wanted ? jsonIn(content) : undefined;
    if (json !== undefined) found.set(name, json);
    const image = dockerImage(found.get("manifest.json")) ?? ociImage(found);
    if (image !== null) return image;
    await source.skip(Math.ceil(size / BLOCK) * BLOCK - content.length);
  }
  return null;
}

const TELLING = new Set(["manifest.json", "oci-layout", "index.json"]);

/** A member of a tar; null for the end, and for what is no header. */
function memberOf(block: Buffer): { readonly name: string; readonly size: number } | null {
  if (block.length < BLOCK) return null;
  const text = (from: number, to: number) => block.toString("latin1", from, to).replace(/\0.*$/s, "");
  const octal = (from: number, to: number) => Number.parseInt(text(from, to).trim() || "0", 8);
  const sum = block.reduce((all, byte, at) => all + (at >= 148 && at < 156 ? 32 : byte), 0);
  if (octal(148, 156) !== sum || sum === 256) return null;
  // Over 8 GiB: a number in the low bytes.
  const size = block[124]! >= 0x80 ? Number(block.readBigUInt64BE(128)) : octal(124, 136);
  if (!Number.isSafeInteger(size) || size < 0) return null;
  return { name: text(0, 100).replace(/^\.\//, ""), size };
}

/** Undefined for what is no JSON. */
function jsonIn(bytes: Buffer): JsonValue | undefined {
  try {
    return parseStrictJson(bytes, { maxBytes: MAX_JSON });
  } catch (error) {
    if (error instanceof AirgapError) return undefined;
    throw error;
  }
}

/** `[{ Config, Layers: […], RepoTags: [NAME:TAG] | null }]`. */
function dockerImage(manifest: JsonValue | undefined): ContainerImage | null {
  const [first] = Array.isArray(manifest) ? manifest : [];
  if (!Array.isArray(field(first, "Layers"))) return null;
  const tags = field(first, "RepoTags");
  return {
    kind: "docker-archive",
    isZipped: false,
    name: imageName(Array.isArray(tags) ? tags[0] : undefined),
  };
}

/** `oci-layout`, and `index.json` with manifests, of which the first may say a name. */
function ociImage(found: ReadonlyMap<string, JsonValue>): ContainerImage | null {
  const manifests = field(found.get("index.json"), "manifests");
  if (field(found.get("oci-layout"), "imageLayoutVersion") === undefined) return null;
  if (!Array.isArray(manifests)) return null;
  const annotations = field(manifests[0], "annotations");
  return {
    kind: "oci-archive",
    isZipped: false,
    name: imageName(field(annotations, "org.opencontainers.image.ref.name")),
  };
}

function field(value: JsonValue | undefined, name: string): JsonValue | undefined {
  return isJsonObject(value) && Object.hasOwn(value, name) ? value[name] : undefined;
}

/** What is no name of an image is not repeated. */
function imageName(value: JsonValue | undefined): string | null {
  return typeof value === "string" && /^[A-Za-z0-9][\w./:@-]{0,254}$/.test(value) ? value : null;
}
