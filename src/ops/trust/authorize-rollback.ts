/**
 * trust authorize-rollback: a signed word that lets sites take an older release again, until it expires. One signature a
 * file; a policy may ask for several persons.
 */
import { join, resolve } from "node:path";
import { exitOf, fail } from "../../errors.js";
import type { RollbackReport, SignerIdentity } from "../../generated/types.js";
import { removeTree, writeNewFile } from "../../host/files.js";
import { makeRunDir } from "../../host/run-dir.js";
import { isTime, timeOf } from "../../time.js";
import { approvalFile } from "../../trust/approval.js";
import { preAuthEncoding } from "../../trust/dsse.js";
import { type Policy, ROLLBACK_ROLE } from "../../trust/policy.js";
import { formatStatement, rollbackStatement } from "../../trust/statement.js";
import type { Context } from "../context.js";
import { openSigner, type SignMeans } from "../sign/signer.js";
import { openSubject, resolveSubject } from "../sign/subject.js";
import { signerOf } from "../sign/word.js";

export interface RollbackOptions {
  /** Why sites may go back: the signature's meaning. */
  readonly reason: string;
  /** The highest sequence that such a site has taken. */
  readonly fromSequence: number;
  /** As `time.ts` writes it. */
  readonly expires: string;
  readonly signer?: SignerIdentity;
  readonly policy?: Policy;
  /** Folder for the file. */
  readonly out: string;
  readonly means: Extract<SignMeans, { kind: "key" | "ssh" }>;
}

/**
 * `path`: the bundle to go back to, or its bundle.json.
 *
 * @throws USAGE, KEY_INVALID, SSH_KEYGEN, BUNDLE_NOT_FOUND, OUT_EXISTS, DISK, NO_SPACE, INTERRUPTED
 */
export async function authorizeRollback(
  path: string,
  options: RollbackOptions,
  context: Context,
): Promise<RollbackReport> {
  const { expires, fromSequence, reason, policy } = options;
  const signedAt = timeOf(context.now());
  if (!isTime(expires) || expires <= signedAt) usage("--expires", `a time after ${signedAt}`, expires);
  const subject = await openSubject(await resolveSubject(path), context.cwd, context);
  const about = { format: "nix-airgap-rollback" as const, fromSequence, expires };
  if (!("put" in subject)) {
    const { product, release, sequence, sha256 } = subject.thing;
    const { exit } = subject;
    const findings = [...subject.findings];
    const nothing = { verdict: "refused" as const, file: null, signer: "", keyHash: null };
    return { ...about, ...nothing, exit, product, release, sequence, sha256, findings };
  }
  const { document, thing } = subject;
  if (document === null) return usage("BUNDLE", "a bundle, or its bundle.json", thing.kind);
  if (document.sequence >= fromSequence) {
    usage("--from", `more than ${document.sequence}, the bundle's own sequence`, String(fromSequence));
  }
  const tempDir = await makeRunDir("sign", context.tmpDir);
  try {
    const signer = await openSigner(options.means, tempDir, context);
    if (signer.kind !== "now") throw new TypeError("this signer signs now");
    const who = signerOf(signer.key, options);
    if (who === undefined) return usage("--signer", "who signs, as 'Printed Name <id>'", "nobody");
    const word = {
      signer: who,
      role: ROLLBACK_ROLE,
      meaning: reason,
      decision: "approved" as const,
      signedAt,
      policy: policy?.reference ?? null,
      documents: [],
    };
    const { sha256 } = thing;
    const payload = formatStatement(rollbackStatement(word, document, { sha256, fromSequence, expires }));
    const signature = await signer.sign(preAuthEncoding(payload));
    const file = approvalFile({ payload, signature, key: signer.key, role: ROLLBACK_ROLE });
    const out = join(resolve(context.cwd, options.out), file.fileName);
    await writeNewFile(out, file.bytes);
    const { product, release, sequence } = document;
    const made = { verdict: "signed" as const, file: out, signer: `${who.name} <${who.id}>` };
    const exit = exitOf([]);
    return {
      ...about,
      ...made,
      exit,
      product,
      release,
      sequence,
      sha256,
      keyHash: signer.key.hash,
      findings: [],
    };
  } finally {
    await removeTree(tempDir);
  }
}

function usage(subject: string, expected: string, actual: string): never {
  return fail("USAGE", { subject, expected, actual });
}
