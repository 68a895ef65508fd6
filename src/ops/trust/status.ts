/** trust status: what a site trusts by, and what it took. Only reads. */
import type { TrustStatusReport } from "../../generated/types.js";
import { timeOf } from "../../time.js";
import type { Context } from "../context.js";
import { openSite, type SitePlace } from "../site.js";

/** @throws what `openSite` throws */
export async function trustStatus(place: SitePlace, context: Context): Promise<TrustStatusReport> {
  const { policy, state, isHalfUpdated } = await openSite(place);
  const { name, expires } = policy.document;
  return {
    format: "nix-airgap-trust-status",
    exit: 0,
    site: { ...place },
    policy: { ...policy.reference, name, expires },
    lastSeen: state.lastSeen,
    now: timeOf(context.now()),
    isHalfUpdated,
    importKey: null,
    products: state.products,
  };
}
