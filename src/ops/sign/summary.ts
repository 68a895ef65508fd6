/** What a signer sees before they sign, and what they say they have reviewed. */
import { basename, resolve } from "node:path";
import { parseDocument } from "../../bundle/document.js";
import { DOCUMENT_NAME, MAX_DOCUMENT_SIZE } from "../../bundle/layout.js";
import { hashOfFile, openMedium } from "../../bundle/medium.js";
import { type Finding, fail } from "../../errors.js";
import { changesBetween } from "../../evidence/changes.js";
import type { BundleDocument, ReviewedDocument, SignSummary } from "../../generated/types.js";
import { fileSize, readSmallFile } from "../../host/files.js";
import { formatHex, hashOf } from "../../nix/hash.js";
import { partOf } from "../../segments.js";
import { checkApprovals } from "../../trust/approval.js";
import { type Policy, verificationKeys } from "../../trust/policy.js";
import { type PersonalWord, saysSigner } from "../../trust/statement.js";
import type { Context } from "../context.js";
import { reportedFindings } from "../reports.js";
import type { Subject } from "./subject.js";

/**
 * Names of the bundle's documents, or files, with their hashes. Each is a name that the bundle has, else a path.
 * @throws USAGE for two of one name, DISK
 */
export async function reviewedDocuments(
  { document }: Subject,
  values: readonly string[],
  { cwd, signal }: Pick<Context, "cwd" | "signal">,
): Promise<ReviewedDocument[]> {
  const reviewed = new Map<string, string>();
  for (const value of values) {
    const doc = document?.docs.find(({ name }) => name === value);
    const name = doc?.name ?? basename(value);
    if (!/^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/.test(name)) {
      fail("USAGE", {
        subject: "--document",
        expected: "a file name of letters, digits and ._-",
        actual: name,
      });
    }
    if (reviewed.has(name)) {
      fail("USAGE", { subject: "--document", expected: "each name once", actual: `${name}, twice` });
    }
    reviewed.set(name, doc?.sha256 ?? (await hashAt(resolve(cwd, value), signal)));
  }
  return [...reviewed].map(([name, sha256]) => ({ name, sha256 }));
}

async function hashAt(path: string, signal: AbortSignal): Promise<string> {
  return hashOfFile({ name: path, ...partOf(path, await fileSize(path)) }, signal);
}

export async function summarise(
  subject: Subject,
  word: PersonalWord,
  about: {
    readonly policy: Policy | null;
    readonly previous: string | null;
    readonly openFindings: readonly Finding[];
  },
): Promise<SignSummary> {
  const { document, thing } = subject;
  const { policy, previous, openFindings } = about;
  const before = previous === null || document === null ? null : await readPrevious(previous, document);
  const reviewed = new Set(word.documents.map(({ sha256 }) => sha256));
  return {
    subject: thing,
    roots: (document?.roots ?? [])
      .filter(({ purpose }) => purpose === "output")
      .map(({ attr, outputs }) => ({ attr, outputs: outputs.map(({ path }) => path) })),
    documents: [
      ...(document?.docs ?? []).map(({ name, sha256 }) => ({ name, sha256, reviewed: reviewed.has(sha256) })),
      ...word.documents
        .filter(({ name }) => document?.docs.every((doc) => doc.name !== name) ?? true)
        .map((doc) => ({ ...doc, reviewed: true })),
    ],
    previous: document?.previous ?? null,
    changes: before === null || document === null ? null : changesBetween(before, document),
    approvals: earlierApprovals(subject, policy),
    openFindings: reportedFindings(openFindings),
    role: word.role,
    meaning: word.meaning,
    decision: word.decision,
    signer: word.signer,
    policy: word.policy,
  };
}

/** @throws USAGE where it is not the release that the document names, or none at all */
async function readPrevious(path: string, { previous }: BundleDocument): Promise<BundleDocument> {
  const bytes = await readDocument(path);
  const { document } = parseDocument(bytes);
  const actual = formatHex(hashOf("sha256", bytes));
  if (document === null || (previous !== null && previous.sha256 !== actual)) {
    return fail("USAGE", {
      subject: `--previous ${path}`,
      expected: previous === null ? "a bundle, or its bundle.json" : `the bundle ${previous.sha256}`,
      actual: document === null ? "something else" : actual,
    });
  }
  return document;
}

async function readDocument(path: string): Promise<Buffer> {
  const alone = path.endsWith(".json") ? await readSmallFile(path, MAX_DOCUMENT_SIZE) : null;
  if (alone !== null) return alone;
  const { medium } = await openMedium(path, { allowExtra: true });
  return medium.read(DOCUMENT_NAME, MAX_DOCUMENT_SIZE);
}

function earlierApprovals(subject: Subject, policy: Policy | null): SignSummary["approvals"] {
  if (subject.approvals.size === 0) return [];
  const keys = policy === null ? [] : verificationKeys(policy);
  const predicateTypes = [...subject.predicateTypes, "urn:nix-airgap:approval:v1" as const];
  const about = { sha256: subject.thing.sha256, predicateTypes };
  return checkApprovals(subject.approvals, about, keys).approvals.map((approval) => {
    const statement = approval.state === "valid" ? approval.statement : approval.unverifiedStatement;
    return {
      file: approval.file,
      role: statement?.predicate.role ?? approval.role,
      signer: statement ? saysSigner(statement) : null,
      decision: statement?.predicate.decision ?? null,
      holds: approval.state === "valid",
    };
  });
}
