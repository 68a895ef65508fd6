import { resolve } from "node:path";
import { command } from "../command.js";
import { placeOf } from "../trust.js";

export const trustShowCommand = command({
  name: "trust show",
  summary: "Show a policy's card: hash, people, keys, program",
  description:
    "Prints what travels on paper: the policy's hash, who is in it with which keys and roles, and the hash of this program. Without POLICY, the site's.",
  positional: { name: "POLICY", count: "any" },
  options: {},
  examples: [
    { what: "Of a file, to be printed", command: "nix-airgap trust show policy.json" },
    { what: "Of this site", command: "nix-airgap trust show" },
  ],
  async run({ positionals }, { context }) {
    const { showPolicy } = await import("../../ops/trust/card.js");
    const { renderCard } = await import("../render/trust.js");
    const [file] = positionals;
    const path =
      file === undefined
        ? placeOf({ policy: undefined, state: undefined }, context.cwd).policyPath
        : resolve(context.cwd, file);
    const report = await showPolicy(path, context);
    return { report, render: () => renderCard(report) };
  },
});
