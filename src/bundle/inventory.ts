/**
 * The files on a medium against those that a document and its approvals give: V5 (derived files, byte for byte),
 * what V8 can tell without reading (presence and size), and V11 (nothing else).
 */
import { createHash } from "node:crypto";
import { constants } from "node:fs";
import { open } from "node:fs/promises";
import { AirgapError, type Finding, fail } from "../errors.js";
import type { BundleDocument } from "../generated/types.js";
import { isJsonObject, type JsonValue, parseStrictJson } from "../strict-json.js";
import type { Contents } from "./contents.js";
import { onDisk } from "./disk.js";
import { blobName, classify, DOCUMENT_NAME, docName, INDEX_NAME, MAX_DERIVED_SIZE } from "./layout.js";
import type { Medium, MediumFile } from "./medium.js";

/** Small files read at once: a narinfo each on their own takes 20,000 round trips to the disk. */
const READ_AT_ONCE = 64;
const HASH_PIECE = 1024 * 1024;

/** V5. Throws DISK when the medium fails or changes meanwhile, and INTERRUPTED. */
export async function checkDerived(
  medium: Medium,
  contents: Contents,
  signal: AbortSignal,
): Promise<{ readonly findings: readonly Finding[]; readonly checked: number }> {
  const findings: Finding[] = [];
  const derived = [...contents.files].filter(
    (file): file is [string, Buffer] => Buffer.isBuffer(file[1]) && isDerived(file[0]),
  );
  for (let i = 0; i < derived.length; i += READ_AT_ONCE) {
    if (signal.aborted) fail("INTERRUPTED");
    const batch = derived.slice(i, i + READ_AT_ONCE);
    const answers = await Promise.all(
      batch.map(([name, expected]) =>
        name === INDEX_NAME
          ? checkIndex(medium, contents.manifestDigest ?? "")
          : checkBytes(medium, name, expected),
      ),
    );
    findings.push(...answers.flatMap((finding) => finding ?? []));
  }
  return { findings, checked: derived.length };
}

/** Blobs of NARs, and docs, that are absent or of another size: their contents need no look. By file name. */
export function checkPresence(medium: Medium, contents: Contents): Map<string, Finding> {
  const findings = new Map<string, Finding>();
  for (const [subject, expected] of contents.files) {
    if (Buffer.isBuffer(expected)) continue;
    const file = medium.files.get(subject);
    if (file === undefined) {
      findings.set(subject, { code: "BLOB_MISSING", subject });
    } else if (file.size !== expected.size) {
      const sizes = { expected: `${expected.size} bytes`, actual: `${file.size} bytes` };
      findings.set(subject, { code: "BLOB_SIZE", subject, ...sizes });
    }
  }
  return findings;
}

/** V11. */
export function checkUnlisted(medium: Medium, contents: Contents): Finding[] {
  const unlisted = [...medium.files.keys()].filter((name) => !contents.files.has(name));
  return unlisted.map((subject) => ({ code: "FILE_UNLISTED", subject }));
}

/**
 * The contents of docs, each as its own file and as a blob. `skip`: names that `checkPresence` found wrong.
 * Throws DISK and FILE_TYPE when the medium changed since it was opened, and INTERRUPTED.
 */
export async function checkDocs(
  medium: Medium,
  { docs }: BundleDocument,
  options: {
    readonly contents: Contents;
    readonly skip: ReadonlyMap<string, unknown>;
    readonly signal: AbortSignal;
  },
): Promise<{ readonly findings: readonly Finding[]; readonly checked: number }> {
  const findings: Finding[] = [];
  let checked = 0;
  for (const { name, sha256: expected } of docs) {
    for (const subject of [docName(name), blobName(expected)]) {
      const file = medium.files.get(subject);
      if (!options.contents.files.has(subject) || options.skip.has(subject) || file === undefined) continue;
      const actual = await hashOfFile(file, options.signal);
      if (actual !== expected) findings.push({ code: "BLOB_HASH", subject, expected, actual });
      checked++;
    }
  }
  return { findings, checked };
}

/** The document and the approvals are what everything is compared with; they are themselves by V2. */
function isDerived(name: string): boolean {
  return name !== DOCUMENT_NAME && classify(name) !== "approval";
}

async function checkBytes(medium: Medium, subject: string, expected: Buffer): Promise<Finding | undefined> {
  const file = medium.files.get(subject);
  if (file === undefined) return { code: "DERIVED_MISSING", subject };
  if (file.size !== expected.length) {
    const sizes = { expected: `${expected.length} bytes`, actual: `${file.size} bytes` };
    return { code: "DERIVED_DIFFERS", subject, ...sizes };
  }
  const actual = await medium.read(subject, expected.length);
  if (expected.equals(actual)) return undefined;
  return { code: "DERIVED_DIFFERS", subject, ...firstDifference(expected, actual) };
}

/** OCI tools rewrite index.json: it need only be JSON in which one descriptor names the manifest. */
async function checkIndex(medium: Medium, expected: string): Promise<Finding | undefined> {
  const subject = INDEX_NAME;
  if (!medium.files.has(subject)) return { code: "DERIVED_MISSING", subject };
  const bytes = await medium.read(subject, MAX_DERIVED_SIZE);
  const digests = manifestDigests(bytes);
  if (digests.includes(expected)) return undefined;
  return { code: "INDEX_MANIFEST", subject, expected, actual: digests.slice(0, 8).join(", ") || "none" };
}

function manifestDigests(bytes: Uint8Array): string[] {
  let index: JsonValue;
  try {
    index = parseStrictJson(bytes, { maxBytes: MAX_DERIVED_SIZE });
  } catch (error) {
    if (error instanceof AirgapError) return [];
    throw error;
  }
  const manifests = isJsonObject(index) ? index["manifests"] : undefined;
  if (!Array.isArray(manifests)) return [];
  return manifests.flatMap((descriptor: JsonValue) => {
    const digest = isJsonObject(descriptor) ? descriptor["digest"] : undefined;
    return typeof digest === "string" ? [digest] : [];
  });
}

/** Of two buffers of one length that differ: where, and both lines there. */
function firstDifference(expected: Buffer, actual: Buffer): Pick<Finding, "offset" | "expected" | "actual"> {
  const offset = expected.findIndex((byte, i) => byte !== actual[i]);
  return { offset, expected: lineAt(expected, offset), actual: lineAt(actual, offset) };
}

/** Printable ASCII around an offset; anything else as a point. */
function lineAt(bytes: Buffer, offset: number): string {
  const start = bytes.lastIndexOf(0x0a, Math.max(0, offset - 1)) + 1;
  const from = Math.max(start, offset - 40);
  const text = bytes.subarray(from, from + 80).toString("latin1");
  return text.split("\n")[0]!.replace(/[^\x20-\x7e]/g, ".");
}

/** Hex SHA-256 of a file, which may be large. */
async function hashOfFile(file: MediumFile, signal: AbortSignal): Promise<string> {
  const { name, path, offset, size } = file;
  const hasher = createHash("sha256");
  await onDisk(name, async () => {
    // As when reading a medium: nothing put in its place since is followed, or waited for.
    const handle = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
    try {
      if (!(await handle.stat()).isFile()) fail("FILE_TYPE", { subject: name });
      const buffer = Buffer.alloc(Math.min(size, HASH_PIECE));
      for (let at = 0; at < size; ) {
        if (signal.aborted) fail("INTERRUPTED");
        const { bytesRead } = await handle.read(buffer, 0, Math.min(buffer.length, size - at), offset + at);
        if (bytesRead === 0) fail("DISK", { subject: name, hint: "The file changed while it was read." });
        hasher.update(buffer.subarray(0, bytesRead));
        at += bytesRead;
      }
    } finally {
      await handle.close();
    }
  });
  return hasher.digest("hex");
}
