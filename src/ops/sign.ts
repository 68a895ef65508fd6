/**
 * sign: one more approval beside what it is about (a bundle, its document alone, a flake.lock, a policy), which stays as it
 * is. Only over what holds together, and only after the signer has seen what they sign. Contents of blobs are not read:
 * whoever wants that runs verify.
 */
import { basename, dirname, join, resolve } from "node:path";
import { tarInParts } from "../bundle/medium.js";
import { shellCommand } from "../bundle/site-commands.js";
import { AirgapError, EXIT, exitOf, type Finding, fail } from "../errors.js";
import type { SignReport, SignSummary } from "../generated/types.js";
import { removeTree, writeNewFile } from "../host/files.js";
import { withLock } from "../host/lock.js";
import { makeRunDir } from "../host/run-dir.js";
import { type ApprovalFile, approvalFile } from "../trust/approval.js";
import { preAuthEncoding } from "../trust/dsse.js";
import { formatStatement } from "../trust/statement.js";
import type { Context } from "./context.js";
import { auditBundle, record } from "./record.js";
import { reportedFindings } from "./reports.js";
import { type Attachment, readAttachment } from "./sign/attach.js";
import { openSigner, type Signer, type SignMeans } from "./sign/signer.js";
import { checkOwn, openFindings, sameWord } from "./sign/standing.js";
import { openSubject, type Refusal, resolveSubject, type Subject } from "./sign/subject.js";
import { summarise } from "./sign/summary.js";
import { describeWord, madeApproval, type WordOptions, wordOf } from "./sign/word.js";
import type { SitePlace } from "./site.js";

export interface SignOptions extends WordOptions {
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
  const tarName = tarInParts(resolved);
  if (tarName !== null) return refuseParts(path, tarName);
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

/** With the commands that lead there. */
function refuseParts(path: string, tarName: string): never {
  const tar = shellCommand([tarName]);
  const commands = [
    `nix-airgap bundle join-parts ${shellCommand([path])} --out ${tar}`,
    `nix-airgap sign ${tar} …`,
    `nix-airgap bundle split ${tar} --size SIZE --out FOLDER`,
  ];
  return fail("PARTS_SIGN", {
    subject: path,
    hint: `Nothing was changed. Sign the whole: ${commands.join("; ")}. With the same SIZE only the last parts, the index and the hashes differ from before.`,
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
    await writeNewFile(signer.out, signer.out.endsWith(".json") ? payload : preAuthEncoding(payload));
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

function open(subject: Subject, { policy }: SignOptions, file?: ApprovalFile) {
  // Of a document alone the other approvals are elsewhere.
  if (subject.thing.kind === "document") return {};
  return { openFindings: reportedFindings(openFindings(subject, policy, file === undefined ? [] : [file])) };
}

/** How the programs that people have sign what was prepared, and how it comes back: to be typed as it stands, but for KEY. */
function nextCommands({ thing }: Subject, prepared: string): string[] {
  const attach = (file: string) =>
    `nix-airgap sign ${shellCommand([thing.path])} --attach ${shellCommand([file])} --public-key KEY`;
  const file = shellCommand([prepared]);
  const signature = `${prepared}.sig`;
  const out = shellCommand([signature]);
  if (prepared.endsWith(".json")) {
    const bundle = prepared.replace(/\.json$/, ".sigstore.json");
    return [
      `cosign attest-blob --key KEY --statement ${file} --bundle ${shellCommand([bundle])} --tlog-upload=false --use-signing-config=false`,
      attach(bundle),
    ];
  }
  return [
    `a token, Ed25519:  pkcs11-tool --sign --mechanism EDDSA --input-file ${file} --output-file ${out}`,
    `a token, P-256:    openssl dgst -sha256 -binary ${file} > digest && pkcs11-tool --sign --mechanism ECDSA --input-file digest --output-file ${out}`,
    `OpenSSH:           ssh-keygen -Y sign -n nix-airgap -f KEY ${file}`,
    `then:              ${attach(signature)}`,
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
