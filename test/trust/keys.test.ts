import { createHash, createPublicKey, generateKeyPairSync } from "node:crypto";
import { describe, expect, it } from "vitest";
import { formatPublicKey, generateSecretKey, toSpkiPem } from "../../src/nix/signature.js";
import { formatVerificationKey, hintOf, keyHash, parseVerificationKey } from "../../src/trust/keys.js";

const { publicKey } = generateSecretKey("acme-1", Buffer.alloc(32, 7));
const PEM = toSpkiPem(publicKey);

describe("a trusted key", () => {
  it("is read from both forms, and is the same key", () => {
    const fromNix = parseVerificationKey(`${formatPublicKey(publicKey)}\n`, "unused");
    const fromPem = parseVerificationKey(PEM, "signer.pub.pem");
    expect(fromNix.name).toBe("acme-1");
    expect(fromPem.name).toBe("signer.pub.pem");
    expect(fromPem.hash).toBe(fromNix.hash);
  });

  it("has the hash of its SubjectPublicKeyInfo", () => {
    const der = createPublicKey(PEM).export({ format: "der", type: "spki" });
    expect(keyHash(publicKey)).toBe(createHash("sha256").update(der).digest("hex"));
    expect(hintOf(keyHash(publicKey))).toBe(createHash("sha256").update(der).digest("base64"));
  });

  const p256 = generateKeyPairSync("ec", { namedCurve: "P-256" }).publicKey;
  it("may be one of P-256, in PEM", () => {
    const pem = p256.export({ format: "pem", type: "spki" }).toString();
    const key = parseVerificationKey(pem, "hsm");
    const der = p256.export({ format: "der", type: "spki" });
    expect(key).toMatchObject({
      scheme: "ecdsa-p256",
      name: "hsm",
      hash: createHash("sha256").update(der).digest("hex"),
    });
    expect(formatVerificationKey(key)).toBe(pem);
  });

  const p384 = generateKeyPairSync("ec", { namedCurve: "P-384" }).publicKey;
  const ed25519 = generateKeyPairSync("ed25519").privateKey;
  const smallOrder = Buffer.concat([Buffer.from("302a300506032b6570032100", "hex"), Buffer.alloc(32)]);
  it.each([
    ["another curve", p384.export({ format: "pem", type: "spki" }).toString()],
    ["a secret key", ed25519.export({ format: "pem", type: "pkcs8" }).toString()],
    [
      "a point of small order",
      `-----BEGIN PUBLIC KEY-----\n${smallOrder.toString("base64")}\n-----END PUBLIC KEY-----\n`,
    ],
    ["text before", `x\n${PEM}`],
    ["text behind", `${PEM}x\n`],
    ["two keys", PEM + PEM],
    ["carriage returns", PEM.replaceAll("\n", "\r\n")],
    ["a longer key", PEM.replace("\n-----END", "AAAA\n-----END")],
    ["an empty key", "-----BEGIN PUBLIC KEY-----\n=\n-----END PUBLIC KEY-----\n"],
    ["two newlines", `${formatPublicKey(publicKey)}\n\n`],
    ["nothing", ""],
    ["ten megabytes", "a".repeat(10_000_000)],
  ])("is refused as %s", (_, text) => {
    expect(() => parseVerificationKey(text, "k")).toThrow(expect.objectContaining({ code: "KEY_INVALID" }));
  });

  it("does not repeat a secret in the error", () => {
    const secret = ed25519.export({ format: "pem", type: "pkcs8" }).toString();
    const body = secret.split("\n")[1] ?? "";
    expect(() => parseVerificationKey(secret, "k")).toThrow(
      expect.not.objectContaining({ message: expect.stringContaining(body) }),
    );
  });
});
