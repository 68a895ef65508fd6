import { command } from "../command.js";
import { placeOf, placeOptions } from "../trust.js";

export const doctorCommand = command({
  name: "doctor",
  summary: "Check a site's machine: Nix, its settings, clock, policy, permissions",
  description:
    "Looks at what a site rests on: Nix's version against its known holes, its settings (signatures, keys, users, sandbox), free space, the clock against the last time seen, the policy's end, who may write what. Says of each what was found, why it matters, and what to do. Writes nothing, needs no network. Exit 0 if nothing is bad, 12 if something is, 20 if Nix is missing.",
  positional: { name: "", count: "none" },
  options: placeOptions,
  examples: [
    { what: "On a site", command: "nix-airgap doctor" },
    { what: "For a monitor", command: "nix-airgap doctor --json" },
  ],
  async run({ options }, { context }) {
    const { doctor } = await import("../../ops/doctor.js");
    const { renderDoctor } = await import("../render/doctor.js");
    const report = await doctor({ place: placeOf(options, context.cwd) }, context);
    return { report, render: () => renderDoctor(report) };
  },
});
