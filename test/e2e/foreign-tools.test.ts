/** The tools of test/support/foreign-tools understand each other: what they say of us later is theirs, not ours. */
import { createPublicKey, generateKeyPairSync, sign } from "node:crypto";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { tempDir } from "../support/bundle.js";
import {
  type Attestation,
  cosignAttest,
  cosignKeyPair,
  cosignVerify,
  makeSoftHsm,
  opensslVerify,
  type SoftHsm,
  sshKeygenKeyPair,
  sshKeygenSign,
  sshKeygenVerify,
} from "../support/foreign-tools.js";

const type = "urn:example:approval";
let dir: string;
let blob: string;

beforeAll(() => {
  dir = tempDir();
  blob = write("bundle.json", "{}\n");
});

function write(name: string, content: string | Buffer): string {
  const path = join(dir, name);
  writeFileSync(path, content);
  return path;
}

function folder(name: string): string {
  const path = join(dir, name);
  mkdirSync(path);
  return path;
}

describe("cosign, without a network", () => {
  const attestation = (name: string, key: string): Attestation => ({
    key,
    blob,
    type,
    predicate: write(`${name}-predicate.json`, '{"decision":"approved"}'),
    bundle: join(dir, `${name}.sigstore.json`),
  });

  it("verifies what it attests with P-256, and nothing else", () => {
    const { privateKey, publicKey } = cosignKeyPair(folder("p256"));
    const bundle = cosignAttest(attestation("p256", privateKey));
    expect(cosignVerify({ publicKey, blob, type, bundle })).toMatchObject({ exit: 0 });

    const { exit, output } = cosignVerify({ publicKey, blob, type: "urn:example:other", bundle });
    expect(output).toContain("invalid predicate type");
    expect(exit).toBe(1);
    const other = write("other.json", "{ }\n");
    expect(cosignVerify({ publicKey, blob: other, type, bundle }).output).toContain("digests do not match");
    const stranger = cosignKeyPair(folder("stranger")).publicKey;
    expect(cosignVerify({ publicKey: stranger, blob, type, bundle }).exit).toBe(1);
  });

  it("signs with Ed25519 what it does not verify, for it signs by Ed25519ph", () => {
    const pem = generateKeyPairSync("ed25519").privateKey.export({ type: "pkcs8", format: "pem" });
    const { privateKey, publicKey } = cosignKeyPair(folder("ed25519"), write("ed25519.pem", pem));
    const bundle = cosignAttest(attestation("ed25519", privateKey));
    expect(cosignVerify({ publicKey, blob, type, bundle }).output).toContain("accepted signatures");

    const pure = JSON.parse(readFileSync(bundle, "utf8"));
    const { payloadType, payload, signatures } = pure.dsseEnvelope;
    const bytes = Buffer.from(payload, "base64");
    const pae = Buffer.concat([
      Buffer.from(`DSSEv1 ${payloadType.length} ${payloadType} ${bytes.length} `),
      bytes,
    ]);
    signatures[0].sig = sign(null, pae, pem).toString("base64");
    const resigned = write("pure.sigstore.json", JSON.stringify(pure));
    expect(cosignVerify({ publicKey, blob, type, bundle: resigned })).toMatchObject({ exit: 0 });
  });
});

describe("a PKCS #11 token", () => {
  let hsm: SoftHsm;
  beforeAll(() => {
    hsm = makeSoftHsm(folder("hsm"));
  });

  it.each([
    ["EDDSA", "ed25519"],
    ["ECDSA", "ec"],
  ] as const)("signs by %s what openssl verifies", (mechanism, keyType) => {
    const pem = hsm.publicKeyPem(mechanism);
    expect(createPublicKey(pem).asymmetricKeyType).toBe(keyType);
    const publicKey = write(`${mechanism}.pem`, pem);
    const signature = write(`${mechanism}.sig`, hsm.sign(mechanism, blob));
    expect(opensslVerify(publicKey, signature, blob)).toMatchObject({ exit: 0 });
    const other = write(`${mechanism}.json`, "[]\n");
    expect(opensslVerify(publicKey, signature, other).exit).toBe(1);
  });

  it("gives ECDSA as 64 bytes unless asked for DER, which openssl does not take", () => {
    const bytes = hsm.sign("ECDSA", blob, "rs");
    expect(bytes).toHaveLength(64);
    const publicKey = write("rs.pem", hsm.publicKeyPem("ECDSA"));
    expect(opensslVerify(publicKey, write("rs.sig", bytes), blob).exit).toBe(1);
  });
});

describe("ssh-keygen", () => {
  it.each(["ed25519", "ecdsa"] as const)(
    "signs with %s what it verifies, in one long line too",
    (keyType) => {
      const { privateKey, publicKey } = sshKeygenKeyPair(folder(`ssh-${keyType}`), keyType);
      const identity = "qa@example.org";
      const namespace = "example";
      const armoured = sshKeygenSign(privateKey, namespace, blob);
      const [begin, ...lines] = armoured.trimEnd().split("\n");
      const long = `${begin}\n${lines.slice(0, -1).join("")}\n${lines.at(-1)}\n`;

      const allowedSigners = write(`${keyType}.allowed`, `${identity} ${readFileSync(publicKey, "utf8")}`);
      const of = { allowedSigners, identity, namespace, file: blob };
      const signature = write(`${keyType}.sig`, armoured);
      expect(sshKeygenVerify({ ...of, signature })).toMatchObject({ exit: 0 });
      expect(sshKeygenVerify({ ...of, signature: write(`${keyType}.long`, long) })).toMatchObject({
        exit: 0,
      });
      expect(sshKeygenVerify({ ...of, signature, namespace: "other" }).exit).toBe(255);
    },
  );
});
