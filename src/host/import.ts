/** Brings store paths through a gate into a store, in batches. Which ones, in which order, is decided by the caller. */
import type { Gate } from "./gate.js";
import { copy, type NixContext } from "./nix/index.js";

/**
 * `storePaths`: in dependency order. Outputs and sources go first, since they never refer to derivations. Paths that are
 * valid already are left as they are. `onImported` is called as each path becomes valid.
 *
 * @throws AirgapError NIX_FAILED where Nix refuses one, DISK, NO_SPACE, INTERRUPTED
 */
export async function importPaths(
  nix: NixContext,
  gate: Gate,
  storePaths: readonly string[],
  { store, onImported }: { readonly store: string; readonly onImported: (storePath: string) => void },
): Promise<void> {
  const importing = { ...nix, options: { ...nix.options, "trusted-public-keys": gate.publicKey } };
  for (const derivations of [false, true]) {
    for (const batch of gate.batches(storePaths.filter((path) => path.endsWith(".drv") === derivations))) {
      await gate.stage(batch);
      await copy(importing, batch, {
        from: gate.url,
        to: store,
        onEvent(event) {
          if (event.type === "finished" && event.kind === "copy") onImported(event.subject);
        },
      });
    }
  }
}
