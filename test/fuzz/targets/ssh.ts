/** OpenSSH's public keys and armoured signatures: what is accepted prints back to the same text. */
import { formatSshPublicKey, parseSshPublicKey } from "../../../src/trust/ssh-key.js";
import {
  armorSshSignature,
  dearmorSshSignature,
  verifySshSignature,
} from "../../../src/trust/ssh-signature.js";
import { makeFidoKey } from "../../support/fido.js";
import { looseBase64 } from "../format-mutations.js";
import type { Target } from "../fuzz.js";
import { ACCEPTED, refusalOf, requireLaw } from "./laws.js";
import { codes, words } from "./lists.js";

const fido = makeFidoKey("sk-ssh-ed25519@openssh.com");
const signature = fido.sign("message", { namespace: "nix-airgap", touch: true, pin: true });
const key = parseSshPublicKey(fido.publicLine);

export const ssh: Target = {
  name: "ssh",
  share: 0.4,
  codes: codes("KEY_INVALID", "SIGNATURE_INVALID"),
  seeds: [
    Buffer.from(`${fido.publicLine}\n`),
    Buffer.from(formatSshPublicKey(key)),
    Buffer.from(armorSshSignature(signature)),
  ],
  words: words(
    "ssh-ed25519 ",
    "ecdsa-sha2-nistp256 ",
    "AAAA",
    "\n",
    " ",
    "=",
    "-----END SSH SIGNATURE-----\n",
  ),
  mutations: [looseBase64],
  run(bytes) {
    const text = bytes.toString("latin1");
    const refusals = [
      refusalOf(() => {
        const parsed = parseSshPublicKey(text);
        requireLaw(text.startsWith(formatSshPublicKey(parsed)), "an accepted key is what we would write");
      }),
      refusalOf(() => {
        const blob = dearmorSshSignature(text);
        const same = armorSshSignature(blob).trimEnd() === text.trimEnd();
        requireLaw(same, "an accepted signature is what we would write");
        const { holds } = verifySshSignature(Buffer.from("message"), blob, { key, namespace: "nix-airgap" });
        requireLaw(!holds || blob.equals(signature), "no other bytes hold");
      }),
    ];
    return refusals.includes(undefined) ? ACCEPTED : refusals.flatMap((refusal) => refusal ?? []);
  },
};
