/**
 * Nix as this machine's daemon runs it: the system's own settings, and nothing of the caller's environment or of a
 * user's. Only asks what Nix is and how it is set; opens no store, writes nothing.
 */
import { fail } from "../../errors.js";
import { invokeNix, type NixContext, tryNix } from "./invoke.js";
import { type NixSettings, parseSettings } from "./settings.js";
import { findSiteNix, SYSTEM_PATH } from "./site.js";
import { isUnknownCommand } from "./words.js";

export interface MachineNixOptions {
  /** Where to look for Nix. */
  readonly path: string | undefined;
  /** The folder with nix.conf; default: the one that was compiled in, `/etc/nix` but for odd builds. */
  readonly confDir: string | undefined;
  readonly signal: AbortSignal;
}

/** Nix's own name for a home that is not there: nothing is read from it, nor written. */
const NO_HOME = "/homeless-shelter";

/** @throws AirgapError NIX_MISSING, NIX_UNSAFE, DISK */
export async function machineNix({ path, confDir, signal }: MachineNixOptions): Promise<NixContext> {
  const env = {
    PATH: SYSTEM_PATH,
    HOME: NO_HOME,
    XDG_CACHE_HOME: `${NO_HOME}/cache`,
    XDG_CONFIG_HOME: `${NO_HOME}/config`,
    XDG_CONFIG_DIRS: `${NO_HOME}/config`,
    XDG_DATA_HOME: `${NO_HOME}/data`,
    XDG_STATE_HOME: `${NO_HOME}/state`,
    NIX_USER_CONF_FILES: "",
    ...(confDir === undefined ? {} : { NIX_CONF_DIR: confDir }),
    LANG: "C.UTF-8",
  };
  return { binDir: await findSiteNix(path), env, options: {}, cwd: "/", signal, report: () => {} };
}

/** What `nix --version` prints, whole: the number alone does not tell Nix from Lix. @throws AirgapError NIX_FAILED */
export async function versionLine(nix: NixContext): Promise<string> {
  // Nix reads its settings before anything else, and says nothing at all where it refuses them.
  const env = { NIX_CONF_DIR: NO_HOME };
  return (await invokeNix(nix, "nix", ["--version"], { env })).trim();
}

/** @throws AirgapError NIX_FAILED, also for a nix.conf that Nix refuses */
export async function effectiveSettings(nix: NixContext): Promise<NixSettings> {
  const current = await tryNix(nix, "nix", ["config", "show", "--json"]);
  if (current.ok) return parseSettings(current.stdout);
  // Before 2.20 the command had another name.
  if (isUnknownCommand(current.message))
    return parseSettings(await invokeNix(nix, "nix", ["show-config", "--json"]));
  return fail("NIX_FAILED", { subject: "nix config show", actual: current.message || "no message" });
}
