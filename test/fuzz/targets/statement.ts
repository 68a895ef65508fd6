/** The statement that an approval signs, read without its envelope, which is approval.ts's. */
import {
  type BundleStatement,
  checkBinding,
  formatStatement,
  parseStatement,
} from "../../../src/trust/statement.js";
import { jsonValues } from "../format-mutations.js";
import type { Target } from "../fuzz.js";
import { requireSame } from "./laws.js";
import { codes, words } from "./lists.js";
import { goldenApproval, jsonWords, release, statement } from "./material.js";

export const statements: Target = {
  name: "statement",
  share: 0.5,
  codes: codes("APPROVAL_MALFORMED", "APPROVAL_BINDING"),
  seeds: [
    formatStatement(statement),
    Buffer.from(
      (JSON.parse(goldenApproval.toString()) as { dsseEnvelope: { payload: string } }).dsseEnvelope.payload,
      "base64",
    ),
  ],
  words: [
    ...jsonWords,
    ...words('"predicate"', '"subject"', '"packer"', '"decision"', '"signedAt"', "2024-02-30T00:00:00Z"),
  ],
  mutations: [jsonValues],
  run(bytes) {
    const parsed = parseStatement(bytes);
    if (parsed.predicateType === "urn:nix-airgap:approval:v1") {
      requireSame(formatStatement(parsed), bytes, "an accepted statement is what we would write");
    }
    return checkBinding(parsed as BundleStatement, release.document, "it");
  },
};
