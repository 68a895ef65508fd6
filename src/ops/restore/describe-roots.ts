/** What there is of a bundle's roots once it was restored: outputs, their short links, and the commands for people. */

import { join } from "node:path";
import {
  type FoundOutput,
  linkNames,
  mainOutput,
  mainProgram,
  type SiteSettings,
  siteCommands,
} from "../../bundle/site-commands.js";
import type { BundleDocument, RestoreReceipt, Root } from "../../generated/types.js";
import { containerImageIn } from "../../host/container-image.js";
import { programsIn } from "../../host/programs.js";
import { linkTarget } from "../../host/releases.js";
import { realPath, type TargetStore } from "../../host/store.js";

/** Short names by output path. */
export function outputLinks({ roots }: BundleDocument): Map<string, string> {
  const taken = new Set<string>();
  return new Map(outputRoots(roots).flatMap((root) => [...linkNames(root, taken)]));
}

/** What symlinks of these names lead to. `links`: names by output path. */
export function linkTargets(store: TargetStore, links: ReadonlyMap<string, string>): Map<string, string> {
  return new Map([...links].map(([path, name]) => [name, linkTarget(store, path)]));
}

export interface Restored {
  readonly store: TargetStore;
  readonly settings: SiteSettings;
  /** The folder of `links`; null where none was asked for. */
  readonly dir: string | null;
  readonly links: ReadonlyMap<string, string>;
}

/** @throws AirgapError DISK */
export async function describeRoots(
  document: BundleDocument,
  { store, settings, dir, links }: Restored,
): Promise<RestoreReceipt["roots"]> {
  const linkOf = (path: string) => (dir === null ? null : join(dir, links.get(path)!));
  const described: RestoreReceipt["roots"] = [];
  for (const root of outputRoots(document.roots)) {
    const { path } = mainOutput(root);
    const found = await findOutput(store, root, linkOf(path) ?? linkTarget(store, path));
    described.push({
      attr: root.attr,
      commands: siteCommands(document, root, settings, found),
      drvPath: root.drvPath,
      outputs: root.outputs.map(({ name, path }) => ({ link: linkOf(path), name, path })),
    });
  }
  return described;
}

async function findOutput(store: TargetStore, root: Root, place: string): Promise<FoundOutput> {
  const lies = realPath(store, mainOutput(root).path);
  return {
    place,
    isInPlace: store.kind !== "chroot",
    program: mainProgram(root, await programsIn(lies)),
    image: await containerImageIn(lies),
  };
}

function outputRoots(roots: readonly Root[]): Root[] {
  return roots.filter(({ purpose }) => purpose === "output");
}
