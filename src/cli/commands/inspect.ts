import { command } from "../command.js";
import { BUNDLE, bundleAt, foldersOfParts, partsOption } from "./shared.js";

export const inspectCommand = command({
  name: "inspect",
  summary: "Show what a bundle says about itself; verifies nothing",
  description:
    "Shows product, release, roots, tier, inputs, paths, sizes, and who claims to have signed. It believes the bundle and checks nothing: no trust is implied. Works on a broken bundle as far as that can be read.",
  positional: BUNDLE,
  options: {
    parts: partsOption,
    tree: { kind: "flag", describe: "Show the closures of the roots' outputs as a tree, each path once" },
    sizes: { kind: "flag", describe: "Show the 20 largest paths, with the size of their closures" },
  },
  examples: [
    { what: "What is this?", command: "nix-airgap inspect acme-pump-1.4.0.tar" },
    { what: "What makes it so large?", command: "nix-airgap inspect acme-pump-1.4.0.tar --sizes --tree" },
  ],
  async run({ positionals: [bundle = ""], options: { tree, sizes, parts: folders } }, { context }) {
    const { inspect } = await import("../../ops/inspect.js");
    const { renderInspect } = await import("../render/inspect.js");
    const parts = foldersOfParts(folders, context.cwd);
    const report = await inspect(bundleAt(bundle, context.cwd), { tree, sizes, parts }, context);
    return { report, render: (view) => renderInspect(report, view) };
  },
});
