/**
 * sign: one more approval beside what it is about (a bundle, its document alone, a flake.lock, a policy), which stays as it
 * is. Only over what holds together, and only after the signer has seen what they sign. Contents of blobs are not read:
 * whoever wants that runs verify.
 */
import { basename, dirname, join, resolve } from "node:path";
import { AirgapError, EXIT, exitOf, type Finding, fail } from "../errors.js";
import type { MadeApproval, SignerIdentity, SignReport, SignSummary } from "../generated/types.js";
import { exists, removeTree, writeFileAtomic } from "../host/files.js";
import { withLock } from "../host/lock.js";
import { makeRunDir } from "../host/run-dir.js";
import { timeOf } from "../time.js";
import {
  type ApprovalFile,
  approvalFile,
  approvalFileName,
  checkApprovals,
  type ValidApproval,
} from "../trust/approval.js";
import { preAuthEncoding } from "../trust/dsse.js";
import { judge, type Requirement } from "../trust/judge.js";
import type { VerificationKey } from "../trust/keys.js";
import { POLICY_ROLE, type Policy, verificationKeys } from "../trust/policy.js";
import { checkBinding, formatStatement, type PersonalWord, saysSigner } from "../trust/statement.js";
import type { Context } from "./context.js";
import { auditBundle, record } from "./record.js";
import { reportedFindings } from "./reports.js";
import { type Attachment, readAttachment } from "./sign/attach.js";
import { openSigner, type Signer, type SignMeans } from "./sign/signer.js";
import { openSubject, type Refusal, resolveSubject, type Subject } from "./sign/subject.js";
import { reviewedDocuments, summarise } from "./sign/summary.js";
import type { SitePlace } from "./site.js";

export interface SignOptions {
  /** `[a-z0-9][a-z0-9._-]{0,31}`. Not asked for with an attachment, whose statement says it. */
  readonly role?: string;
  /** What the signature means (21 CFR 11.50). The same. */
  readonly meaning?: string;
  readonly decision: "approved" | "rejected";
  /** Who signs; default: whom the policy names for the key. */
  readonly signer?: SignerIdentity;
  /** The policy that the signer has before them. */
  readonly policy?: Policy;
  /** Names of the bundle's documents, or files, that were reviewed. */
  readonly documents: readonly string[];
  /** The bundle of the release before, or its bundle.json: to see what changed. */
  readonly previous?: string;
  /** Folder for the approval of a bundle.json that is alone; default: the current one. */
  readonly out?: string;
  readonly means: SignMeans;
  /** A site whose log this belongs into; where nobody remembers anything there, nothing is recorded. */
  readonly place?: SitePlace;
  /** Shows what is to be signed, and asks. False: nothing was signed. */
  readonly confirm: (summary: SignSummary) => Promise<boolean>;
}

const ROLE = /^[a-z0-9][a-z0-9._-]{0,31}$/;

/**
 * Signs in place, or beside. A signature that was interrupted before is completed first. What this key has said in this role
 * before stays byte for byte as it is.
 *
 * @throws AirgapError USAGE, KEY_INVALID, NOT_CONFIRMED, SSH_KEYGEN, PREPARED_INVALID, BUNDLE_NOT_FOUND, OUT_EXISTS,
 * FLAKE_LOCK_INVALID, POLICY_INVALID, LOCKED, TAIL_INVALID, DISK, NO_SPACE, INTERRUPTED.
 * What is wrong with the bundle or an attachment is in the report, and then nothing was signed.
 */
export async function sign(path: string, options: SignOptions, context: Context): Promise<SignReport> {
  const report = await signUnderLock(path, options, context);
  if (options.place !== undefined && (report.verdict === "signed" || report.verdict === "attached")) {
    await recordApproval(report, options.place, context);
  }
  return report;
}

/** Who may only look at the site's log has signed all the same. */
async function recordApproval(
  { verdict, exit, subject, approval }: SignReport,
  place: SitePlace,
  context: Context,
): Promise<void> {
  const details = {
    what: subject.kind,
    path: subject.path,
    signer: approval?.signer ?? null,
    role: approval?.role ?? null,
    decision: approval?.decision ?? null,
    key: approval?.keyHash ?? null,
  };
  const bundle = subject.product === null ? null : auditBundle(subject);
  try {
    await record(place, { event: "approval", verdict, exit, bundle, details }, context);
  } catch (error) {
    if (!(error instanceof AirgapError) || error.exit !== EXIT.disk) throw error;
    context.report({ type: "note", text: `not recorded in the site's log: ${error.message}` });
  }
}

async function signUnderLock(path: string, options: SignOptions, context: Context): Promise<SignReport> {
  const resolved = await resolveSubject(path);
  return withLock(join(dirname(resolved), `.${basename(resolved)}.lock`), async () => {
    const subject = await openSubject(resolved, resolve(context.cwd, options.out ?? "."), context);
    if (!("put" in subject)) return refused(subject, [...subject.findings], subject.exit);
    const { means } = options;
    if (means.kind === "attach") return attach(subject, await readAttachment(means), options, context);
    const tempDir = await makeRunDir("sign", context.tmpDir);
    try {
      return await signSubject(subject, await openSigner(means, tempDir, context), options, context);
    } finally {
      await removeTree(tempDir);
    }
  });
}

async function signSubject(
  subject: Subject,
  signer: Signer,
  options: SignOptions,
  context: Context,
): Promise<SignReport> {
  const word = await wordOf(subject, signer.key, options, context);
  const earlier = signer.key === null ? null : sameWord(subject, signer.key, word);
  if (earlier !== null && "findings" in earlier) return refused(subject, reportedFindings(earlier.findings));
  if (earlier !== null) {
    return report(subject, "already-signed", { approval: madeApproval(earlier), ...open(subject, options) });
  }
  const summary = await summarise(subject, word, {
    policy: options.policy ?? null,
    previous: options.previous === undefined ? null : resolve(context.cwd, options.previous),
    openFindings: openFindings(subject, options.policy, []),
  });
  if (!(await options.confirm(summary))) fail("NOT_CONFIRMED", { subject: subject.thing.path });
  if (context.signal.aborted) fail("INTERRUPTED", { subject: subject.thing.path });

  const payload = formatStatement(subject.statement(word));
  if (signer.kind === "prepare") {
    if (await exists(signer.out)) fail("OUT_EXISTS", { subject: signer.out });
    await writeFileAtomic(signer.out, signer.out.endsWith(".json") ? payload : preAuthEncoding(payload));
    return report(subject, "prepared", {
      summary,
      approval: describeWord(word, signer.key, null),
      next: nextCommands(subject, signer.out),
    });
  }
  const signature = await signer.sign(preAuthEncoding(payload));
  const file = approvalFile({ payload, signature, key: signer.key, role: word.role });
  // Whoever made the signature: it is looked at as a site will, before it is anywhere.
  const { findings } = checkOwn(subject, file, signer.key);
  if (findings.length > 0) return refused(subject, reportedFindings(findings));
  const place = await subject.put(file);
  return report(subject, "signed", {
    summary,
    approval: describeWord(word, signer.key, place),
    ...open(subject, options, file),
  });
}

/** @throws USAGE where something is missing that a signature must say */
async function wordOf(
  subject: Subject,
  key: VerificationKey | null,
  options: SignOptions,
  context: Context,
): Promise<PersonalWord> {
  const { role, meaning, decision, policy } = options;
  if (role === undefined || !ROLE.test(role)) {
    return usage("--role", "lower-case letters, digits and ._-, at most 32", JSON.stringify(role ?? ""));
  }
  if (subject.thing.kind === "policy" && role !== POLICY_ROLE) {
    return usage("--role", `${POLICY_ROLE}, in which policies are signed`, role);
  }
  if (meaning === undefined || !/^[^\p{Cc}\p{Zl}\p{Zp}]{1,500}$/u.test(meaning)) {
    return usage(
      "--meaning",
      "what your signature means, in one line of at most 500 characters",
      meaning ?? "nothing",
    );
  }
  const named = key === null ? undefined : policy?.keys.get(key.hash)?.signer;
  const signer = options.signer ?? (named && { id: named.id, name: named.name });
  if (signer === undefined) {
    return usage(
      "--signer",
      "who signs, as 'Printed Name <id>'",
      policy === undefined ? "neither --signer nor --policy" : "a policy that does not have this key",
    );
  }
  return {
    signer,
    role,
    meaning,
    decision,
    signedAt: timeOf(context.now()),
    policy: policy?.reference ?? null,
    documents: await reviewedDocuments(subject, options.documents, context),
  };
}

/** What this key has said in this role before, if it was the same; findings where that cannot be read. */
function sameWord(
  subject: Subject,
  key: VerificationKey,
  word: PersonalWord,
): ValidApproval | { readonly findings: readonly Finding[] } | null {
  const name = approvalFileName(word.role, key);
  const found = [...subject.approvals].find(([file]) => basename(file) === name);
  if (found === undefined) return null;
  const predicateTypes = [...subject.predicateTypes, "urn:nix-airgap:approval:v1" as const];
  const { approvals, findings } = checkApprovals(
    new Map([found]),
    { sha256: subject.thing.sha256, predicateTypes },
    [key],
  );
  const [approval] = approvals;
  if (approval?.state !== "valid") return { findings };
  const before = approval.statement.predicate;
  if (before.decision !== word.decision) return null;
  return "meaning" in before && before.meaning !== word.meaning ? null : approval;
}

/** A signature that was made elsewhere: checked as a site would, then put where it belongs. */
async function attach(
  subject: Subject,
  { payload, signature, key, statement }: Attachment,
  options: SignOptions,
  context: Context,
): Promise<SignReport> {
  const { role } = statement.predicate;
  const file = approvalFile({ payload, signature, key, role });
  const { findings, approval } = checkOwn(subject, file, key);
  if (findings.length > 0 || approval === null) return refused(subject, reportedFindings(findings));
  if (context.signal.aborted) fail("INTERRUPTED", { subject: subject.thing.path });
  const place = await subject.put(file);
  return report(subject, "attached", {
    approval: { ...madeApproval(approval), file: place },
    ...open(subject, options, file),
  });
}

/** An approval that is not in its place yet, looked at as a verifier will. */
function checkOwn(
  subject: Subject,
  { fileName, bytes }: ApprovalFile,
  key: VerificationKey,
): { readonly findings: readonly Finding[]; readonly approval: ValidApproval | null } {
  const { sha256 } = subject.thing;
  const { approvals, findings } = checkApprovals(
    new Map([[fileName, bytes]]),
    { sha256, predicateTypes: subject.predicateTypes },
    [key],
  );
  const [approval] = approvals;
  if (approval?.state !== "valid" || findings.length > 0) return { findings, approval: null };
  const { statement } = approval;
  if (subject.document === null || !("product" in statement.predicate)) return { findings, approval };
  const about = statement as Parameters<typeof checkBinding>[0];
  const unbound = checkBinding(about, subject.document, fileName);
  return { findings: unbound, approval: unbound.length > 0 ? null : approval };
}

/** What the policy still asks for, with these approvals. */
function openFindings(
  { thing, approvals, predicateTypes, document }: Subject,
  policy: Policy | undefined,
  added: readonly ApprovalFile[],
): Finding[] {
  if (policy === undefined) return [];
  const requirement = requirementFor(thing.kind, document?.product ?? null, policy);
  if (requirement === null) return [];
  const files = new Map([...approvals].map(([name, bytes]) => [basename(name), bytes]));
  for (const { fileName, bytes } of added) files.set(fileName, bytes);
  const types = [...predicateTypes, "urn:nix-airgap:approval:v1" as const];
  const subject = { sha256: thing.sha256, predicateTypes: types };
  const checked = checkApprovals(files, subject, verificationKeys(policy));
  const valid = checked.approvals.filter((approval) => approval.state === "valid");
  const bad = checked.findings.filter(
    ({ code }) => code !== "APPROVAL_MISSING" && code !== "APPROVAL_UNTRUSTED",
  );
  return [...bad, ...judge(valid, requirement, policy).findings];
}

function requirementFor(
  kind: Subject["thing"]["kind"],
  product: string | null,
  { document }: Policy,
): Requirement | null {
  switch (kind) {
    case "flake.lock":
      return document.flakeLocks;
    case "policy": {
      const { persons } = document.policySigners;
      return { approvals: [{ role: POLICY_ROLE, persons }], persons: 0 };
    }
    case "bundle":
    case "document":
      return document.products.find((rule) => rule.product === product) ?? null;
  }
}

function open(subject: Subject, { policy }: SignOptions, file?: ApprovalFile) {
  // Of a document alone the other approvals are elsewhere.
  if (subject.thing.kind === "document") return {};
  return { openFindings: reportedFindings(openFindings(subject, policy, file === undefined ? [] : [file])) };
}

function describeWord(word: PersonalWord, key: VerificationKey | null, file: string | null): MadeApproval {
  const { role, meaning, decision, signedAt, signer } = word;
  return {
    file,
    role,
    meaning,
    decision,
    signedAt,
    signer: `${signer.name} <${signer.id}>`,
    keyName: key?.name ?? null,
    keyHash: key?.hash ?? null,
    scheme: key?.scheme ?? null,
  };
}

function madeApproval({ file, role, key, statement }: ValidApproval): MadeApproval {
  const { predicate } = statement;
  return {
    file,
    role,
    meaning: "meaning" in predicate ? predicate.meaning : null,
    decision: predicate.decision,
    signedAt: predicate.signedAt,
    signer: saysSigner(statement),
    keyName: key.name,
    keyHash: key.hash,
    scheme: key.scheme,
  };
}

/** How the programs that people have sign what was prepared, and how it comes back. */
function nextCommands({ thing }: Subject, prepared: string): string[] {
  if (prepared.endsWith(".json")) {
    const bundle = prepared.replace(/\.json$/, ".sigstore.json");
    return [
      `cosign attest-blob --key KEY --statement ${prepared} --bundle ${bundle} --tlog-upload=false --use-signing-config=false`,
      `nix-airgap sign ${thing.path} --attach ${bundle} --public-key KEY`,
    ];
  }
  return [
    `a token, Ed25519:  pkcs11-tool --sign --mechanism EDDSA --input-file ${prepared} --output-file ${prepared}.sig`,
    `a token, P-256:    openssl dgst -sha256 -binary ${prepared} > digest && pkcs11-tool --sign --mechanism ECDSA --input-file digest --output-file ${prepared}.sig`,
    `OpenSSH:           ssh-keygen -Y sign -n nix-airgap -f KEY ${prepared}`,
    `then:              nix-airgap sign ${thing.path} --attach ${prepared}.sig --public-key KEY`,
  ];
}

function refused(
  { thing, completed }: Pick<Refusal, "thing" | "completed">,
  findings: SignReport["findings"],
  exit: number = exitOf(findings as readonly { code: Finding["code"] }[]),
): SignReport {
  return report({ thing, completed }, "refused", { exit, findings });
}

function report(
  { thing, completed }: Pick<Refusal, "thing" | "completed">,
  verdict: SignReport["verdict"],
  rest: Partial<SignReport>,
): SignReport {
  return {
    format: "nix-airgap-sign",
    verdict,
    exit: EXIT.yes,
    completed,
    subject: thing,
    approval: null,
    summary: null,
    findings: [],
    openFindings: [],
    next: [],
    ...rest,
  };
}

function usage(subject: string, expected: string, actual: string): never {
  return fail("USAGE", { subject, expected, actual });
}
