/** The .narinfo, and the fingerprint that its signatures are of. Signatures as text are keys.ts's. */
import { fingerprint, formatNarInfo, parseNarInfo } from "../../../src/nix/narinfo.js";
import { verifyFingerprint } from "../../../src/nix/signature.js";
import { looseBase64 } from "../format-mutations.js";
import type { Target } from "../fuzz.js";
import { goldenFiles, vectors } from "../seeds.js";
import { ACCEPTED, requireLaw } from "./laws.js";
import { codes, words } from "./lists.js";
import { packer } from "./material.js";

export const narinfo: Target = {
  name: "narinfo",
  share: 1,
  codes: codes("NARINFO_INVALID"),
  seeds: [...vectors("narinfo").values(), ...goldenFiles(/\.narinfo$/)],
  words: words(
    "StorePath: ",
    "URL: ",
    "Compression: ",
    "FileHash: ",
    "FileSize: ",
    "NarHash: sha256:",
    "NarSize: ",
    "References: ",
    "Deriver: ",
    "Sig: ",
    "CA: fixed:r:sha256:",
    "CA: text:sha256:",
    "/nix/store/",
    "../",
    "\r\n",
    ": ",
  ),
  mutations: [looseBase64],
  run(bytes) {
    const text = bytes.toString("latin1");
    const info = parseNarInfo(text);
    requireLaw(formatNarInfo(info) === text, "an accepted narinfo is what we would write");
    requireLaw(!fingerprint(info).includes("\n"), "a fingerprint is one line");
    for (const signature of info.signatures)
      verifyFingerprint(fingerprint(info), signature, packer.publicKey);
    return ACCEPTED;
  },
};
