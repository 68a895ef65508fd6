import { command } from "../command.js";
import { rememberedHead, stateFolder, stateOption } from "./audit.js";

export const auditVerifyCommand = command({
  name: "audit verify",
  summary: "Check that a site's audit log is as it was written",
  description:
    "Reads the log of every verify, restore, rebuild, approval and change of trust on this machine, and checks that no entry was altered, deleted, inserted or moved: each one holds the hash of the one before, and the site's state that of the last. Writes nothing. Exit 0 if it holds, 11 if it was changed, 13 if its end is missing.",
  positional: { name: "", count: "none" },
  options: { state: stateOption },
  examples: [
    { what: "The log of this machine", command: "nix-airgap audit verify" },
    {
      what: "A copy of a state folder, for a script",
      command: "nix-airgap audit verify --state /media/site-4 --json",
    },
  ],
  async run({ options }, { context }) {
    const { auditVerify } = await import("../../ops/audit/verify.js");
    const { renderAuditVerify } = await import("../render/audit.js");
    const state = stateFolder(options.state);
    const head = await rememberedHead(state, context);
    const report = await auditVerify({ state, head }, context);
    return { report, render: (view) => renderAuditVerify(report, view) };
  },
});
