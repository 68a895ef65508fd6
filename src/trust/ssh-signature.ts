/**
 * Signatures as `ssh-keygen -Y sign` makes them (SSHSIG): the armour, the blob, and whether one holds for a message
 * and a key. Also says whether a FIDO authenticator saw touch and PIN; whether that is needed is the caller's policy.
 *
 * Sources: PROTOCOL.sshsig (armour, blob, signed data) and PROTOCOL.u2f (what an authenticator signs) of OpenSSH;
 * RFC 4251, section 5 (strings, mpints); RFC 5656, section 3.1.2 (ECDSA); RFC 8709, section 6 (Ed25519).
 *
 * Of one blob no byte can be changed. Magic, version, public key, namespace, the empty reserved field and the type
 * are compared with their only value; the hash's name, flags and counter are signed; lengths have one encoding and
 * nothing may follow. A signer, and for ECDSA anybody (s and n - s are both valid), can make *another* blob for the
 * same message: a blob's hash names no signature.
 */
import { verify } from "node:crypto";
import { AirgapError, fail } from "../errors.js";
import { hashOf } from "../nix/hash.js";
import type { SshPublicKey } from "./ssh-key.js";
import { decodeBase64, isPlainText, type Refuse, WireReader, wireString } from "./ssh-wire.js";

export interface SshSignature {
  /** The wire form of the key that claims to have signed: a hint, not a proof. */
  readonly publicKey: Buffer;
  /** What the signature is for, so that it cannot be used for anything else. Printable ASCII. */
  readonly namespace: string;
  /** What the message was hashed with. */
  readonly hash: "sha256" | "sha512";
  /** In the form of the key's type, which `verifySshSignature` reads. */
  readonly signature: Buffer;
}

/** Touch and PIN are null for a key that is in no FIDO authenticator. */
export type SshVerdict =
  | { readonly holds: true; readonly touch: boolean | null; readonly pin: boolean | null }
  | { readonly holds: false; readonly reason: string };

/** Bytes of a blob. A real one has about 300. */
const MAX_SIGNATURE = 4096;
const MAX_ARMOUR = 8192;
const ARMOUR_LINE = /.{1,70}/g;
const ARMOUR_BEGIN = "-----BEGIN SSH SIGNATURE-----\n";
const ARMOUR_END = "-----END SSH SIGNATURE-----\n";

const MAGIC = Buffer.from("SSHSIG");
const VERSION = Buffer.from([0, 0, 0, 1]);
/** Of Ed25519 and of r and s alike. */
const RAW_SIZE = 64;
const SCALAR_SIZE = 32;
/** One byte of flags, four of the counter. */
const STATE_SIZE = 5;

/** Bits of the flags that an authenticator signs (WebAuthn, "authenticator data"): UP and UV. */
const TOUCH = 0x01;
const PIN = 0x04;

/**
 * Parses the blob: exactly one, of version 1, with nothing in the reserved field, which OpenSSH skips unsigned.
 * Throws SIGNATURE_INVALID.
 */
export function parseSshSignature(bytes: Uint8Array): SshSignature {
  if (bytes.length > MAX_SIGNATURE) {
    refuse({ expected: `at most ${MAX_SIGNATURE} bytes`, actual: `${bytes.length} bytes` });
  }
  const reader = new WireReader(Buffer.from(bytes), refuse);
  if (!reader.bytes(MAGIC.length).equals(MAGIC)) refuse({ expected: "SSHSIG", offset: 0 });
  if (!reader.bytes(VERSION.length).equals(VERSION)) refuse({ expected: "version 1", offset: MAGIC.length });
  const publicKey = reader.string();
  const namespace = parseNamespace(reader.string());
  reader.exactly("", "the reserved field");
  const hash = parseHashName(reader.string());
  const signature = reader.string();
  reader.end();
  return { publicKey, namespace, hash, signature };
}

/** The text that `ssh-keygen -Y sign` writes around a blob. */
export function armorSshSignature(blob: Uint8Array): string {
  const lines = Buffer.from(blob).toString("base64").replace(ARMOUR_LINE, "$&\n");
  return ARMOUR_BEGIN + lines + ARMOUR_END;
}

/**
 * The blob within the armour; exactly the text that `armorSshSignature` gives for it, the last newline aside.
 * Throws SIGNATURE_INVALID. What the blob says is not looked at.
 */
export function dearmorSshSignature(text: string): Buffer {
  if (text.length > MAX_ARMOUR)
    refuse({ expected: "one SSH signature", actual: `${text.length} characters` });
  const whole = text.endsWith("\n") ? text : `${text}\n`;
  const base64 = whole.slice(ARMOUR_BEGIN.length, -ARMOUR_END.length).replaceAll("\n", "");
  const blob = decodeBase64(base64);
  if (!blob || blob.length === 0 || armorSshSignature(blob) !== whole) {
    return refuse({ expected: `an SSH signature as ssh-keygen -Y sign writes it (${ARMOUR_BEGIN.trim()})` });
  }
  return blob;
}

/**
 * Whether `blob` is this key's signature over this message for this namespace. A malformed one does not hold.
 *
 * Flags other than touch and PIN do not hold: attested data (0x40) and extensions (0x80) would be signed as further
 * bytes, which PROTOCOL.u2f has none of; a key that may be backed up (0x08, 0x10) is not bound to a device; the
 * others are reserved. `ssh-keygen -Y verify` looks at no flag at all. The counter is signed, and not judged: that
 * would need a memory of the last one, and some authenticators always say 0.
 */
export function verifySshSignature(
  message: Uint8Array,
  blob: Uint8Array,
  { key, namespace }: { readonly key: SshPublicKey; readonly namespace: string },
): SshVerdict {
  try {
    const signature = parseSshSignature(blob);
    if (!signature.publicKey.equals(key.blob)) return no("it is by another key");
    if (signature.namespace !== namespace) return no("it is for another namespace");
    const { raw, state } = readKeySignature(signature.signature, key);
    if (!holds(dataOf(message, signature, { key, state }), raw, key)) {
      return no("it is not this key's over this message");
    }
    if (key.application === null) return { holds: true, touch: null, pin: null };
    const flags = state.readUInt8();
    return { holds: true, touch: (flags & TOUCH) !== 0, pin: (flags & PIN) !== 0 };
  } catch (error) {
    if (error instanceof AirgapError && error.code === "SIGNATURE_INVALID") return no(error.message);
    throw error;
  }
}

function no(reason: string): SshVerdict {
  return { holds: false, reason };
}

/** PROTOCOL.sshsig forbids an empty one; which text is good is left to us. */
function parseNamespace(bytes: Buffer): string {
  if (bytes.length > 0 && isPlainText(bytes)) return bytes.toString("latin1");
  return refuse({ expected: "a namespace of printable ASCII" });
}

function parseHashName(bytes: Buffer): "sha256" | "sha512" {
  const name = bytes.toString("latin1");
  return name === "sha256" || name === "sha512" ? name : refuse({ expected: "sha256 or sha512" });
}

interface KeySignature {
  /** 64 bytes, as Node.js takes them: R and S, or r and s. */
  readonly raw: Buffer;
  /** An authenticator's flags and counter as they were signed; of other keys nothing. */
  readonly state: Buffer;
}

function readKeySignature(signature: Buffer, key: SshPublicKey): KeySignature {
  const reader = new WireReader(signature, refuse);
  // A web site's signature by a FIDO key (webauthn-sk-…) has another type, and is over other data.
  reader.exactly(key.type, "the type");
  const raw = isEcdsa(key) ? readScalars(reader.string()) : reader.string();
  if (raw.length !== RAW_SIZE) refuse({ expected: `${RAW_SIZE} bytes`, actual: `${raw.length} bytes` });
  const state = reader.bytes(key.application === null ? 0 : STATE_SIZE);
  reader.end();
  const other = (state[0] ?? 0) & ~(TOUCH | PIN);
  if (other !== 0) refuse({ expected: "no flags but touch and PIN", actual: `0x${other.toString(16)}` });
  return { raw, state };
}

function isEcdsa(key: SshPublicKey): boolean {
  return key.key.asymmetricKeyType === "ec";
}

/** r and s as IEEE P1363 has them; that they are below the order is checked by OpenSSL. */
function readScalars(body: Buffer): Buffer {
  const reader = new WireReader(body, refuse);
  const r = readScalar(reader.string());
  const s = readScalar(reader.string());
  reader.end();
  return Buffer.concat([r, s]);
}

/** An mpint in its shortest form: a leading zero only where the first bit would be taken for a sign. */
function readScalar(mpint: Buffer): Buffer {
  const expected = "a positive mpint of at most 32 bytes in its shortest form";
  const [first = 0, second = 0] = mpint;
  if (first >= 0x80 || (first === 0 && second < 0x80)) return refuse({ expected });
  const digits = first === 0 ? mpint.subarray(1) : mpint;
  if (digits.length > SCALAR_SIZE) return refuse({ expected, actual: `${digits.length} bytes` });
  return Buffer.concat([Buffer.alloc(SCALAR_SIZE - digits.length), digits]);
}

/** What the key signed: PROTOCOL.sshsig, section 3, which an authenticator puts into its own (PROTOCOL.u2f). */
function dataOf(
  message: Uint8Array,
  { namespace, hash }: SshSignature,
  { key, state }: { readonly key: SshPublicKey; readonly state: Buffer },
): Buffer {
  const fields = [namespace, "", hash, hashOf(hash, message).digest];
  const data = Buffer.concat([MAGIC, ...fields.map(wireString)]);
  if (key.application === null) return data;
  return Buffer.concat([sha256(key.application), state, sha256(data)]);
}

function holds(data: Buffer, raw: Buffer, key: SshPublicKey): boolean {
  if (isEcdsa(key)) return verify("sha256", data, { key: key.key, dsaEncoding: "ieee-p1363" }, raw);
  return verify(null, data, key.key, raw);
}

function sha256(data: Uint8Array | string): Uint8Array {
  return hashOf("sha256", data).digest;
}

const refuse: Refuse = (details) => fail("SIGNATURE_INVALID", details);
