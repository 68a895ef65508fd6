/**
 * Copies of one bundle on several media, some of them damaged: which document they are copies of, by whose word, and all
 * approvals that any of them has.
 */
import { parseDocument } from "../../bundle/document.js";
import {
  blobName,
  classify,
  DOCUMENT_NAME,
  MAX_APPROVAL_SIZE,
  MAX_DOCUMENT_SIZE,
} from "../../bundle/layout.js";
import { hashOfFile, type Medium, openMedium, tarInParts } from "../../bundle/medium.js";
import { AirgapError, type Code, fail } from "../../errors.js";
import { formatHex, hashOf } from "../../nix/hash.js";
import { bundleSubject, checkApprovals } from "../../trust/approval.js";
import { decisionOf } from "../../trust/judge.js";
import type { BundleParts } from "../bundle/sources.js";
import type { Context } from "../context.js";
import { VerifyLog } from "../verify/log.js";
import { authenticate, bind, keysOf, type Trust } from "../verify/trust.js";

export interface Copy {
  readonly medium: Medium;
  /** Hex SHA-256 of its bundle.json; null where that cannot be read. */
  readonly documentSha256: string | null;
}

/** `folders`: of parts, for those that are in parts. @throws AirgapError as `openMedium` does, INTERRUPTED */
export async function openCopies(
  paths: readonly string[],
  folders: readonly string[],
  { signal }: Pick<Context, "signal">,
): Promise<Copy[]> {
  const copies: Copy[] = [];
  for (const path of paths) {
    const parts = tarInParts(path) === null ? [] : folders;
    // What is wrong with it is why it is repaired: what counts is which files can be read.
    const { medium } = await openMedium(path, { allowExtra: true, isTolerant: true, parts });
    const file = medium.files.get(DOCUMENT_NAME);
    const isReadable = file !== undefined && file.size <= MAX_DOCUMENT_SIZE;
    const documentSha256 = isReadable ? await orNull(() => hashOfFile(file, signal)) : null;
    copies.push({ medium, documentSha256 });
  }
  return copies;
}

export interface Authenticated extends BundleParts {
  readonly sha256: string;
  readonly log: VerifyLog;
}

/**
 * The one document that somebody trusted has approved. Copies with another one are damaged, or of a stranger: what is taken of
 * them has the hash that this one says. Null where there is none; then the findings of the first are in `log`.
 *
 * @throws AirgapError MEDIA_DIFFER where several documents are approved, DISK
 */
export async function authenticateCopies(
  copies: readonly Copy[],
  trust: Trust,
): Promise<{ readonly authenticated: Authenticated | null; readonly log: VerifyLog }> {
  const variants = await approvalVariants(copies);
  const answers: { authenticated: Authenticated | null; log: VerifyLog; path: string }[] = [];
  for (const { medium, documentSha256 } of firstOfEach(copies)) {
    const approvals = chooseApprovals(variants, copies, { documentSha256, trust });
    const log = new VerifyLog(medium.path);
    log.bundle.kind = medium.kind;
    log.bundle.sha256 = documentSha256;
    authenticate(log, trust, { approvalFiles: approvals, documentSha256 });
    const authenticated = log.failed("V2")
      ? null
      : await read(medium, { sha256: documentSha256, approvals, log }, trust);
    answers.push({ authenticated, log, path: medium.path });
  }
  const good = answers.filter(({ authenticated }) => authenticated !== null);
  if (good.length > 1) {
    fail("MEDIA_DIFFER", {
      subject: good.map(({ path }) => path).join(", "),
      expected: "copies of one bundle",
      actual: good.map(({ authenticated }) => describe(authenticated!)).join(" and "),
    });
  }
  const answer = good[0] ?? answers[0];
  if (answer !== undefined) return answer;
  const log = new VerifyLog(copies[0]?.medium.path ?? "");
  log.find("V2", [{ code: "DOCUMENT_MISSING", subject: DOCUMENT_NAME }]);
  return { authenticated: null, log };
}

function describe({ document, sha256 }: Authenticated): string {
  return `${document.product} ${document.release} (${sha256})`;
}

function firstOfEach(copies: readonly Copy[]): (Copy & { readonly documentSha256: string })[] {
  const seen = new Map<string, Copy & { readonly documentSha256: string }>();
  for (const { medium, documentSha256 } of copies) {
    if (documentSha256 !== null && !seen.has(documentSha256))
      seen.set(documentSha256, { medium, documentSha256 });
  }
  return [...seen.values()];
}

async function read(
  medium: Medium,
  about: { readonly sha256: string; readonly approvals: Map<string, Buffer>; readonly log: VerifyLog },
  trust: Trust,
): Promise<Authenticated | null> {
  const { sha256, approvals, log } = about;
  const documentBytes = await medium.read(DOCUMENT_NAME, MAX_DOCUMENT_SIZE);
  if (formatHex(hashOf("sha256", documentBytes)) !== sha256) {
    return fail("DISK", { subject: DOCUMENT_NAME, hint: "The file changed while it was read." });
  }
  const { document, findings } = parseDocument(documentBytes);
  log.find("V3", findings);
  if (document === null) return null;
  log.document = document;
  const { created, product, release, sequence, systems, tier } = document;
  Object.assign(log.bundle, { created, product, release, sequence, systems, tier });
  bind(log, trust, document);
  return log.failed("V2") ? null : { sha256, document, documentBytes, approvals, log };
}

/** By name: what the copies hold under it, each text once. */
async function approvalVariants(copies: readonly Copy[]): Promise<Map<string, Buffer[]>> {
  const variants = new Map<string, Buffer[]>();
  for (const { medium } of copies) {
    for (const { name, size } of medium.files.values()) {
      if (classify(name) !== "approval" || size > MAX_APPROVAL_SIZE) continue;
      const bytes = await orNull(() => medium.read(name, MAX_APPROVAL_SIZE));
      const known = variants.get(name) ?? [];
      if (bytes === null || known.some((other) => other.equals(bytes))) continue;
      variants.set(name, [...known, bytes]);
    }
  }
  return variants;
}

/**
 * One text for each name, of those about this document. Not all can be judged: nobody needs to know every signer's key. But each is a blob as
 * well, so that of two texts the one is whole whose hash some medium has as a name. A text that is damaged everywhere stays:
 * it might be a rejection. And a rejection outlasts what the same person said otherwise.
 */
function chooseApprovals(
  variants: ReadonlyMap<string, readonly Buffer[]>,
  copies: readonly Copy[],
  { documentSha256, trust }: { readonly documentSha256: string; readonly trust: Trust },
): Map<string, Buffer> {
  const others = new Set(
    copies.flatMap((copy) => copy.documentSha256 ?? []).filter((other) => other !== documentSha256),
  );
  const isBlob = (bytes: Buffer) => {
    const name = blobName(formatHex(hashOf("sha256", bytes)));
    return copies.some(({ medium }) => medium.files.has(name));
  };
  const chosen = new Map<string, Buffer>();
  for (const [name, texts] of variants) {
    const judged = texts.map((text) => ({ text, ...judge(name, text, { documentSha256, trust }) }));
    // Another bundle's, which a stranger's medium may hold under the same name.
    const own = judged.filter(({ about }) => about === null || !others.has(about));
    const best =
      own.find(({ isRejection }) => isRejection) ??
      own.find(({ isValid }) => isValid) ??
      own.find(({ text }) => isBlob(text)) ??
      own[0];
    if (best !== undefined) chosen.set(name, best.text);
  }
  return chosen;
}

/** Whether a trusted key signed it for this document; and which document it says that it is about, if it says any. */
function judge(
  name: string,
  bytes: Buffer,
  { documentSha256, trust }: { readonly documentSha256: string; readonly trust: Trust },
): { readonly isValid: boolean; readonly isRejection: boolean; readonly about: string | null } {
  const { approvals } = checkApprovals(
    new Map([[name, bytes]]),
    bundleSubject(documentSha256),
    keysOf(trust),
  );
  const [approval] = approvals;
  if (approval?.state === "valid") {
    return { isValid: true, isRejection: decisionOf(approval) === "rejected", about: documentSha256 };
  }
  return {
    isValid: false,
    isRejection: false,
    about: approval?.unverifiedStatement?.subject[0]?.digest.sha256 ?? null,
  };
}

const UNREADABLE: ReadonlySet<Code> = new Set<Code>(["DISK", "FILE_TYPE"]);

/** Null for what the medium cannot give: another one may. */
async function orNull<T>(action: () => Promise<T>): Promise<T | null> {
  try {
    return await action();
  } catch (error) {
    if (error instanceof AirgapError && UNREADABLE.has(error.code)) return null;
    throw error;
  }
}
