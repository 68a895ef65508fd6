import { command, given } from "../command.js";
import { placeOptions, readSitePolicy, sitePolicyOptions } from "../trust.js";
import { storeOption } from "./shared.js";

export const releasesRemoveCommand = command({
  name: "releases remove",
  summary: "Remove a restored release's GC roots and links",
  description:
    "Removes what keeps a release from Nix's garbage collector, and its links; no store path: the command that collects what nothing else needs is printed. Refuses the current release unless --current is given. Recorded. After an interruption run it again: it completes.",
  positional: { name: "NAME", count: "one" },
  options: {
    store: storeOption,
    ...placeOptions,
    "no-policy": sitePolicyOptions["no-policy"],
    current: { kind: "flag", describe: "Also where it is the current one; then none is" },
  },
  examples: [
    { what: "The one before", command: "nix-airgap releases remove acme-pump-1.3.0" },
    {
      what: "All that a product has",
      command: "nix-airgap releases remove acme-pump-1.4.0 --current --store /srv/pump",
    },
  ],
  async run({ positionals: [name = ""], options }, session) {
    const asked = { ...options, rollback: [], "accept-expired": undefined };
    const trust = await readSitePolicy(asked, session, "releases remove");
    const { removeOneRelease } = await import("../../ops/releases/remove.js");
    const { renderReleaseChange } = await import("../render/releases.js");
    const report = await removeOneRelease(
      { name, trust, evenCurrent: options.current, ...given("store", options.store) },
      session.context,
    );
    return { report, render: (view) => renderReleaseChange(report, view) };
  },
});
