/**
 * Nix as a site's half of the work runs it: a home, caches and settings of its own in a temporary folder, no substituter,
 * no registry, signatures required. Nothing of the caller's environment or configuration has a say, but where Nix is.
 */
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fail } from "../../errors.js";
import type { Report } from "../../events.js";
import { withDiskErrors } from "../files.js";
import { findNix, type NixContext } from "./invoke.js";
import { buildUsersOption } from "./packer.js";

/** The folders that a fresh shell of any system has: what Nix itself starts (tar, a builder's shell) lies there. */
export const SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/** Where installers put Nix, for a PATH that lacks it. */
const USUAL_PLACES = "/nix/var/nix/profiles/default/bin:/run/current-system/sw/bin:/usr/local/bin:/usr/bin";

export interface SiteNixOptions {
  /** A folder of this run's own, which exists. */
  readonly dir: string;
  /** Where to look for Nix. */
  readonly path: string | undefined;
  readonly signal: AbortSignal;
  readonly report: Report;
}

/** @throws AirgapError NIX_MISSING, DISK, NO_SPACE */
export async function siteNix({ dir, path, signal, report }: SiteNixOptions): Promise<NixContext> {
  const binDir = await findSiteNix(path);
  const folder = (name: string) => join(dir, name);
  const options = {
    substituters: "",
    "use-registries": "false",
    "require-sigs": "true",
    "trusted-public-keys": "",
    builders: "",
    ...(await buildUsersOption()),
  };
  const settings = ["experimental-features = nix-command flakes"];
  for (const [name, value] of Object.entries(options)) settings.push(`${name} = ${value}`);
  await withDiskErrors(dir, async () => {
    for (const name of ["home", "cache", "config", "data", "state", "conf", "tmp"]) {
      await mkdir(folder(name), { recursive: true });
    }
    await writeFile(join(folder("conf"), "nix.conf"), settings.map((line) => `${line}\n`).join(""));
  });
  const env = {
    PATH: SYSTEM_PATH,
    HOME: folder("home"),
    XDG_CACHE_HOME: folder("cache"),
    XDG_CONFIG_HOME: folder("config"),
    XDG_DATA_HOME: folder("data"),
    XDG_STATE_HOME: folder("state"),
    NIX_CONF_DIR: folder("conf"),
    NIX_USER_CONF_FILES: "",
    TMPDIR: folder("tmp"),
    LANG: "C.UTF-8",
  };
  return { binDir, env, options, cwd: dir, signal, report };
}

/** The folder with `nix`: of `path`, else where installers put it. @throws AirgapError NIX_MISSING, NIX_UNSAFE, DISK */
export function findSiteNix(path: string | undefined): Promise<string> {
  return findNix([path ?? "", USUAL_PLACES].filter((part) => part !== "").join(":"));
}

/**
 * Host paths for `sandbox-paths`: `/path`, `/inside=/outside`, either with `?` at the end for one that may be missing.
 *
 * @throws AirgapError USAGE
 */
export function parseSandboxPaths(texts: readonly string[]): string[] {
  return texts.map((text) => {
    // The setting separates them by white space, and knows no quotes.
    if (/^\/[^\s=?]*(=\/[^\s=?]*)?\??$/.test(text)) return text;
    return fail("USAGE", {
      subject: "--sandbox-path",
      expected: "an absolute path without spaces",
      actual: JSON.stringify(text),
    });
  });
}
