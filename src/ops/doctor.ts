/** doctor: whether a site's machine is as it should be: each check with what was found, why it matters, what to do. */
import { EXIT } from "../errors.js";
import type { DoctorReport } from "../generated/types.js";
import { VERSION } from "../generated/version.js";
import { removeTree } from "../host/files.js";
import { makeRunDir } from "../host/run-dir.js";
import type { Context } from "./context.js";
import { gatherFacts } from "./doctor/facts.js";
import { judgeSite } from "./doctor/judge.js";
import type { SitePlace } from "./site.js";

export interface DoctorOptions {
  readonly place: SitePlace;
  /** Where nix.conf lies; default: /etc/nix. */
  readonly nixConfDir?: string;
}

/** Exit 12 where something is bad, 20 where Nix is missing. Writes nothing. @throws INTERRUPTED, DISK */
export async function doctor(options: DoctorOptions, context: Context): Promise<DoctorReport> {
  const tempDir = await makeRunDir("doctor", context.tmpDir);
  try {
    const facts = await gatherFacts(options, tempDir, context);
    const checks = judgeSite(facts);
    const isBad = checks.some(({ state }) => state === "bad");
    return {
      format: "nix-airgap-doctor",
      exit: facts.nix === null ? EXIT.nix : isBad ? EXIT.trust : EXIT.yes,
      checks,
      tools: { nix: facts.nix?.version ?? null, nixAirgap: VERSION, node: facts.node },
    };
  } finally {
    await removeTree(tempDir);
  }
}
