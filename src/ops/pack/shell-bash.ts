/**
 * The shell that `nix develop` starts: `bashInteractive` of the flake's own input called nixpkgs, as flake.lock has it
 * (nix: develop.cc, `nixpkgsFlakeRef`). What is not there Nix tries to build; so it travels with the shells that need it.
 */
import { formatShellBash, SHELL_INPUT, shellBashAttr } from "../../bundle/shell-bash.js";
import { siteReference } from "../../bundle/site-reference.js";
import type * as nix from "../../host/nix/index.js";
import { inputNode, parseFlakeLock } from "../../nix/flake-lock.js";
import { isDevShell } from "../../nix/flake-outputs.js";
import { formatSri } from "../../nix/hash.js";
import type { EvaluatedRoot } from "./evaluate.js";
import { evaluateInstallable } from "./evaluate-installable.js";
import type { TopFlake } from "./flake.js";

/**
 * One for each system of a shell among `roots`; none where the flake has no such input, or that has no such package: there
 * Nix takes the bash of the machine. `sources`: trees of the flake and its inputs.
 */
export async function bashOfShells(
  context: nix.NixContext,
  top: TopFlake,
  roots: readonly EvaluatedRoot[],
  sources: readonly nix.PathInfo[],
): Promise<EvaluatedRoot[]> {
  const systems = roots.flatMap(({ attr }) => (isDevShell(attr) ? [attr.split(".")[1] ?? ""] : []));
  if (systems.length === 0) return [];
  const ref = inputReference(top, sources);
  if (ref === null) return [];
  const found: EvaluatedRoot[] = [];
  for (const system of new Set(systems)) {
    const installable = { ref, attr: shellBashAttr(system) };
    const outcome = await evaluateInstallable(context, installable);
    if (outcome.ok) found.push({ attr: formatShellBash(system), drvPath: outcome.drvPath, installable });
  }
  return found;
}

/** The input as a site names it. A flake in a subfolder is evaluated through a wrapper, where Nix does not look for inputs. */
function inputReference({ flake, inputs }: TopFlake, sources: readonly nix.PathInfo[]): string | null {
  if (flake.lock === null || flake.dir !== "") return null;
  const node = inputNode(parseFlakeLock(Buffer.from(flake.lock)), SHELL_INPUT);
  const input = inputs.find(({ key }) => key === node);
  if (input?.narHash === undefined || !input.flake || input.locked["dir"] !== undefined) return null;
  const narHash = formatSri(input.narHash);
  const storePath = sources.find((info) => info.narHash === narHash)?.storePath;
  if (storePath === undefined) return null;
  const { lastModified, rev, revCount } = input.locked;
  return siteReference(
    {
      storePath,
      narHash,
      lastModified: typeof lastModified === "number" ? lastModified : null,
      rev: typeof rev === "string" ? rev : null,
      revCount: typeof revCount === "number" ? revCount : null,
    },
    null,
  );
}
