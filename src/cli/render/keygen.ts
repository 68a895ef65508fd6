/** A new key for people; its secret is not shown. */
import type { KeygenReport } from "../../generated/types.js";
import { type Line, table } from "./text.js";

export function renderKeygen({ name, publicKey, keyHash, files }: KeygenReport): Line[] {
  return [
    { text: `MADE the key ${name}`, style: "good" },
    "",
    ...table([
      ["public key", publicKey],
      ["fingerprint", `${keyHash} (SHA-256 of its SPKI)`],
      ["secret", `${files.secret} (keep it; whoever has it signs as you)`],
      ["public", files.public],
      ["as PEM", files.pem],
    ]),
    "",
    "Bring the public key to the site by another way than the bundle, and compare its fingerprint there.",
  ];
}
