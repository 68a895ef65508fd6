/** The card that travels on paper: by it people on both sides compare a policy, its keys, and the program. */
import { hashOfFile } from "../../bundle/medium.js";
import type { PolicyCard, PolicyReport } from "../../generated/types.js";
import { VERSION } from "../../generated/version.js";
import { fileSize } from "../../host/files.js";
import { isOneFile, programFile } from "../../host/program.js";
import { partOf } from "../../segments.js";
import type { Policy } from "../../trust/policy.js";
import type { Context } from "../context.js";
import { readPolicy } from "../site.js";

/** `path`: of a policy file. @throws POLICY_MISSING, POLICY_INVALID, DISK */
export async function showPolicy(path: string, context: Context): Promise<PolicyReport> {
  const { policy } = await readPolicy(path);
  return { format: "nix-airgap-policy-card", exit: 0, path, card: await cardOf(policy, context) };
}

export async function cardOf({ document, reference, keys }: Policy, context: Context): Promise<PolicyCard> {
  return {
    name: document.name,
    version: reference.version,
    sha256: reference.sha256,
    expires: document.expires,
    program: { version: VERSION, sha256: await programHash(context) },
    keys: [...keys.values()].map(({ verification, signer, entry }) => ({
      hash: verification.hash,
      holder: `${signer.name} <${signer.id}>`,
      kind: signer.kind,
      roles: entry.roles,
      scheme: entry.scheme,
      revoked: entry.revoked !== null,
    })),
  };
}

/** A release is one file, which its worker threads begin in too. */
async function programHash({ workerEntry, signal }: Context): Promise<string | null> {
  if (!isOneFile(workerEntry)) return null;
  const path = programFile(workerEntry);
  return hashOfFile({ name: path, ...partOf(path, await fileSize(path)) }, signal);
}
