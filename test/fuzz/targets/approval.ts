/** The approval: envelope, signature, name, and what it binds. The statement inside is statement.ts's. */

import { parsePublicKey } from "../../../src/nix/signature.js";
import { bundleSubject, checkApprovals, makeApproval } from "../../../src/trust/approval.js";
import { ed25519Key } from "../../../src/trust/keys.js";
import { signingKey } from "../../../src/trust/signing.js";
import { type BundleStatement, checkBinding, machineStatement } from "../../../src/trust/statement.js";
import { jsonValues, looseBase64, signedAgain } from "../format-mutations.js";
import type { Target } from "../fuzz.js";
import { goldenKey } from "../seeds.js";
import { requireLaw, requireSame } from "./laws.js";
import { codes, words } from "./lists.js";
import {
  about,
  approvalName,
  documentSha256,
  goldenApproval,
  jsonWords,
  packer,
  release,
  statement,
  stranger,
} from "./material.js";

export const approval: Target = {
  name: "approval",
  share: 0.25,
  codes: codes(
    "APPROVAL_MALFORMED",
    "APPROVAL_SIGNATURE",
    "APPROVAL_SUBJECT",
    "APPROVAL_NAME",
    "APPROVAL_UNTRUSTED",
    "APPROVAL_BINDING",
  ),
  seeds: [
    makeApproval(statement, signingKey(packer)).bytes,
    makeApproval(machineStatement({ ...about, role: "qa", keyName: "packer-1" }), signingKey(packer)).bytes,
    makeApproval(machineStatement({ ...about, role: "packer", keyName: "x" }), signingKey(stranger)).bytes,
    goldenApproval,
  ],
  words: [
    ...jsonWords,
    ...words(
      '"dsseEnvelope"',
      '"payloadType"',
      '"signatures"',
      '"sig"',
      '"keyid": ""',
      "=",
      "==",
      "+",
      "/",
      "-",
      "_",
    ),
  ],
  mutations: [jsonValues, looseBase64, signedAgain(packer), signedAgain(packer), signedAgain(stranger)],
  run(bytes) {
    const files = new Map([[approvalName, bytes]]);
    const { approvals, findings } = checkApprovals(files, bundleSubject(documentSha256), [
      ed25519Key(packer.publicKey),
      ed25519Key(parsePublicKey(goldenKey)),
    ]);
    const [checked] = approvals;
    requireLaw(findings.length > 0 || checked?.state === "valid", "only a valid approval has no finding");
    if (checked?.state !== "valid") return findings;
    requireSame(
      makeApproval(checked.statement, signingKey(packer)).bytes,
      bytes,
      "an accepted approval is what we would write",
    );
    return checkBinding(checked.statement as BundleStatement, release.document, approvalName);
  },
};
