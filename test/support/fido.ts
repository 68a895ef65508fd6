/**
 * A FIDO authenticator in software: an OpenSSH key of type ed25519-sk or ecdsa-sk whose private half is here, and
 * signatures with the flags and counter that a test chooses. Shares no code with src, so that the two can disagree;
 * that OpenSSH takes what it makes is shown in test/trust/ssh-signature.test.ts.
 */
import { createHash, generateKeyPairSync, type KeyObject, sign } from "node:crypto";

type FidoType = "sk-ssh-ed25519@openssh.com" | "sk-ecdsa-sha2-nistp256@openssh.com";

interface FidoKey {
  /** What the .pub file would hold, without its newline. */
  readonly publicLine: string;
  /** The SSHSIG blob, without armour. */
  sign(message: string | Uint8Array, options: FidoOptions): Buffer;
}

interface FidoOptions {
  readonly namespace: string;
  readonly touch: boolean;
  readonly pin: boolean;
  readonly counter?: number;
  readonly hash?: "sha256" | "sha512";
  /** Bits to set in the flags besides touch and PIN. */
  readonly flags?: number;
}

export function makeFidoKey(type: FidoType, application = "ssh:"): FidoKey {
  const ed25519 = type === "sk-ssh-ed25519@openssh.com";
  const { privateKey, publicKey } = ed25519
    ? generateKeyPairSync("ed25519")
    : generateKeyPairSync("ec", { namedCurve: "P-256" });
  const spki = publicKey.export({ format: "der", type: "spki" });
  const keyBlob = ed25519
    ? strings(type, spki.subarray(-32), application)
    : strings(type, "nistp256", spki.subarray(-65), application);

  return {
    publicLine: `${type} ${keyBlob.toString("base64")} fido@test`,
    sign(message, { namespace, touch, pin, counter = 1, hash = "sha512", flags = 0 }) {
      const toSign = strings(namespace, "", hash, createHash(hash).update(message).digest());
      const state = Buffer.from([flags | (touch ? 0x01 : 0) | (pin ? 0x04 : 0), 0, 0, 0, 0]);
      state.writeUInt32BE(counter, 1);
      const data = Buffer.concat([
        sha256(application),
        state,
        sha256(Buffer.concat([Buffer.from("SSHSIG"), toSign])),
      ]);
      const raw = ed25519 ? sign(null, data, privateKey) : signEcdsa(data, privateKey);
      const signature = Buffer.concat([strings(type, raw), state]);
      return Buffer.concat([
        Buffer.from("SSHSIG\0\0\0\x01"),
        strings(keyBlob, namespace, "", hash, signature),
      ]);
    },
  };
}

function signEcdsa(data: Uint8Array, key: KeyObject): Buffer {
  const rs = sign("sha256", data, { key, dsaEncoding: "ieee-p1363" });
  return strings(mpint(rs.subarray(0, 32)), mpint(rs.subarray(32)));
}

/** The bytes of a positive mpint, without the length. */
function mpint(bytes: Uint8Array): Buffer {
  const hex = BigInt(`0x${Buffer.from(bytes).toString("hex")}`).toString(16);
  const even = hex.length % 2 ? `0${hex}` : hex;
  return Buffer.from(/^[89a-f]/.test(even) ? `00${even}` : even, "hex");
}

function strings(...values: (string | Uint8Array)[]): Buffer {
  return Buffer.concat(
    values.flatMap((value) => {
      const length = Buffer.alloc(4);
      length.writeUInt32BE(Buffer.from(value).length);
      return [length, Buffer.from(value)];
    }),
  );
}

function sha256(data: string | Uint8Array): Buffer {
  return createHash("sha256").update(data).digest();
}
