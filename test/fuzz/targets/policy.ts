/** A site's policy: what is accepted prints back to the same bytes, and every key in it can be used. */
import { formatJson } from "../../../src/canonical-json.js";
import { parsePolicy } from "../../../src/trust/policy.js";
import { firstPolicy, machine, person, policyBytes } from "../../support/people.js";
import { jsonValues } from "../format-mutations.js";
import type { Target } from "../fuzz.js";
import { ACCEPTED, refusalOf, requireLaw, requireSame } from "./laws.js";
import { codes, words } from "./lists.js";
import { jsonWords } from "./material.js";

const policy = firstPolicy(
  [person("ada", ["policy", "qa"]), person("bo", ["policy", "release"]), machine("packer", ["packer"])],
  { approvals: ["packer", "qa", "release"].map((role) => ({ persons: 1, role })) },
);

export const policies: Target = {
  name: "policy",
  share: 0.4,
  codes: codes("POLICY_INVALID"),
  seeds: [
    policyBytes(policy, () => {}),
    policyBytes(policy, (document) => {
      document.comment = "with all that may be there";
      document.flakeLocks = { approvals: [{ persons: 1, role: "qa" }], persons: 1 };
      document.withdrawn = [{ reason: "recalled", sha256: "a".repeat(64) }];
      document.expires = "2036-01-01T00:00:00Z";
    }),
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
