/** trust import-key init: a key of the site's own, which its Nix then trusts, and no other. */
import { randomBytes } from "node:crypto";
import type { ImportKeyReport } from "../../generated/types.js";
import { formatPublicKey, generateSecretKey } from "../../nix/signature.js";
import type { Context } from "../context.js";
import { importKeyPath, readImportKey, writeImportKey } from "../import-key.js";
import { recordIn } from "../record.js";
import { openSite, type SitePlace, withSiteLock, writeState } from "../site.js";
import { trustEvent } from "./report.js";

/**
 * Makes the key once; again it changes nothing, and tells of the one that is there.
 *
 * @throws what `openSite` throws; KEY_INVALID, LOCKED, DISK, NO_SPACE
 */
export async function importKeyInit(place: SitePlace, context: Context): Promise<ImportKeyReport> {
  return withSiteLock(place, async () => {
    const { state } = await openSite(place);
    const known = await readImportKey(place);
    const key = known ?? generateSecretKey(`nix-airgap-site-${randomBytes(8).toString("hex")}`);
    const publicKey = formatPublicKey(key.publicKey);
    if (known === null) {
      await writeImportKey(place, key);
      await writeState(place, await recordIn(place, state, trustEvent("import-key", { publicKey }), context));
    }
    return {
      format: "nix-airgap-import-key",
      exit: 0,
      verdict: known === null ? "done" : "already-done",
      path: importKeyPath(place),
      publicKey,
      nixConf: ["require-sigs = true", `trusted-public-keys = ${publicKey}`, "trusted-users = root"],
    };
  });
}
