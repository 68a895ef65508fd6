/** trust reset-clock: a person says that the clock had been ahead, and that it is right now. */
import type { TrustReport } from "../../generated/types.js";
import { timeOf } from "../../time.js";
import type { Context } from "../context.js";
import { recordIn } from "../record.js";
import { openSite, type SitePlace, withSiteLock, writeState } from "../site.js";
import { trustEvent, trustReport } from "./report.js";

/** @throws what `openSite` throws; LOCKED, DISK, NO_SPACE */
export async function trustResetClock(
  place: SitePlace,
  reason: string,
  context: Context,
): Promise<TrustReport> {
  return withSiteLock(place, async () => {
    const { policy, state } = await openSite(place);
    const now = timeOf(context.now());
    const { reference } = policy;
    const about = { before: reference, after: reference };
    if (now >= state.lastSeen)
      return trustReport("reset-clock", place, { verdict: "already-done", ...about });
    const happening = trustEvent("reset-clock", { reason, from: state.lastSeen });
    await writeState(place, await recordIn(place, { ...state, lastSeen: now }, happening, context));
    return trustReport("reset-clock", place, { verdict: "done", ...about });
  });
}
