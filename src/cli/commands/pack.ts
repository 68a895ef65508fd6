import { isTime } from "../../time.js";
import { command, given, UsageError } from "../command.js";
import { readSecretKey } from "../keys.js";
import { partSizeOption } from "../size.js";
import { NO_SITE, placeOptions, publicKeyOption, readTrust } from "../trust.js";

export const packCommand = command({
  name: "pack",
  summary: "Pack a flake, with all it needs, into one bundle",
  description:
    "Packs flake outputs with all inputs, everything that evaluation reads, and what the tier promises, into one bundle that needs no network afterwards. INSTALLABLE is a path or flake reference with or without #attr; without any it is .#default. What cannot be packed is refused before anything is written, with all reasons at once. Defaults come from nix-airgap.json beside flake.nix. An interrupted pack resumes when it is run again.",
  positional: { name: "INSTALLABLE", count: "any" },
  options: {
    all: {
      kind: "flag",
      describe:
        "Every output for the systems: packages, devShells, checks, apps, formatter, nixosConfigurations (not legacyPackages)",
    },
    except: { kind: "texts", describe: "ATTR  that --all leaves out; repeat for more" },
    system: {
      kind: "texts",
      describe:
        "S  to pack for, such as x86_64-linux; repeat for several in one bundle; default: this machine's",
    },
    product: { kind: "text", describe: "P  name of the product; default: the folder's" },
    release: { kind: "text", describe: "R  name of the release; default: the git tag, or the short rev" },
    key: {
      kind: "text",
      describe: "FILE  with the secret key to sign with, - for stdin; without it the bundle is unsigned",
    },
    out: {
      kind: "text",
      describe:
        "PATH  a directory, or a file if it ends in .tar; default: PRODUCT-RELEASE-SYSTEM-TIER.tar; with --split a folder, default: ….parts",
    },
    split: { ...partSizeOption, describe: `${partSizeOption.describe}; --out is a folder then` },
    tier: {
      kind: "choice",
      choices: ["runtime", "build", "source"],
      describe: "what a site can do with it: run, build again, build from source; default: build",
    },
    sequence: {
      kind: "number",
      min: 0,
      max: Number.MAX_SAFE_INTEGER,
      describe:
        "N  that grows with every release of the product; default: the flake's lastModified, or one more than that of --previous",
    },
    previous: {
      kind: "text",
      describe: "BUNDLE  of the release before this one: is named by hash, and says which paths are new",
    },
    store: {
      kind: "text",
      describe:
        "URI  of a store on this machine to pack from, as nix --store takes it, or a folder; default: Nix's own",
    },
    netrc: {
      kind: "text",
      describe:
        "FILE  with passwords for hosts, for Nix to fetch with; never copied, and inputs from there are private",
    },
    "max-size": {
      kind: "size",
      describe: "SIZE  of the whole bundle at most, such as 4.7GB or 16GiB; a larger one is not made",
    },
    created: {
      kind: "text",
      describe: "T  as YYYY-MM-DDThh:mm:ssZ; default: the flake's lastModified",
      check: (value) => (isTime(value) ? null : `takes a time such as 2026-01-31T12:00:00Z, not "${value}"`),
    },
    "compression-level": {
      kind: "number",
      min: 1,
      max: 19,
      describe: "L  of zstd, from 1 to 19; default: 3",
    },
    env: {
      kind: "texts",
      describe:
        "NAME=VALUE  evaluate impurely with exactly these variables, which the bundle names; repeat for more",
    },
    expect: {
      kind: "texts",
      describe: "ATTR=STOREPATH  stop unless this is the output; repeat for more",
    },
    "allow-secret": {
      kind: "texts",
      describe: "NAME  of a file that looks like a secret and may be packed; repeat for more",
    },
    "require-approved-lock": {
      kind: "flag",
      describe:
        "Refuse a flake.lock that is not approved (flake.lock.approvals/), as --policy or --public-key ask",
    },
    policy: placeOptions.policy,
    "public-key": publicKeyOption,
    "dry-run": {
      kind: "flag",
      describe: "Print the plan: paths, bytes, what each root costs; write no bundle",
    },
  },
  examples: [
    {
      what: "The default output of the flake in this folder, signed",
      command: "nix-airgap pack --key keys/acme-release-1.sec",
    },
    {
      what: "Two outputs, to be built from source on site, on a medium",
      command: "nix-airgap pack .#pump .#tools --tier source --key pump.sec --out /media/usb/pump-1.4.0.tar",
    },
    {
      what: "Just the output that was tested, of a flake that reads one variable",
      command: "nix-airgap pack --env PUMP_VARIANT=eu --expect default=$(readlink result) --key pump.sec",
    },
    {
      what: "For USB sticks with FAT32, which take no file over 4 GiB: parts, with their hashes",
      command: "nix-airgap pack --key pump.sec --split fat32 --out /media/usb/pump-1.4.0",
    },
    {
      what: "All that the flake has for two systems, but one output",
      command:
        "nix-airgap pack --all --system x86_64-linux --system aarch64-linux --except checks.x86_64-linux.slow",
    },
    { what: "What would go in, and how large it is", command: "nix-airgap pack --dry-run" },
  ],
  async run({ positionals, options }, session) {
    const { context } = session;
    const secretKey = options.key === undefined ? undefined : await readSecretKey(options.key, session);
    const { policy, "public-key": publicKeys, "require-approved-lock": isRequired } = options;
    if (!isRequired && (policy !== undefined || publicKeys.length > 0)) {
      throw new UsageError("--policy and --public-key go with --require-approved-lock", "pack");
    }
    const about = { ...NO_SITE, policy, "public-key": publicKeys };
    const approvedLock = isRequired
      ? await readTrust(about, session, { verb: "pack", withoutState: true })
      : undefined;
    if (options.except.length > 0 && !options.all) throw new UsageError("--except goes with --all", "pack");
    const { pack } = await import("../../ops/pack.js");
    const { renderPack } = await import("../render/pack.js");
    const report = await pack(
      {
        installables: positionals,
        all: options.all,
        except: options.except,
        ...(options.system.length > 0 ? { systems: options.system } : {}),
        ...given("product", options.product),
        ...given("release", options.release),
        ...given("secretKey", secretKey),
        ...given("out", options.out),
        ...given("split", options.split),
        ...given("tier", options.tier),
        ...given("sequence", options.sequence),
        ...given("previous", options.previous),
        ...given("store", options.store),
        ...given("netrc", options.netrc),
        ...given("maxSize", options["max-size"]),
        ...given("created", options.created),
        ...given("compressionLevel", options["compression-level"]),
        env: options.env,
        expect: options.expect,
        allowSecrets: options["allow-secret"],
        ...given("approvedLock", approvedLock),
        dryRun: options["dry-run"],
      },
      context,
    );
    return { report, render: (view) => renderPack(report, view) };
  },
});
