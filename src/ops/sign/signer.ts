/** What makes a signature: a key that we hold, one that ssh-keygen reaches, or somebody else later. */
import { fail } from "../../errors.js";
import { sshPublicKey, sshSign } from "../../host/ssh-keygen.js";
import { parseVerificationKey, SSH_NAMESPACE, type VerificationKey } from "../../trust/keys.js";
import { type SigningKey, signMessage } from "../../trust/signing.js";
import { dearmorSshSignature } from "../../trust/ssh-signature.js";
import type { Context } from "../context.js";

export type SignMeans =
  | { readonly kind: "key"; readonly key: SigningKey }
  /** Absolute path of a private key, or of a public one whose other half an agent has. */
  | { readonly kind: "ssh"; readonly keyFile: string }
  /** Writes what is to be signed; `key`, where it is known already, tells who signs. */
  | { readonly kind: "prepare"; readonly out: string; readonly key: VerificationKey | null }
  /** A signature made elsewhere, and the keys that may have made it. `prepared`: what was signed. */
  | {
      readonly kind: "attach";
      readonly file: string;
      readonly prepared: string | null;
      readonly keys: readonly VerificationKey[];
    };

export type Signer =
  | { readonly kind: "prepare"; readonly out: string; readonly key: VerificationKey | null }
  | {
      readonly kind: "now";
      readonly key: VerificationKey;
      sign(message: Uint8Array): Promise<Buffer>;
    };

/** `tempDir`: for what ssh-keygen reads and writes. @throws SSH_KEYGEN, KEY_INVALID, DISK, INTERRUPTED */
export async function openSigner(
  means: Exclude<SignMeans, { kind: "attach" }>,
  tempDir: string,
  { env, signal }: Context,
): Promise<Signer> {
  switch (means.kind) {
    case "prepare":
      return means;
    case "key": {
      const { key } = means;
      return { kind: "now", key: key.publicKey, sign: async (message) => signMessage(message, key) };
    }
    case "ssh": {
      const { keyFile } = means;
      const key = parseVerificationKey(await sshPublicKey({ keyFile, env, signal }), keyFile);
      if (key.scheme !== "ssh")
        return fail("KEY_INVALID", { subject: keyFile, expected: "a key of OpenSSH" });
      return {
        kind: "now",
        key,
        sign: async (message) =>
          dearmorSshSignature(
            await sshSign(message, { keyFile, namespace: SSH_NAMESPACE, tempDir, env, signal }),
          ),
      };
    }
  }
}
