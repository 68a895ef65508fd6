/** A release that was restored, as the store remembers it from then on. The first of a product is its current one. */
import type { ReleaseRecord } from "../../generated/types.js";
import { currentLink, currentName, makeCurrent, readRecord, writeRelease } from "../../host/releases.js";
import type { TargetStore } from "../../host/store.js";
import { whoRuns } from "../../host/who.js";
import { timeOf } from "../../time.js";
import type { Context } from "../context.js";
import type { VerifiedBundle } from "../verify/verified-bundle.js";

export interface RestoredRelease {
  readonly bundle: VerifiedBundle;
  /** Also of its GC roots. */
  readonly name: string;
  readonly rootCount: number;
  /** Short names by output path. */
  readonly links: ReadonlyMap<string, string>;
  /** Absolute. */
  readonly outLink: string | null;
}

export interface ReleaseStanding {
  readonly name: string;
  /** Which release of the product is current. */
  readonly current: string;
  /** The link to that one's outputs. */
  readonly link: string;
}

/** For who holds the store's lock. @throws AirgapError DISK, NO_SPACE */
export async function rememberRelease(
  store: TargetStore,
  release: RestoredRelease,
  context: Context,
): Promise<ReleaseStanding> {
  const record = recordOf(release, context);
  const { name, product } = record;
  await writeRelease(store, record);
  const link = currentLink(store, product);
  const current = await currentName(store, product);
  if (current !== null && (await isOf(store, current, product))) return { name, current, link };
  await makeCurrent(store, record);
  return { name, current: name, link };
}

/** A link may be left of a release whose name another product's has taken since. */
async function isOf(store: TargetStore, name: string, product: string): Promise<boolean> {
  return (await readRecord(store, name))?.product === product;
}

function recordOf(
  { bundle: { document, documentSha256 }, name, rootCount, links, outLink }: RestoredRelease,
  { now, env }: Context,
): ReleaseRecord {
  const { product, release, sequence, created, systems, tier, paths } = document;
  const { user, uid, sudoUser, machine } = whoRuns(env);
  return {
    format: "nix-airgap-release",
    formatVersion: "1.0",
    name,
    product,
    release,
    sequence,
    created,
    systems,
    tier,
    sha256: documentSha256,
    at: timeOf(now()),
    by: { user, uid, sudoUser, machine },
    rootCount,
    outLink,
    links: [...links].map(([path, link]) => ({ name: link, path })),
    paths: paths.map(({ storePath, narHash, narSize }) => ({ storePath, narHash, narSize })),
  };
}
