/** Nix for stores of ours that lie anywhere, such as below /tmp. */
import { isOlderNix } from "../../nix/version.js";
import { version } from "./index.js";
import type { NixContext } from "./invoke.js";

/** From here on Nix lets its build users build in no folder below one that all may write. */
const FIRST_WITH_SAFE_BUILDS = "2.30.0";
/** Where such a Nix builds for the machine's own store. */
const BUILDS = "/nix/var/nix/builds";

/** What build users do, they do where this machine's own builds are done. @throws AirgapError NIX_FAILED */
export async function forScratch(nix: NixContext): Promise<NixContext> {
  const hasBuildUsers = process.getuid?.() === 0 && nix.options["build-users-group"] !== "";
  if (!hasBuildUsers) return nix;
  if (isOlderNix(await version(nix), FIRST_WITH_SAFE_BUILDS)) return nix;
  return { ...nix, options: { ...nix.options, "build-dir": BUILDS } };
}
