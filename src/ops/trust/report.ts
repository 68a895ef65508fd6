/** What the verbs that change a site's trust have to say. */
import { EXIT, exitOf, type Finding } from "../../errors.js";
import type { TrustReport } from "../../generated/types.js";
import type { Happening } from "../record.js";
import { reportedFindings } from "../reports.js";
import type { SitePlace } from "../site.js";

/** Its entry in the site's log. */
export function trustEvent(verdict: string, details: Readonly<Record<string, string>>): Happening {
  return { event: "trust", verdict, exit: EXIT.yes, bundle: null, details };
}

export function trustReport(
  verb: TrustReport["verb"],
  site: SitePlace,
  about: Pick<TrustReport, "verdict" | "before" | "after"> & {
    readonly signers?: readonly string[];
    readonly findings?: readonly Finding[];
  },
): TrustReport {
  const { signers = [], findings = [], ...rest } = about;
  return {
    format: "nix-airgap-trust",
    verb,
    exit: exitOf(findings),
    site: { ...site },
    signers: [...signers],
    findings: reportedFindings(findings),
    ...rest,
  };
}
