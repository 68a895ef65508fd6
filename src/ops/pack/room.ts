/**
 * Room on the disks that pack writes to, asked for before work starts, where it can be known. What builders and fetchers of
 * inputs will write nobody knows before; where the bundle goes is write-bundle.ts's.
 */
import { type Need, requireSpace } from "../../host/files.js";
import * as nix from "../../host/nix/index.js";
import { isOlderNix } from "../../nix/version.js";
import type { PlannedPath } from "./plan.js";

/** What a compressed NAR is of its size, for a first look at the space that is needed; checked again when it is known. */
export const COMPRESSED_SHARE = 0.5;

const OTHER_TEMP = "set TMPDIR to a folder on another disk";

/** What substituters have of these targets, unpacked, in the store. @throws AirgapError NO_SPACE, DISK, INTERRUPTED */
export async function requireRoomToFetch(
  context: nix.NixContext,
  targets: readonly string[],
  realStoreDir: string,
): Promise<void> {
  const bytes = await nix.bytesToFetch(context, targets);
  const elsewhere = "collect garbage with nix-store --gc, or give another --store";
  await requireSpace({ path: realStoreDir, bytes, elsewhere });
}

/** The flake and its inputs, once more, in a scratch store. @throws AirgapError NO_SPACE, DISK */
export async function requireRoomToEvaluate(
  sources: readonly { readonly narSize: number }[],
  tempDir: string,
): Promise<void> {
  const bytes = sources.reduce((sum, { narSize }) => sum + narSize, 0);
  await requireSpace({ path: tempDir, bytes, elsewhere: OTHER_TEMP });
}

/** Up to some version Nix keeps each compressed NAR in TMPDIR until all of it is there: 2.8.0 does, 2.26.3 does not. */
const STREAMS = "2.26.0";

export function needsOfTemp(
  tempDir: string,
  lanes: readonly (readonly PlannedPath[])[],
  nixVersion: string,
): Need {
  const largest = lanes.map((lane) => lane.reduce((size, { narSize }) => Math.max(size, narSize), 0));
  const bytes = largest.reduce((sum, size) => sum + size * COMPRESSED_SHARE, 0);
  return { path: tempDir, bytes: isOlderNix(nixVersion, STREAMS) ? bytes : 0, elsewhere: OTHER_TEMP };
}
