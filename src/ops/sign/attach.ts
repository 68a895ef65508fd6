/** A signature that was made elsewhere: an approval file of this or another program, or a bare signature over what was prepared. */
import { AirgapError, fail } from "../../errors.js";
import type { Statement } from "../../generated/types.js";
import { exists, readSmallFile } from "../../host/files.js";
import { findSigner, readForeignEnvelope } from "../../trust/approval.js";
import { MAX_ENVELOPE, payloadOf } from "../../trust/dsse.js";
import { derFromRaw } from "../../trust/ecdsa.js";
import type { VerificationKey } from "../../trust/keys.js";
import { dearmorSshSignature } from "../../trust/ssh-signature.js";
import { parseStatement } from "../../trust/statement.js";
import { readApprovalFile } from "../side-approvals.js";
import type { SignMeans } from "./signer.js";

/** A statement, and one of the keys, which signed it. */
export interface Attachment {
  readonly payload: Buffer;
  readonly signature: Buffer;
  readonly key: VerificationKey;
  readonly statement: Statement;
}

/**
 * @throws PREPARED_INVALID, ATTACH_REFUSED where none of the keys made it, APPROVAL_MALFORMED, BUNDLE_NOT_FOUND, DISK
 */
export async function readAttachment({
  file,
  prepared,
  keys,
}: Extract<SignMeans, { kind: "attach" }>): Promise<Attachment> {
  const bytes = await readApprovalFile(file);
  const envelope = readForeignEnvelope(bytes);
  const payload = envelope?.payload ?? (await readPrepared(file, prepared));
  for (const signature of envelope === null ? signaturesIn(bytes) : [envelope.signature]) {
    const signed = findSigner({ payload, signature }, keys);
    if (signed !== null) return { payload, signature, key: signed.key, statement: parseStatement(payload) };
  }
  return fail("ATTACH_REFUSED", {
    subject: file,
    expected: `a signature by ${keys.map(({ name }) => name).join(" or ")}`,
    actual: envelope === null ? `${bytes.length} bytes that are none over what was prepared` : "another",
  });
}

async function readPrepared(file: string, prepared: string | null): Promise<Buffer> {
  const path = prepared ?? file.replace(/\.[^./]+$/, "");
  if (path === file || !(await exists(path))) {
    return fail("PREPARED_INVALID", {
      subject: path,
      actual: "no such file",
      hint: "Give --prepared with the file that --prepare wrote: a bare signature does not say what it signed.",
    });
  }
  const payload = payloadOf((await readSmallFile(path, MAX_ENVELOPE)) ?? Buffer.alloc(0));
  return payload ?? fail("PREPARED_INVALID", { subject: path });
}

/** As programs write them: raw bytes, r and s beside each other, DER, OpenSSH's armour. */
function signaturesIn(bytes: Buffer): Buffer[] {
  if (bytes.toString("latin1", 0, 5) === "-----") {
    try {
      return [dearmorSshSignature(bytes.toString("latin1"))];
    } catch (error) {
      if (error instanceof AirgapError && error.code === "SIGNATURE_INVALID") return [];
      throw error;
    }
  }
  return bytes.length === 64 ? [bytes, derFromRaw(bytes)] : [bytes];
}
