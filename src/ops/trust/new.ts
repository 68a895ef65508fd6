/** trust new: the first policy, or the next, as a file for people to read, sign and carry. */
import { resolve } from "node:path";
import { fail } from "../../errors.js";
import type { PolicyReport } from "../../generated/types.js";
import { exists, writeFileAtomic } from "../../host/files.js";
import { timeOf } from "../../time.js";
import { parsePolicy } from "../../trust/policy.js";
import { type DraftOptions, draftPolicy } from "../../trust/policy-draft.js";
import type { Context } from "../context.js";
import { readPolicy } from "../site.js";
import { cardOf } from "./card.js";

export interface TrustNewOptions extends DraftOptions {
  readonly out: string;
  /** A policy file that the new one is to follow. */
  readonly after?: string;
}

/** @throws USAGE, POLICY_INVALID where nobody could meet it, POLICY_MISSING, OUT_EXISTS, DISK, NO_SPACE */
export async function trustNew(options: TrustNewOptions, context: Context): Promise<PolicyReport> {
  const out = resolve(context.cwd, options.out);
  if (await exists(out)) fail("OUT_EXISTS", { subject: out });
  const before =
    options.after === undefined ? null : (await readPolicy(resolve(context.cwd, options.after))).policy;
  const bytes = draftPolicy(options, before, timeOf(context.now()));
  const policy = parsePolicy(bytes, "the new policy");
  await writeFileAtomic(out, bytes);
  return { format: "nix-airgap-policy-card", exit: 0, path: out, card: await cardOf(policy, context) };
}
