/** What using and removing a release have in common: which one, under whose policy, in which log, in which report. */
import { AirgapError, EXIT, exitOf, type Finding } from "../../errors.js";
import type { ReleaseChangeReport, ReleaseRecord } from "../../generated/types.js";
import { auditPath } from "../../host/audit-file.js";
import { currentLink, currentName } from "../../host/releases.js";
import type { TargetStore } from "../../host/store.js";
import type { Context } from "../context.js";
import { auditBundle, codesOf, type Happening, recordApart, recorded } from "../record.js";
import { reportedFindings } from "../reports.js";
import type { SitePlace } from "../site.js";
import { type Trust, trustDetails } from "../verify/trust.js";

export type PolicyTrust = Extract<Trust, { by: "policy" }>;

export interface ChangeOptions {
  readonly name: string;
  /** As `nix --store` takes it; default: this machine's. */
  readonly store?: string;
  /** The site's policy; null on a machine without one. */
  readonly trust: PolicyTrust | null;
}

/** A change of one release in one store. */
export interface Change {
  readonly verb: ReleaseChangeReport["verb"];
  readonly name: string;
  /** Null where only its GC roots are left, or its record is none. */
  readonly record: ReleaseRecord | null;
  readonly store: TargetStore;
  readonly trust: PolicyTrust | null;
  /** What was current before. */
  readonly from: string | null;
}

/** The entry of a site's log. `verdict`: `begun`, `used`, `removed`, … */
export function happeningOf(change: Change, verdict: string, findings: readonly Finding[]): Happening {
  const { name, record, store, trust, from } = change;
  return {
    event: "release",
    verdict,
    exit: exitOf(findings),
    bundle: record === null ? null : auditBundle(record),
    details: {
      ...(trust === null ? {} : trustDetails(trust)),
      findings: codesOf(findings),
      from,
      name,
      store: store.uri,
    },
  };
}

type Outcome = Pick<ReleaseChangeReport, "verdict"> &
  Partial<Pick<ReleaseChangeReport, "checked" | "outLink" | "removed" | "collect">> & {
    readonly findings?: readonly Finding[];
  };

/** The report, once the log has it. A log that does not take it is a finding; what was done stays done. */
export async function finish(
  change: Change,
  outcome: Outcome,
  context: Context,
): Promise<ReleaseChangeReport> {
  const { verdict, findings = [], checked = 0, outLink = null, removed = [], collect = null } = outcome;
  const { verb, name, record, store, from } = change;
  const product = record?.product ?? null;
  const isCurrent = product !== null && (await currentName(store, product)) !== null;
  const place = placeOf(change);
  const report: ReleaseChangeReport = {
    format: "nix-airgap-release-change",
    verb,
    verdict,
    exit: exitOf(findings),
    store: store.uri,
    findings: reportedFindings(findings),
    product,
    from,
    name,
    checked,
    link: isCurrent ? currentLink(store, product) : null,
    outLink,
    record: auditPath(place?.stateDir ?? store.keptDir),
    removed,
    collect,
  };
  const done = verb === "use" ? "used" : "removed";
  const happening = happeningOf(change, verdict === "done" ? done : verdict, findings);
  if (place !== null) return recorded(report, place, happening, context);
  try {
    await recordApart(store.keptDir, happening, context);
    return report;
  } catch (error) {
    if (!(error instanceof AirgapError)) throw error;
    const more = reportedFindings([{ ...error.details, code: error.code }]);
    const exit = report.exit === EXIT.yes ? error.exit : report.exit;
    return { ...report, exit, findings: [...report.findings, ...more] };
  }
}

function placeOf({ trust }: Change): SitePlace | null {
  return trust?.site?.place ?? null;
}
