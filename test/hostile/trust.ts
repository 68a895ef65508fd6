/** Attacks on who says so: approvals, and the document that they are for. */

import { formatHex, hashOf } from "../../src/nix/hash.js";
import { makeApproval } from "../../src/trust/approval.js";
import { hintOf, keyHash } from "../../src/trust/keys.js";
import { signingKey } from "../../src/trust/signing.js";
import { machineStatement } from "../../src/trust/statement.js";
import { type Attack, attacks, type Means } from "./attack.js";
import type { Victim } from "./victim.js";

const APPROVAL = /^approvals\//;

/** Replaces the approval by one that says what it likes, made with any key. */
function approve(
  victim: Victim,
  means: Means,
  change: (statement: Record<string, unknown>) => void,
  key = means.packer,
) {
  const { document } = victim;
  const documentSha256 = formatHex(hashOf("sha256", victim.get("bundle.json")));
  const about = { document, documentSha256, role: "packer", signedAt: document.created };
  const statement = machineStatement({ ...about, keyName: key.publicKey.name });
  change(statement as unknown as Record<string, unknown>);
  const { bytes } = makeApproval(statement, signingKey(key));
  victim.files.set(victim.name(APPROVAL), bytes);
}

const predicate = (statement: Record<string, unknown>) => statement["predicate"] as Record<string, unknown>;

export const TRUST: readonly Attack[] = [
  ...attacks(
    "1 arbitrary content",
    [
      "all hashed again and signed by a stranger, who calls the key as the packer's",
      12,
      "APPROVAL_UNTRUSTED",
      (victim, { stranger }) => {
        const path = victim.path(/^assets$/);
        victim.setNar(path, victim.nar(victim.path(/^stamp$/)));
        victim.signPaths(stranger);
        victim.forge(stranger);
      },
    ],
    [
      "the same, with the hint of the packer's key",
      12,
      "APPROVAL_SIGNATURE",
      (victim, { stranger, packer }) => {
        victim.forge(stranger);
        victim.edit(victim.name(APPROVAL), (text) =>
          text.replace(hintOf(keyHash(stranger.publicKey)), hintOf(keyHash(packer.publicKey))),
        );
      },
    ],
  ),
  ...attacks(
    "5 mix and match",
    [
      "the approval of another release",
      12,
      "APPROVAL_SUBJECT",
      (victim, { other }) => victim.files.set(victim.name(APPROVAL), other.get(other.name(APPROVAL))),
    ],
    [
      "the document of another release",
      12,
      "APPROVAL_SUBJECT",
      (victim, { other }) => victim.files.set("bundle.json", other.get("bundle.json")),
    ],
    [
      "document and approval of another release",
      11,
      ["BLOB_MISSING", "DERIVED_DIFFERS", "DERIVED_MISSING", "FILE_UNLISTED", "INDEX_MANIFEST"],
      (victim, { other }) => {
        victim.files.set("bundle.json", other.get("bundle.json"));
        victim.files.set(victim.name(APPROVAL), other.get(other.name(APPROVAL)));
      },
    ],
    [
      "the list of roots of another release",
      11,
      "DERIVED_DIFFERS",
      (victim, { other }) => victim.files.set("roots.txt", other.get("roots.txt")),
    ],
    [
      "the instructions of another release",
      11,
      "DERIVED_DIFFERS",
      (victim, { other }) => victim.files.set("VERIFY.md", other.get("VERIFY.md")),
    ],
    [
      "the index of another release",
      11,
      "INDEX_MANIFEST",
      (victim, { other }) => victim.files.set("index.json", other.get("index.json")),
    ],
    [
      "the SBOM of another release",
      11,
      "BLOB_HASH",
      (victim, { packer }) => {
        victim.addDoc("sbom.json", '{"components": ["pump 1.4.0"]}');
        victim.forge(packer);
        victim.files.set("docs/sbom.json", Buffer.from('{"components": ["pump 1.5.0"]}'));
      },
    ],
    [
      "an SBOM that the document does not name",
      11,
      "FILE_UNLISTED",
      (victim) => victim.files.set("docs/sbom.json", Buffer.from("{}")),
    ],
    [
      "two narinfos swapped",
      11,
      "DERIVED_DIFFERS",
      (victim) => swap(victim, /^0.*\.narinfo$/, /^1.*\.narinfo$/),
    ],
    [
      "two blobs swapped",
      11,
      ["BLOB_SIZE"],
      (victim) => {
        const [a, b] = [victim.path(/^assets$/), victim.path(/^stamp$/)];
        swap(victim, new RegExp(a.blob), new RegExp(b.blob));
      },
    ],
  ),
  ...attacks(
    "8 stripping",
    ["no approval left", 12, "APPROVAL_MISSING", (victim) => victim.files.delete(victim.name(APPROVAL))],
    [
      "an empty approval",
      12,
      "APPROVAL_MALFORMED",
      (victim) => victim.files.set(victim.name(APPROVAL), Buffer.alloc(0)),
    ],
    [
      "no signature in the approval",
      12,
      "APPROVAL_MALFORMED",
      (victim) =>
        victim.edit(victim.name(APPROVAL), (text) =>
          text.replace(/"signatures": \[[^\]]*\]/, '"signatures": []'),
        ),
    ],
  ),
  ...attacks(
    "10 key confusion",
    [
      "another payload type",
      12,
      "APPROVAL_MALFORMED",
      (victim) =>
        victim.edit(victim.name(APPROVAL), (text) => text.replace("vnd.in-toto+json", "vnd.in-toto.v1+json")),
    ],
    [
      "a key id in the signature",
      12,
      "APPROVAL_MALFORMED",
      (victim) =>
        victim.edit(victim.name(APPROVAL), (text) =>
          text.replace(/(\n +)"sig"/, '$1"keyid": "packer-1",$1"sig"'),
        ),
    ],
    [
      "the hint of another key",
      12,
      "APPROVAL_MALFORMED",
      (victim, { stranger, packer }) =>
        victim.edit(victim.name(APPROVAL), (text) =>
          text.replace(hintOf(keyHash(packer.publicKey)), hintOf(keyHash(stranger.publicKey))),
        ),
    ],
    [
      "another predicate type, signed",
      12,
      "APPROVAL_MALFORMED",
      (victim, means) =>
        approve(victim, means, (statement) => {
          statement["predicateType"] = "https://slsa.dev/provenance/v1";
        }),
    ],
    [
      "a rejection, signed",
      12,
      "APPROVAL_MALFORMED",
      (victim, means) =>
        approve(victim, means, (statement) => {
          predicate(statement)["decision"] = "rejected";
        }),
    ],
    [
      "another role than that of the file's name",
      12,
      "APPROVAL_NAME",
      (victim, means) =>
        approve(victim, means, (statement) => {
          predicate(statement)["role"] = "quality";
        }),
    ],
    ...(["product", "release", "sequence", "systems", "tier"] as const).map(
      (field) =>
        [
          `another ${field} in the approval than in the document`,
          12,
          "APPROVAL_BINDING",
          (victim: Victim, means: Means) =>
            approve(victim, means, (statement) => {
              const other = {
                product: "other",
                release: "9",
                sequence: 9,
                systems: ["riscv64-linux"],
                tier: "runtime",
              };
              predicate(statement)[field] = other[field];
            }),
        ] as const,
    ),
  ),
  ...attacks(
    "17 other bytes, same meaning",
    [
      "the document indented otherwise",
      12,
      "APPROVAL_SUBJECT",
      (victim) => victim.edit("bundle.json", (text) => JSON.stringify(JSON.parse(text))),
    ],
    [
      "the same, signed",
      10,
      "JSON_NOT_CANONICAL",
      (victim, { packer }) => victim.forgeText(JSON.stringify(victim.document), packer),
    ],
    [
      "keys in another order, signed",
      10,
      "JSON_NOT_CANONICAL",
      (victim, { packer }) => {
        const { version, ...rest } = victim.document;
        victim.forgeText(`${JSON.stringify({ version, ...rest }, null, 2)}\n`, packer);
      },
    ],
    [
      "a letter written as an escape, signed",
      10,
      "JSON_NOT_CANONICAL",
      (victim, { packer }) =>
        victim.forgeText(
          victim.get("bundle.json").toString().replace('"product": "a', '"product": "\\u0061'),
          packer,
        ),
    ],
    [
      "no newline at the end, signed",
      10,
      "JSON_NOT_CANONICAL",
      (victim, { packer }) => victim.forgeText(victim.get("bundle.json").subarray(0, -1), packer),
    ],
  ),
];

function swap(victim: Victim, a: RegExp, b: RegExp): void {
  const [one, two] = [victim.name(a), victim.name(b)];
  const bytes = victim.get(one);
  victim.files.set(one, victim.get(two));
  victim.files.set(two, bytes);
}
