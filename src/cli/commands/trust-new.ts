import type { PolicyRequirement } from "../../generated/types.js";
import type { DraftSigner } from "../../trust/policy-draft.js";
import { command, given, type Session, UsageError } from "../command.js";
import { readPublicKeys } from "../keys.js";

const NAME = "trust new";

export const trustNewCommand = command({
  name: NAME,
  summary: "Write a policy from people, roles and keys",
  description:
    "Writes a first policy as one JSON file for people to read, and prints the card that travels on paper. With --after it writes the next version of a policy, changed as the options say; what no option reaches is edited by hand (jq -S . keeps it in its one encoding). The next version takes effect on a site once enough of those whom both versions name have signed it: nix-airgap sign POLICY --role policy. Roles named policy and rollback let their holders sign policies, and authorize a way back.",
  positional: { name: "", count: "none" },
  options: {
    out: { kind: "text", describe: "FILE  for the policy; required" },
    name: { kind: "text", describe: "TEXT  what the policy is for, for people" },
    person: {
      kind: "texts",
      describe:
        "WHO  as 'Printed Name <id> ROLE,ROLE KEY'; again for another person, or another key of theirs",
    },
    machine: { kind: "texts", describe: "WHO  the same for a machine, whose key never stands for a person" },
    product: {
      kind: "texts",
      describe: "P  that the site takes, or whose rules change; repeat for more",
    },
    require: {
      kind: "texts",
      describe: "ROLE=N  so many different signers must have approved in it; repeat for more",
    },
    persons: {
      kind: "number",
      min: 0,
      max: 1000,
      describe: "N  different persons over all roles; default: the sum of those that --require asks for",
    },
    "require-lock": { kind: "texts", describe: "ROLE=N  the same for a flake.lock" },
    "policy-signers": {
      kind: "number",
      min: 1,
      max: 1000,
      describe:
        "N  persons of role policy that must sign the next policy; default: 2, or 1 where there is one",
    },
    "rollback-signers": {
      kind: "number",
      min: 1,
      max: 1000,
      describe: "N  persons of role rollback that must authorize a way back; default: nobody can",
    },
    "max-age-days": { kind: "number", min: 1, max: 36500, describe: "N  that a bundle may be old" },
    "required-document": {
      kind: "texts",
      describe: "NAME  that every bundle must hold, such as an SBOM; repeat for more",
    },
    expires: {
      kind: "text",
      describe: "T  when the policy expires, as YYYY-MM-DDThh:mm:ssZ; default: never",
    },
    touch: { kind: "texts", describe: "ROLE  that takes only FIDO keys that were touched; repeat for more" },
    pin: {
      kind: "texts",
      describe: "ROLE  that takes only FIDO keys whose PIN was entered; repeat for more",
    },
    "builder-key": {
      kind: "texts",
      describe: "KEY  name:base64, whose signatures on store paths must hold; repeat for more",
    },
    after: { kind: "text", describe: "POLICY  that this one follows" },
    revoke: { kind: "texts", describe: "HASH=REASON  of a key that counts no more; repeat for more" },
    withdraw: { kind: "texts", describe: "ID=REASON  of a bundle that must not be used; repeat for more" },
  },
  examples: [
    {
      what: "Two people and a packing machine; both people must approve",
      command:
        "nix-airgap trust new --out policy.json --product acme-pump --machine 'Packing machine <packer-1> packer acme-release-1.pub' --person 'Ada Example <ada@example.org> qa,policy ada.pub' --person 'Bo Example <bo@example.org> release,policy,rollback bo.pem' --require packer=1 --require qa=1 --require release=1 --policy-signers 2 --rollback-signers 1",
    },
    {
      what: "The next version, in which a lost key counts no more",
      command:
        "nix-airgap trust new --out policy-2.json --after policy.json --revoke 5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef=lost",
    },
  ],
  async run({ options }, session) {
    if (options.out === undefined) throw new UsageError("--out is missing", NAME);
    const { trustNew } = await import("../../ops/trust/new.js");
    const { renderCard } = await import("../render/trust.js");
    const report = await trustNew(
      {
        out: options.out,
        ...given("name", options.name),
        signers: [
          ...(await readSigners(options.person, "person", session)),
          ...(await readSigners(options.machine, "machine", session)),
        ],
        products: options.product,
        approvals: options.require.map((text) => parseRequirement(text, "require")),
        ...given("persons", options.persons),
        lockApprovals: options["require-lock"].map((text) => parseRequirement(text, "require-lock")),
        ...given("policySigners", options["policy-signers"]),
        ...given("rollbackSigners", options["rollback-signers"]),
        ...given("maxAgeDays", options["max-age-days"]),
        requiredDocuments: options["required-document"],
        ...given("expires", options.expires),
        touch: options.touch,
        pin: options.pin,
        builderKeys: options["builder-key"],
        ...given("after", options.after),
        revoke: options.revoke.map((text) => {
          const [keyHash, reason] = parsePair(text, "revoke");
          return { keyHash, reason };
        }),
        withdraw: options.withdraw.map((text) => {
          const [sha256, reason] = parsePair(text, "withdraw");
          return { sha256, reason };
        }),
      },
      session.context,
    );
    return { report, render: () => renderCard(report) };
  },
});

function readSigners(
  values: readonly string[],
  kind: "person" | "machine",
  { context }: Session,
): Promise<DraftSigner[]> {
  return Promise.all(
    values.map(async (text) => {
      const [, name = "", id = "", roles = "", keyText = ""] =
        /^([^<>]{1,128}?)\s*<([^<>\s]{1,128})>\s+(\S+)\s+(\S.*)$/.exec(text) ?? [];
      if (keyText === "") {
        throw new UsageError(`--${kind} takes 'Printed Name <id> ROLE,ROLE KEY', not "${text}"`, NAME);
      }
      const [key] = await readPublicKeys([keyText], context);
      return { name: name.trim(), id, kind, roles: roles.split(","), key: key! };
    }),
  );
}

function parseRequirement(text: string, option: string): PolicyRequirement {
  const [, role, persons] = /^([a-z0-9][a-z0-9._-]{0,31})=([1-9][0-9]{0,2})$/.exec(text) ?? [];
  if (role === undefined) throw new UsageError(`--${option} takes ROLE=N, not "${text}"`, NAME);
  return { role, persons: Number(persons) };
}

/** A hash, and a reason. */
function parsePair(text: string, option: string): [hash: string, reason: string] {
  const [, hash, reason] = /^([0-9a-f]{64})=(.+)$/.exec(text) ?? [];
  if (hash === undefined || reason === undefined) {
    throw new UsageError(`--${option} takes 64 hex digits, =, and a reason, not "${text}"`, NAME);
  }
  return [hash, reason];
}
