/**
 * A site: the policy it trusts by, and the state in which it remembers what it took. Opens them together, changes them under
 * one lock, each durably. What policy and state mean is trust/.
 */
import { mkdir } from "node:fs/promises";
import { dirname, join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { AirgapError, type Finding, fail } from "../errors.js";
import type { SiteState } from "../generated/types.js";
import { readSmallFile, withDiskErrors, writeFileAtomic } from "../host/files.js";
import { withLock } from "../host/lock.js";
import { formatHex, hashOf } from "../nix/hash.js";
import { timeOf } from "../time.js";
import { MAX_POLICY_SIZE, type Policy, parsePolicy } from "../trust/policy.js";
import {
  askSite,
  type DatedRelease,
  formatState,
  MAX_STATE_SIZE,
  parseState,
  withRelease,
  withTime,
} from "../trust/site-state.js";
import type { Context } from "./context.js";

/** Owns key, state and policy, and restores for operators, unless trust install is told another. */
export const SERVICE_ACCOUNT = "nix-airgap";

export interface SitePlace {
  readonly policyPath: string;
  readonly stateDir: string;
}

export interface Site {
  readonly place: SitePlace;
  readonly policy: Policy;
  readonly state: SiteState;
  /** The policy's exact bytes. */
  readonly policyBytes: Buffer;
  /** An update that was interrupted: the state has the new policy, the file still is the one before. */
  readonly isHalfUpdated: boolean;
}

/** @throws POLICY_MISSING, POLICY_INVALID, DISK */
export async function readPolicy(path: string): Promise<{ readonly policy: Policy; readonly bytes: Buffer }> {
  const bytes = (await readSmallFile(path, MAX_POLICY_SIZE)) ?? fail("POLICY_MISSING", { subject: path });
  return { policy: parsePolicy(bytes, path), bytes };
}

/** Null where this machine remembers nothing. @throws STATE_INVALID, DISK */
export async function readState({ stateDir }: SitePlace): Promise<SiteState | null> {
  const path = join(stateDir, "state.json");
  const bytes = await readSmallFile(path, MAX_STATE_SIZE);
  return bytes === null ? null : parseState(bytes, path);
}

/**
 * The policy that was pinned, and no other.
 *
 * @throws POLICY_MISSING, POLICY_INVALID, POLICY_HASH, STATE_MISSING, STATE_INVALID, DISK
 */
export async function openSite(place: SitePlace): Promise<Site> {
  const { policyPath, stateDir } = place;
  const bytes =
    (await readSmallFile(policyPath, MAX_POLICY_SIZE)) ?? fail("POLICY_MISSING", { subject: policyPath });
  const state = (await readState(place)) ?? fail("STATE_MISSING", { subject: stateDir });
  const { sha256, version } = state.policy;
  const actual = formatHex(hashOf("sha256", bytes));
  if (actual === sha256) {
    const policy = parsePolicy(bytes, policyPath);
    return { place, policy, state, policyBytes: bytes, isHalfUpdated: false };
  }
  const copy = await readSmallFile(copyPath(place, version), MAX_POLICY_SIZE);
  if (copy !== null && formatHex(hashOf("sha256", copy)) === sha256) {
    const policy = parsePolicy(copy, copyPath(place, version));
    if (policy.document.previous === actual) {
      return { place, policy, state, policyBytes: copy, isHalfUpdated: true };
    }
  }
  return fail("POLICY_HASH", { subject: policyPath, expected: `${sha256}, version ${version}`, actual });
}

/** Who holds the site's lock writes a few small files. */
const LOCK_TRIES = 100;
const LOCK_PAUSE_MS = 100;

/** Only one run at a time reads, decides and writes; others wait for ten seconds. Makes the folder. @throws LOCKED, DISK, NO_SPACE */
export async function withSiteLock<T>({ stateDir }: SitePlace, action: () => Promise<T>): Promise<T> {
  await makeFolder(stateDir);
  for (let tries = 1; ; tries++) {
    let isHeld = false;
    try {
      return await withLock(join(stateDir, ".lock"), () => {
        isHeld = true;
        return action();
      });
    } catch (error) {
      const isBusy = !isHeld && error instanceof AirgapError && error.code === "LOCKED";
      if (!isBusy || tries === LOCK_TRIES) throw error;
    }
    await setTimeout(LOCK_PAUSE_MS);
  }
}

/** @throws DISK, NO_SPACE; then the state is what it was */
export function writeState({ stateDir }: SitePlace, state: SiteState): Promise<void> {
  return writeFileAtomic(join(stateDir, "state.json"), formatState(state));
}

/**
 * Copy, state, policy, in this order: the state decides, and until the policy is what it says, `openSite` takes the copy.
 * @throws DISK, NO_SPACE
 */
export async function writePolicy(place: SitePlace, bytes: Uint8Array, state: SiteState): Promise<void> {
  const copy = copyPath(place, state.policy.version);
  await makeFolder(dirname(copy));
  await writeFileAtomic(copy, bytes);
  await writeState(place, state);
  await placePolicy(place, bytes);
}

/** @throws DISK, NO_SPACE */
export async function placePolicy({ policyPath }: SitePlace, bytes: Uint8Array): Promise<void> {
  await makeFolder(dirname(policyPath));
  await writeFileAtomic(policyPath, bytes);
}

/**
 * Remembers a release as taken, from before its import on: what is older needs an authorization then. Asks again, since another
 * run may have taken a newer one meanwhile. Findings: it was not taken.
 *
 * @throws LOCKED, STATE_MISSING, STATE_INVALID, DISK, NO_SPACE
 */
export async function acceptRelease(
  { place, policy }: { readonly place: SitePlace; readonly policy: Policy },
  about: {
    readonly document: DatedRelease;
    readonly sha256: string;
    readonly rollbacks: ReadonlyMap<string, Uint8Array>;
    /** Records that it begins, under the same lock. */
    readonly begun: (state: SiteState) => Promise<SiteState>;
  },
  { now }: Pick<Context, "now">,
): Promise<readonly Finding[]> {
  const { document, sha256, rollbacks, begun } = about;
  return withSiteLock(place, async () => {
    const state = (await readState(place)) ?? fail("STATE_MISSING", { subject: place.stateDir });
    const time = timeOf(now());
    const { findings } = askSite(document, sha256, { policy, state, now: time, rollbacks });
    if (findings.length > 0) return findings;
    const taken = withRelease(withTime(state, time), document, sha256, time);
    await writeState(place, await begun(taken));
    return [];
  });
}

function copyPath({ stateDir }: SitePlace, version: number): string {
  return join(stateDir, "policies", `${version}.json`);
}

function makeFolder(path: string): Promise<unknown> {
  return withDiskErrors(path, () => mkdir(path, { recursive: true, mode: 0o755 }));
}
