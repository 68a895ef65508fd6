import { resolve } from "node:path";
import { command, given, UsageError } from "../command.js";
import { readSigningKey } from "../keys.js";
import { parseSigner, signerOption } from "../signer.js";
import { needsWords, readGivenPolicy } from "../trust.js";
import { BUNDLE, signedAt } from "./shared.js";

const NAME = "trust authorize-rollback";

export const trustAuthorizeRollbackCommand = command({
  name: NAME,
  summary: "Sign that sites may go back to an older release",
  description:
    "Writes a signed file that lets a site whose highest sequence is at most --from take this very bundle, until it expires: restore BUNDLE --rollback FILE. The policy says how many persons of role rollback must have signed one each; without such a rule nobody can. A bundle.json alone is enough to sign for.",
  positional: BUNDLE,
  options: {
    from: {
      kind: "number",
      min: 1,
      max: Number.MAX_SAFE_INTEGER,
      describe: "N  the highest sequence that such a site has taken; required",
    },
    expires: { kind: "text", describe: "T  as YYYY-MM-DDThh:mm:ssZ; required" },
    reason: { kind: "text", describe: "TEXT  why sites may go back; required", check: needsWords },
    key: { kind: "text", describe: "FILE  with your secret key, - for stdin" },
    "ssh-key": { kind: "text", describe: "FILE  your OpenSSH key, which ssh-keygen signs with" },
    signer: signerOption,
    policy: { kind: "text", describe: "FILE  the policy you have before you: it knows who you are" },
    out: { kind: "text", describe: "DIR  for the file; default: this one" },
  },
  examples: [
    {
      what: "Back from sequence 17, for a week",
      command:
        "nix-airgap trust authorize-rollback pump-1.3.0.tar --from 17 --expires 2026-12-01T00:00:00Z --reason 'recall of 1.4.0' --key bo.sec --policy policy.json",
    },
    {
      what: "With an OpenSSH key",
      command:
        "nix-airgap trust authorize-rollback bundle.json --from 17 --expires 2026-12-01T00:00:00Z --reason 'recall' --ssh-key ~/.ssh/id_ed25519_sk --policy policy.json",
    },
  ],
  async run({ positionals: [bundle = ""], options }, session) {
    const { context } = session;
    const { from, expires, reason, key, "ssh-key": sshKey } = options;
    if (from === undefined || expires === undefined || reason === undefined) {
      throw new UsageError("--from, --expires and --reason are needed", NAME);
    }
    if ((key === undefined) === (sshKey === undefined)) throw new UsageError("give --key or --ssh-key", NAME);
    const means =
      key !== undefined
        ? { kind: "key" as const, key: await readSigningKey(key, session) }
        : { kind: "ssh" as const, keyFile: resolve(context.cwd, sshKey ?? "") };
    const policy = await readGivenPolicy(options.policy, context.cwd);
    const { authorizeRollback } = await import("../../ops/trust/authorize-rollback.js");
    const { renderRollback } = await import("../render/trust.js");
    const signer = options.signer === undefined ? undefined : parseSigner(options.signer, NAME);
    const report = await authorizeRollback(
      signedAt(bundle, context.cwd),
      {
        reason,
        fromSequence: from,
        expires,
        ...given("signer", signer),
        ...given("policy", policy),
        out: options.out ?? ".",
        means,
      },
      context,
    );
    return { report, render: (view) => renderRollback(report, view) };
  },
});
