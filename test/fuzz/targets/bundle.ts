/**
 * The signed tar as `verify` reads it: a bundle that is accepted is the one that was signed. The tar as a format is
 * tar.ts's.
 */
import { closeSync, openSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { blobName, docName } from "../../../src/bundle/layout.js";
import { readerOf, walkTar } from "../../../src/bundle/tar.js";
import { CODES, type Code, EXIT } from "../../../src/errors.js";
import { validateVerifyReport } from "../../../src/generated/report-validators.js";
import { formatHex, hashOf } from "../../../src/nix/hash.js";
import { verify } from "../../../src/ops/verify.js";
import { trusting } from "../../support/trust.js";
import { tarHeaders, tarMembers } from "../format-mutations.js";
import type { Target } from "../fuzz.js";
import { ACCEPTED, requireLaw } from "./laws.js";
import { words } from "./lists.js";
import { packer, release } from "./material.js";
import { lazy, scratch } from "./scratch.js";
import { signedTar } from "./signed-bundle.js";
import { tar } from "./tar.js";
import { context, requireReport } from "./verbs.js";

export const bundle: Target = {
  name: "bundle",
  share: 0.04,
  codes: new Set(
    (Object.keys(CODES) as Code[]).filter((code) => {
      const exits: readonly number[] = [EXIT.malformed, EXIT.integrity, EXIT.trust, EXIT.incomplete];
      return exits.includes(CODES[code].exit);
    }),
  ),
  seeds: [await signedTar()],
  words: [
    ...tar.words,
    ...words("bundle.json", "approvals/", "index.json", "docs/x", "blobs/sha256/", ".narinfo"),
  ],
  mutations: [tarHeaders, tarMembers],
  async run(bytes) {
    const path = join(scratchDir(), "bundle.tar");
    writeFileSync(path, bytes);
    const options = {
      trust: trusting(packer),
      documentOnly: true,
      allowExtra: false,
    };
    const report = await verify(path, options, context);
    requireReport(validateVerifyReport, report);
    requireLaw((report.exit === 0) === (report.findings.length === 0), "findings, or exit 0");
    if (report.exit !== 0) return report.findings.map(({ code }) => ({ code: code as Code }));
    const [ours, theirs] = [signedParts(await signedTar()), signedParts(bytes)];
    requireLaw(ours === theirs, "an accepted bundle is the one that was signed");
    return ACCEPTED;
  },
};

const scratchDir = lazy(scratch);

/** All of a tar but what reading the document alone does not look at, and what OCI tools may rewrite. */
function signedParts(bytes: Buffer): string {
  const path = join(scratchDir(), "parts.tar");
  writeFileSync(path, bytes);
  const file = openSync(path, "r");
  try {
    const blobs = new Set(release.document.paths.map(({ blob }) => blobName(blob)));
    const docs = new Set(
      release.document.docs.flatMap(({ name, sha256 }) => [docName(name), blobName(sha256)]),
    );
    const { members } = walkTar(readerOf(file), bytes.length, { maxMembers: 1000 });
    const parts = members.map(({ name, offset, size }) => {
      const isFree = blobs.has(name) || docs.has(name) || name === "index.json";
      return isFree ? name : `${name} ${formatHex(hashOf("sha256", bytes.subarray(offset, offset + size)))}`;
    });
    return parts.join("\n");
  } finally {
    closeSync(file);
  }
}
