/** Policies as people write them; what a site does with them is in hostile/site-policy.test.ts. */
import { expect, it } from "vitest";
import { formatJson } from "../../src/canonical-json.js";
import { generateSecretKey } from "../../src/nix/signature.js";
import { ed25519Key } from "../../src/trust/keys.js";
import { parsePolicy } from "../../src/trust/policy.js";
import { type DraftOptions, draftPolicy } from "../../src/trust/policy-draft.js";
import { newState, parseState } from "../../src/trust/site-state.js";

const NOW = "2026-02-03T04:05:06Z";
const { publicKey } = generateSecretKey("ada-1", new Uint8Array(32).fill(3));
const nothing = {
  signers: [],
  products: [],
  approvals: [],
  requiredDocuments: [],
  lockApprovals: [],
  touch: [],
  pin: [],
  builderKeys: [],
  revoke: [],
  withdraw: [],
};
const bytes = draftPolicy(
  {
    ...nothing,
    signers: [
      { id: "ada", name: "Ada", kind: "person", key: ed25519Key(publicKey), roles: ["policy", "qa"] },
    ],
    products: ["pump"],
    approvals: [{ role: "qa", persons: 1 }],
  },
  null,
  NOW,
);

const edited = (change: object) => Buffer.from(formatJson({ ...JSON.parse(bytes.toString()), ...change }));

it("one of another version of the format is called that, before what it has besides", () => {
  const newer = edited({ formatVersion: "2.0", quorum: 3 });
  const details = { expected: "formatVersion 1.0", hint: expect.stringContaining("newer nix-airgap") };
  expect(() => parsePolicy(newer, "p")).toThrow(
    expect.objectContaining({ code: "POLICY_INVALID", details: expect.objectContaining(details) }),
  );
  const state = { ...newState(parsePolicy(bytes, "p").reference, NOW), formatVersion: "2.0", more: 1 };
  expect(() => parseState(Buffer.from(formatJson(state)), "s")).toThrow(
    expect.objectContaining({ code: "STATE_INVALID", details: expect.objectContaining(details) }),
  );
});

it("a field that is unknown is named", () => {
  expect(() => parsePolicy(edited({ quorum: 3 }), "p")).toThrow(
    expect.objectContaining({ details: expect.objectContaining({ actual: '"quorum"' }) }),
  );
});

it.each<[string, Partial<DraftOptions>]>([
  ["--require", { approvals: [{ role: "qa", persons: 2 }] }],
  ["--persons", { persons: 2 }],
  ["--max-age-days", { maxAgeDays: 30 }],
  ["--required-document", { requiredDocuments: ["sbom.cdx.json"] }],
])("%s without a product is refused, and not passed over", (option, given) => {
  const before = parsePolicy(bytes, "p");
  expect(() => draftPolicy({ ...nothing, ...given }, before, NOW)).toThrow(
    expect.objectContaining({
      code: "USAGE",
      details: expect.objectContaining({ expected: expect.stringContaining(option) }),
    }),
  );
});
