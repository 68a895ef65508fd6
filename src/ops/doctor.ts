/** doctor: whether a site is set up so that what it imports can be relied on. Writes nothing, needs no network. */
import type { DoctorReport } from "../generated/types.js";
import { VERSION } from "../generated/version.js";
import type { Context } from "./context.js";
import { type DoctorOptions, gatherFacts } from "./doctor/facts.js";
import { exitOfChecks, judge } from "./doctor/judge.js";

export type { DoctorOptions } from "./doctor/facts.js";

/** What is wrong is in the report, also that Nix is missing. @throws AirgapError INTERRUPTED */
export async function doctor(options: DoctorOptions, context: Context): Promise<DoctorReport> {
  const facts = await gatherFacts(options, context);
  const checks = judge(facts);
  const { nix, node } = facts;
  return {
    format: "nix-airgap-doctor",
    exit: exitOfChecks(checks, facts),
    checks,
    tools: { nix: nix.kind === "usable" ? nix.versionLine : null, nixAirgap: VERSION, node },
  };
}
