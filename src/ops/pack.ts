/**
 * pack: a flake becomes one bundle. Plans first (nothing is written under the output's name until everything else
 * is on disk and was verified), refuses with all reasons at once, and resumes where an earlier run was stopped.
 */
import { exitOf } from "../errors.js";
import type { PackReport } from "../generated/types.js";
import { removeTree } from "../host/files.js";
import { makeRunDir } from "../host/run-dir.js";
import type { Context } from "./context.js";
import { describePlan } from "./pack/plan.js";
import { preparePack } from "./pack/prepare.js";
import type { PackOptions } from "./pack/request.js";
import { checkPlannedSize } from "./pack/size-limit.js";
import { writeBundle } from "./pack/write-bundle.js";
import { PhaseClock } from "./phase-clock.js";
import { reportedFindings, verifyFindings } from "./reports.js";

export type { PackOptions } from "./pack/request.js";

/**
 * @throws AirgapError USAGE, OUT_EXISTS, BUNDLE_TOO_LARGE while it is written, NIX_MISSING, NIX_FAILED, DISK, NO_SPACE, LOCKED, INTERRUPTED. What is wrong with
 * the flake itself is in the report's findings, and then nothing was written.
 */
export async function pack(options: PackOptions, context: Context): Promise<PackReport> {
  const clock = new PhaseClock(context);
  const tempDir = await makeRunDir("pack", context.tmpDir);
  const report = (parts: Pick<PackReport, "exit" | "findings"> & Partial<PackReport>): PackReport => ({
    format: "nix-airgap-pack",
    dryRun: options.dryRun,
    bundle: null,
    plan: null,
    phases: clock.phases,
    ...parts,
  });
  try {
    const prepared = await preparePack(options, context, { tempDir, clock });
    if ("findings" in prepared) {
      return report({ exit: exitOf(prepared.findings), findings: reportedFindings(prepared.findings) });
    }
    const signedBy = options.secretKey?.publicKey.name ?? null;
    const plan = describePlan(prepared, signedBy);
    const tooLarge = checkPlannedSize(plan.size, options.maxSize);
    if (tooLarge.length > 0) {
      return report({ exit: exitOf(tooLarge), findings: reportedFindings(tooLarge), plan });
    }
    if (options.dryRun) return report({ exit: 0, findings: [], plan });
    const { bundle, verification } = await writeBundle({ ...prepared, tempDir, clock }, options, context);
    if (bundle !== null) return report({ exit: 0, findings: [], plan, bundle });
    return report({ exit: verification.exit, findings: verifyFindings(verification), plan });
  } finally {
    await removeTree(tempDir);
  }
}
