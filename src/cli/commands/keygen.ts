import { command, UsageError } from "../command.js";

export const keygenCommand = command({
  name: "keygen",
  summary: "Make a key pair to sign bundles with",
  description:
    "Makes an Ed25519 key pair: NAME.sec, the secret (mode 0600), NAME.pub in Nix's form, and NAME.pub.pem for openssl and others. Nothing is ever overwritten. Keys by `nix key generate-secret` work as well.",
  positional: { name: "", count: "none" },
  options: {
    name: { kind: "text", describe: "NAME  of the key, and of its files; required" },
    out: { kind: "text", describe: "DIR  to write to, made if it does not exist; required" },
  },
  examples: [
    {
      what: "A key for releases, in a folder of its own",
      command: "nix-airgap keygen --name acme-release-1 --out keys",
    },
    {
      what: "Its public half and fingerprint for a script",
      command: "nix-airgap keygen --name acme-qa-1 --out keys --json",
    },
  ],
  async run({ options: { name, out } }, { context }) {
    if (name === undefined) throw new UsageError("--name is missing", "keygen");
    if (out === undefined) throw new UsageError("--out is missing", "keygen");
    const { keygen } = await import("../../ops/keygen.js");
    const { renderKeygen } = await import("../render/keygen.js");
    const report = await keygen({ name, out }, context);
    return { report, render: () => renderKeygen(report) };
  },
});
