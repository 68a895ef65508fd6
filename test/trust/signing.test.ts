import { execFileSync } from "node:child_process";
import { generateKeyPairSync, type KeyObject } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { inspect } from "node:util";
import { afterAll, describe, expect, it } from "vitest";
import { AirgapError } from "../../src/errors.js";
import { formatPublicKey, formatSecretKey, generateSecretKey, toSpkiPem } from "../../src/nix/signature.js";
import { checkSignature, parseVerificationKey } from "../../src/trust/keys.js";
import { parseSigningKey, signMessage } from "../../src/trust/signing.js";
import { makeSshKey, SSH_KEY_KINDS } from "../support/ssh-keygen.js";

const MESSAGE = Buffer.from("what is signed\n");
const folder = mkdtempSync(join(tmpdir(), "signing-"));
afterAll(() => rmSync(folder, { recursive: true }));

const nix = generateSecretKey("acme-1", Buffer.alloc(32, 3));
const p256 = generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey;
const p384 = generateKeyPairSync("ec", { namedCurve: "P-384" }).privateKey;
const rsa = generateKeyPairSync("rsa", { modulusLength: 2048 }).privateKey;

function pem(key: KeyObject, type: "pkcs8" | "sec1" | "pkcs1", passphrase?: string): string {
  const lock = passphrase === undefined ? {} : { cipher: "aes-256-cbc", passphrase };
  return key.export({ format: "pem", type: type as "pkcs8", ...lock }).toString();
}

function openssl(...args: readonly string[]): string {
  return execFileSync("openssl", args, { encoding: "utf8", stdio: "pipe" });
}

describe("a secret key", () => {
  it.each([
    ["Nix's form", formatSecretKey(nix), "ed25519"],
    ["Nix's form with a newline", `${formatSecretKey(nix)}\n`, "ed25519"],
    ["PKCS #8, Ed25519", pem(nix.key, "pkcs8"), "ed25519"],
    ["PKCS #8, P-256", pem(p256, "pkcs8"), "ecdsa-p256"],
    ["SEC1, P-256", pem(p256, "sec1"), "ecdsa-p256"],
    ["PKCS #8 by openssl", openssl("genpkey", "-algorithm", "ed25519"), "ed25519"],
    ["SEC1 by openssl", openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout"), "ecdsa-p256"],
    ["SEC1 and its curve by openssl", openssl("ecparam", "-name", "prime256v1", "-genkey"), "ecdsa-p256"],
  ] as const)("in %s signs what its public key checks", (_, text, scheme) => {
    const key = parseSigningKey(text, "signer.pem");
    expect(key.publicKey.scheme).toBe(scheme);
    const signature = signMessage(MESSAGE, key);
    expect(checkSignature(key.publicKey, MESSAGE, signature)).toEqual({
      holds: true,
      touch: null,
      pin: null,
    });
    expect(checkSignature(key.publicKey, Buffer.from("another"), signature)).toEqual({ holds: false });
    const stranger = parseSigningKey(formatSecretKey(generateSecretKey("s-1")), "s");
    expect(checkSignature(stranger.publicKey, MESSAGE, signature)).toEqual({ holds: false });
  });

  it("has the name in it, or the one given, and the hash of its public key", () => {
    expect(parseSigningKey(formatSecretKey(nix), "signer").publicKey.name).toBe("acme-1");
    const fromPem = parseSigningKey(pem(nix.key, "pkcs8"), "signer").publicKey;
    expect(fromPem.name).toBe("signer");
    expect(fromPem.hash).toBe(parseVerificationKey(toSpkiPem(nix.publicKey), "x").hash);
    const [one, two] = ["pkcs8", "sec1"].map((type) => parseSigningKey(pem(p256, type as "sec1"), "hsm"));
    expect(one!.publicKey.hash).toBe(two!.publicKey.hash);
    expect(one!.publicKey.name).toBe("hsm");
  });

  it("is not printed by accident", () => {
    const text = formatSecretKey(nix);
    expect(inspect(parseSigningKey(text, "k"), { depth: 9 })).not.toContain(text.slice(7, 30));
  });

  const [openssh, opensshEcdsa] = [SSH_KEY_KINDS.ed25519, SSH_KEY_KINDS.ecdsa].map((kind) =>
    readFileSync(makeSshKey(join(folder, kind[0]), kind).path, "utf8"),
  ) as [string, string];
  const [head, line, tail] = pem(nix.key, "pkcs8").split("\n") as [string, string, string];
  it.each([
    ["encrypted PKCS #8", pem(p256, "pkcs8", "secret")],
    ["encrypted SEC1", pem(p256, "sec1", "secret")],
    ["encrypted PKCS #8 of Ed25519", pem(nix.key, "pkcs8", "secret")],
    ["OpenSSH's form, Ed25519", openssh],
    ["OpenSSH's form, P-256", opensshEcdsa],
    ["RSA in PKCS #8", pem(rsa, "pkcs8")],
    ["RSA in PKCS #1", pem(rsa, "pkcs1")],
    ["P-384 in PKCS #8", pem(p384, "pkcs8")],
    ["P-384 in SEC1", pem(p384, "sec1")],
    ["secp256k1", pem(generateKeyPairSync("ec", { namedCurve: "secp256k1" }).privateKey, "pkcs8")],
    ["Ed448", pem(generateKeyPairSync("ed448").privateKey, "pkcs8")],
    ["X25519", pem(generateKeyPairSync("x25519").privateKey, "pkcs8")],
    ["a public key in PEM", toSpkiPem(nix.publicKey)],
    ["a public key in Nix's form", formatPublicKey(nix.publicKey)],
    ["PEM cut short", [head, line.slice(0, -8), tail].join("\n")],
    ["PEM without an end", `${head}\n${line}\n`],
    ["PEM of nothing", `${head}\n${tail}\n`],
    ["Nix's form cut short", formatSecretKey(nix).slice(0, -4)],
    ["Nix's form without a name", formatSecretKey(nix).replace("acme-1", "")],
    ["Nix's form with two newlines", `${formatSecretKey(nix)}\n\n`],
    [
      "halves that do not belong together",
      `a-1:${Buffer.concat([Buffer.alloc(32, 3), Buffer.alloc(32, 4)]).toString("base64")}`,
    ],
    ["nothing", ""],
    ["text before the PEM", `\n${pem(nix.key, "pkcs8")}`],
  ])("is refused as %s, and not repeated", (_, text) => {
    let error: unknown;
    try {
      parseSigningKey(text, "signer.pem");
    } catch (thrown) {
      error = thrown;
    }
    expect(error).toBeInstanceOf(AirgapError);
    expect(error).toMatchObject({ code: "KEY_INVALID" });
    const shown = inspect(error, { depth: 9, maxStringLength: null });
    for (const [secret] of text.matchAll(/[A-Za-z0-9+/]{24,}/g)) {
      for (let at = 0; at + 12 <= secret.length; at++) expect(shown).not.toContain(secret.slice(at, at + 12));
    }
  });

  it("that is refused says what else there is to do with it", () => {
    for (const text of [pem(p256, "pkcs8", "secret"), openssh]) {
      const hint = expect.stringContaining("--ssh-key");
      expect(() => parseSigningKey(text, "k")).toThrow(
        expect.objectContaining({ details: expect.objectContaining({ hint }) }),
      );
    }
  });
});
