/** This machine's own settings of Nix, as its daemon has them: /etc/nix, and nothing of a user's. */
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { fail } from "../../errors.js";
import { withDiskErrors } from "../files.js";
import { type NixContext, tryNix } from "./invoke.js";

/** Values by name: lists as lists of words, switches as booleans. */
export type NixSettings = ReadonlyMap<string, unknown>;

/** `dir`: a folder of this run's own. `configDir`: where nix.conf lies, if not /etc/nix. @throws NIX_FAILED, DISK */
export async function machineSettings(
  { binDir, signal, report, cwd }: Pick<NixContext, "binDir" | "signal" | "report" | "cwd">,
  dir: string,
  configDir?: string,
): Promise<NixSettings> {
  const home = join(dir, "machine-home");
  await withDiskErrors(home, () => mkdir(home, { recursive: true }));
  const env = {
    PATH: "/usr/bin:/bin",
    HOME: home,
    XDG_CONFIG_HOME: home,
    XDG_CONFIG_DIRS: home,
    NIX_USER_CONF_FILES: "",
    ...(configDir === undefined ? {} : { NIX_CONF_DIR: configDir }),
  };
  const nix: NixContext = { binDir, env, options: {}, cwd, signal, report };
  // The second is how newer versions call it.
  for (const command of [["show-config"], ["config", "show"]]) {
    const { ok, stdout } = await tryNix(nix, "nix", [...command, "--json"]);
    if (!ok) continue;
    // Numbers of 64 bits are in it, which no strict reader of ours takes; none of them is asked for.
    const settings = JSON.parse(stdout) as Record<string, { readonly value?: unknown }>;
    return new Map(Object.entries(settings).map(([name, { value }]) => [name, value]));
  }
  return fail("NIX_FAILED", { subject: "nix show-config", expected: "its settings as JSON" });
}
