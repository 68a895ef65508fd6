/** What happened on a site, written into its log and remembered with the time: one entry for each verb. */
import { AirgapError, EXIT } from "../errors.js";
import type { AuditEntry, ReportedFinding, SiteState } from "../generated/types.js";
import { VERSION } from "../generated/version.js";
import { whoRuns } from "../host/who.js";
import { timeOf } from "../time.js";
import { entryText, type Head, MAX_TEXT } from "../trust/audit-entry.js";
import { withTime } from "../trust/site-state.js";
import { appendEntry } from "./audit/append.js";
import type { Context } from "./context.js";
import { reportedFindings } from "./reports.js";
import { readState, type SitePlace, withSiteLock, writeState } from "./site.js";

export interface Happening {
  readonly event: AuditEntry["event"];
  readonly verdict: string;
  readonly exit: number;
  readonly bundle: AuditEntry["bundle"];
  /** Nix's version, where it was asked. */
  readonly nix?: string | null;
  readonly details?: Readonly<Record<string, string | null>>;
}

/**
 * Records it, and the time. False where this machine remembers nothing.
 *
 * @throws LOCKED, STATE_INVALID, AUDIT_TRUNCATED, AUDIT_CHAIN, AUDIT_ENTRY, DISK, NO_SPACE
 */
export async function record(place: SitePlace, happening: Happening, context: Context): Promise<boolean> {
  if ((await readState(place)) === null) return false;
  return withSiteLock(place, async () => {
    const state = await readState(place);
    if (state === null) return false;
    await writeState(place, await recordIn(place, state, happening, context));
    return true;
  });
}

/** How something ended, recorded. That it cannot be is told beside, and changes nothing of what was done. */
export async function recorded<R extends { readonly exit: number; readonly findings: ReportedFinding[] }>(
  report: R,
  place: SitePlace,
  happening: Happening,
  context: Context,
): Promise<R> {
  try {
    await record(place, happening, context);
    return report;
  } catch (error) {
    if (!(error instanceof AirgapError)) throw error;
    const findings = [...report.findings, ...reportedFindings([{ ...error.details, code: error.code }])];
    return { ...report, findings, exit: report.exit === EXIT.yes ? error.exit : report.exit };
  }
}

/** What was found, by code, each once; null where nothing was. */
export function codesOf(findings: readonly { readonly code: string }[]): string | null {
  return findings.length === 0 ? null : [...new Set(findings.map(({ code }) => code))].join(", ");
}

/** The bundle that an entry is about, as it says of itself. */
export function auditBundle(
  bundle: Pick<
    NonNullable<AuditEntry["bundle"]>,
    "sha256" | "product" | "release" | "sequence" | "systems" | "tier"
  >,
): AuditEntry["bundle"] {
  const { product, release, sequence, sha256, systems, tier } = bundle;
  return { product, release, sequence, sha256, systems, tier };
}

/** For who holds the site's lock, and writes the state that this returns. @throws as `record` does */
export async function recordIn(
  { stateDir }: SitePlace,
  state: SiteState,
  happening: Happening,
  context: Pick<Context, "now" | "env">,
): Promise<SiteState> {
  const at = timeOf(context.now());
  const audit = await append(stateDir, happening, { at, head: state.audit, policy: state.policy }, context);
  return { ...withTime(state, at), audit };
}

/**
 * Into a log of the same kind in another folder, whose lock the caller holds: where there is no site that remembers. Nothing
 * else tells how far it went.
 *
 * @throws AUDIT_ENTRY, DISK, NO_SPACE
 */
export async function recordApart(
  folder: string,
  happening: Happening,
  context: Pick<Context, "now" | "env">,
): Promise<void> {
  await append(folder, happening, { at: timeOf(context.now()), head: null, policy: null }, context);
}

function append(
  folder: string,
  { event, verdict, exit, bundle, nix = null, details = {} }: Happening,
  {
    at,
    head,
    policy,
  }: { readonly at: string; readonly head: SiteState["audit"]; readonly policy: AuditEntry["policy"] },
  { env }: Pick<Context, "env">,
): Promise<Head> {
  const { user, uid, sudoUser, machine } = whoRuns(env);
  return appendEntry(folder, {
    head,
    makeEntry: ({ number, sha256 }) => ({
      at,
      bundle,
      details: textsOf(details),
      event,
      exit,
      machine: entryText(machine, MAX_TEXT.short),
      number: number + 1,
      policy,
      previous: sha256,
      tools: { nix, nixAirgap: VERSION },
      user: {
        name: entryText(user, MAX_TEXT.short),
        sudoUser: sudoUser === null ? null : entryText(sudoUser, MAX_TEXT.short),
        uid,
      },
      verdict,
    }),
  });
}

function textsOf(details: Readonly<Record<string, string | null>>): Record<string, string> {
  return Object.fromEntries(
    Object.entries(details).flatMap(([name, text]) => (text === null ? [] : [[name, entryText(text)]])),
  );
}
