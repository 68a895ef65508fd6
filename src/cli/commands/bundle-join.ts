import { resolve } from "node:path";
import { command, given, UsageError } from "../command.js";
import { readSecretKey } from "../keys.js";
import { NO_SITE, placeOptions, publicKeyOption, readTrust, trustOptions } from "../trust.js";
import { foldersOfParts, partsOption } from "./shared.js";

const NAME = "bundle join";

export const bundleJoinCommand = command({
  name: NAME,
  summary: "Make one bundle of those of a release that were packed for different systems",
  description:
    "Verifies each BUNDLE, then writes one with the roots and paths of all. They must be of one release: the same product, release, sequence, flake, flake.lock and tier. The order makes no difference to the bytes. The document is a new one: approvals of the parts do not carry over, so sign it with --key, or with nix-airgap sign. What contradicts itself between two of them is named, and nothing is written.",
  positional: { name: "BUNDLE", count: "any" },
  options: {
    out: {
      kind: "text",
      describe: "PATH  a directory, or a file if it ends in .tar; default: PRODUCT-RELEASE-SYSTEMS-TIER.tar",
    },
    key: {
      kind: "text",
      describe: "FILE  with the secret key to sign with, - for stdin; without it the bundle is unsigned",
    },
    "public-key": publicKeyOption,
    policy: placeOptions.policy,
    "no-policy": trustOptions["no-policy"],
    parts: partsOption,
  },
  examples: [
    {
      what: "What two machines packed with --system, as one bundle",
      command:
        "nix-airgap bundle join pump-1.4.0-x86_64-linux-build.tar pump-1.4.0-aarch64-linux-build.tar --public-key pump.pub --key pump.sec",
    },
    {
      what: "By the policy, into a directory, to be signed by people afterwards",
      command: "nix-airgap bundle join x86.tar arm.tar --policy policy.json --out /media/usb/pump-1.4.0",
    },
  ],
  async run({ positionals, options }, session) {
    const { context } = session;
    if (positionals.length < 2) throw new UsageError("give two bundles or more", NAME);
    const secretKey = options.key === undefined ? undefined : await readSecretKey(options.key, session);
    const { policy, "public-key": publicKeys, "no-policy": noPolicy } = options;
    const about = { ...NO_SITE, policy, "public-key": publicKeys, "no-policy": noPolicy };
    const trust = await readTrust(about, session, { verb: NAME, withoutState: true });
    const { bundleJoin } = await import("../../ops/bundle/join.js");
    const { renderBundleJoin } = await import("../render/bundle-join.js");
    const report = await bundleJoin(
      {
        bundles: positionals.map((bundle) => resolve(context.cwd, bundle)),
        trust,
        parts: foldersOfParts(options.parts, context.cwd),
        ...given("out", options.out),
        ...given("secretKey", secretKey),
      },
      context,
    );
    return { report, render: (view) => renderBundleJoin(report, view) };
  },
});
