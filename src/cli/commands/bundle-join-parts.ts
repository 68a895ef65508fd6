import { resolve } from "node:path";
import { command, UsageError } from "../command.js";
import { foldersOfParts, partsOption } from "./shared.js";

const NAME = "bundle join-parts";

export const bundleJoinPartsCommand = command({
  name: NAME,
  summary: "Make one .tar again of the parts that it was cut into",
  description:
    "Joins the parts of a bundle into the very .tar that they were cut from, once every part has the hash that the index says; parts that are missing, exchanged or damaged are all named, and then nothing is written. Who approved the bundle is not asked: run verify on what comes out. PARTS is the index NAME.tar.parts.json, a part, or the folder that holds them.",
  positional: { name: "PARTS", count: "one" },
  options: {
    out: { kind: "text", describe: "FILE  the .tar to make; required" },
    parts: partsOption,
  },
  examples: [
    {
      what: "Of two discs",
      command: "nix-airgap bundle join-parts /media/disc-1 --parts /media/disc-2 --out acme-pump-1.4.0.tar",
    },
    {
      what: "Of one folder",
      command: "nix-airgap bundle join-parts discs --out acme-pump-1.4.0.tar",
    },
  ],
  async run({ positionals: [path = ""], options }, { context }) {
    const { out } = options;
    if (out === undefined) throw new UsageError("--out is missing", NAME);
    if (!out.endsWith(".tar")) throw new UsageError("--out takes a name that ends in .tar", NAME);
    const { joinParts } = await import("../../ops/bundle/join-parts.js");
    const { renderParts } = await import("../render/parts.js");
    const parts = foldersOfParts(options.parts, context.cwd);
    const report = await joinParts(resolve(context.cwd, path), { out, parts }, context);
    return { report, render: (view) => renderParts(report, view) };
  },
});
