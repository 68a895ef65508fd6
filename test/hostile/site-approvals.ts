/** Attacks on who approved a bundle, for a site whose policy asks for several persons in several roles. */
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { blobName } from "../../src/bundle/layout.js";
import type { Code } from "../../src/errors.js";
import type { Statement } from "../../src/generated/types.js";
import { formatHex, hashOf } from "../../src/nix/hash.js";
import { approvalFile, approvalFileName, makeApproval } from "../../src/trust/approval.js";
import { preAuthEncoding } from "../../src/trust/dsse.js";
import { rawFromDer } from "../../src/trust/ecdsa.js";
import { hintOf, keyHash, parseVerificationKey } from "../../src/trust/keys.js";
import { signingKey } from "../../src/trust/signing.js";
import { dearmorSshSignature } from "../../src/trust/ssh-signature.js";
import {
  bundleStatement,
  formatStatement,
  lockStatement,
  machineStatement,
  type PersonalWord,
  policyStatement,
  rollbackStatement,
} from "../../src/trust/statement.js";
import { type PersonName, type SiteTrust, who } from "../support/site-trust.js";
import { packerKey, strangerKey } from "../support/write-release.js";
import type { Victim } from "./victim.js";

export const documentSha256 = (victim: Victim) => formatHex(hashOf("sha256", victim.get("bundle.json")));

const approval = (victim: Victim, role: string) => victim.name(new RegExp(`^approvals/${role}-`));

/** With their blobs: `sign` takes no bundle that has more than it lists. */
export const drop = (victim: Victim, ...roles: string[]) => {
  for (const name of roles.map((role) => approval(victim, role))) {
    victim.files.delete(blobName(formatHex(hashOf("sha256", victim.get(name)))));
    victim.files.delete(name);
  }
};

const take = (victim: Victim, from: Victim, role: string) =>
  victim.files.set(approval(victim, role), from.get(approval(from, role)));

const word = (name: PersonName, role: string): PersonalWord => ({
  signer: { id: `${name}@example.org`, name: who(name).replace(/ <.*/, "") },
  role,
  meaning: "reviewed",
  decision: "approved",
  signedAt: "2026-01-01T00:00:00Z",
  policy: null,
  documents: [],
});

/** Ada's key in place of her approval of the bundle. */
function adaSigns(victim: Victim, means: Means, make: (sha256: string) => Statement): void {
  const { bytes } = makeApproval(make(documentSha256(victim)), signingKey(means.trust.secret("ada")));
  victim.files.set(approval(victim, "qa"), bytes);
}

/** By the library, since `sign` writes none that binds something else. */
const adaBinds = (victim: Victim, means: Means, change: Partial<Victim["document"]>) =>
  adaSigns(victim, means, (sha256) =>
    bundleStatement(word("ada", "qa"), { ...victim.document, ...change }, sha256),
  );

const hint = (file: string, name = "x") =>
  hintOf(parseVerificationKey(readFileSync(file, "utf8"), name).hash);

/** What is done with the files; and, where it takes the program, with the bundle that they become. */
export type Change = (victim: Victim, means: Means) => unknown;

/** What an attacker has, and who can be asked to sign. */
export interface Means {
  readonly trust: SiteTrust;
  readonly good: Victim;
  /** Approved, of the sequence before. */
  readonly older: Victim;
  /** Approved, of another product. */
  readonly other: Victim;
}
type Row = readonly [threat: string, name: string, codes: readonly Code[], change: Change, site?: string];

const unmet: Code = "APPROVAL_THRESHOLD";

export const APPROVALS: readonly Row[] = [
  [
    "1 arbitrary content",
    "all made anew, and approved by strangers in the names of all",
    ["APPROVAL_UNTRUSTED"],
    (victim, means) => {
      victim.setNar(victim.path(/^pump$/), victim.nar(victim.path(/^codegen$/)));
      for (const path of victim.document.paths) path.signatures = [];
      victim.forge(strangerKey);
      return async (bundle: string) => {
        await means.trust.signWith(bundle, "qa", who("ada"), "--key", means.trust.key("mallory.sec"));
        await means.trust.signWith(bundle, "release", who("bo"), "--key", means.trust.key("trudy.sec"));
      };
    },
  ],
  [
    "1 arbitrary content",
    "the same, with what people approved before left in its place",
    ["APPROVAL_SUBJECT"],
    (victim, means) => {
      const kept = ["qa", "release", "safety"].map((role) => approval(victim, role));
      victim.document.release = "1.0.1";
      victim.forge(strangerKey);
      for (const name of kept) victim.files.set(name, means.good.get(name));
    },
  ],
  [
    "1 arbitrary content",
    "by whoever has the packing machine's key, and no other",
    [unmet],
    (victim) => {
      victim.document.release = "1.0.1";
      victim.forge(packerKey);
    },
  ],
  [
    "1 arbitrary content",
    "by the same, whose machine also says that it is a person",
    ["APPROVAL_ROLE", unmet],
    (victim) => {
      victim.forge(packerKey);
      const statement = bundleStatement(word("ada", "qa"), victim.document, documentSha256(victim));
      const { fileName, bytes } = makeApproval(statement, signingKey(packerKey));
      victim.files.set(`approvals/${fileName}`, bytes);
    },
  ],
  ...(["packer", "qa", "release", "safety"] as const).map(
    (role): Row => [
      "5 mix and match",
      `the approval in role ${role} of another release`,
      ["APPROVAL_SUBJECT", unmet],
      (victim, means) => take(victim, means.older, role),
    ],
  ),
  [
    "5 mix and match",
    "all approvals of another release",
    ["APPROVAL_SUBJECT"],
    (victim, means) => {
      for (const role of ["packer", "qa", "release", "safety"]) take(victim, means.older, role);
    },
  ],
  [
    "5 mix and match",
    "the document of another release",
    ["APPROVAL_SUBJECT"],
    (victim, means) => victim.files.set("bundle.json", means.older.get("bundle.json")),
  ],
  [
    "7 wrong product",
    "a bundle that everybody approved, for another product",
    ["PRODUCT_UNKNOWN"],
    (victim, means) => {
      victim.files.clear();
      for (const [name, bytes] of means.other.files) victim.files.set(name, bytes);
    },
  ],
  [
    "7 wrong product",
    "an approval that names another product than the document",
    ["PRODUCT_UNKNOWN"],
    (victim, means) => adaBinds(victim, means, { product: "valve" }),
  ],
  [
    "8 stripping",
    "no approval left",
    ["APPROVAL_MISSING"],
    (victim) => drop(victim, "packer", "qa", "release", "safety"),
  ],
  ...(["packer", "qa", "release", "safety"] as const).map(
    (role): Row => ["8 stripping", `no approval in role ${role}`, [unmet], (victim) => drop(victim, role)],
  ),
  [
    "9 threshold",
    "one person with two keys, where two are asked for",
    [unmet],
    (victim, means) => {
      drop(victim, "release", "safety");
      return (bundle: string) =>
        means.trust.signWith(bundle, "qa", who("ada"), "--key", means.trust.key("ada-2.sec"));
    },
    "two of qa",
  ],
  [
    "9 threshold",
    "one person in two roles, where two persons are asked for",
    [unmet],
    (victim, means) => {
      drop(victim, "release", "safety");
      return (bundle: string) => means.trust.approve(bundle, "release", "ada");
    },
    "two persons",
  ],
  [
    "9 threshold",
    "one approval twice, under the name of another key",
    ["APPROVAL_NAME"],
    (victim) =>
      victim.files.set(
        approval(victim, "qa").replace(/[0-9a-f]{32}/, "0".repeat(32)),
        victim.get(approval(victim, "qa")),
      ),
    "plain",
  ],
  [
    "9 threshold",
    "one approval twice, under the name of another role",
    ["APPROVAL_NAME", unmet],
    (victim) => {
      const bytes = victim.get(approval(victim, "qa"));
      const name = approval(victim, "qa").replace("/qa-", "/release-");
      drop(victim, "release");
      victim.files.set(name, bytes);
    },
  ],
  [
    "9 threshold",
    "a key outside of its role",
    ["APPROVAL_ROLE", unmet],
    (victim, means) => {
      drop(victim, "qa");
      return (bundle: string) => means.trust.approve(bundle, "qa", "bo");
    },
  ],
  [
    "9 threshold",
    "a key in the name of another person",
    ["APPROVAL_SIGNER", unmet],
    (victim, means) => {
      drop(victim, "qa");
      return (bundle: string) =>
        means.trust.signWith(bundle, "qa", who("cy"), "--key", means.trust.key("ada.sec"));
    },
  ],
  ["9 threshold", "a key past its time", ["APPROVAL_TIME", unmet], () => undefined, "past"],
  ...["hint of another person of the policy", "hint of a stranger"].map(
    (name, i): Row => [
      "10 key confusion",
      name,
      ["APPROVAL_MALFORMED", unmet],
      (victim, means) =>
        victim.edit(approval(victim, "qa"), (text) =>
          text.replace(
            hint(means.trust.key("ada.pub")),
            i === 0 ? hint(means.trust.key("bo.pem")) : hintOf(keyHash(strangerKey.publicKey)),
          ),
        ),
    ],
  ),
  [
    "10 key confusion",
    "a stranger's signature under the hint of a person",
    ["APPROVAL_SIGNATURE", unmet],
    (victim, means) => {
      const statement = bundleStatement(word("ada", "qa"), victim.document, documentSha256(victim));
      const { bytes } = makeApproval(statement, signingKey(means.trust.secret("mallory")));
      const text = bytes
        .toString()
        .replace(hint(means.trust.key("mallory.pub")), hint(means.trust.key("ada.pub")));
      victim.files.set(approval(victim, "qa"), Buffer.from(text));
    },
  ],
  [
    "10 key confusion",
    "another payload type",
    ["APPROVAL_MALFORMED", unmet],
    (victim) =>
      victim.edit(approval(victim, "qa"), (text) => text.replace("in-toto+json", "in-toto.v1+json")),
  ],
  [
    "10 key confusion",
    "another predicate type, signed",
    ["APPROVAL_MALFORMED", unmet],
    (victim, means) =>
      adaSigns(victim, means, (sha256) => ({
        ...bundleStatement(word("ada", "qa"), victim.document, sha256),
        predicateType: "https://slsa.dev/provenance/v1" as "urn:nix-airgap:approval:v2",
      })),
  ],
  [
    "10 key confusion",
    "the approval of a flake.lock, of the same hash",
    ["APPROVAL_MALFORMED", unmet],
    (victim, means) => adaSigns(victim, means, (sha256) => lockStatement(word("ada", "qa"), sha256)),
  ],
  [
    "10 key confusion",
    "the approval of a policy, of the same hash",
    ["APPROVAL_MALFORMED", unmet],
    (victim, means) => adaSigns(victim, means, (sha256) => policyStatement(word("ada", "policy"), sha256)),
  ],
  [
    "10 key confusion",
    "a rollback authorization for this very bundle",
    ["APPROVAL_MALFORMED", unmet],
    (victim, means) =>
      adaSigns(victim, means, (sha256) => {
        const about = { sha256, fromSequence: 20, expires: "2099-01-01T00:00:00Z" };
        return rollbackStatement(word("ada", "rollback"), victim.document, about);
      }),
  ],
  [
    "10 key confusion",
    "a machine's statement by a person's key",
    ["APPROVAL_SIGNER", unmet],
    (victim, means) =>
      adaSigns(victim, means, (sha256) =>
        machineStatement({
          document: victim.document,
          documentSha256: sha256,
          role: "qa",
          signedAt: victim.document.created,
          keyName: "packer-1",
        }),
      ),
  ],
  ...(["release", "sequence", "systems", "tier"] as const).map(
    (field): Row => [
      "10 key confusion",
      `another ${field} in a person's approval than in the document`,
      ["APPROVAL_BINDING"],
      (victim, means) =>
        adaBinds(victim, means, { release: "9", sequence: 9, systems: ["riscv64-linux"], tier: "runtime" }),
    ],
  ),
  [
    "10 key confusion",
    "an SSH signature made for another namespace",
    ["APPROVAL_SIGNATURE", unmet],
    (victim, means) => {
      const file = `${means.trust.folder()}/bundle.json`;
      const statement = bundleStatement(word("cy", "qa"), victim.document, documentSha256(victim));
      const payload = formatStatement(statement);
      const signature = sshSign(preAuthEncoding(payload), file, { trust: means.trust, namespace: "file" });
      placeCys(victim, means, { role: "qa", payload, signature });
    },
  ],
  [
    "10 key confusion",
    "an ECDSA signature as two numbers, not in DER",
    ["APPROVAL_SIGNATURE", unmet],
    (victim) => {
      const name = approval(victim, "release");
      const { sig } = JSON.parse(victim.get(name).toString()).dsseEnvelope.signatures[0];
      const raw = rawFromDer(Buffer.from(sig, "base64"))!;
      victim.edit(name, (text) => text.replace(sig, Buffer.from(raw).toString("base64")));
    },
  ],
  [
    "11 revocation",
    "a key that is revoked later than it signed: that is its own word",
    ["APPROVAL_REVOKED", unmet],
    () => undefined,
    "lost by",
  ],
  ...[
    { touch: false, pin: false },
    { touch: true, pin: false },
    { touch: false, pin: true },
  ].map(
    (seen): Row => [
      "13 FIDO",
      `a signature with touch ${seen.touch}, PIN ${seen.pin}, where both are asked for`,
      ["APPROVAL_PRESENCE", unmet],
      (victim, means) => {
        drop(victim, "safety");
        return (bundle: string) => means.trust.attach(bundle, "safety", seen);
      },
    ],
  ),
  [
    "13 FIDO",
    "a signature whose flags were changed afterwards",
    ["APPROVAL_SIGNATURE", unmet],
    (victim) => {
      const name = approval(victim, "safety");
      const { sig } = JSON.parse(victim.get(name).toString()).dsseEnvelope.signatures[0];
      const bytes = Buffer.from(sig, "base64");
      // Flags, then the counter, are the last five.
      bytes[bytes.length - 5]! ^= 0x04;
      victim.edit(name, (text) => text.replace(sig, bytes.toString("base64")));
    },
  ],
  [
    "rejection",
    "by another holder of the role, beside all approvals",
    ["APPROVAL_REJECTED"],
    (_, means) => (bundle: string) => means.trust.approve(bundle, "qa", "cy", "--decision", "rejected"),
  ],
  [
    "rejection",
    "by the one who had approved",
    ["APPROVAL_REJECTED", unmet],
    (_, means) => (bundle: string) => means.trust.approve(bundle, "qa", "ada", "--decision", "rejected"),
  ],
  ["withdrawal", "of this very bundle", ["BUNDLE_WITHDRAWN"], () => undefined, "withdrawn"],
  ["documents", "a bundle without its SBOM", ["DOCUMENT_REQUIRED"], () => undefined, "document"],
  ["limits", "a bundle with too many paths", ["POLICY_LIMIT"], () => undefined, "small"],
];

/** By ssh-keygen, with Cy's key; `file` is written. */
export function sshSign(
  message: Buffer,
  file: string,
  { trust, namespace }: { trust: SiteTrust; namespace: string },
): Buffer {
  execFileSync("tee", [file], { input: message, stdio: ["pipe", "ignore", "inherit"] });
  execFileSync("ssh-keygen", ["-q", "-Y", "sign", "-n", namespace, "-f", trust.key("cy"), file], {
    stdio: "pipe",
  });
  return dearmorSshSignature(readFileSync(`${file}.sig`, "latin1"));
}

/** In place of the approval in that role. */
function placeCys(
  victim: Victim,
  means: Means,
  { role, payload, signature }: { role: string; payload: Buffer; signature: Buffer },
): void {
  const key = parseVerificationKey(readFileSync(means.trust.key("cy.pub"), "utf8"), "cy");
  drop(victim, role);
  const { bytes } = approvalFile({ payload, signature, key, role });
  victim.files.set(`approvals/${approvalFileName(role, key)}`, bytes);
}
