import { command } from "../command.js";
import { placeOf, placeOptions } from "../trust.js";

export const doctorCommand = command({
  name: "doctor",
  summary: "Check how this site is set up",
  description:
    "Checks Nix's version against known holes, Nix's settings as its daemon has them, free space, the clock, the policy, and who may change what. Each check says what was found, why it matters, and what to do. Writes nothing, and needs no network. Run it as root, who may look everywhere. Exit 0 if nothing is bad, 12 if something is, 20 if Nix is missing or does not answer.",
  positional: { name: "", count: "none" },
  options: placeOptions,
  examples: [
    { what: "Is this site fit to import and rebuild?", command: "nix-airgap doctor" },
    {
      what: "For monitoring, with state elsewhere",
      command: "nix-airgap doctor --json --state /srv/nix-airgap",
    },
  ],
  async run({ options }, { context }) {
    const { doctor } = await import("../../ops/doctor.js");
    const { readSiteFacts } = await import("../../ops/doctor/site-facts.js");
    const { renderDoctor } = await import("../render/doctor.js");
    const report = await doctor(await readSiteFacts(placeOf(options, context.cwd)), context);
    return { report, render: () => renderDoctor(report) };
  },
});
