/**
 * sign: one more approval beside a bundle's document, which stays as it is. Only over a document that holds together:
 * a broken bundle is refused with what is wrong. Contents of blobs are not read: whoever wants that runs verify.
 */
import { realpath } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { classify, DOCUMENT_NAME, INDEX_NAME, MAX_DOCUMENT_SIZE } from "../bundle/layout.js";
import { openMedium } from "../bundle/medium.js";
import { completeSignature, readApprovals, setApprovals } from "../bundle/set-approvals.js";
import { type Code, EXIT, exitOf, fail } from "../errors.js";
import type { MadeApproval, SignReport, VerifyReport } from "../generated/types.js";
import { errorCode, withDiskErrors } from "../host/files.js";
import { withLock } from "../host/lock.js";
import { formatHex, hashOf } from "../nix/hash.js";
import type { SecretKey } from "../nix/signature.js";
import { formatTime } from "../time.js";
import { approvalFileName, checkApprovals, makeApproval } from "../trust/approval.js";
import { keyHash } from "../trust/keys.js";
import { type BoundDocument, makeStatement } from "../trust/statement.js";
import type { Context } from "./context.js";
import { reportedFindings } from "./reports.js";
import { verify } from "./verify.js";

export interface SignOptions {
  readonly secretKey: SecretKey;
  /** `[a-z0-9][a-z0-9._-]{0,31}` */
  readonly role: string;
}

const ROLE = /^[a-z0-9][a-z0-9._-]{0,31}$/;

/**
 * Signs a bundle, directory or tar, in place. A signature that was interrupted before is completed first. A bundle that
 * this key has approved in this role stays byte for byte as it is.
 *
 * @throws AirgapError USAGE for the role, BUNDLE_NOT_FOUND, LOCKED, TAIL_INVALID, DISK, NO_SPACE, INTERRUPTED.
 * What is wrong with the bundle is in the report, and then nothing was signed.
 */
export async function sign(bundlePath: string, options: SignOptions, context: Context): Promise<SignReport> {
  if (!ROLE.test(options.role)) {
    fail("USAGE", {
      subject: "the role",
      expected: "lower-case letters, digits and ._-, at most 32",
      actual: JSON.stringify(options.role),
    });
  }
  const path = await resolveBundle(bundlePath);
  return withLock(join(dirname(path), `.${basename(path)}.lock`), () => signLocked(path, options, context));
}

/** The lock and the journal lie beside the bundle itself, not beside a symlink to it. */
async function resolveBundle(path: string): Promise<string> {
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

async function signLocked(path: string, options: SignOptions, context: Context): Promise<SignReport> {
  let completed = await completeSignature(path);
  let verified = await verifyDocument(path, context);
  if (verified.findings.length > 0 && verified.findings.every(mayBeInterrupted)) {
    // Only what signing writes is wrong: writing it anew says nothing about the rest.
    const { medium } = await openMedium(path, { allowExtra: false });
    await setApprovals(path, await readApprovals(medium));
    completed = true;
    verified = await verifyDocument(path, context);
  }
  const report = reporter(path, completed, verified);
  if (verified.findings.length > 0)
    return report("refused", { exit: verified.exit, findings: verifyFindings(verified) });

  const { secretKey, role } = options;
  const { medium } = await openMedium(path, { allowExtra: false });
  const documentSha256 = formatHex(hashOf("sha256", await medium.read(DOCUMENT_NAME, MAX_DOCUMENT_SIZE)));
  if (documentSha256 !== verified.bundle.sha256) {
    fail("DISK", { subject: path, hint: "The bundle was changed while it was being signed: sign it again." });
  }
  const approvals = await readApprovals(medium);
  const file = approvalFileName(role, secretKey.publicKey);
  const earlier = approvals.get(file);
  if (earlier !== undefined) {
    const { approvals: own, findings } = checkApprovals(new Map([[file, earlier]]), documentSha256, [
      secretKey.publicKey,
    ]);
    const [approval] = own;
    if (approval?.state !== "valid") {
      return report("refused", { exit: exitOf(findings), findings: reportedFindings(findings) });
    }
    return report("already-signed", { approval: made(file, options, approval.statement.predicate.signedAt) });
  }

  const signedAt = formatTime(Math.floor(context.now().getTime() / 1000));
  const { name: keyName } = secretKey.publicKey;
  const document = boundDocument(verified);
  const statement = makeStatement({ document, documentSha256, role, signedAt, keyName });
  const approval = makeApproval(statement, secretKey);
  if (context.signal.aborted) fail("INTERRUPTED", { subject: path });
  await setApprovals(path, new Map([...approvals, [approval.fileName, approval.bytes]]));
  return report("signed", { approval: made(file, options, signedAt) });
}

/** All but contents and origin. */
function verifyDocument(path: string, context: Context): Promise<VerifyReport> {
  const options = { publicKeys: [], integrityOnly: true, documentOnly: true, allowExtra: false };
  return verify(path, options, context);
}

const LEFT_BY_INTERRUPTION: ReadonlySet<string> = new Set<Code>([
  "DERIVED_DIFFERS",
  "DERIVED_MISSING",
  "FILE_UNLISTED",
  "INDEX_MANIFEST",
]);

/** What an interrupted signature of a directory, or an OCI tool, leaves: an old index, or small blobs that are not named. */
function mayBeInterrupted({ code, subject }: VerifyReport["findings"][number]): boolean {
  return (
    LEFT_BY_INTERRUPTION.has(code) &&
    subject !== null &&
    (subject === INDEX_NAME || classify(subject) === "blob")
  );
}

function boundDocument({ bundle }: VerifyReport): BoundDocument {
  const { product, release, sequence, systems, tier } = bundle;
  if (product === null || release === null || sequence === null || systems === null || tier === null) {
    throw new TypeError("a verified document has all its fields");
  }
  return { product, release, sequence, systems, tier };
}

function made(file: string, { role, secretKey }: SignOptions, signedAt: string): MadeApproval {
  const { publicKey } = secretKey;
  return { file, role, keyName: publicKey.name, keyHash: keyHash(publicKey), signedAt };
}

function verifyFindings({ findings }: VerifyReport): SignReport["findings"] {
  return findings.map(({ step: _step, line: _line, offset: _offset, ...finding }) => finding);
}

function reporter(path: string, completed: boolean, { bundle }: VerifyReport) {
  const { kind, sha256, product, release, sequence, systems, tier } = bundle;
  return (
    verdict: SignReport["verdict"],
    rest: Partial<Pick<SignReport, "approval" | "exit" | "findings">>,
  ): SignReport => ({
    format: "nix-airgap-sign",
    verdict,
    exit: EXIT.yes,
    completed,
    bundle: { path, kind, sha256, product, release, sequence, systems, tier },
    approval: null,
    findings: [],
    ...rest,
  });
}
