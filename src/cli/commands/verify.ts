import type { Trust } from "../../ops/verify/trust.js";
import { type Answer, command, type Session, UsageError } from "../command.js";
import { readTrust, trustOptions } from "../trust.js";
import { BUNDLE, bundleAt, foldersOfParts, partsOption } from "./shared.js";

/** Of a lock nothing is to be checked but who approved it. */
async function verifyApprovedLock(
  path: string,
  options: Parameters<typeof readTrust>[0],
  session: Session,
): Promise<Answer> {
  const trust = await readTrust(options, session, { verb: "verify", withoutState: true });
  const { verifyLock } = await import("../../ops/verify-lock.js");
  const { renderVerifyLock } = await import("../render/verify-lock.js");
  const report = await verifyLock(path, trust, session.context);
  return { report, render: (view) => renderVerifyLock(report, view) };
}

export const verifyCommand = command({
  name: "verify",
  summary: "Check a bundle: who approved it, and that nothing changed; or who approved a flake.lock",
  description:
    "Checks signatures, document, closure, names and every byte of a bundle, a directory, a .tar, its parts or the URL of a serve, in the steps V1 to V11 of docs/format.md; of a flake.lock, the approvals beside it. Needs no Nix, and writes nothing but, of a URL, a temporary folder. Reports all findings, not the first. Exit 0 if it holds, 12 if no trusted key approved it, 10 if it is malformed, 11 if something changed, 13 if something is missing.",
  positional: BUNDLE,
  options: {
    ...trustOptions,
    "no-state": { kind: "flag", describe: "Not a site: leave out whether this would be a step back" },
    "integrity-only": { kind: "flag", describe: "Leave out who approved it: origin stays unproven" },
    "document-only": { kind: "flag", describe: "Leave out the contents of blobs" },
    parts: partsOption,
    "allow-extra": { kind: "flag", describe: "Tolerate what operating systems leave on media" },
  },
  examples: [
    {
      what: "By the packer's public key",
      command: "nix-airgap verify acme-pump-1.4.0.tar --public-key acme-release-1.pub",
    },
    {
      what: "By either of two keys, for a script",
      command: "nix-airgap verify --public-key a.pub --public-key b.pub --json /media/bundle > verify.json",
    },
    {
      what: "In parts, on two media: every part that is missing or damaged is named",
      command: "nix-airgap verify /media/disc-1 --parts /media/disc-2 --public-key acme-release-1.pub",
    },
    {
      what: "Whether a copy is whole, no matter whose",
      command: "nix-airgap verify bundle.tar --integrity-only",
    },
  ],
  async run({ positionals: [bundle = ""], options }, session) {
    const { context } = session;
    const integrityOnly = options["integrity-only"];
    const documentOnly = options["document-only"];
    if (integrityOnly && (options["public-key"].length > 0 || options.policy !== undefined)) {
      throw new UsageError("--public-key or --policy, and --integrity-only, exclude each other", "verify");
    }
    const path = bundleAt(bundle, context.cwd);
    const { isLock } = await import("../../ops/sign/subject.js");
    if (!integrityOnly && (await isLock(path))) return verifyApprovedLock(path, options, session);
    const withoutState = options["no-state"];
    const trust: Trust = integrityOnly
      ? { by: "nobody" }
      : await readTrust(options, session, { verb: "verify", withoutState });
    const { verify } = await import("../../ops/verify.js");
    const { renderVerify } = await import("../render/verify.js");
    const parts = foldersOfParts(options.parts, context.cwd);
    const request = { trust, documentOnly, allowExtra: options["allow-extra"], parts };
    const report = await verify(path, request, context);
    return { report, render: (view) => renderVerify(report, { integrityOnly, documentOnly }, view) };
  },
});
