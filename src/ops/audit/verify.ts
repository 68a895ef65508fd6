/** audit verify: whether a site's audit log is as it was written. Only reads. */
import type { AuditVerifyReport } from "../../generated/types.js";
import { type AuditContext, type AuditSource, checkAudit } from "./check.js";

/** @throws AirgapError DISK, INTERRUPTED. What is wrong with the log is in the report. */
export async function auditVerify(source: AuditSource, context: AuditContext): Promise<AuditVerifyReport> {
  return { format: "nix-airgap-audit-verify", ...(await checkAudit(source, context)) };
}
