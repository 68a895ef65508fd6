/**
 * The files on a medium against those that a document and its approvals give: V5 (derived files, byte for byte),
 * what V8 can tell without reading (presence and size), and V11 (nothing else).
 */
import { type Finding, fail } from "../errors.js";
import type { BundleDocument } from "../generated/types.js";
import type { Contents } from "./contents.js";
import { problemOfIndex } from "./index-file.js";
import { blobName, classify, DOCUMENT_NAME, docName, INDEX_NAME, MAX_INDEX_SIZE } from "./layout.js";
import { hashOfFile, type Medium } from "./medium.js";
import type { Descriptor } from "./oci.js";

/** Small files read at once: a narinfo each on their own takes 20,000 round trips to the disk. */
const READ_AT_ONCE = 64;

/** Files that V5 compares: what the document and the approvals give, apart from those themselves. */
export function derivedFiles({ files }: Contents): [name: string, expected: Buffer][] {
  return [...files].filter(
    (file): file is [string, Buffer] => Buffer.isBuffer(file[1]) && isDerived(file[0]),
  );
}

/**
 * V5. `equal`: names of files that are known to have the bytes that they should have; they are not read.
 * Throws DISK when the medium fails or changes meanwhile, and INTERRUPTED.
 */
export async function checkDerived(
  medium: Medium,
  contents: Contents,
  { equal, signal }: { readonly equal: ReadonlySet<string>; readonly signal: AbortSignal },
): Promise<{ readonly findings: readonly Finding[]; readonly checked: number }> {
  const findings: Finding[] = [];
  const derived = derivedFiles(contents);
  const doubtful = derived.filter(([name]) => !equal.has(name));
  for (let i = 0; i < doubtful.length; i += READ_AT_ONCE) {
    if (signal.aborted) fail("INTERRUPTED");
    const batch = doubtful.slice(i, i + READ_AT_ONCE);
    const answers = await Promise.all(
      batch.map(([name, expected]) =>
        name === INDEX_NAME
          ? checkIndex(medium, expected, contents.manifest)
          : checkBytes(medium, name, expected),
      ),
    );
    findings.push(...answers.flatMap((finding) => finding ?? []));
  }
  return { findings, checked: derived.length };
}

/** Of files that the document names by hash: those that are absent or of another size, and need no look. By name. */
export function checkPresence(
  medium: Medium,
  expected: Iterable<readonly [name: string, size: number]>,
): Map<string, Finding> {
  const findings = new Map<string, Finding>();
  for (const [subject, size] of expected) {
    const file = medium.files.get(subject);
    if (file === undefined) {
      findings.set(subject, { code: "BLOB_MISSING", subject });
    } else if (file.size !== size) {
      const sizes = { expected: `${size} bytes`, actual: `${file.size} bytes` };
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
 * The docs, each as its own file and as a blob. `contents`: false for presence and size only.
 * Throws DISK and FILE_TYPE when the medium changed since it was opened, and INTERRUPTED.
 */
export async function checkDocs(
  medium: Medium,
  { docs }: BundleDocument,
  files: Contents["files"],
  options: { readonly contents: boolean; readonly signal: AbortSignal },
): Promise<{ readonly findings: readonly Finding[]; readonly checked: number }> {
  const names = docs.flatMap(({ name, sha256, size }) =>
    [docName(name), blobName(sha256)]
      .filter((file) => files.has(file))
      .map((file) => ({ file, sha256, size })),
  );
  const absent = checkPresence(
    medium,
    names.map(({ file, size }) => [file, size]),
  );
  const findings = [...absent.values()];
  let checked = 0;
  for (const { file: subject, sha256: expected } of names) {
    const file = medium.files.get(subject);
    if (!options.contents || file === undefined || absent.has(subject)) continue;
    const actual = await hashOfFile(file, options.signal);
    if (actual !== expected) findings.push({ code: "BLOB_HASH", subject, expected, actual });
    checked++;
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

/** OCI tools rewrite index.json: it is ours, or names the manifest in their form. */
async function checkIndex(
  medium: Medium,
  ours: Buffer,
  manifest: Descriptor | null,
): Promise<Finding | undefined> {
  const subject = INDEX_NAME;
  const file = medium.files.get(subject);
  if (file === undefined) return { code: "DERIVED_MISSING", subject };
  // Over its cap it has a finding of V1.
  if (file.size > MAX_INDEX_SIZE) return undefined;
  const bytes = await medium.read(subject, MAX_INDEX_SIZE);
  if (ours.equals(bytes) || manifest === null) return undefined;
  const actual = problemOfIndex(bytes, manifest);
  return actual === null ? undefined : { code: "INDEX_MANIFEST", subject, expected: manifest.digest, actual };
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
