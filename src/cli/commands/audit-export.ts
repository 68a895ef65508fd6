import { command, given } from "../command.js";
import { rememberedHead, stateFolder, stateOption } from "./audit.js";

const FORMATS = ["json", "csv"] as const;

export const auditExportCommand = command({
  name: "audit export",
  summary: "Write a site's audit log as JSON, or CSV for a spreadsheet",
  description:
    "Checks the log as `audit verify` does, and writes all its entries as one document. A log that does not hold is not exported: the findings are shown, and the exit is theirs. In CSV, a text that a spreadsheet would take for a formula begins with an apostrophe. Printed, without --out, invisible characters are escaped.",
  positional: { name: "", count: "none" },
  options: {
    state: stateOption,
    as: { kind: "choice", describe: "What to write; default: json", choices: FORMATS },
    out: { kind: "text", describe: "FILE  to write, which must not exist; default: print it" },
  },
  examples: [
    {
      what: "For an auditor's spreadsheet",
      command: "nix-airgap audit export --as csv --out audit-2026.csv",
    },
    { what: "All that failed", command: "nix-airgap audit export | jq '.entries[] | select(.exit != 0)'" },
  ],
  async run({ options }, { context }) {
    const { auditExport } = await import("../../ops/audit/export.js");
    const { renderAuditExport } = await import("../render/audit.js");
    const { as = "json", out } = options;
    const state = stateFolder(options.state);
    const head = await rememberedHead(state, context);
    const request = { state, head, as, ...given("out", out) };
    const report = await auditExport(request, context);
    return { report, render: (view) => renderAuditExport(report, view) };
  },
});
