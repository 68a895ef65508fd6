import { resolve } from "node:path";
import { command, UsageError } from "../command.js";
import { placeOf, placeOptions } from "../trust.js";

export const trustUpdateCommand = command({
  name: "trust update",
  summary: "Follow the chain of policies to the next version",
  description:
    "Takes the next policy, or several in the order of their versions, each with its approvals beside it (POLICY.approvals/). Each must name the one before by hash, be exactly one version later, and be signed by as many policy signers as the one before asks for, and as it asks for itself. All are taken, or none. An update that was interrupted is completed.",
  positional: { name: "POLICY", count: "any" },
  options: placeOptions,
  examples: [
    { what: "One version further", command: "nix-airgap trust update policy-2.json" },
    { what: "Two at once", command: "nix-airgap trust update policy-2.json policy-3.json" },
  ],
  async run({ positionals, options }, { context }) {
    if (positionals.length === 0) throw new UsageError("POLICY is missing", "trust update");
    const { trustUpdate } = await import("../../ops/trust/update.js");
    const { renderTrust } = await import("../render/trust.js");
    const policies = positionals.map((path) => resolve(context.cwd, path));
    const report = await trustUpdate(policies, placeOf(options, context.cwd), context);
    return { report, render: (view) => renderTrust(report, view) };
  },
});
