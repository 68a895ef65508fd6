/** trust reset-clock: a person says that the clock had been ahead, and that it is right now. */
import type { TrustReport } from "../../generated/types.js";
import { timeOf } from "../../time.js";
import type { Context } from "../context.js";
import { openSite, type SitePlace, withSiteLock, writeState } from "../site.js";
import { trustReport } from "./report.js";

/** @throws what `openSite` throws; LOCKED, DISK, NO_SPACE */
export async function trustResetClock(place: SitePlace, context: Context): Promise<TrustReport> {
  return withSiteLock(place, async () => {
    const { policy, state } = await openSite(place);
    const now = timeOf(context.now());
    const { reference } = policy;
    const about = { before: reference, after: reference };
    if (now >= state.lastSeen)
      return trustReport("reset-clock", place, { verdict: "already-done", ...about });
    await writeState(place, { ...state, lastSeen: now });
    return trustReport("reset-clock", place, { verdict: "done", ...about });
  });
}
