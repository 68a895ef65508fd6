import { command } from "../command.js";
import { placeOf, placeOptions } from "../trust.js";

export const trustStatusCommand = command({
  name: "trust status",
  summary: "Show what this site trusts by, and what it took",
  description:
    "Prints the pinned policy's version and hash, the last time seen, and for each product the lowest sequence that it still takes and all releases it took. Only reads.",
  positional: { name: "", count: "none" },
  options: placeOptions,
  examples: [
    { what: "On a site", command: "nix-airgap trust status" },
    { what: "For a script", command: "nix-airgap trust status --json" },
  ],
  async run({ options }, { context }) {
    const { trustStatus } = await import("../../ops/trust/status.js");
    const { renderStatus } = await import("../render/trust.js");
    const report = await trustStatus(placeOf(options, context.cwd), context);
    return { report, render: () => renderStatus(report) };
  },
});
