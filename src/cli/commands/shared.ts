/** Words, options and checks that several commands have in common. */
import { fail } from "../../errors.js";
import type { PublicKey } from "../../nix/signature.js";
import type { Session } from "../command.js";
import { readPublicKeys } from "../keys.js";

export const BUNDLE = { name: "BUNDLE", count: "one" } as const;

export const publicKeyOption = {
  kind: "texts",
  describe: "KEY  that you trust: name:base64, or a file that holds it (also PEM); repeat for more",
} as const;

export const sandboxPathOption = {
  kind: "texts",
  describe: "P  of this machine to lend to builders, which weakens the verdict; repeat for more",
} as const;

/** Those given; none is KEY_REQUIRED, before anything is done. */
export async function trustedKeys(values: readonly string[], { context }: Session): Promise<PublicKey[]> {
  if (values.length === 0) fail("KEY_REQUIRED", { hint: "Give --public-key with the packer's key." });
  return readPublicKeys(values, context);
}
