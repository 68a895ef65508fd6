import { createPublicKey, generateKeyPairSync } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { formatSshPublicKey, parseSshPublicKey, sshFingerprint } from "../../src/trust/ssh-key.js";
import { wireString } from "../../src/trust/ssh-wire.js";
import { makeFidoKey } from "../support/fido.js";
import { makeSshKey, SSH_KEY_KINDS, sshKeygenFingerprint } from "../support/ssh-keygen.js";

const badKey = expect.objectContaining({ code: "KEY_INVALID" });
const ED25519_SK = "sk-ssh-ed25519@openssh.com";
const ECDSA_SK = "sk-ecdsa-sha2-nistp256@openssh.com";

let folder: string;
let name = 0;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "nix-airgap-ssh-"));
});
afterAll(() => rm(folder, { recursive: true }));

const newKey = (type: readonly string[], comment?: string) =>
  makeSshKey(join(folder, `key${name++}`), type, comment).publicText;

/** A line of a type with these fields behind the type. */
function line(type: string, ...fields: (string | Uint8Array)[]): string {
  return `${type} ${Buffer.concat([type, ...fields].map(wireString)).toString("base64")}`;
}

describe("a key of ssh-keygen", () => {
  it.each([
    ["ssh-ed25519", SSH_KEY_KINDS.ed25519, "ed25519"],
    ["ecdsa-sha2-nistp256", SSH_KEY_KINDS.ecdsa, "ec"],
  ] as const)("is read as ssh-keygen printed it: %s", (type, kind, nodeType) => {
    const text = newKey(kind, "anna@büro, desk 2");
    const key = parseSshPublicKey(text);
    expect(key).toMatchObject({ type, application: null, comment: "anna@büro, desk 2" });
    expect(key.key.asymmetricKeyType).toBe(nodeType);
    expect(`${formatSshPublicKey(key)} ${key.comment}\n`).toBe(text);
    expect(sshFingerprint(key)).toBe(sshKeygenFingerprint(text));
  });

  it("may have an empty comment, or none", () => {
    const text = newKey(SSH_KEY_KINDS.ed25519, "");
    expect(text).toMatch(/ \n$/);
    const short = formatSshPublicKey(parseSshPublicKey(text));
    expect(parseSshPublicKey(short)).toMatchObject({ comment: "", blob: parseSshPublicKey(text).blob });
  });

  it.each([
    ["ssh-rsa", ["rsa", "-b", "2048"]],
    ["ecdsa-sha2-nistp384", ["ecdsa", "-b", "384"]],
    ["ecdsa-sha2-nistp521", ["ecdsa", "-b", "521"]],
  ])("is refused by name when it is %s", (type, kind) => {
    const named = expect.objectContaining({
      code: "KEY_INVALID",
      details: expect.objectContaining({ actual: type }),
    });
    const text = newKey(kind);
    expect(() => parseSshPublicKey(text)).toThrow(named);
  });
});

describe("a FIDO key", () => {
  it.each([
    [ED25519_SK, "ed25519"],
    [ECDSA_SK, "ec"],
  ] as const)("is read with its application: %s", (type, nodeType) => {
    const { publicLine } = makeFidoKey(type, "ssh:release");
    const key = parseSshPublicKey(`${publicLine}\n`);
    expect(key).toMatchObject({ type, application: "ssh:release", comment: "fido@test" });
    expect(key.key.asymmetricKeyType).toBe(nodeType);
    expect(`${formatSshPublicKey(key)} ${key.comment}`).toBe(publicLine);
    expect(sshFingerprint(key)).toBe(sshKeygenFingerprint(publicLine));
  });

  it.each(["", "ssh", "https://example.com", "ssh:\n", "ssh:ü", "ssh: x", "ssh:\0"])(
    "is refused with the application %j, which ssh-keygen makes none with",
    (application) => {
      const { publicLine } = makeFidoKey(ED25519_SK, application);
      expect(() => parseSshPublicKey(publicLine)).toThrow(badKey);
    },
  );
});

describe("a line", () => {
  const { publicKey } = generateKeyPairSync("ed25519");
  const ed25519 = publicKey.export({ format: "der", type: "spki" }).subarray(-32);
  const p256 = generateKeyPairSync("ec", { namedCurve: "P-256" }).publicKey;
  const point = p256.export({ format: "der", type: "spki" }).subarray(-65);
  const GOOD = line("ssh-ed25519", ed25519);
  const ecdsa = (q: Uint8Array, curve = "nistp256") => line("ecdsa-sha2-nistp256", curve, q);

  it("is read when its fields are right", () => {
    expect(parseSshPublicKey(GOOD).key.equals(publicKey)).toBe(true);
    expect(parseSshPublicKey(ecdsa(point)).key.equals(p256)).toBe(true);
  });

  it.each([
    ["nothing", ""],
    ["two newlines", `${GOOD}\n\n`],
    ["two lines", `${GOOD}\n${GOOD}\n`],
    ["a carriage return", `${GOOD}\r\n`],
    ["a control character in the comment", `${GOOD} a\x1b[31m`],
    ["a space before", ` ${GOOD}`],
    ["two spaces", GOOD.replace(" ", "  ")],
    ["a tab", GOOD.replace(" ", "\t")],
    ["options, as in authorized_keys", `no-touch-required ${GOOD}`],
    ["a principal, as in allowed_signers", `id ${GOOD}`],
    ["no base64", "ssh-ed25519"],
    ["no type", GOOD.split(" ")[1]!],
    ["another type before than within", GOOD.replace("ssh-ed25519", ED25519_SK)],
    ["left-over bits", line(ED25519_SK, ed25519, "ssh:").replace(/.(=*)$/, "/$1")],
    ["needless padding", `${GOOD}====`],
    ["URL-safe base64", GOOD.replace("AAAA", "AA_-")],
    ["a secret key of OpenSSH", "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXk=\n"],
    ["4097 characters", `${GOOD} ${"c".repeat(4096 - GOOD.length)}`],
    ["ten megabytes", "a".repeat(10_000_000)],
    ["DSS", line("ssh-dss", ed25519)],
    ["a certificate", line("ssh-ed25519-cert-v01@openssh.com", ed25519)],
    ["a name of every object", line("constructor", ed25519)],
    ["31 bytes of Ed25519", line("ssh-ed25519", ed25519.subarray(1))],
    ["33 bytes of Ed25519", line("ssh-ed25519", Buffer.concat([ed25519, Buffer.from([0])]))],
    ["a point of small order", line("ssh-ed25519", Buffer.alloc(32))],
    ["a FIDO key's point of small order", line(ED25519_SK, Buffer.alloc(32), "ssh:")],
    ["an unreduced point", line("ssh-ed25519", Buffer.from(`ee${"ff".repeat(30)}7f`, "hex"))],
    ["a trailing field", line("ssh-ed25519", ed25519, "")],
    ["an application without FIDO", line("ssh-ed25519", ed25519, "ssh:")],
    ["no application with FIDO", line(ED25519_SK, ed25519)],
    ["another curve's name", ecdsa(point, "nistp384")],
    [
      "a compressed point",
      ecdsa(Buffer.concat([Buffer.from([2 + (point[64]! & 1)]), point.subarray(1, 33)])),
    ],
    ["a hybrid point", ecdsa(Buffer.concat([Buffer.from([6 + (point[64]! & 1)]), point.subarray(1)]))],
    ["the point at infinity", ecdsa(Buffer.from([0]))],
    ["the point at infinity at full length", ecdsa(Buffer.concat([Buffer.from([4]), Buffer.alloc(64)]))],
    ["a point of 64 bytes", ecdsa(point.subarray(0, 64))],
    ["a point of 66 bytes", ecdsa(Buffer.concat([point, Buffer.from([0])]))],
    ["a point that is not on P-256", ecdsa(flip(point, 64))],
    ["an unreduced point of P-256", ecdsa(unreducedPoint())],
    ["a FIDO key's point not on P-256", line(ECDSA_SK, "nistp256", flip(point, 64), "ssh:")],
  ])("is refused with %s", (_, text) => {
    expect(() => parseSshPublicKey(text)).toThrow(badKey);
  });

  it("may have 4096 characters", () => {
    expect(parseSshPublicKey(`${GOOD} ${"c".repeat(4095 - GOOD.length)}`).comment).toMatch(/^c+$/);
  });

  it("has one form: what is accepted prints back the same", () => {
    const lines = [GOOD, ecdsa(point), line(ED25519_SK, ed25519, "ssh:")];
    const change = fc.record({
      text: fc.constantFrom(...lines),
      at: fc.nat(),
      by: fc.string({ maxLength: 2, unit: "binary-ascii" }),
    });
    fc.assert(
      fc.property(change, ({ text, at, by }) => {
        const place = at % text.length;
        const changed = text.slice(0, place) + by + text.slice(place + 1);
        const read = orRefusal(() => parseSshPublicKey(changed));
        if (read === "KEY_INVALID") return;
        expect([formatSshPublicKey(read), `${formatSshPublicKey(read)}\n`]).toContain(changed);
      }),
      { numRuns: 2000 },
    );
  });

  it("that is a secret is not repeated in the error", () => {
    const secret = "-----BEGIN OPENSSH PRIVATE KEY-----\nc2VjcmV0\n-----END OPENSSH PRIVATE KEY-----\n";
    for (const text of [secret, "ssh-ed25519 c2VjcmV0", "c2VjcmV0", "cmVjcmV0 c2VjcmV0"]) {
      expect(() => parseSshPublicKey(text)).toThrow(
        expect.objectContaining({ code: "KEY_INVALID", message: expect.not.stringContaining("mVjcmV0") }),
      );
      expect(() => parseSshPublicKey(text)).toThrow(
        expect.objectContaining({ message: expect.not.stringContaining("c2VjcmV0") }),
      );
    }
  });
});

function orRefusal<T>(read: () => T): T | "KEY_INVALID" {
  try {
    return read();
  } catch (error) {
    expect(error).toEqual(badKey);
    return "KEY_INVALID";
  }
}

function flip(bytes: Uint8Array, index: number): Buffer {
  const flipped = Buffer.from(bytes);
  flipped[index]! ^= 1;
  return flipped;
}

/** The point with x = 0, which is on the curve, written with x = p. */
function unreducedPoint(): Buffer {
  const p = 2n ** 256n - 2n ** 224n + 2n ** 192n + 2n ** 96n - 1n;
  const b = 0x5ac635d8aa3a93e7b3ebbd55769886bc651d06b0cc53b0f63bce3c3e27d2604bn;
  let y = 1n;
  for (let e = (p + 1n) / 4n, square = b; e > 0n; e >>= 1n, square = (square * square) % p) {
    if (e & 1n) y = (y * square) % p;
  }
  const bytes = (n: bigint) => Buffer.from(n.toString(16).padStart(64, "0"), "hex");
  const jwk = {
    kty: "EC",
    crv: "P-256",
    x: bytes(0n).toString("base64url"),
    y: bytes(y).toString("base64url"),
  };
  expect(createPublicKey({ key: jwk, format: "jwk" }).asymmetricKeyType).toBe("ec");
  return Buffer.concat([Buffer.from([4]), bytes(p), bytes(y)]);
}
