import { resolve } from "node:path";
import { command, UsageError } from "../command.js";
import { readSecretKey } from "../keys.js";
import { BUNDLE } from "./shared.js";

const DEFAULT_ROLE = "approver";

export const signCommand = command({
  name: "sign",
  summary: "Add an approval to a bundle",
  description:
    "Adds a signed approval beside the document, which stays as it is, to a directory or a .tar. Refuses a bundle whose document does not hold together; contents of blobs are not read, so run verify first if you vouch for them. Signing twice changes nothing. A signature that was interrupted is completed.",
  positional: BUNDLE,
  options: {
    key: { kind: "text", describe: "FILE  with the secret key, - for stdin; required" },
    role: { kind: "text", describe: `R  in which you approve; default: ${DEFAULT_ROLE}` },
  },
  examples: [
    { what: "Approve a release", command: "nix-airgap sign acme-pump-1.4.0.tar --key keys/acme-qa-1.sec" },
    {
      what: "With a secret that is on no disk",
      command: "pass show keys/qa | nix-airgap sign --key - --role qa acme-pump-1.4.0.tar",
    },
  ],
  async run({ positionals: [bundle = ""], options: { key, role = DEFAULT_ROLE } }, session) {
    if (key === undefined) throw new UsageError("--key is missing", "sign");
    const { context } = session;
    const secretKey = await readSecretKey(key, session);
    const { sign } = await import("../../ops/sign.js");
    const { renderSign } = await import("../render/sign.js");
    const report = await sign(resolve(context.cwd, bundle), { secretKey, role }, context);
    return { report, render: (view) => renderSign(report, view) };
  },
});
