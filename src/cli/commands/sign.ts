import { resolve } from "node:path";
import type { SignMeans } from "../../ops/sign/signer.js";
import type { SignOptions } from "../../ops/sign.js";
import type { Policy } from "../../trust/policy.js";
import { command, given, type OptionValues, type Session, UsageError } from "../command.js";
import { readPublicKeys, readSigningKey } from "../keys.js";
import { signerOption } from "../signer.js";
import { placeOf, placeOptions, readGivenPolicy } from "../trust.js";
import { signedAt } from "./shared.js";

const options = {
  role: { kind: "text", describe: "R  in which you sign" },
  meaning: { kind: "text", describe: "TEXT  what your signature means, such as 'reviewed and released'" },
  decision: {
    kind: "choice",
    choices: ["approved", "rejected"],
    describe: "what you say; default: approved",
  },
  key: { kind: "text", describe: "FILE  with your secret key (Nix's form, or PEM), - for stdin" },
  "ssh-key": {
    kind: "text",
    describe: "FILE  your OpenSSH key, which ssh-keygen signs with; a .pub if an agent or token has the rest",
  },
  prepare: {
    kind: "text",
    describe:
      "FILE  to write what another program, or a token, is to sign; .json: the statement alone, for cosign",
  },
  attach: {
    kind: "text",
    describe: "SIG  made by another program, or an approval made elsewhere; checked, then added",
  },
  prepared: { kind: "text", describe: "FILE  that --prepare wrote; default: SIG without its last ending" },
  "public-key": {
    kind: "texts",
    describe: "KEY  that made, or will make, the signature; default: any of --policy; repeat for more",
  },
  signer: signerOption,
  policy: { kind: "text", describe: "FILE  the policy you have before you: it knows who you are" },
  document: { kind: "texts", describe: "NAME  of the bundle, or a file, that you reviewed; repeat for more" },
  previous: { kind: "text", describe: "BUNDLE  of the release before, to see what changed" },
  out: { kind: "text", describe: "DIR  for the approval of a bundle.json that is alone; default: this one" },
  state: placeOptions.state,
  yes: { kind: "flag", describe: "Do not ask: for scripts" },
} as const;

export const signCommand = command({
  name: "sign",
  summary: "Approve or reject a bundle, a flake.lock or a policy",
  description:
    "Adds one signed approval beside what it is about: to a bundle (a directory or a .tar, whose document stays as it is), to a bundle.json that is alone (the approval becomes a file, which --attach brings home), to a flake.lock or a policy. Shows first what is to be signed, what changed, and what is still missing. Refuses what does not hold together; contents of blobs are not read, so run verify first if you vouch for them. Signing twice changes nothing. A signature that was interrupted is completed.",
  positional: { name: "WHAT", count: "one" },
  options,
  examples: [
    {
      what: "Approve a release, as the person that the policy has for this key",
      command:
        "nix-airgap sign acme-pump-1.4.0.tar --role qa --meaning 'tested and released' --key qa.sec --policy policy.json",
    },
    {
      what: "With a FIDO key, which asks for touch and PIN",
      command:
        "nix-airgap sign acme-pump-1.4.0.tar --role qa --meaning 'tested' --ssh-key ~/.ssh/id_ed25519_sk --policy policy.json",
    },
    {
      what: "With a key in a token: prepare, let it sign (the answer says how), attach",
      command:
        "nix-airgap sign bundle.tar --role release --meaning 'released' --prepare to-sign.bin --public-key hsm.pem --policy policy.json",
    },
    {
      what: "What came back from the token, from cosign, or from another machine",
      command: "nix-airgap sign bundle.tar --attach to-sign.bin.sig --public-key hsm.pem",
    },
    {
      what: "On a machine that has only bundle.json and its reports",
      command:
        "nix-airgap sign bundle.json --role qa --meaning 'tested' --document sbom.cdx.json --key qa.sec --signer 'Ada Example <ada@example.org>'",
    },
  ],
  async run({ positionals: [what = ""], options }, session) {
    const { context } = session;
    const place = signedAt(what, context.cwd);
    const policy = await readGivenPolicy(options.policy, context.cwd);
    const means = await readMeans(options, policy, session);
    const { parseSigner } = await import("../signer.js");
    const { sign } = await import("../../ops/sign.js");
    const { renderSign, renderSummary } = await import("../render/sign.js");
    const request: SignOptions = {
      ...given("role", options.role),
      ...given("meaning", options.meaning),
      decision: options.decision ?? "approved",
      ...given("signer", options.signer === undefined ? undefined : parseSigner(options.signer, "sign")),
      ...given("policy", policy),
      documents: options.document,
      ...given("previous", options.previous),
      ...given("out", options.out),
      means,
      place: placeOf({ policy: undefined, state: options.state }, context.cwd),
      confirm: async (summary) =>
        options.yes || session.ask((view) => renderSummary(summary, view), "Sign this? Answer yes:"),
    };
    const report = await sign(place, request, context);
    return { report, render: (view) => renderSign(report, view) };
  },
});

/** Exactly one way to sign. @throws UsageError, KEY_INVALID, USAGE, DISK */
async function readMeans(
  values: OptionValues<typeof options>,
  policy: Policy | undefined,
  session: Session,
): Promise<SignMeans> {
  const { cwd } = session.context;
  const { key, "ssh-key": sshKey, prepare, attach, prepared } = values;
  const given = [key, sshKey, prepare, attach].filter((value) => value !== undefined);
  if (given.length !== 1) {
    throw new UsageError("give one of --key, --ssh-key, --prepare, --attach", "sign");
  }
  if (key === "-" && !values.yes) {
    throw new UsageError("--key - takes the key from stdin, where you could not answer: give --yes", "sign");
  }
  const keys = await readPublicKeys(values["public-key"], session.context);
  if (key !== undefined) return { kind: "key", key: await readSigningKey(key, session) };
  if (sshKey !== undefined) return { kind: "ssh", keyFile: resolve(cwd, sshKey) };
  if (prepare !== undefined) {
    if (keys.length > 1) throw new UsageError("--prepare takes one --public-key", "sign");
    return { kind: "prepare", out: resolve(cwd, prepare), key: keys[0] ?? null };
  }
  const { verificationKeys } = await import("../../trust/policy.js");
  const known = [...keys, ...(policy === undefined ? [] : verificationKeys(policy))];
  if (known.length === 0) {
    throw new UsageError("--attach needs --public-key or --policy, to know whose signature it is", "sign");
  }
  return {
    kind: "attach",
    file: resolve(cwd, attach ?? ""),
    prepared: prepared === undefined ? null : resolve(cwd, prepared),
    keys: known,
  };
}
