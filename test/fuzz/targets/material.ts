/**
 * What more than one target starts from: keys, releases made by hand with their documents and approvals, and the words
 * of JSON. Files of the repository are read by seeds.ts; what one target alone wants stands with it.
 */

import { formatDocument } from "../../../src/bundle/document.js";
import { formatHex, hashOf } from "../../../src/nix/hash.js";
import { generateSecretKey } from "../../../src/nix/signature.js";
import { makeApproval } from "../../../src/trust/approval.js";
import { signingKey } from "../../../src/trust/signing.js";
import { machineStatement } from "../../../src/trust/statement.js";
import { makeRelease, type Release } from "../../support/release.js";
import { golden, goldenFiles } from "../seeds.js";
import { words } from "./lists.js";

export const packer = generateSecretKey("packer-1", new Uint8Array(32).fill(1));
export const stranger = generateSecretKey("stranger-1", new Uint8Array(32).fill(2));

export const releases: readonly Release[] = [
  makeRelease({ tier: "runtime" }),
  makeRelease(),
  makeRelease({ wrapper: true }),
];
export const [release] = releases as [Release];

export const documents = [
  ...releases.map(({ document }) => formatDocument(document)),
  golden.get("bundle.json")!,
];
export const allDerivations = new Map(releases.flatMap(({ derivations }) => [...derivations]));

export const documentSha256 = formatHex(hashOf("sha256", documents[0]!));
/** What a statement on the release says, but for whose it is. */
export const about = { document: release.document, documentSha256, signedAt: release.document.created };
export const statement = machineStatement({ ...about, role: "packer", keyName: "packer-1" });

const signed = makeApproval(statement, signingKey(packer));
export const approvalName = `approvals/${signed.fileName}`;
export const approvals = new Map([[approvalName, signed.bytes]]);
export const goldenApproval = goldenFiles(/^approvals\//)[0]!;

/** Where parsers of JSON differ. */
export const jsonWords = words(
  '"__proto__":',
  '"constructor":',
  "\\u0000",
  "\\ud800",
  "\\udc00",
  "\\u007f",
  "\ufeff",
  "\xef\xbb\xbf",
  "\xed\xa0\x80",
  "9007199254740993",
  "-0",
  "1e5",
  "0.5",
  "null",
  "true",
  "[",
  "{",
  '"',
  "}",
  "]",
  ",",
  ":",
  "//",
  "\n  ",
);
