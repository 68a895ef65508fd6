/**
 * What Nix's daemon asks of who is not its trusted user: on every path that is not content-addressed, a signature by a key
 * of its own settings. Only the daemon knows those it goes by, so it is asked, with few bytes, before the rest is moved;
 * and its no becomes the line that an administrator has to write.
 */
import { basename, dirname } from "node:path";
import { AirgapError, type Finding } from "../../errors.js";
import type { Path } from "../../generated/types.js";
import { effectiveSettings, machineNix } from "../../host/nix/machine.js";
import { unsignedLine } from "../../host/nix/words.js";
import { findProgram } from "../../host/permissions.js";
import { formatPublicKey, type PublicKey } from "../../nix/signature.js";
import type { Context } from "../context.js";
import { SERVICE_ACCOUNT } from "../site.js";
import { GATEWAY } from "../trust/install.js";

/** The smallest part of these by which one sees whether the daemon takes them, in the same order; empty where it needs no signature. */
export function smallestProof(missing: readonly Path[]): Path[] {
  const byName = new Map(missing.map((path) => [path.storePath, path]));
  let smallest: { readonly paths: ReadonlySet<Path>; readonly bytes: number } | null = null;
  for (const path of missing.filter(needsSignature)) {
    const paths = withReferences(path, byName);
    if (paths === null) continue;
    const bytes = [...paths].reduce((sum, { narSize }) => sum + narSize, 0);
    if (smallest === null || bytes < smallest.bytes) smallest = { paths, bytes };
  }
  const chosen = smallest?.paths;
  return chosen === undefined ? [] : missing.filter((path) => chosen.has(path));
}

function needsSignature({ ca }: Path): boolean {
  return ca === null;
}

/** With those of `byName` that it refers to, at any depth; null where there is another one among them that needs a signature. */
function withReferences(path: Path, byName: ReadonlyMap<string, Path>): Set<Path> | null {
  const found = new Set([path]);
  for (const { storePath, references } of found) {
    for (const name of references) {
      const referred = name === storePath ? undefined : byName.get(name);
      if (referred === undefined) continue;
      if (needsSignature(referred)) return null;
      found.add(referred);
    }
  }
  return found;
}

export interface SignedImport {
  /** What was to be imported. */
  readonly paths: readonly Path[];
  /** The key of a site that has one: it signs all. */
  readonly siteKey: PublicKey | null;
  /** Those that are trusted to sign paths of the bundle. */
  readonly pathKeys: readonly PublicKey[];
}

/** What an import failed by, where it is that. @throws `error` where it is anything else */
export async function explainRefusal(
  error: unknown,
  about: SignedImport,
  context: Context,
): Promise<Finding> {
  if (!(error instanceof AirgapError) || error.code !== "NIX_FAILED") throw error;
  const actual = unsignedLine(error.details.actual ?? "");
  if (actual === undefined) throw error;
  const key = signerOf(about);
  const line = key === undefined ? NO_KEY : await lineFor(formatPublicKey(key), context);
  const hint = (await hasGateway())
    ? `Restore as an operator: sudo -u ${SERVICE_ACCOUNT} ${GATEWAY} restore BUNDLE. Otherwise: ${line}`
    : `${line} Or root sets up a command for operators, once: nix-airgap trust install.`;
  return {
    code: "DAEMON_KEY",
    subject: "Nix's daemon",
    expected: key === undefined ? "a signature by a key that it trusts" : `a daemon that trusts ${key.name}`,
    actual,
    hint,
  };
}

const NO_KEY =
  "The keys that you gave have signed no store paths, so that no line in nix.conf helps: ask root to restore.";

/** The site's, else one that signed every path that needs it. */
function signerOf({ paths, siteKey, pathKeys }: SignedImport): PublicKey | undefined {
  const asked = paths.filter(needsSignature);
  const signsAll = ({ name }: PublicKey) =>
    asked.every(({ signatures }) => signatures.some((text) => text.startsWith(`${name}:`)));
  return siteKey ?? pathKeys.find(signsAll);
}

async function lineFor(key: string, { env, signal }: Context): Promise<string> {
  const nix = await machineNix({ path: env["PATH"], confDir: undefined, signal });
  const { trustedPublicKeys } = await effectiveSettings(nix);
  if (trustedPublicKeys?.includes(key)) {
    return `/etc/nix/nix.conf has ${key} already: root restarts the daemon (systemctl restart nix-daemon), then restore again.`;
  }
  return `Root adds this line to /etc/nix/nix.conf, restarts the daemon (systemctl restart nix-daemon), then restore again: extra-trusted-public-keys = ${key}`;
}

/** Whether this machine has the way of people without privileges. */
async function hasGateway(): Promise<boolean> {
  return (await findProgram(basename(GATEWAY), dirname(GATEWAY))) !== null;
}
