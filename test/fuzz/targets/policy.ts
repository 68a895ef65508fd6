/** A site's policy: what is accepted prints back to the same bytes, and every key in it can be used. */
import { formatJson } from "../../../src/canonical-json.js";
import { parsePolicy } from "../../../src/trust/policy.js";
import { policyBytes, policyDocument } from "../../support/people.js";
import { jsonValues } from "../format-mutations.js";
import type { Target } from "../fuzz.js";
import { ACCEPTED, refusalOf, requireLaw, requireSame } from "./laws.js";
import { codes, words } from "./lists.js";
import { jsonWords } from "./material.js";

export const policies: Target = {
  name: "policy",
  share: 0.4,
  codes: codes("POLICY_INVALID"),
  seeds: [
    policyBytes(policyDocument()),
    policyBytes(
      policyDocument((policy) => {
        policy.comment = "with all that may be there";
        policy.flakeLocks = { approvals: [{ persons: 1, role: "qa" }], persons: 1 };
        policy.withdrawn = [{ reason: "recalled", sha256: "a".repeat(64) }];
        policy.expires = "2036-01-01T00:00:00Z";
      }),
    ),
  ],
  words: [...jsonWords, ...words('"roles"', '"policy"', '"persons": 0', '"ssh"', '"revoked": null', "null")],
  mutations: [jsonValues, jsonValues],
  run(bytes) {
    const refusal = refusalOf(() => {
      const { document, keys } = parsePolicy(bytes, "it");
      requireSame(Buffer.from(formatJson(document)), bytes, "an accepted policy is what we would write");
      const listed = document.signers.flatMap((signer) => signer.keys);
      requireLaw(
        keys.size === listed.length,
        "every key of an accepted policy can be used, and is there once",
      );
    });
    return refusal === undefined ? ACCEPTED : [refusal];
  },
};
