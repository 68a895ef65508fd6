import { command, given } from "../command.js";
import { readTrust, trustOptions } from "../trust.js";
import { BUNDLE, bundleAt, foldersOfParts, partsOption, sandboxPathOption } from "./shared.js";

export const rebuildCommand = command({
  name: "rebuild",
  summary: "Build a bundle's outputs again, and compare bit for bit",
  description:
    "Verifies a bundle, then builds it again in a scratch store that holds only what the tier promises, in Nix's sandbox and without a network, and compares every path with the document. Exit 0 if all are identical but for those known to be irreproducible, 1 if any differs, 13 if the bundle's tier is too low. With --scratch it resumes after an interruption.",
  positional: BUNDLE,
  options: {
    ...trustOptions,
    parts: partsOption,
    from: {
      kind: "choice",
      choices: ["build", "source"],
      describe: "rebuild the roots, or everything from its sources; default: the bundle's tier",
    },
    system: {
      kind: "texts",
      describe:
        "S  whose roots to rebuild, of a bundle for several; repeat for more; default: all, or refuse",
    },
    scratch: {
      kind: "text",
      describe: "DIR  for the scratch store, which is kept; default: a temporary one",
    },
    "sandbox-path": sandboxPathOption,
    jobs: { kind: "number", min: 1, max: 1024, describe: "N  builds at a time" },
    cores: { kind: "number", min: 0, max: 4096, describe: "N  cores for each build; 0: all" },
    "dry-run": { kind: "flag", describe: "Verify, and print what would be built" },
    "keep-failed": { kind: "flag", describe: "Keep the folders of failed builds" },
  },
  examples: [
    {
      what: "As far as the bundle's tier goes",
      command: "nix-airgap rebuild acme-pump-1.4.0.tar --public-key acme-release-1.pub",
    },
    {
      what: "Everything from source, with this machine's shell lent to builders that need one",
      command:
        "nix-airgap rebuild bundle.tar --public-key pump.pub --from source --sandbox-path /bin --sandbox-path /lib",
    },
  ],
  async run({ positionals: [bundle = ""], options }, session) {
    const { context } = session;
    const trust = await readTrust(options, session, { verb: "rebuild", withoutState: false });
    const { rebuild } = await import("../../ops/rebuild.js");
    const { renderRebuild } = await import("../render/rebuild.js");
    const report = await rebuild(
      bundleAt(bundle, context.cwd),
      {
        trust,
        parts: foldersOfParts(options.parts, context.cwd),
        ...given("from", options.from),
        ...(options.system.length > 0 ? { systems: [...new Set(options.system)].sort() } : {}),
        ...given("scratch", options.scratch),
        sandboxPaths: options["sandbox-path"],
        ...given("jobs", options.jobs),
        ...given("cores", options.cores),
        dryRun: options["dry-run"],
        keepFailed: options["keep-failed"],
      },
      context,
    );
    return { report, render: (view) => renderRebuild(report, view) };
  },
});
