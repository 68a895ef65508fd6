/** Whom a command trusts, as the command line says it: keys, or the site's policy with what the site remembers. */
import { basename, resolve } from "node:path";
import { fail } from "../errors.js";
import { exists } from "../host/files.js";
import type { SitePlace } from "../ops/site.js";
import type { Trust } from "../ops/verify/trust.js";
import type { Policy } from "../trust/policy.js";
import { type OptionValues, type Session, UsageError } from "./command.js";
import { readPublicKeys } from "./keys.js";

/** The options of those who ask a policy about no bundle. */
export const NO_SITE = {
  state: undefined,
  "no-policy": false,
  rollback: [],
  "accept-expired": undefined,
} as const;

/** A reason of blanks says nothing. */
export function needsWords(value: string): string | null {
  return /\S/.test(value) ? null : "takes a reason in words";
}

export const publicKeyOption = {
  kind: "texts",
  describe:
    "KEY  to trust, on a machine without a policy: its text or file (Nix's name:base64, PEM, OpenSSH's .pub); repeat for more",
} as const;

export const placeOptions = {
  policy: { kind: "text", describe: "FILE  the policy; default: /etc/nix-airgap/policy.json" },
  state: { kind: "text", describe: "DIR  what this site remembers; default: /var/lib/nix-airgap" },
} as const;

/** Of those who go by the policy of a site that has one, and need none elsewhere. */
export const sitePolicyOptions = {
  ...placeOptions,
  "no-policy": { kind: "flag", describe: "Ask no policy, though this machine has one" },
  rollback: {
    kind: "texts",
    describe: "FILE  that authorizes going back to this release; repeat for more",
  },
  "accept-expired": {
    kind: "text",
    describe: "REASON  to take what has expired all the same; it is recorded",
    check: needsWords,
  },
} as const;

export const trustOptions = {
  "public-key": publicKeyOption,
  ...sitePolicyOptions,
  "no-policy": { kind: "flag", describe: "Go by --public-key though this machine has a policy" },
} as const;

type PolicyTrust = Extract<Trust, { by: "policy" }>;
type TrustValues = OptionValues<typeof trustOptions>;

/** `verb`: the command, for its usage. @throws UsageError, KEY_REQUIRED, KEY_INVALID, and what `openSite` throws */
export async function readTrust(
  options: TrustValues,
  { context }: Session,
  { verb, withoutState }: { readonly verb: string; readonly withoutState: boolean },
): Promise<Exclude<Trust, { by: "nobody" }>> {
  const place = placeOf(options, context.cwd);
  const keys = options["public-key"];
  const hasPolicy =
    options.policy !== undefined || (!options["no-policy"] && (await exists(place.policyPath)));
  if (keys.length > 0) {
    if (options.policy !== undefined)
      throw new UsageError("--public-key and --policy exclude each other", verb);
    if (hasPolicy) {
      throw new UsageError(
        `this machine has a policy (${place.policyPath}): leave out --public-key, or give --no-policy as well`,
        verb,
      );
    }
  }
  if (!hasPolicy) {
    if (options.rollback.length > 0 || options["accept-expired"] !== undefined) {
      throw new UsageError("--rollback and --accept-expired are for sites with a policy", verb);
    }
    if (keys.length === 0) {
      fail("KEY_REQUIRED", {
        hint: "Give --public-key with the packer's key; a site pins a policy once: nix-airgap trust init.",
      });
    }
    return { by: "keys", keys: await readPublicKeys(keys, context) };
  }
  return policyTrust(options, place, { context, withoutState });
}

/** What a change of releases goes by: the site's policy; null where this machine has none. @throws as `readTrust` */
export async function readSitePolicy(
  options: Omit<TrustValues, "public-key">,
  { context }: Session,
  verb: string,
): Promise<PolicyTrust | null> {
  const place = placeOf(options, context.cwd);
  const hasPolicy =
    options.policy !== undefined || (!options["no-policy"] && (await exists(place.policyPath)));
  if (hasPolicy) return policyTrust(options, place, { context, withoutState: false });
  if (options.rollback.length > 0 || options["accept-expired"] !== undefined) {
    throw new UsageError("--rollback and --accept-expired are for sites with a policy", verb);
  }
  return null;
}

async function policyTrust(
  options: Pick<TrustValues, "rollback" | "accept-expired">,
  place: SitePlace,
  { context, withoutState }: Pick<Session, "context"> & { readonly withoutState: boolean },
): Promise<PolicyTrust> {
  const { openSite, readPolicy } = await import("../ops/site.js");
  const { readApprovalFile } = await import("../ops/side-approvals.js");
  const rollbacks = new Map<string, Buffer>();
  for (const file of options.rollback) {
    rollbacks.set(basename(file), await readApprovalFile(resolve(context.cwd, file)));
  }
  const acceptExpired = options["accept-expired"] ?? null;
  if (withoutState) {
    const { policy } = await readPolicy(place.policyPath);
    return { by: "policy", policy, site: null, rollbacks, acceptExpired };
  }
  const { policy, state } = await openSite(place);
  return { by: "policy", policy, site: { state, place }, rollbacks, acceptExpired };
}

/** The policy that somebody has before them; none where they give none. @throws POLICY_MISSING, POLICY_INVALID, DISK */
export async function readGivenPolicy(path: string | undefined, cwd: string): Promise<Policy | undefined> {
  if (path === undefined) return undefined;
  const { readPolicy } = await import("../ops/site.js");
  return (await readPolicy(resolve(cwd, path))).policy;
}

export function placeOf(
  { policy, state }: { readonly policy: string | undefined; readonly state: string | undefined },
  cwd: string,
): SitePlace {
  return {
    policyPath: policy === undefined ? DEFAULT_PLACE.policyPath : resolve(cwd, policy),
    stateDir: state === undefined ? DEFAULT_PLACE.stateDir : resolve(cwd, state),
  };
}

/** Without loading what opens it: --help must come at once. */
const DEFAULT_PLACE: SitePlace = {
  policyPath: "/etc/nix-airgap/policy.json",
  stateDir: "/var/lib/nix-airgap",
};
