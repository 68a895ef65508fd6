import { resolve } from "node:path";
import { command, given } from "../command.js";
import { placeOf, placeOptions } from "../trust.js";

export const trustInstallCommand = command({
  name: "trust install",
  summary: "Print how people without privileges may restore",
  description:
    "Prints a script for the site's administrator, or a module for NixOS: a system user that owns key, state and policy, a command that takes a bundle and no options, the sudo rule for it, and the settings by which Nix trusts the site's import key alone. Changes nothing itself.",
  positional: { name: "", count: "none" },
  options: {
    user: { kind: "text", describe: "U  system user; default: nix-airgap" },
    group: { kind: "text", describe: "G  of those who may restore; default: nix-airgap-operators" },
    program: { kind: "text", describe: "FILE  the program's one file; default: the one that runs" },
    nixos: { kind: "flag", describe: "For NixOS: a module of its configuration" },
    ...placeOptions,
  },
  examples: [
    {
      what: "Read it, then run it as root",
      command: "nix-airgap trust install --program /usr/local/lib/nix-airgap.mjs > install.sh",
    },
    { what: "For NixOS", command: "nix-airgap trust install --nixos > nix-airgap-site.nix" },
  ],
  async run({ options }, { context }) {
    const [{ trustInstall }, { SERVICE_ACCOUNT }] = await Promise.all([
      import("../../ops/trust/install.js"),
      import("../../ops/site.js"),
    ]);
    const { user = SERVICE_ACCOUNT, group = "nix-airgap-operators", program, nixos } = options;
    const place = placeOf(options, context.cwd);
    const file = program === undefined ? undefined : resolve(context.cwd, program);
    const report = await trustInstall({ place, user, group, nixos, ...given("program", file) }, context);
    return { report, render: () => report.text.trimEnd().split("\n") };
  },
});
