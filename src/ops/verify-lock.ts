/** verify of a flake.lock: who approved these very bytes, before they are merged or packed. Only reads. */
import { exitOf, fail } from "../errors.js";
import type { LockReport } from "../generated/types.js";
import { readSmallFile } from "../host/files.js";
import { MAX_FLAKE_LOCK, parseFlakeLock } from "../nix/flake-lock.js";
import { formatHex, hashOf } from "../nix/hash.js";
import { timeOf } from "../time.js";
import { keyHashOf, keyNameOf } from "../trust/approval.js";
import { saysSigner } from "../trust/statement.js";
import type { Context } from "./context.js";
import { checkLockApprovals, type LockTrust } from "./lock-approval.js";
import { reportedFindings } from "./reports.js";
import { readSideApprovals } from "./side-approvals.js";

/** @throws BUNDLE_NOT_FOUND, FLAKE_LOCK_INVALID, FILE_TOO_LARGE, TOO_MANY_FILES, DISK */
export async function verifyLock(path: string, trust: LockTrust, context: Context): Promise<LockReport> {
  const bytes = (await readSmallFile(path, MAX_FLAKE_LOCK)) ?? fail("BUNDLE_NOT_FOUND", { subject: path });
  const { nodes } = parseFlakeLock(bytes, path);
  const sha256 = formatHex(hashOf("sha256", bytes));
  const files = await readSideApprovals(path);
  const { approvals, stale, findings } = checkLockApprovals({ sha256, files }, trust, timeOf(context.now()));
  return {
    format: "nix-airgap-verify-lock",
    verdict: findings.length === 0 ? "approved" : "refused",
    exit: exitOf(findings),
    path,
    sha256,
    nodes: nodes.size,
    approvals: approvals.map((approval) => {
      const statement = approval.state === "valid" ? approval.statement : approval.unverifiedStatement;
      return {
        file: approval.file,
        state: approval.state,
        role: approval.role,
        signer: statement === null ? null : saysSigner(statement),
        decision: statement?.predicate.decision ?? null,
        keyName: keyNameOf(approval),
        keyHash: keyHashOf(approval),
        signedAt: statement?.predicate.signedAt ?? null,
      };
    }),
    stale: [...stale].sort(),
    findings: reportedFindings(findings),
  };
}
