import { command, given } from "../command.js";
import { readSitePolicy, sitePolicyOptions } from "../trust.js";
import { storeOption } from "./shared.js";

export const releasesUseCommand = command({
  name: "releases use",
  summary: "Make a restored release the current one, also to go back",
  description:
    "Hashes all paths of the release on disk, then exchanges the one link that says what is current of its product, in one step. Where the machine has a policy, an older release than the highest that was taken needs an authorization, as restore does, and one that was withdrawn is refused. Recorded, with who and what was current before. Needs no Nix.",
  positional: { name: "NAME", count: "one" },
  options: {
    store: storeOption,
    ...sitePolicyOptions,
    "out-link": { kind: "text", describe: "LINK  to make, which follows what is current from then on" },
  },
  examples: [
    { what: "Back to the older one", command: "nix-airgap releases use acme-pump-1.3.0" },
    {
      what: "By a policy",
      command: "nix-airgap releases use acme-pump-1.3.0 --rollback rollback-1234.sigstore.json",
    },
    {
      what: "With a link of your own",
      command: "nix-airgap releases use acme-pump-1.4.0 --out-link /opt/pump",
    },
  ],
  async run({ positionals: [name = ""], options }, session) {
    const trust = await readSitePolicy(options, session, "releases use");
    const { useRelease } = await import("../../ops/releases/use.js");
    const { renderReleaseChange } = await import("../render/releases.js");
    const report = await useRelease(
      { name, trust, ...given("store", options.store), ...given("outLink", options["out-link"]) },
      session.context,
    );
    return { report, render: (view) => renderReleaseChange(report, view) };
  },
});
