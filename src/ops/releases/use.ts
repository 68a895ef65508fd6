/**
 * releases use: one of the releases that were restored becomes the current one of its product, by one link that is
 * exchanged. Its paths are hashed on disk first; and where a policy is, the way back is as closed as it is to `restore`.
 */
import { lstat } from "node:fs/promises";
import { resolve } from "node:path";
import { type Finding, fail } from "../../errors.js";
import type { ReleaseChangeReport, ReleaseRecord } from "../../generated/types.js";
import { errorCode, withDiskErrors } from "../../host/files.js";
import { parseRootName } from "../../host/gc-roots.js";
import { replaceSymlink } from "../../host/out-links.js";
import { currentLink, currentName, makeCurrent, readRecord } from "../../host/releases.js";
import { resolveStore, type TargetStore } from "../../host/store.js";
import { withStoreLock } from "../../host/store-lock.js";
import { timeOf } from "../../time.js";
import { askSite } from "../../trust/site-state.js";
import { checkOnDisk, totalsOf } from "../check-disk.js";
import type { Context } from "../context.js";
import { PhaseClock } from "../phase-clock.js";
import { recordIn } from "../record.js";
import { acceptRelease } from "../site.js";
import { withdrawal } from "../verify/trust.js";
import { type Change, type ChangeOptions, finish, happeningOf, type PolicyTrust } from "./change.js";
import { heldRoots, rootFindings } from "./list.js";

export interface UseOptions extends ChangeOptions {
  /** A symlink that follows what is current from now on. */
  readonly outLink?: string;
}

/**
 * @throws AirgapError USAGE, RELEASE_UNKNOWN, RELEASE_RECORD, OUT_EXISTS, LOCKED, DISK, NO_SPACE; and what a site's record
 * throws where it cannot be begun
 */
export async function useRelease(options: UseOptions, context: Context): Promise<ReleaseChangeReport> {
  const { name, trust } = options;
  const store = await resolveStore(options.store, context.cwd, context.env);
  parseRootName(name);
  // Before the lock, whose folder would be made.
  await requireRecord(store, name);
  const outLink = options.outLink === undefined ? null : resolve(context.cwd, options.outLink);
  if (outLink !== null) await checkFollower(outLink);
  return withStoreLock(store, async () => {
    const record = await requireRecord(store, name);
    const from = await currentName(store, record.product);
    const change: Change = { verb: "use", name, record, store, trust, from };
    const wrong = await checkRelease(store, record, context);
    const checked = record.paths.length;
    const refused = wrong.length > 0 || from === name ? wrong : await accept(change, record, context);
    if (refused.length > 0)
      return finish(change, { verdict: "refused", findings: refused, checked }, context);
    await makeCurrent(store, record);
    if (outLink !== null) await replaceSymlink(outLink, currentLink(store, record.product));
    return finish(change, { verdict: from === name ? "already" : "done", checked, outLink }, context);
  });
}

async function requireRecord(store: TargetStore, name: string): Promise<ReleaseRecord> {
  return (await readRecord(store, name)) ?? fail("RELEASE_UNKNOWN", { subject: name, actual: store.uri });
}

/** A link, or nothing: a folder of `restore --out-link` is left alone. */
async function checkFollower(path: string): Promise<void> {
  const stats = await withDiskErrors(path, () =>
    lstat(path).catch((error: unknown) => {
      if (errorCode(error) === "ENOENT") return undefined;
      throw error;
    }),
  );
  if (stats !== undefined && !stats.isSymbolicLink()) {
    fail("OUT_EXISTS", { subject: path, expected: "a symlink, or nothing" });
  }
}

/** Its roots, then its bytes. */
async function checkRelease(store: TargetStore, record: ReleaseRecord, context: Context): Promise<Finding[]> {
  const roots = rootFindings({ gcRoots: await heldRoots(store, record) });
  if (roots.length > 0) return roots;
  const clock = new PhaseClock(context);
  return clock.phase("check what is there", totalsOf(record.paths), (progress) =>
    checkOnDisk(store, record.paths, context, progress),
  );
}

/** By the policy, as restore asks it (V4), and nothing that was called back. */
async function accept(change: Change, record: ReleaseRecord, context: Context): Promise<readonly Finding[]> {
  const { trust } = change;
  if (trust === null || trust.site === null) return [];
  const { policy, rollbacks, site } = trust;
  const refused = [...withdrawal(policy, record.sha256), ...checkMemory(trust, record, context)];
  if (refused.length > 0) return refused;
  return acceptRelease(
    { place: site.place, policy },
    {
      document: record,
      sha256: record.sha256,
      rollbacks,
      begun: (state) => recordIn(site.place, state, happeningOf(change, "begun", []), context),
    },
    context,
  );
}

/** The approvals are in the bundle: that the site has taken it stands for them. */
function checkMemory(trust: PolicyTrust, record: ReleaseRecord, { now }: Context): readonly Finding[] {
  const { policy, site, rollbacks, acceptExpired } = trust;
  const state = site?.state ?? null;
  const isTaken = state?.products
    .find(({ product }) => product === record.product)
    ?.accepted.some(({ sha256 }) => sha256 === record.sha256);
  if (isTaken !== true) return [{ code: "RELEASE_NOT_TAKEN", subject: record.name, actual: record.sha256 }];
  if (acceptExpired !== null) return [];
  return askSite(record, record.sha256, { policy, state, now: timeOf(now()), rollbacks }).expired;
}
