/** Keys and signatures as text. What a signature is of is narinfo.ts's and approval.ts's. */
import { parseNarInfo } from "../../../src/nix/narinfo.js";
import {
  formatPublicKey,
  formatSecretKey,
  formatSignature,
  parsePublicKey,
  parseSecretKey,
  parseSignature,
  toSpkiPem,
} from "../../../src/nix/signature.js";
import { formatVerificationKey, parseVerificationKey } from "../../../src/trust/keys.js";
import { looseBase64 } from "../format-mutations.js";
import type { Target } from "../fuzz.js";
import { goldenKey, vectors } from "../seeds.js";
import { ACCEPTED, refusalOf, requireLaw } from "./laws.js";
import { codes, words } from "./lists.js";
import { packer } from "./material.js";

export const keys: Target = {
  name: "keys",
  share: 0.5,
  codes: codes("KEY_INVALID", "SIGNATURE_INVALID"),
  seeds: [
    formatPublicKey(packer.publicKey),
    `${goldenKey}\n`,
    formatSecretKey(packer),
    toSpkiPem(packer.publicKey),
    ...[...vectors("narinfo").values()].flatMap((info) => parseNarInfo(info.toString("latin1")).signatures),
    `order-1:${Buffer.from([1, ...Buffer.alloc(31)]).toString("base64")}`,
  ].map((text) => Buffer.from(text)),
  words: words(
    "-----BEGIN PUBLIC KEY-----\n",
    "\n-----END PUBLIC KEY-----\n",
    "MCowBQYDK2VwAyEA",
    ":",
    "=",
    "==",
    "A",
    "\n",
    " ",
    "_",
    "-",
  ),
  mutations: [looseBase64],
  run(bytes) {
    const text = bytes.toString();
    const refusals = KEYS.map((read) =>
      refusalOf(() => requireLaw(read(text) === text, "an accepted key is what we would write")),
    );
    return refusals.includes(undefined) ? ACCEPTED : refusals.flatMap((refusal) => refusal ?? []);
  },
};

const KEYS: readonly ((text: string) => string)[] = [
  (text) => formatPublicKey(parsePublicKey(text)),
  (text) => formatSecretKey(parseSecretKey(text)),
  (text) => formatSignature(parseSignature(text)),
  // A line feed may follow it.
  (text) => {
    const key = parseVerificationKey(text, "file");
    const line = formatVerificationKey(key).trimEnd();
    const pem = key.scheme === "ed25519" ? toSpkiPem(key.ed25519) : `${line}\n`;
    return [line, `${line}\n`, pem.trimEnd(), pem].find((form) => form === text) ?? "";
  },
];
