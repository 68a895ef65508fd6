import { command, UsageError } from "../command.js";
import { placeOf, placeOptions } from "../trust.js";

export const trustImportKeyCommand = command({
  name: "trust import-key",
  summary: "Give the site a key of its own, which its Nix trusts alone",
  description:
    "INIT is the word init. Makes a key in the state folder, once, that signs what passes the gate from then on, so that the site's Nix daemon can trust this key and no other: what is not approved cannot be imported then, by nobody without root. Without such a key every restore makes one for itself, which serves who may write the store directly.",
  positional: { name: "INIT", count: "one" },
  options: placeOptions,
  examples: [
    { what: "As the user that owns the state", command: "nix-airgap trust import-key init" },
    { what: "For a script", command: "nix-airgap trust import-key init --json" },
  ],
  async run({ positionals: [verb], options }, { context }) {
    if (verb !== "init") throw new UsageError('the word after import-key is "init"', "trust import-key");
    const { importKeyInit } = await import("../../ops/trust/import-key.js");
    const { renderImportKey } = await import("../render/trust.js");
    const report = await importKeyInit(placeOf(options, context.cwd), context);
    return { report, render: () => renderImportKey(report) };
  },
});
