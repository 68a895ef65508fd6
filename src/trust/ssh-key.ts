/**
 * OpenSSH public keys that approvals may be signed with: Ed25519 and ECDSA on P-256, each also as held by a FIDO
 * authenticator. Reads and prints the line of a .pub file, and the fingerprint. Which keys to trust is the caller's.
 *
 * Sources: RFC 4253, section 6.6 (the blob), RFC 8709 (Ed25519), RFC 5656, section 3.1 (ECDSA), and PROTOCOL.u2f
 * of OpenSSH (the "sk-" types).
 */
import { createPublicKey, type KeyObject } from "node:crypto";
import { type Details, fail } from "../errors.js";
import { hashOf } from "../nix/hash.js";
import { publicKeyFromBytes } from "../nix/signature.js";
import { decodeBase64, isPlainText, WireReader } from "./ssh-wire.js";

/** What each type is made of. The hash is for all of them SHA-256, or within Ed25519. */
const TYPES = {
  "ssh-ed25519": { curve: "ed25519", fido: false },
  "ecdsa-sha2-nistp256": { curve: "p256", fido: false },
  "sk-ssh-ed25519@openssh.com": { curve: "ed25519", fido: true },
  "sk-ecdsa-sha2-nistp256@openssh.com": { curve: "p256", fido: true },
} as const;

export type SshKeyType = keyof typeof TYPES;

export interface SshPublicKey {
  readonly type: SshKeyType;
  /** The wire form: two keys are the same when these are. */
  readonly blob: Buffer;
  /** What a FIDO key was made for, `ssh:` unless its owner chose more; null says that this is no FIDO key. */
  readonly application: string | null;
  readonly key: KeyObject;
  /** Not signed by anybody, and any text without control characters: show it as an excerpt. */
  readonly comment: string;
}

const MAX_KEY_TEXT = 4096;
/** RFC 5656 allows compressed points; OpenSSH writes none. */
const UNCOMPRESSED = 0x04;
const P256_POINT_SIZE = 65;
/** DER before the point of a P-256 key (RFC 5480). */
const P256_SPKI_PREFIX = Buffer.from("3059301306072a8648ce3d020106082a8648ce3d030107034200", "hex");

/**
 * Parses the one line of a .pub file as `ssh-keygen` prints it: `type base64 comment`; comment and newline may be
 * missing. Throws KEY_INVALID, also for other types (RSA, other curves, certificates), points of small order, and
 * points that are not on their curve; never repeats the text, which may be a secret key, in the error.
 */
export function parseSshPublicKey(text: string): SshPublicKey {
  if (text.length > MAX_KEY_TEXT) refuse({ actual: `${text.length} characters` });
  const [, type, base64, comment = ""] =
    /^([a-z0-9@.-]+) ([A-Za-z0-9+/]+=*)(?: ([^\x00-\x1f\x7f-\x9f]*))?\n?$/.exec(text) ?? [];
  if (type === undefined || base64 === undefined) return refuse({ actual: nameType(text) });
  if (!isSupported(type)) return refuse({ actual: nameType(text) });
  const blob =
    decodeBase64(base64) ?? refuse({ subject: type, expected: "canonical base64 of a public key" });
  return { type, blob, ...readBlob(type, blob), comment };
}

/** `type base64`, without the comment. */
export function formatSshPublicKey(key: SshPublicKey): string {
  return `${key.type} ${key.blob.toString("base64")}`;
}

/** `SHA256:` and base64 without padding, as `ssh-keygen -l` prints it. */
export function sshFingerprint(key: Pick<SshPublicKey, "blob">): string {
  const digest = Buffer.from(hashOf("sha256", key.blob).digest);
  return `SHA256:${digest.toString("base64").replace(/=$/, "")}`;
}

function isSupported(type: string): type is SshKeyType {
  return Object.hasOwn(TYPES, type);
}

function readBlob(type: SshKeyType, blob: Buffer): Pick<SshPublicKey, "key" | "application"> {
  const reader = new WireReader(blob, (details) => refuse({ subject: type, ...details }));
  reader.exactly(type, "the type");
  const { curve, fido } = TYPES[type];
  const key = curve === "ed25519" ? ed25519Key(type, reader.string()) : p256Key(type, reader);
  const application = fido ? readApplication(type, reader.string()) : null;
  reader.end();
  return { key, application };
}

function ed25519Key(type: SshKeyType, bytes: Buffer): KeyObject {
  return publicKeyFromBytes(type, bytes).key;
}

function p256Key(type: SshKeyType, reader: WireReader): KeyObject {
  reader.exactly("nistp256", "the curve");
  const point = reader.string();
  if (point.length !== P256_POINT_SIZE || point[0] !== UNCOMPRESSED) {
    refuse({ subject: type, expected: "an uncompressed point of P-256", actual: `${point.length} bytes` });
  }
  const der = Buffer.concat([P256_SPKI_PREFIX, point]);
  try {
    return createPublicKey({ key: der, format: "der", type: "spki" });
  } catch (cause) {
    // The DER around the point is ours, so that OpenSSL can only have refused the point.
    return refuse(
      { subject: type, expected: "a point of P-256", actual: "one that is not on it" },
      { cause },
    );
  }
}

/** ssh-keygen makes no key without `ssh:`: another application is a web site's, which may use the key as well. */
function readApplication(type: SshKeyType, bytes: Buffer): string {
  const application = bytes.toString("latin1");
  if (isPlainText(bytes) && application.startsWith("ssh:")) return application;
  return refuse({ subject: type, expected: "an application that begins with ssh:" });
}

/** The type a text begins with, when it looks like one. */
function nameType(text: string): string {
  return /^(?:ssh|ecdsa|sk|rsa|webauthn)-[a-z0-9@.-]{1,60}(?= )/.exec(text)?.[0] ?? "another text";
}

function refuse(details: Details, options?: { cause: unknown }): never {
  const form = { expected: `one line \`type base64\` of ${Object.keys(TYPES).join(", ")}`, hint: HINT };
  return fail("KEY_INVALID", { ...form, ...details }, options);
}

const HINT =
  "Give the .pub file of a key that ssh-keygen made with -t ed25519, ecdsa -b 256, ed25519-sk or ecdsa-sk.";
