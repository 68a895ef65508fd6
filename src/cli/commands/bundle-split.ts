import { resolve } from "node:path";
import { command, UsageError } from "../command.js";
import { partSizeOption } from "../size.js";
import { BUNDLE, foldersOfParts, partsOption } from "./shared.js";

const NAME = "bundle split";

export const bundleSplitCommand = command({
  name: NAME,
  summary: "Cut a bundle into parts, for FAT32 and optical media",
  description:
    "Writes a bundle as parts of one .tar into a new folder, with their hashes (NAME.tar.sha256, for sha256sum) and an index (NAME.tar.parts.json). Put each part on a medium, and the two small files on every one. Every command reads the parts as they lie: verify /media/disc-1 --parts /media/disc-2. Without this program: cat NAME.tar.001 NAME.tar.002 … > NAME.tar. Nothing is verified here.",
  positional: BUNDLE,
  options: {
    size: { ...partSizeOption, describe: `${partSizeOption.describe}; required` },
    out: { kind: "text", describe: "DIR  for the parts, which is made; required" },
    parts: partsOption,
  },
  examples: [
    {
      what: "For USB sticks with FAT32, which take no file over 4 GiB",
      command: "nix-airgap bundle split acme-pump-1.4.0.tar --size fat32 --out /media/usb/pump-1.4.0",
    },
    {
      what: "For CDs",
      command: "nix-airgap bundle split acme-pump-1.4.0.tar --size cd --out discs",
    },
  ],
  async run({ positionals: [bundle = ""], options }, { context }) {
    const { size: partSize, out } = options;
    if (partSize === undefined) throw new UsageError("--size is missing", NAME);
    if (out === undefined) throw new UsageError("--out is missing", NAME);
    const { bundleSplit } = await import("../../ops/bundle/split.js");
    const { renderParts } = await import("../render/parts.js");
    const parts = foldersOfParts(options.parts, context.cwd);
    const report = await bundleSplit(resolve(context.cwd, bundle), { partSize, out, parts }, context);
    return { report, render: (view) => renderParts(report, view) };
  },
});
