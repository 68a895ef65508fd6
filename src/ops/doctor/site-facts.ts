/** What policy, state and import key of a site say, for doctor: also why they cannot be used. */
import { AirgapError } from "../../errors.js";
import { exists } from "../../host/files.js";
import { formatPublicKey } from "../../nix/signature.js";
import { importKeyPath, readImportKey } from "../import-key.js";
import { openSite, type SitePlace } from "../site.js";
import type { DoctorOptions } from "./facts.js";

type SiteOptions = Omit<DoctorOptions, "nixConfDir">;

/** Whatever is wrong with them is an answer. */
export async function readSiteFacts(place: SitePlace): Promise<SiteOptions> {
  const { policyPath, stateDir } = place;
  const about = { policyPath, stateDir, ...(await importKeyOf(place)) };
  if (!(await isThere(policyPath)) && !(await isThere(stateDir)))
    return { ...about, state: null, policy: null };
  try {
    const { policy, state } = await openSite(place);
    const { expires, limits } = policy.document;
    return {
      ...about,
      state: { lastSeen: state.lastSeen, clockDriftSeconds: limits.clockDriftSeconds },
      policy: { ...policy.reference, expires },
    };
  } catch (error) {
    if (!(error instanceof AirgapError)) throw error;
    return { ...about, state: null, policy: null, problem: `${error.message} (${error.code})` };
  }
}

/** The public half is null also where the secret one is not ours to read. */
async function importKeyOf(place: SitePlace): Promise<Pick<SiteOptions, "importKey" | "importKeyPath">> {
  try {
    const key = await readImportKey(place);
    if (key === null) return { importKey: null, importKeyPath: null };
    return { importKey: formatPublicKey(key.publicKey), importKeyPath: importKeyPath(place) };
  } catch (error) {
    if (!(error instanceof AirgapError)) throw error;
    return { importKey: null, importKeyPath: importKeyPath(place) };
  }
}

/** What cannot be looked at is there. */
async function isThere(path: string): Promise<boolean> {
  return exists(path).catch((error: unknown) => {
    if (error instanceof AirgapError) return true;
    throw error;
  });
}
