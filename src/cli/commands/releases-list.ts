import { command, given } from "../command.js";
import { storeOption } from "./shared.js";

export const releasesListCommand = command({
  name: "releases list",
  summary: "List what was restored into a store (also: nix-airgap releases)",
  description:
    "For each release that was restored: which it is, when and by whom, how large, whether all of its GC roots are still there, and which release of a product is the current one. Only reads. Roots that are missing are a finding: a collection takes what they kept.",
  positional: { name: "", count: "none" },
  options: { store: storeOption },
  examples: [
    { what: "On a site", command: "nix-airgap releases" },
    { what: "For a script", command: "nix-airgap releases list --store /srv/pump --json" },
  ],
  async run({ options }, { context }) {
    const { listReleases } = await import("../../ops/releases/list.js");
    const { renderReleases } = await import("../render/releases.js");
    const report = await listReleases(given("store", options.store), context);
    return { report, render: (view) => renderReleases(report, view) };
  },
});
