import { resolve } from "node:path";
import { command, UsageError } from "../command.js";
import { placeOf, placeOptions } from "../trust.js";

const NAME = "trust init";

export const trustInitCommand = command({
  name: NAME,
  summary: "Pin a site's first policy, by the hash on its card",
  description:
    "Puts a policy in its place (--policy) and begins the site's memory (--state), if the file has the hash that came on paper. From then on verify, restore and rebuild go by it, and it changes by trust update alone. Again with the same policy changes nothing.",
  positional: { name: "POLICY", count: "one" },
  options: {
    sha256: { kind: "text", describe: "HASH  64 hex digits, from the card; required" },
    ...placeOptions,
  },
  examples: [
    {
      what: "On a new site, as root",
      command:
        "nix-airgap trust init policy.json --sha256 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    },
    {
      what: "In another place",
      command:
        "nix-airgap trust init policy.json --policy /srv/pump/policy.json --state /srv/pump/state --sha256 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
    },
  ],
  async run({ positionals: [policy = ""], options }, { context }) {
    const { sha256 } = options;
    if (sha256 === undefined) {
      throw new UsageError("--sha256 is missing: it comes on paper, not with the file", NAME);
    }
    if (!/^[0-9a-f]{64}$/.test(sha256)) throw new UsageError("--sha256 takes 64 hex digits", NAME);
    const { trustInit } = await import("../../ops/trust/init.js");
    const { renderTrust } = await import("../render/trust.js");
    const place = placeOf(options, context.cwd);
    const report = await trustInit({ policy: resolve(context.cwd, policy), sha256, place }, context);
    return { report, render: (view) => renderTrust(report, view) };
  },
});
