/** trust update: a site follows the chain of policies, version by version, each signed as the old and the new one ask. */
import type { TrustReport } from "../../generated/types.js";
import { checkSuccession } from "../../trust/chain.js";
import { saysSigner } from "../../trust/statement.js";
import type { Context } from "../context.js";
import { recordIn } from "../record.js";
import { readSideApprovals } from "../side-approvals.js";
import { openSite, placePolicy, readPolicy, type SitePlace, withSiteLock, writePolicy } from "../site.js";
import { trustEvent, trustReport } from "./report.js";

/**
 * `policies`: files, absolute, in the order of their versions, each with its approvals beside it. All of them follow, or none does.
 * One that the site has already is passed over. Completes an update that was interrupted.
 *
 * @throws POLICY_MISSING, POLICY_INVALID, POLICY_HASH, STATE_MISSING, STATE_INVALID, LOCKED, DISK, NO_SPACE
 */
export async function trustUpdate(
  policies: readonly string[],
  place: SitePlace,
  context: Context,
): Promise<TrustReport> {
  return withSiteLock(place, async () => {
    const site = await openSite(place);
    if (site.isHalfUpdated) await placePolicy(place, site.policyBytes);
    const before = site.policy.reference;
    let current = site.policy;
    let bytes = site.policyBytes;
    const signers: string[] = [];
    for (const path of policies) {
      const next = await readPolicy(path);
      if (next.policy.reference.sha256 === current.reference.sha256) continue;
      const files = await readSideApprovals(path);
      const { approvals, findings } = checkSuccession(current, next.policy, { files, subject: path });
      if (findings.length > 0) {
        return trustReport("update", place, { verdict: "refused", before, after: before, findings });
      }
      for (const approval of approvals) {
        if (approval.state === "valid") signers.push(saysSigner(approval.statement));
      }
      current = next.policy;
      bytes = next.bytes;
    }
    const after = current.reference;
    if (after.sha256 === before.sha256) {
      return trustReport("update", place, { verdict: "already-done", before, after });
    }
    const happening = trustEvent("update", {
      from: `version ${before.version} ${before.sha256}`,
      signers: [...new Set(signers)].join(", "),
    });
    const state = { ...site.state, policy: after };
    await writePolicy(place, bytes, await recordIn(place, state, happening, context));
    return trustReport("update", place, { verdict: "done", before, after, signers });
  });
}
