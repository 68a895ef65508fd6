/** Keys and words of people for tests that are about something else. */
import type { SecretKey } from "../../src/nix/signature.js";
import type { SignOptions } from "../../src/ops/sign.js";
import type { Trust } from "../../src/ops/verify/trust.js";
import { ed25519Key } from "../../src/trust/keys.js";
import { signingKey } from "../../src/trust/signing.js";

/** Trust in these keys, without a policy. */
export function trusting(...keys: readonly SecretKey[]): Exclude<Trust, { by: "nobody" }> {
  return { by: "keys", keys: keys.map(({ publicKey }) => ed25519Key(publicKey)) };
}

/** What `sign` needs to be told on a command line, besides the bundle and a key. */
export const SIGN_WORDS: readonly string[] = [
  ...["--role", "approver", "--meaning", "reviewed and released"],
  ...["--signer", "Ada Example <ada@example.org>", "--yes"],
];

/** The same for the library. */
export function signedBy(key: SecretKey, role = "approver"): SignOptions {
  return {
    role,
    meaning: "reviewed and released",
    decision: "approved",
    signer: { id: "ada@example.org", name: "Ada Example" },
    documents: [],
    means: { kind: "key", key: signingKey(key) },
    confirm: async () => true,
  };
}
