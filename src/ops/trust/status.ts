/** trust status: what a site trusts by, and what it took. Only reads. */

import { AirgapError } from "../../errors.js";
import type { TrustStatusReport } from "../../generated/types.js";
import { formatPublicKey } from "../../nix/signature.js";
import { timeOf } from "../../time.js";
import type { Context } from "../context.js";
import { readImportKey } from "../import-key.js";
import { openSite, type SitePlace } from "../site.js";

/** Null where there is none, or it is not for us to read. */
async function publicImportKey(place: SitePlace): Promise<string | null> {
  const key = await readImportKey(place).catch((error: unknown) => {
    if (error instanceof AirgapError && error.code === "DISK") return null;
    throw error;
  });
  return key === null ? null : formatPublicKey(key.publicKey);
}

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
    importKey: await publicImportKey(place),
    products: state.products,
  };
}
