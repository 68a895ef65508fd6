import { resolve } from "node:path";
import { command, UsageError } from "../command.js";
import { readTrust, trustOptions } from "../trust.js";
import { BUNDLE, foldersOfParts, partsOption } from "./shared.js";

export const repairCommand = command({
  name: "repair",
  summary: "Make one good bundle of several damaged copies",
  description:
    "Takes each file of a bundle from whichever copy has it unharmed, makes anew what follows from the document, and verifies what comes out like verify does, by the same trust; only then it gets its name. The copies may be directories, .tar files and parts, mixed; none is changed. What no copy has is named, with who needs it, and nothing is written: exit 13 where it is missing, 11 where all copies of it are damaged.",
  positional: BUNDLE,
  options: {
    from: { kind: "texts", describe: "BUNDLE  another copy; repeat for more, in the order to ask them" },
    out: { kind: "text", describe: "PATH  a directory to make, or a file if it ends in .tar; required" },
    parts: partsOption,
    ...trustOptions,
    "no-state": { kind: "flag", describe: "Not a site: leave out whether this would be a step back" },
  },
  examples: [
    {
      what: "Two USB sticks with different bad blocks",
      command:
        "nix-airgap repair /media/a/pump.tar --from /media/b/pump.tar --out pump.tar --public-key acme-release-1.pub",
    },
    {
      what: "A scratched disc, and an old copy in a directory",
      command:
        "nix-airgap repair /media/disc-1 --parts /media/disc-2 --from /srv/old/pump --out pump --public-key pump.pub",
    },
  ],
  async run({ positionals: [bundle = ""], options }, session) {
    const { context } = session;
    const { from, out } = options;
    if (from.length === 0) throw new UsageError("--from is missing", "repair");
    if (out === undefined) throw new UsageError("--out is missing", "repair");
    const withoutState = options["no-state"];
    const trust = await readTrust(options, session, { verb: "repair", withoutState });
    const { repair } = await import("../../ops/repair.js");
    const { renderRepair } = await import("../render/repair.js");
    const absolute = (path: string) => resolve(context.cwd, path);
    const parts = foldersOfParts(options.parts, context.cwd);
    const report = await repair(absolute(bundle), { trust, from: from.map(absolute), out, parts }, context);
    return { report, render: (view) => renderRepair(report, view) };
  },
});
