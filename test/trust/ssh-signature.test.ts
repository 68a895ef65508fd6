import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as fc from "fast-check";
import { afterAll, describe, expect, it } from "vitest";
import { formatSshPublicKey, parseSshPublicKey, type SshPublicKey } from "../../src/trust/ssh-key.js";
import {
  armorSshSignature,
  dearmorSshSignature,
  parseSshSignature,
  verifySshSignature,
} from "../../src/trust/ssh-signature.js";
import { wireString } from "../../src/trust/ssh-wire.js";
import { makeFidoKey } from "../support/fido.js";
import { makeSshKey, SSH_KEY_KINDS, sshKeygenSign, sshKeygenVerify } from "../support/ssh-keygen.js";

const NAMESPACE = "nix-airgap";
const MESSAGE = Buffer.from("a message\nof two lines\n");
const refused = expect.objectContaining({ code: "SIGNATURE_INVALID" });
const doesNotHold = { holds: false, reason: expect.any(String) };

const folder = mkdtempSync(join(tmpdir(), "nix-airgap-ssh-"));
afterAll(() => rmSync(folder, { recursive: true }));

interface Signer {
  readonly key: SshPublicKey;
  sign(message: Uint8Array, options?: { namespace?: string; hash?: "sha256" | "sha512" }): Buffer;
}

/** With a secret key in a file, which ssh-keygen signs with. */
function keygenSigner(kind: keyof typeof SSH_KEY_KINDS, name: string = kind): Signer {
  const files = makeSshKey(join(folder, name), SSH_KEY_KINDS[kind]);
  return {
    key: parseSshPublicKey(files.publicText),
    sign: (message, options) =>
      dearmorSshSignature(sshKeygenSign(message, files, { namespace: NAMESPACE, ...options })),
  };
}

function fidoSigner(type: "sk-ssh-ed25519@openssh.com" | "sk-ecdsa-sha2-nistp256@openssh.com"): Signer {
  const fido = makeFidoKey(type, "ssh:release");
  return {
    key: parseSshPublicKey(fido.publicLine),
    sign: (message, options) =>
      fido.sign(message, { namespace: NAMESPACE, touch: true, pin: false, counter: 7, ...options }),
  };
}

const FIDO_TYPES = ["sk-ssh-ed25519@openssh.com", "sk-ecdsa-sha2-nistp256@openssh.com"] as const;
const signers: readonly [type: string, signer: Signer][] = [
  keygenSigner("ed25519"),
  keygenSigner("ecdsa"),
  ...FIDO_TYPES.map(fidoSigner),
].map((signer) => [signer.key.type, signer]);

const check = (blob: Uint8Array, key: SshPublicKey, message: Uint8Array = MESSAGE) =>
  verifySshSignature(message, blob, { key, namespace: NAMESPACE });

describe.each(signers)("a signature of %s", (_, { key, sign }) => {
  const fido = key.application !== null;
  const holds = fido ? { holds: true, touch: true, pin: false } : { holds: true, touch: null, pin: null };

  it.each(["sha256", "sha512"] as const)("holds, hashed with %s", (hash) => {
    const blob = sign(MESSAGE, { hash });
    expect(parseSshSignature(blob)).toMatchObject({ publicKey: key.blob, namespace: NAMESPACE, hash });
    expect(check(blob, key)).toEqual(holds);
    const signer = formatSshPublicKey(key);
    const { accepted } = sshKeygenVerify(MESSAGE, armorSshSignature(blob), { signer, namespace: NAMESPACE });
    expect(accepted).toBe(true);
  });

  it("holds for an empty message, and for any bytes", () => {
    for (const message of [Buffer.alloc(0), Buffer.from([0, 255, 13, 10])]) {
      expect(check(sign(message), key, message)).toEqual(holds);
    }
  });

  it("does not hold for another namespace", () => {
    const blob = sign(MESSAGE, { namespace: "file" });
    expect(check(blob, key)).toEqual({ holds: false, reason: "it is for another namespace" });
    for (const namespace of ["", "fil", "file\0", "files"]) {
      expect(verifySshSignature(MESSAGE, blob, { key, namespace })).toEqual(doesNotHold);
    }
  });

  it("does not hold for another key, of the same type or not", () => {
    const blob = sign(MESSAGE);
    const others = [keygenSigner("ed25519", `other-${key.type}`), ...signers.map(([, signer]) => signer)];
    for (const other of others.filter((signer) => signer.key !== key)) {
      expect(check(blob, other.key)).toEqual({ holds: false, reason: "it is by another key" });
      expect(check(replaceKey(blob, other.key), other.key)).toEqual(doesNotHold);
    }
  });

  const blob = sign(MESSAGE);

  it("does not hold with any bit of it changed", () => {
    for (let bit = 0; bit < blob.length * 8; bit++) {
      expect(check(change(blob, bit >> 3, 1 << (bit & 7)), key)).toEqual(doesNotHold);
    }
  });

  it("does not hold with any byte of it changed, added or left out", () => {
    const place = fc.nat({ max: blob.length - 1 });
    fc.assert(
      fc.property(place, fc.integer({ min: 1, max: 255 }), (at, mask) => {
        expect(check(change(blob, at, mask), key)).toEqual(doesNotHold);
        const rest = blob.subarray(at);
        expect(check(Buffer.concat([blob.subarray(0, at), Buffer.from([mask]), rest]), key)).toEqual(
          doesNotHold,
        );
        expect(check(Buffer.concat([blob.subarray(0, at), rest.subarray(1)]), key)).toEqual(doesNotHold);
        expect(check(blob.subarray(0, at), key)).toEqual(doesNotHold);
      }),
      { numRuns: 1000 },
    );
    expect(check(Buffer.concat([blob, Buffer.from([0])]), key)).toEqual(doesNotHold);
  });

  it("does not hold with any byte of the message changed", () => {
    const messages = fc.uint8Array({ minLength: 1, maxLength: 40 });
    fc.assert(
      fc.property(messages, fc.nat(), fc.integer({ min: 1, max: 255 }), (message, at, mask) => {
        const signed = fido ? sign(message) : blob;
        const original = fido ? message : MESSAGE;
        expect(check(signed, key, original)).toEqual(holds);
        expect(check(signed, key, change(original, at % original.length, mask))).toEqual(doesNotHold);
      }),
      { numRuns: 200 },
    );
  });

  it("does not hold for bytes of any kind, and never throws", () => {
    const tails = fc.uint8Array({ maxLength: 300 });
    fc.assert(
      fc.property(fc.nat({ max: blob.length }), tails, (kept, tail) => {
        const bytes = Buffer.concat([blob.subarray(0, kept), tail]);
        expect(check(bytes, key).holds).toBe(bytes.equals(blob));
      }),
    );
  });

  it("does not hold with the name of another hash", () => {
    const signature = parseSshSignature(blob);
    for (const changed of ["sha256", "SHA512", "md5", ""]) {
      expect(check(rebuild({ ...signature, hash: changed }), key)).toEqual(doesNotHold);
    }
  });
});

describe("a FIDO key's signature", () => {
  const cases = FIDO_TYPES.flatMap((type) =>
    [true, false].flatMap((touch) => [true, false].map((pin) => ({ type, touch, pin }))),
  );

  it.each(cases)("says what the authenticator saw: $type, touch $touch, PIN $pin", ({ type, touch, pin }) => {
    const fido = makeFidoKey(type);
    const key = parseSshPublicKey(fido.publicLine);
    for (const counter of [0, 1, 0xffff_ffff]) {
      const blob = fido.sign(MESSAGE, { namespace: NAMESPACE, touch, pin, counter });
      expect(check(blob, key)).toEqual({ holds: true, touch, pin });
    }
  });

  it.each(FIDO_TYPES)(
    "is one to ssh-keygen with touch or without, whatever else the flags say: %s",
    (type) => {
      const fido = makeFidoKey(type);
      const accepts = (options: { touch: boolean; flags?: number }, before = "") => {
        const blob = fido.sign(MESSAGE, { namespace: NAMESPACE, pin: false, ...options });
        const signer = before + fido.publicLine;
        return sshKeygenVerify(MESSAGE, armorSshSignature(blob), { signer, namespace: NAMESPACE });
      };
      expect(accepts({ touch: true })).toMatchObject({ accepted: true });
      // What sshd refuses by default: only our caller's policy can ask for a touch.
      expect(accepts({ touch: false })).toMatchObject({ accepted: true });
      for (const flags of [0x02, 0x40, 0x80]) {
        expect(accepts({ touch: true, flags })).toMatchObject({ accepted: true });
      }
      // These are options of authorized_keys, not of allowed_signers (OpenSSH 9.2).
      for (const option of ["no-touch-required ", "verify-required "]) {
        expect(accepts({ touch: true }, option)).toEqual({
          accepted: false,
          output: expect.stringContaining("unknown key option"),
        });
      }
    },
  );

  it.each(FIDO_TYPES)("does not hold with flags besides touch and PIN: %s", (type) => {
    const fido = makeFidoKey(type);
    const key = parseSshPublicKey(fido.publicLine);
    for (const flags of [0x02, 0x08, 0x10, 0x20, 0x40, 0x80, 0xfa]) {
      const blob = fido.sign(MESSAGE, { namespace: NAMESPACE, touch: true, pin: true, flags });
      const other = `found 0x${flags.toString(16)}`;
      expect(check(blob, key)).toEqual({ holds: false, reason: expect.stringContaining(other) });
    }
  });

  it("does not hold for a key of another application, or one that is no FIDO key", () => {
    const fido = makeFidoKey("sk-ssh-ed25519@openssh.com", "ssh:one");
    const key = parseSshPublicKey(fido.publicLine);
    const blob = fido.sign(MESSAGE, { namespace: NAMESPACE, touch: true, pin: true });
    const raw = key.key.export({ format: "der", type: "spki" }).subarray(-32);
    const otherKeys = [
      ["sk-ssh-ed25519@openssh.com", raw, "ssh:two"],
      ["ssh-ed25519", raw],
    ] as const;
    for (const fields of otherKeys) {
      const base64 = Buffer.concat(fields.map(wireString)).toString("base64");
      const other = parseSshPublicKey(`${fields[0]} ${base64}`);
      expect(check(blob, other)).toEqual({ holds: false, reason: "it is by another key" });
      expect(check(replaceKey(blob, other), other)).toEqual(doesNotHold);
    }
  });
});

describe("a blob", () => {
  const [, { key, sign }] = signers[0]!;
  const signature = parseSshSignature(sign(MESSAGE));
  const accepted = (blob: Buffer) =>
    sshKeygenVerify(MESSAGE, armorSshSignature(blob), {
      signer: formatSshPublicKey(key),
      namespace: NAMESPACE,
    }).accepted;

  it.each([
    ["a reserved field, which nobody signed", rebuild(signature, { reserved: "anything" })],
    ["version 0", rebuild(signature, { version: 0 })],
  ])("is refused, though ssh-keygen accepts it, with %s", (_, blob) => {
    expect(accepted(blob)).toBe(true);
    expect(check(blob, key)).toEqual(doesNotHold);
    expect(() => parseSshSignature(blob)).toThrow(refused);
  });

  it.each([
    ["version 2", rebuild(signature, { version: 2 })],
    ["no namespace", rebuild({ ...signature, namespace: "" })],
    ["a space in the namespace", rebuild({ ...signature, namespace: "nix airgap" })],
    ["a namespace beyond ASCII", rebuild({ ...signature, namespace: "nïx" })],
    ["another hash", rebuild({ ...signature, hash: "sha384" })],
    ["4097 bytes", rebuild({ ...signature, signature: Buffer.alloc(4097 - sizeWithout(signature)) })],
    ["nothing", Buffer.alloc(0)],
    ["the magic alone", Buffer.from("SSHSIG")],
  ])("is refused with %s", (_, blob) => {
    expect(() => parseSshSignature(blob)).toThrow(refused);
  });

  it("may have 4096 bytes", () => {
    const blob = rebuild({ ...signature, signature: Buffer.alloc(4096 - sizeWithout(signature)) });
    expect(parseSshSignature(blob).signature.length).toBe(4096 - sizeWithout(signature));
    expect(check(blob, key)).toEqual(doesNotHold);
  });

  it("is read from the bytes as they were", () => {
    const bytes = rebuild(signature);
    const read = parseSshSignature(bytes);
    bytes.fill(0);
    expect(rebuild(read)).toEqual(rebuild(signature));
  });
});

describe("an Ed25519 signature", () => {
  const [, { key, sign }] = signers[0]!;
  const signature = parseSshSignature(sign(MESSAGE));
  const raw = signature.signature.subarray(-64);
  const withRaw = (bytes: Uint8Array, type = "ssh-ed25519") =>
    rebuild({ ...signature, signature: Buffer.concat([wireString(type), wireString(bytes)]) });

  it("has exactly 64 bytes and the key's type", () => {
    expect(check(withRaw(raw), key).holds).toBe(true);
    expect(check(withRaw(raw.subarray(0, 63)), key)).toEqual(doesNotHold);
    expect(check(withRaw(Buffer.concat([raw, Buffer.from([0])])), key)).toEqual(doesNotHold);
    expect(check(withRaw(raw, "ssh-ed448"), key)).toEqual(doesNotHold);
  });

  it("does not hold with S + L for S", () => {
    const order = 2n ** 252n + 27742317777372353535851937790883648493n;
    const s = BigInt(`0x${Buffer.from(raw.subarray(32)).reverse().toString("hex")}`) + order;
    const bytes = Buffer.from(s.toString(16).padStart(64, "0"), "hex").reverse();
    expect(check(withRaw(Buffer.concat([raw.subarray(0, 32), bytes])), key)).toEqual(doesNotHold);
  });
});

describe("an ECDSA signature", () => {
  const ORDER = 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551n;
  const [, { key, sign }] = signers[1]!;
  const signature = parseSshSignature(sign(MESSAGE));
  const [r, s] = scalars(signature.signature);
  const withScalars = (...mpints: Uint8Array[]) =>
    rebuild({
      ...signature,
      signature: Buffer.concat(
        [key.type, Buffer.concat(mpints.map(wireString))].map((field) => wireString(field)),
      ),
    });

  it("holds for r and s as ssh-keygen wrote them", () => {
    expect(check(withScalars(mpint(r), mpint(s)), key).holds).toBe(true);
  });

  it("holds with n - s for s as well, so that a blob's hash names no signature", () => {
    expect(check(withScalars(mpint(r), mpint(ORDER - s)), key).holds).toBe(true);
  });

  it("is read whatever the size of r and s", () => {
    const fido = makeFidoKey("sk-ecdsa-sha2-nistp256@openssh.com");
    const fidoKey = parseSshPublicKey(fido.publicLine);
    const sizes = new Set<number>();
    // Most take 33 or 32 bytes each; three fewer than the largest says that a leading zero byte was left out.
    for (let counter = 0; sizes.size === 0 || Math.max(...sizes) - Math.min(...sizes) < 3; counter++) {
      const blob = fido.sign(MESSAGE, { namespace: NAMESPACE, touch: true, pin: false, counter });
      expect(check(blob, fidoKey).holds).toBe(true);
      sizes.add(blob.length);
    }
  });

  const zero = Buffer.from([0]);
  it.each([
    ["a needless zero", () => withScalars(Buffer.concat([zero, mpint(r)]), mpint(s))],
    ["a needless zero before s", () => withScalars(mpint(r), Buffer.concat([zero, mpint(s)]))],
    ["r = 0", () => withScalars(Buffer.alloc(0), mpint(s))],
    ["s = 0", () => withScalars(mpint(r), Buffer.alloc(0))],
    ["r = 0 in one byte", () => withScalars(zero, mpint(s))],
    ["r = n", () => withScalars(mpint(ORDER), mpint(s))],
    ["r + n", () => withScalars(mpint(r + ORDER), mpint(s))],
    ["s = n", () => withScalars(mpint(r), mpint(ORDER))],
    ["s of 32 bytes of ones", () => withScalars(mpint(r), mpint(2n ** 256n - 1n))],
    ["s + 2^256", () => withScalars(mpint(r), mpint(s + 2n ** 256n))],
    ["a negative r", () => withScalars(Buffer.alloc(32, 0xff), mpint(s))],
    ["r alone", () => withScalars(mpint(r))],
    ["a third number", () => withScalars(mpint(r), mpint(s), mpint(1n))],
    ["an empty body", () => withScalars()],
  ])("does not hold with %s", (_, blob) => {
    expect(check(blob(), key)).toEqual(doesNotHold);
  });
});

describe("the armour", () => {
  const files = makeSshKey(join(folder, "armour"), SSH_KEY_KINDS.ecdsa);
  const text = sshKeygenSign(MESSAGE, files, { namespace: NAMESPACE });

  it("is what ssh-keygen writes", () => {
    expect(armorSshSignature(dearmorSshSignature(text))).toBe(text);
    expect(dearmorSshSignature(text.trimEnd())).toEqual(dearmorSshSignature(text));
  });

  it("reads back for any bytes", () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 1, maxLength: 4096 }), (bytes) => {
        expect(dearmorSshSignature(armorSshSignature(bytes))).toEqual(Buffer.from(bytes));
      }),
    );
  });

  it("has one form: what is accepted is written the same", () => {
    const places = fc.nat({ max: text.length - 2 });
    fc.assert(
      fc.property(places, fc.string({ maxLength: 2, unit: "binary-ascii" }), (at, by) => {
        const changed = text.slice(0, at) + by + text.slice(at + 1);
        let blob: Buffer;
        try {
          blob = dearmorSshSignature(changed);
        } catch (error) {
          expect(error).toEqual(refused);
          return;
        }
        expect(armorSshSignature(blob)).toBe(changed);
      }),
      { numRuns: 1000 },
    );
  });

  const lines = text.trimEnd().split("\n");
  const [begin, end] = [lines[0]!, lines.at(-1)!];
  const base64 = lines.slice(1, -1).join("");
  it.each([
    ["nothing", ""],
    ["a newline", "\n"],
    ["no armour", `${base64}\n`],
    ["no blob", `${begin}\n${end}\n`],
    ["no end", text.replace(end, "")],
    ["two newlines", `${text}\n`],
    ["a newline before", `\n${text}`],
    ["two signatures", text + text],
    ["carriage returns", text.replaceAll("\n", "\r\n")],
    ["lines of 76", [begin, ...base64.match(/.{1,76}/g)!, end, ""].join("\n")],
    ["one line", `${begin}\n${base64}\n${end}\n`],
    ["an empty line", text.replace("\n", "\n\n")],
    ["a space at a line's end", text.replace("\n", " \n")],
    ["left-over bits", armorSshSignature(Buffer.from([0])).replace("AA==", "AB==")],
    ["no padding", armorSshSignature(Buffer.from([0])).replace("AA==", "AA")],
    ["URL-safe base64", armorSshSignature(Buffer.from([255])).replace("/w", "_w")],
    ["another label", text.replaceAll("SSH SIGNATURE", "PGP SIGNATURE")],
    ["8193 characters", `${text}${" ".repeat(8193 - text.length)}`],
    ["ten megabytes", "A".repeat(10_000_000)],
  ])("is refused as %s", (_, other) => {
    expect(() => dearmorSshSignature(other)).toThrow(refused);
  });
});

interface Fields {
  readonly publicKey: Uint8Array;
  readonly namespace: string;
  readonly hash: string;
  readonly signature: Uint8Array;
}

function rebuild(fields: Fields, { reserved = "", version = 1 } = {}): Buffer {
  const { publicKey, namespace, hash, signature } = fields;
  const strings = [publicKey, namespace, reserved, hash, signature].map(wireString);
  return Buffer.concat([Buffer.from("SSHSIG"), Buffer.from([0, 0, 0, version]), ...strings]);
}

function sizeWithout({ signature, ...fields }: Fields): number {
  return rebuild({ ...fields, signature }).length - signature.length;
}

/** The signature under the name of another key, its type set to that key's. */
function replaceKey(blob: Buffer, key: SshPublicKey): Buffer {
  const fields = parseSshSignature(blob);
  const typeLength = fields.signature.readUInt32BE();
  const rest = fields.signature.subarray(4 + typeLength);
  const signature = Buffer.concat([wireString(key.type), rest]);
  return rebuild({ ...fields, publicKey: key.blob, signature });
}

function change(bytes: Uint8Array, at: number, mask: number): Buffer {
  const changed = Buffer.from(bytes);
  changed[at]! ^= mask;
  return changed;
}

/** r and s of an ecdsa-sha2-nistp256 signature. */
function scalars(signature: Buffer): [r: bigint, s: bigint] {
  const body = signature.subarray(4 + signature.readUInt32BE() + 4);
  const rEnd = 4 + body.readUInt32BE();
  const number = (bytes: Buffer) => BigInt(`0x${bytes.toString("hex")}`);
  return [number(body.subarray(4, rEnd)), number(body.subarray(rEnd + 4))];
}

function mpint(number: bigint): Buffer {
  const hex = number.toString(16);
  const even = hex.length % 2 ? `0${hex}` : hex;
  return Buffer.from(/^[89a-f]/.test(even) ? `00${even}` : even, "hex");
}
