/**
 * What can be signed: a bundle, its document alone, a flake.lock, a policy. Each is opened only as far as it holds together,
 * says what a statement about it is, and has a place for approvals.
 */
import { mkdir, realpath, stat } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { parseDocument } from "../../bundle/document.js";
import { classify, DOCUMENT_NAME, docName, INDEX_NAME, MAX_DOCUMENT_SIZE } from "../../bundle/layout.js";
import { openMedium } from "../../bundle/medium.js";
import { tarNameOf } from "../../bundle/parts-index.js";
import { completeSignature, readApprovals, setApprovals } from "../../bundle/set-approvals.js";
import { AirgapError, type Code, exitOf, type Finding, fail } from "../../errors.js";
import type { BundleDocument, ReportedFinding, SignedThing, Statement } from "../../generated/types.js";
import { errorCode, readSmallFile, withDiskErrors, writeFileAtomic, writeNewFile } from "../../host/files.js";
import { MAX_FLAKE_LOCK, parseFlakeLock } from "../../nix/flake-lock.js";
import { formatHex, hashOf } from "../../nix/hash.js";
import { type ApprovalFile, staleApprovals } from "../../trust/approval.js";
import { MAX_POLICY_SIZE, parsePolicy } from "../../trust/policy.js";
import { bundleStatement, lockStatement, type PersonalWord, policyStatement } from "../../trust/statement.js";
import type { Context } from "../context.js";
import { reportedFindings, verifyFindings } from "../reports.js";
import { approvalsFolder, readSideApprovals } from "../side-approvals.js";
import { checkDocument } from "../verify/document.js";
import { verify } from "../verify.js";

export interface Subject {
  readonly thing: SignedThing & { readonly sha256: string };
  /** Null for what is no bundle. */
  readonly document: BundleDocument | null;
  /** By name, with its folder. */
  readonly approvals: ReadonlyMap<string, Buffer>;
  readonly predicateTypes: readonly Statement["predicateType"][];
  /** A signature that had been interrupted was completed. */
  readonly completed: boolean;
  statement(word: PersonalWord): Statement;
  /** Adds or replaces one approval; returns its place. */
  put(file: ApprovalFile): Promise<string>;
}

/** What is wrong with what was to be signed. */
export interface Refusal {
  readonly thing: SignedThing;
  readonly exit: number;
  readonly findings: readonly ReportedFinding[];
  readonly completed: boolean;
}

/**
 * `out`: the folder for an approval of a document that is alone.
 *
 * @throws BUNDLE_NOT_FOUND, FLAKE_LOCK_INVALID, POLICY_INVALID, TAIL_INVALID, DISK, NO_SPACE
 */
export async function openSubject(path: string, out: string, context: Context): Promise<Subject | Refusal> {
  const kind = await kindOf(path);
  switch (kind) {
    case "bundle":
      return openBundle(path, context);
    case "document":
      return openDocument(path, out);
    case "flake.lock":
    case "policy":
      return openFile(path, kind);
  }
}

/** The bundle itself, not a symlink to it: beside it lie lock and journal. @throws BUNDLE_NOT_FOUND, DISK */
export async function resolveSubject(path: string): Promise<string> {
  return withDiskErrors(path, async () => {
    try {
      return await realpath(path);
    } catch (error) {
      return ["ENOENT", "ENOTDIR"].includes(errorCode(error))
        ? fail("BUNDLE_NOT_FOUND", { subject: path })
        : Promise.reject(error);
    }
  });
}

/** Whether this is a flake.lock; false also for what cannot be read: whoever opens it says why. */
export async function isLock(path: string): Promise<boolean> {
  try {
    return (await kindOf(path)) === "flake.lock";
  } catch (error) {
    if (error instanceof AirgapError && error.code === "DISK") return false;
    throw error;
  }
}

/** Bytes in which a file says what it is. */
const HEAD_SIZE = 64 * 1024;

/** What lies here, by what it begins with: a tar's first member has a name, JSON a brace. */
async function kindOf(path: string): Promise<SignedThing["kind"]> {
  const stats = await withDiskErrors(path, () => stat(path));
  // Its index is JSON, too, and a part is anything.
  if (!stats.isFile() || tarNameOf(basename(path)) !== null) return "bundle";
  const head = (await readSmallFile(path, HEAD_SIZE))?.toString("latin1") ?? "";
  if (!/^\s*\{/.test(head)) return "bundle";
  if (/"format":\s*"nix-airgap-policy"/.test(head)) return "policy";
  return basename(path) === "flake.lock" || /"nodes":/.test(head) ? "flake.lock" : "document";
}

async function openBundle(path: string, context: Context): Promise<Subject | Refusal> {
  let completed = await completeSignature(path);
  let verified = await verifyDocument(path, context);
  if (verified.findings.length > 0 && verified.findings.every(mayBeInterrupted)) {
    // Only what signing writes is wrong: writing it anew says nothing about the rest.
    const { medium } = await openMedium(path, { allowExtra: false });
    await setApprovals(path, await readApprovals(medium));
    completed = true;
    verified = await verifyDocument(path, context);
  }
  const { kind: form, sha256 } = verified.bundle;
  const { product, release, sequence, systems, tier } = verified.bundle;
  const thing: SignedThing = {
    ...{ kind: "bundle", path, form, sha256, product, release, sequence, systems, tier, version: null },
  };
  if (verified.findings.length > 0 || sha256 === null) {
    return { thing, exit: verified.exit, findings: verifyFindings(verified), completed };
  }
  const { medium } = await openMedium(path, { allowExtra: false });
  const bytes = await medium.read(DOCUMENT_NAME, MAX_DOCUMENT_SIZE);
  const { document } = parseDocument(bytes);
  if (document === null || formatHex(hashOf("sha256", bytes)) !== sha256) {
    return fail("DISK", {
      subject: path,
      hint: "The bundle was changed while it was being signed: sign it again.",
    });
  }
  const approvals = await readApprovals(medium);
  return {
    thing: { ...thing, sha256 },
    document,
    approvals,
    predicateTypes: ["urn:nix-airgap:approval:v2"],
    completed,
    statement: (word) => bundleStatement(word, document, sha256),
    put: async ({ fileName, bytes }) => {
      const name = `approvals/${fileName}`;
      await setApprovals(path, new Map([...approvals, [name, bytes]]));
      return name;
    },
  };
}

/** All but contents and origin. */
function verifyDocument(path: string, context: Context) {
  return verify(path, { trust: { by: "nobody" }, documentOnly: true, allowExtra: false }, context);
}

const LEFT_BY_INTERRUPTION: ReadonlySet<string> = new Set<Code>([
  "DERIVED_DIFFERS",
  "DERIVED_MISSING",
  "FILE_UNLISTED",
  "INDEX_MANIFEST",
]);

/** What an interrupted signature of a directory, or an OCI tool, leaves: an old index, or small blobs that are not named. */
function mayBeInterrupted({ code, subject }: ReportedFinding): boolean {
  return (
    LEFT_BY_INTERRUPTION.has(code) &&
    subject !== null &&
    (subject === INDEX_NAME || classify(subject) === "blob")
  );
}

/** bundle.json alone, with those of its reports that lie beside it: somebody approves on a machine without the bundle. */
async function openDocument(path: string, out: string): Promise<Subject | Refusal> {
  const bytes = (await readSmallFile(path, MAX_DOCUMENT_SIZE)) ?? fail("BUNDLE_NOT_FOUND", { subject: path });
  const { document, findings } = parseDocument(bytes);
  const sha256 = formatHex(hashOf("sha256", bytes));
  const thing = { ...NOTHING, kind: "document" as const, path, form: "file" as const, sha256 };
  if (document === null) return refusal(thing, findings);
  const { product, release, sequence, systems, tier } = document;
  const known = { ...thing, product, release, sequence, systems, tier };
  const wrong = [...findings, ...checkDocument(document), ...(await checkReports(path, document))];
  if (wrong.length > 0) return refusal(known, wrong);
  return {
    thing: known,
    document,
    approvals: new Map(),
    predicateTypes: ["urn:nix-airgap:approval:v2"],
    completed: false,
    statement: (word) => bundleStatement(word, document, sha256),
    put: async ({ fileName, bytes }) => {
      const place = join(out, fileName);
      await writeNewFile(place, bytes);
      return place;
    },
  };
}

/** Those that are there must be the ones that the document names. */
async function checkReports(path: string, { docs }: BundleDocument): Promise<Finding[]> {
  const findings: Finding[] = [];
  for (const { name, sha256, size } of docs) {
    const subject = docName(name);
    const bytes = await readSmallFile(join(dirname(path), subject), size);
    if (bytes === null) continue;
    const actual = formatHex(hashOf("sha256", bytes));
    if (actual !== sha256) findings.push({ code: "BLOB_HASH", subject, expected: sha256, actual });
  }
  return findings;
}

/** A file that is not a bundle's: its approvals lie beside it, to be carried, or committed, with it. */
async function openFile(path: string, kind: "flake.lock" | "policy"): Promise<Subject> {
  const cap = kind === "policy" ? MAX_POLICY_SIZE : MAX_FLAKE_LOCK;
  const bytes = (await readSmallFile(path, cap)) ?? fail("BUNDLE_NOT_FOUND", { subject: path });
  let version: number | null = null;
  if (kind === "policy") version = parsePolicy(bytes, path).reference.version;
  else parseFlakeLock(bytes, path);
  const sha256 = formatHex(hashOf("sha256", bytes));
  const isPolicy = kind === "policy";
  const files = await readSideApprovals(path);
  // Of an earlier text: whoever signs again replaces theirs.
  const stale = staleApprovals(files, sha256);
  return {
    thing: { ...NOTHING, kind, path, form: "file", sha256, version },
    document: null,
    approvals: new Map([...files].filter(([name]) => !stale.has(name))),
    predicateTypes: [isPolicy ? "urn:nix-airgap:policy-approval:v1" : "urn:nix-airgap:lock-approval:v1"],
    completed: false,
    statement: (word) => (isPolicy ? policyStatement : lockStatement)(word, sha256),
    put: async (file) => {
      const folder = approvalsFolder(path);
      await withDiskErrors(folder, () => mkdir(folder, { recursive: true }));
      await writeFileAtomic(join(folder, file.fileName), file.bytes);
      return join(folder, file.fileName);
    },
  };
}

const NOTHING: SignedThing = {
  kind: "bundle",
  path: "",
  form: null,
  sha256: null,
  product: null,
  release: null,
  sequence: null,
  systems: null,
  tier: null,
  version: null,
};

function refusal(thing: SignedThing, findings: readonly Finding[]): Refusal {
  return { thing, exit: exitOf(findings), findings: reportedFindings(findings), completed: false };
}
