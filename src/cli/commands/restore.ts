import { command, given } from "../command.js";
import { readTrust, trustOptions } from "../trust.js";
import { BUNDLE, bundleAt, foldersOfParts, partsOption, storeOption } from "./shared.js";

export const restoreCommand = command({
  name: "restore",
  summary: "Verify a bundle, and import it into a Nix store",
  description:
    "Verifies all of a bundle first, and imports nothing unless it holds. Then hands it to Nix with signatures on, reads every path back from disk, sets GC roots, and prints the command that builds, runs or enters each root offline. Opens no network socket, but for a BUNDLE that is the URL of a serve: that is fetched into a temporary folder first, and trusted in nothing. After an interruption run it again: it completes.",
  positional: BUNDLE,
  options: {
    ...trustOptions,
    parts: partsOption,
    store: storeOption,
    "gc-root": { kind: "text", describe: "NAME  of the GC roots; default: PRODUCT-RELEASE" },
    "out-link": { kind: "text", describe: "DIR  for symlinks to the outputs" },
    "sandbox-path": {
      kind: "texts",
      describe: "P  of this machine that the printed commands lend to builders; repeat for more",
    },
    "dry-run": { kind: "flag", describe: "Verify, and print the plan; import nothing" },
    receipt: { kind: "text", describe: "FILE  for the receipt, also when it fails: what --json prints" },
  },
  examples: [
    {
      what: "Into this machine's store",
      command: "nix-airgap restore acme-pump-1.4.0.tar --public-key acme-release-1.pub",
    },
    {
      what: "From a server of the site, by this machine's own policy",
      command: "nix-airgap restore http://cache.site:8484/",
    },
    {
      what: "Into a folder, with a receipt",
      command: "nix-airgap restore bundle.tar --public-key pump.pub --store /srv/pump --receipt receipt.json",
    },
  ],
  async run({ positionals: [bundle = ""], options }, session) {
    const { context } = session;
    const trust = await readTrust(options, session, { verb: "restore", withoutState: false });
    const { restore } = await import("../../ops/restore.js");
    const { renderRestore } = await import("../render/restore.js");
    const report = await restore(
      bundleAt(bundle, context.cwd),
      {
        trust,
        parts: foldersOfParts(options.parts, context.cwd),
        ...given("store", options.store),
        ...given("gcRoot", options["gc-root"]),
        ...given("outLink", options["out-link"]),
        sandboxPaths: options["sandbox-path"],
        dryRun: options["dry-run"],
        ...given("receipt", options.receipt),
      },
      context,
    );
    return { report, render: (view) => renderRestore(report, view) };
  },
});
