/** trust init: a site pins its first policy, by the hash that came to it on paper. */

import { fail } from "../../errors.js";
import type { TrustReport } from "../../generated/types.js";
import { timeOf } from "../../time.js";
import { newState } from "../../trust/site-state.js";
import type { Context } from "../context.js";
import { recordIn } from "../record.js";
import { readPolicy, readState, type SitePlace, withSiteLock, writePolicy } from "../site.js";
import { trustEvent, trustReport } from "./report.js";

export interface TrustInitOptions {
  /** A policy file; absolute. */
  readonly policy: string;
  /** Hex, from the card. */
  readonly sha256: string;
  readonly place: SitePlace;
}

/**
 * Doing it again with the same policy changes nothing.
 *
 * @throws POLICY_HASH where the file is another, STATE_EXISTS, POLICY_MISSING, POLICY_INVALID, LOCKED, DISK, NO_SPACE
 */
export async function trustInit(
  { policy: path, sha256, place }: TrustInitOptions,
  context: Context,
): Promise<TrustReport> {
  const { policy, bytes } = await readPolicy(path);
  const { reference } = policy;
  if (reference.sha256 !== sha256) {
    fail("POLICY_HASH", {
      subject: path,
      expected: sha256,
      actual: reference.sha256,
      hint: "This is not the policy on the card, or the hash was mistyped. Nothing was changed.",
    });
  }
  return withSiteLock(place, async () => {
    const before = await readState(place);
    if (before !== null && before.policy.sha256 !== sha256) {
      fail("STATE_EXISTS", { subject: place.stateDir, actual: `policy version ${before.policy.version}` });
    }
    // Also where an earlier try was stopped before the policy had its place.
    const state = before ?? newState(reference, timeOf(context.now()));
    const happening = trustEvent("init", { policy: path });
    await writePolicy(place, bytes, await recordIn(place, state, happening, context));
    return trustReport("init", place, {
      verdict: before === null ? "done" : "already-done",
      before: before?.policy ?? null,
      after: reference,
    });
  });
}
