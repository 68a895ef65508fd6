/**
 * Approvals across programs: what is signed here is verified by tools that people have, and what those sign is verified here.
 * On the one-file program, in both forms of a bundle, in folders with a space in their names; the tools have no network.
 */
import { createHash, generateKeyPairSync } from "node:crypto";
import { copyFileSync, cpSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import type { BundleDocument, SignReport, VerifyReport } from "../../src/generated/types.js";
import { tempDir } from "../support/bundle.js";
import { cli, cliJson, RELEASE } from "../support/cli.js";
import { makeFidoKey } from "../support/fido.js";
import {
  cosignAttest,
  cosignKeyPair,
  cosignVerify,
  type KeyPair,
  type Mechanism,
  makeSoftHsm,
  opensslVerify,
  type SoftHsm,
  shell,
  sshKeygenKeyPair,
  sshKeygenSign,
} from "../support/foreign-tools.js";
import { makeRelease, type Release, seal } from "../support/release.js";
import { readTree } from "../support/sample-bundle.js";
import { atTerminal, CTRL_C, CTRL_D, ENTER } from "../support/terminal.js";
import { writeRelease } from "../support/write-release.js";

const TYPE = "urn:nix-airgap:approval:v2";
const FORMS = ["directory", "tar"] as const;
type Form = (typeof FORMS)[number];

const ADA = "Ada Example <ada@example.org>";
const MEANING = ["--meaning", "reviewed and released"];
const WORDS = ["--role", "qa", ...MEANING, "--signer", ADA];

let dir: string;
let ed25519: KeyPair;
let p256: KeyPair;
let cosignP256: KeyPair;
let ssh: Record<"ed25519" | "ecdsa", KeyPair>;
let hsm: SoftHsm;
let hsmPublic: Record<Mechanism, string>;

beforeAll(() => {
  dir = folder(tempDir(), "made here");
  ed25519 = opensslKeyPair("ed25519", "-algorithm ed25519");
  p256 = opensslKeyPair("p256", "-algorithm EC -pkeyopt ec_paramgen_curve:P-256");
  cosignP256 = cosignKeyPair(folder(dir, "cosign"));
  ssh = {
    ed25519: sshKeygenKeyPair(folder(dir, "ssh-ed25519")),
    ecdsa: sshKeygenKeyPair(folder(dir, "ssh-ecdsa"), "ecdsa"),
  };
  hsm = makeSoftHsm(folder(dir, "hsm"));
  hsmPublic = {
    EDDSA: write(dir, "hsm-ed25519.pem", hsm.publicKeyPem("EDDSA")),
    ECDSA: write(dir, "hsm-p256.pem", hsm.publicKeyPem("ECDSA")),
  };
});

describe.each(FORMS)("an approval made here, in a %s", (form) => {
  describe.each([
    ["Ed25519", () => ed25519, () => opensslKeyPair("other", "-algorithm ed25519")],
    ["P-256", () => p256, () => cosignP256],
  ])("by --key with %s", (_name, keyOf, otherOf) => {
    it("verifies with jq, base64, printf and openssl, and nothing else does", async () => {
      const { privateKey, publicKey } = keyOf();
      const signed = await signedBundle(form, ["--key", privateKey]);
      const good = { ...signed, KEY: publicKey, TYPE };
      expect(audit(good)).toEqual([]);
      expect(audit({ ...good, BUNDLE: changedCopy(signed.BUNDLE) })).toEqual(["subject"]);
      expect(audit({ ...good, KEY: otherOf().publicKey })).toEqual(["signature"]);
      expect(audit({ ...good, TYPE: "urn:nix-airgap:approval:v1" })).toEqual(["type"]);
    });

    it("verifies with cosign, and nothing else does", async () => {
      const { privateKey, publicKey } = keyOf();
      const { E: bundle, BUNDLE: blob } = await signedBundle(form, ["--key", privateKey]);
      const good = { publicKey, blob, type: TYPE, bundle };
      expect(cosignVerify(good)).toMatchObject({ exit: 0 });
      const wrongBlob = cosignVerify({ ...good, blob: changedCopy(blob) });
      expect(wrongBlob).toMatchObject({ exit: 1 });
      expect(wrongBlob.output).toContain("digests do not match");
      expect(cosignVerify({ ...good, publicKey: otherOf().publicKey })).toMatchObject({ exit: 1 });
      const wrongType = cosignVerify({ ...good, type: "urn:nix-airgap:approval:v1" });
      expect(wrongType).toMatchObject({ exit: 1 });
      expect(wrongType.output).toContain("invalid predicate type");
    });
  });

  it.each(["ed25519", "ecdsa"] as const)(
    "by --ssh-key with %s verifies with ssh-keygen, from one base64 line, and nothing else does",
    async (type) => {
      const { privateKey, publicKey } = ssh[type];
      const signed = await signedBundle(form, ["--ssh-key", privateKey]);
      const good = { ...signed, KEY: publicKey, TYPE, NAMESPACE: "nix-airgap" };
      expect(auditSsh(good)).toEqual([]);
      expect(auditSsh({ ...good, BUNDLE: changedCopy(signed.BUNDLE) })).toEqual(["subject"]);
      const other = ssh[type === "ecdsa" ? "ed25519" : "ecdsa"].publicKey;
      expect(auditSsh({ ...good, KEY: other })).toEqual(["signature"]);
      expect(auditSsh({ ...good, NAMESPACE: "file" })).toEqual(["signature"]);
      expect(auditSsh({ ...good, TYPE: "urn:nix-airgap:approval:v1" })).toEqual(["type"]);
    },
  );

  it("by --ssh-key with a public key, whose other half ssh-agent has, verifies with ssh-keygen", async () => {
    const { privateKey, publicKey: KEY } = sshKeygenKeyPair(folder(tempDir(), "in the agent"));
    const bundle = await newBundle(form);
    const agent = ["ssh-agent", "sh", "-c", 'ssh-add -q "$0" && rm "$0" && exec "$@"', privateKey];
    const argv = ["sign", bundle, "--yes", ...WORDS, "--ssh-key", KEY];
    const { code, json } = await cliJson<SignReport>(argv, { wrap: agent });
    expect({ code, verdict: json.verdict }).toEqual({ code: 0, verdict: "signed" });
    const { E, root } = unpacked(bundle, json.approval!.file!);
    const audited = { E, BUNDLE: join(root, "bundle.json"), KEY, TYPE, NAMESPACE: "nix-airgap" };
    expect(auditSsh(audited)).toEqual([]);
  });
});

describe("approvals made here of what is no bundle", () => {
  it("verify with cosign: a flake.lock's and a policy's", async () => {
    const place = folder(tempDir(), "a repository");
    const policy = await makePolicy(place, ed25519.publicKey);
    const lock = write(place, "flake.lock", makeRelease().document.flake.lock ?? "");
    for (const [file, role, type] of [
      [lock, "qa", "urn:nix-airgap:lock-approval:v1"],
      [policy, "policy", "urn:nix-airgap:policy-approval:v1"],
    ] as const) {
      const { json } = await sign(file, [
        ...["--role", role, ...MEANING, "--policy", policy],
        ...["--key", ed25519.privateKey],
      ]);
      const good = { publicKey: ed25519.publicKey, blob: file, type, bundle: json.approval!.file! };
      expect(cosignVerify(good)).toMatchObject({ exit: 0 });
      expect(cosignVerify({ ...good, blob: changedCopy(file) })).toMatchObject({ exit: 1 });
      expect(cosignVerify({ ...good, type: TYPE })).toMatchObject({ exit: 1 });
    }
  });
});

/** Somebody who signs with a program of their own what `--prepare` wrote: returns what comes back. */
interface Foreign {
  readonly publicKey: () => string;
  /** The ending of what is prepared. */
  readonly ending: ".json" | ".bin";
  readonly sign: (prepared: string, next: readonly string[], what: string) => string;
}

const FOREIGN: Readonly<Record<string, Foreign>> = {
  "cosign attest-blob --statement": {
    publicKey: () => cosignP256.publicKey,
    ending: ".json",
    sign: (prepared, next) => {
      typed(next, "", { cwd: dirname(prepared), key: cosignP256.privateKey });
      return prepared.replace(/json$/, "sigstore.json");
    },
  },
  "cosign attest-blob --predicate, in in-toto v0.1": {
    publicKey: () => cosignP256.publicKey,
    ending: ".json",
    sign: (prepared, _next, what) => attestPredicate(prepared, what),
  },
  "ssh-keygen with Ed25519": {
    publicKey: () => ssh.ed25519.publicKey,
    ending: ".bin",
    sign: (prepared, next) => {
      typed(next, "OpenSSH:", { cwd: dirname(prepared), key: ssh.ed25519.privateKey });
      return `${prepared}.sig`;
    },
  },
  "ssh-keygen with P-256": {
    publicKey: () => ssh.ecdsa.publicKey,
    ending: ".bin",
    sign: (prepared, next) => {
      typed(next, "OpenSSH:", { cwd: dirname(prepared), key: ssh.ecdsa.privateKey });
      return `${prepared}.sig`;
    },
  },
  "a token by EDDSA": {
    publicKey: () => hsmPublic.EDDSA,
    ending: ".bin",
    sign: (prepared, next) => {
      typed(next, "a token, Ed25519:", { cwd: dirname(prepared), path: [hsm.toolFolder("EDDSA")] });
      return `${prepared}.sig`;
    },
  },
  "a token by ECDSA, r and s": {
    publicKey: () => hsmPublic.ECDSA,
    ending: ".bin",
    sign: (prepared, next) => {
      typed(next, "a token, P-256:", { cwd: dirname(prepared), path: [hsm.toolFolder("ECDSA")] });
      expect(readFileSync(`${prepared}.sig`)).toHaveLength(64);
      return `${prepared}.sig`;
    },
  },
  "a token by ECDSA, DER": {
    publicKey: () => hsmPublic.ECDSA,
    ending: ".bin",
    sign: (prepared) => {
      const signature = write(dirname(prepared), `${basename(prepared)}.sig`, hsm.sign("ECDSA", prepared));
      expect(opensslVerify(hsmPublic.ECDSA, signature, prepared)).toMatchObject({ exit: 0 });
      return signature;
    },
  },
};

describe.each(Object.entries(FOREIGN))("an approval made by %s", (name, foreign) => {
  /** Prepared, signed elsewhere, attached; `what` keeps its bytes and gets one approval. */
  const approve = async (what: string, role: string, policy: string) => {
    const place = folder(tempDir(), "on the way");
    const prepared = join(place, `to sign${foreign.ending}`);
    const before = contentOf(what);
    const rewritten = ociFilesOf(what);
    const publicKey = ["--public-key", foreign.publicKey()];
    const asked = await sign(what, [
      ...["--role", role, ...MEANING, "--policy", policy],
      ...["--prepare", prepared, ...publicKey],
    ]);
    expect(asked).toMatchObject({ code: 0, json: { verdict: "prepared", approval: { signer: ADA } } });
    expect(asked.json.summary?.openFindings.map(({ code }) => code)).toContain("APPROVAL_THRESHOLD");
    expect(contentOf(what)).toEqual(before);

    const signature = foreign.sign(prepared, asked.json.next, what);
    const attached = await sign(what, ["--attach", signature, "--policy", policy]);
    expect(attached).toMatchObject({ code: 0, json: { verdict: "attached", openFindings: [] } });
    const after = contentOf(what);
    for (const [name, hash] of before) {
      if (!rewritten.includes(name)) expect([name, after.get(name)]).toEqual([name, hash]);
    }
    const added = [...after.keys()].filter((name) => !before.has(name) && name.includes("approvals/"));
    expect(added.map((name) => basename(name))).toEqual([basename(attached.json.approval!.file!)]);

    // Once more, by the key alone, as it was printed.
    const [last = ""] = asked.json.next.slice(-1);
    typed([last], last.startsWith("then:") ? "then:" : "", {
      ...{ cwd: place, key: foreign.publicKey(), path: [programFolder()] },
    });
    expect(contentOf(what)).toEqual(after);
    return attached.json.approval!.file!;
  };

  it.each(FORMS)("verifies in a bundle's %s, by the key and by a policy", async (form) => {
    const bundle = await newBundle(form);
    const policy = await makePolicy(folder(tempDir(), "site"), foreign.publicKey());
    const site = await makeSite(policy);
    const byKey = ["--public-key", foreign.publicKey()];
    expect(await verify(bundle, byKey)).toEqual({ code: 12, findings: ["APPROVAL_UNTRUSTED"] });
    expect(await verify(bundle, site)).toEqual({ code: 12, findings: ["APPROVAL_UNTRUSTED"] });
    const file = await approve(bundle, "qa", policy);
    expect(await verify(bundle, byKey)).toEqual({ code: 0, findings: [] });
    expect(await verify(bundle, site)).toEqual({ code: 0, findings: [] });

    // Whoever made it, it lies there as one that was made here.
    const { E, root } = unpacked(bundle, file);
    const version = name.endsWith("v0.1") ? "v0.1" : "v1";
    expect(statementIn(E)._type).toBe(`https://in-toto.io/Statement/${version}`);
    const audited = { E, BUNDLE: join(root, "bundle.json"), KEY: foreign.publicKey(), TYPE };
    const isSsh = !readFileSync(audited.KEY, "utf8").startsWith("-----BEGIN");
    expect(isSsh ? auditSsh({ ...audited, NAMESPACE: "nix-airgap" }) : audit(audited)).toEqual([]);
  });

  it("counts for a flake.lock, as the policy asks", async () => {
    const place = folder(tempDir(), "a repository");
    const policy = await makePolicy(folder(tempDir(), "site"), foreign.publicKey());
    const lock = write(place, "flake.lock", makeRelease().document.flake.lock ?? "");
    await approve(lock, "qa", policy);
  });

  it("lets a site follow to the next policy", async () => {
    const policy = await makePolicy(folder(tempDir(), "site"), foreign.publicKey());
    const site = await makeSite(policy);
    const next = join(folder(tempDir(), "the next"), "policy.json");
    await must(["trust", "new", "--after", policy, "--name", "the next", "--out", next]);
    const update = () => cliJson<{ verdict: string }>(["trust", "update", next, ...site]);
    expect(await update()).toMatchObject({ code: 12, json: { verdict: "refused" } });
    await approve(next, "policy", policy);
    expect(await update()).toMatchObject({ code: 0, json: { verdict: "done" } });
  });
});

describe.each(FORMS)("what is attached to a %s is refused, and changes no byte", (form) => {
  let bundle: string;
  let before: ReadonlyMap<string, string>;
  let place: string;

  beforeAll(async () => {
    bundle = await newBundle(form);
    before = contentOf(bundle);
    place = folder(tempDir(), "refused");
  });

  const prepare = async (name: string, what = bundle) => {
    const prepared = join(place, name);
    expect((await sign(what, [...WORDS, "--prepare", prepared])).code).toBe(0);
    return prepared;
  };
  const attach = async (signature: string, publicKey: string, options: readonly string[] = []) => {
    const argv = ["sign", bundle, "--attach", signature, "--public-key", publicKey, ...options];
    const { code, json } = await cliJson<SignReport & { error?: { code: string } }>(argv);
    expect(contentOf(bundle)).toEqual(before);
    if (json.verdict !== undefined) expect(json).toMatchObject({ verdict: "refused", approval: null });
    return { code, codes: json.error ? [json.error.code] : json.findings.map((finding) => finding.code) };
  };
  const REFUSED = { code: 12, codes: ["ATTACH_REFUSED"] };

  it("when another key signed it", async () => {
    const prepared = await prepare("other-key.bin");
    const bySsh = write(
      place,
      "other-key.bin.sig",
      sshKeygenSign(ssh.ecdsa.privateKey, "nix-airgap", prepared),
    );
    expect(await attach(bySsh, ssh.ed25519.publicKey)).toEqual(REFUSED);
    const byToken = write(place, "other-key.bin.raw", hsm.sign("EDDSA", prepared));
    expect(await attach(byToken, ed25519.publicKey)).toEqual(REFUSED);
    const byToken2 = write(place, "other-key.bin.der", hsm.sign("ECDSA", prepared));
    expect(await attach(byToken2, p256.publicKey)).toEqual(REFUSED);
    const byCosign = attestPredicate(await prepare("other-key.json"), bundle);
    expect(await attach(byCosign, p256.publicKey)).toEqual(REFUSED);
  });

  it("when it signs something else, or for something else", async () => {
    const prepared = await prepare("else.bin");
    const statement = await prepare("else.json");
    const other = write(place, "something", "else\n");
    const token = (name: string, bytes: Buffer | string) => write(place, `else.bin.${name}`, bytes);
    expect(await attach(token("raw", hsm.sign("EDDSA", other)), hsmPublic.EDDSA)).toEqual(REFUSED);
    expect(await attach(token("rs", hsm.sign("ECDSA", other, "rs")), hsmPublic.ECDSA)).toEqual(REFUSED);
    expect(await attach(token("der", hsm.sign("ECDSA", other)), hsmPublic.ECDSA)).toEqual(REFUSED);
    // The statement, without what DSSE puts before it.
    expect(await attach(token("bare", hsm.sign("EDDSA", statement)), hsmPublic.EDDSA)).toEqual(REFUSED);
    const { privateKey, publicKey } = ssh.ed25519;
    const elsewhere = sshKeygenSign(privateKey, "nix-airgap", other);
    expect(await attach(token("ssh", elsewhere), publicKey)).toEqual(REFUSED);
    const namespace = sshKeygenSign(privateKey, "file", prepared);
    expect(await attach(token("namespace", namespace), publicKey)).toEqual(REFUSED);
  });

  it("when one byte of what was prepared is another", async () => {
    const prepared = readFileSync(await prepare("byte.bin"));
    const signature = hsm.sign("EDDSA", join(place, "byte.bin"));
    const head = prepared.indexOf("{");
    for (const at of [
      0,
      5,
      10,
      head - 2,
      head - 1,
      head,
      head + 40,
      prepared.length - 2,
      prepared.length - 1,
    ]) {
      const changed = Buffer.from(prepared);
      changed[at]! ^= 1;
      write(place, `byte-${at}.bin`, changed);
      const file = write(place, `byte-${at}.bin.sig`, signature);
      const expected = at < head ? { code: 2, codes: ["PREPARED_INVALID"] } : REFUSED;
      expect([at, await attach(file, hsmPublic.EDDSA)]).toEqual([at, expected]);
    }
    const alone = write(place, "alone.sig", signature);
    expect(await attach(alone, hsmPublic.EDDSA)).toEqual({ code: 2, codes: ["PREPARED_INVALID"] });
    const bare = await prepare("byte.json");
    const expected = { code: 2, codes: ["PREPARED_INVALID"] };
    expect(await attach(alone, hsmPublic.EDDSA, ["--prepared", bare])).toEqual(expected);
  });

  it("when it approves another bundle", async () => {
    const other = await newBundle(form, makeRelease({ tier: "build" }));
    const prepared = await prepare("another.bin", other);
    const signature = write(place, "another.bin.sig", hsm.sign("EDDSA", prepared));
    const expected = { code: 12, codes: ["APPROVAL_SUBJECT"] };
    expect(await attach(signature, hsmPublic.EDDSA)).toEqual(expected);
    const byCosign = attestPredicate(await prepare("another.json", other), other);
    expect(await attach(byCosign, cosignP256.publicKey)).toEqual(expected);
    const own = await sign(other, [...WORDS, "--key", ed25519.privateKey]);
    const { E } = unpacked(other, own.json.approval!.file!);
    expect(await attach(E, ed25519.publicKey)).toEqual(expected);
  });

  it.each([
    ["product", '"other"'],
    ["release", '"9.9.9"'],
    ["sequence", "1"],
    ["systems", '["aarch64-linux"]'],
    ["tier", '"build"'],
    ["documents", `[{"name": "notice.txt", "sha256": "${"0".repeat(64)}"}]`],
  ])("when it says another %s than the document", async (field, value) => {
    const statement = JSON.parse(readFileSync(await prepare(`${field}.json`), "utf8"));
    statement.predicate[field] = JSON.parse(value);
    const changed = write(place, `${field}-changed.json`, JSON.stringify(statement));
    const byCosign = attestPredicate(changed, bundle);
    expect(await attach(byCosign, cosignP256.publicKey)).toEqual({ code: 12, codes: ["APPROVAL_BINDING"] });
  });

  it("when cosign made it with Ed25519, which is Ed25519ph there", async () => {
    const pem = generateKeyPairSync("ed25519").privateKey.export({ type: "pkcs8", format: "pem" });
    const { privateKey, publicKey } = cosignKeyPair(folder(place, "ph"), write(place, "ph.pem", pem));
    const file = attestPredicate(await prepare("ph.json"), bundle, privateKey);
    expect(await attach(file, publicKey)).toEqual(REFUSED);
  });

  it("when it is a statement of another kind", async () => {
    const lock = write(place, "flake.lock", makeRelease().document.flake.lock ?? "");
    const prepared = await prepare("kind.bin", lock);
    const file = write(place, "kind.bin.sig", hsm.sign("EDDSA", prepared));
    expect(await attach(file, hsmPublic.EDDSA)).toEqual({ code: 12, codes: ["APPROVAL_MALFORMED"] });
  });
});

describe.each(FORMS)("a FIDO key's signature in a %s, where the policy asks for touch and PIN", (form) => {
  it.each([
    { touch: true, pin: true, holds: true },
    { touch: true, pin: false, holds: false },
    { touch: false, pin: true, holds: false },
    { touch: false, pin: false, holds: false },
  ])("touch $touch, PIN $pin: holds $holds", async ({ touch, pin, holds }) => {
    for (const type of ["sk-ssh-ed25519@openssh.com", "sk-ecdsa-sha2-nistp256@openssh.com"] as const) {
      const place = folder(tempDir(), "fido");
      const key = makeFidoKey(type);
      const publicKey = write(place, "id_sk.pub", `${key.publicLine}\n`);
      const presence = ["--touch", "qa", "--pin", "qa"];
      const policy = await makePolicy(folder(place, "site"), publicKey, presence);
      const bundle = await newBundle(form);
      const prepared = join(place, "to-sign.bin");
      await sign(bundle, [
        "--role",
        "qa",
        ...MEANING,
        "--policy",
        policy,
        "--public-key",
        publicKey,
        "--prepare",
        prepared,
      ]);
      const blob = key.sign(readFileSync(prepared), { namespace: "nix-airgap", touch, pin });
      const lines = blob.toString("base64").replace(/.{1,70}/g, "$&\n");
      const armour = `-----BEGIN SSH SIGNATURE-----\n${lines}-----END SSH SIGNATURE-----\n`;
      const signature = write(place, "to-sign.bin.sig", armour);
      const { code, json } = await sign(bundle, ["--attach", signature, "--policy", policy]);
      expect({ code, verdict: json.verdict }).toEqual({ code: 0, verdict: "attached" });
      expect(json.openFindings.some((finding) => finding.code === "APPROVAL_PRESENCE")).toBe(!holds);
      const verified = await verify(bundle, await makeSite(policy));
      expect(verified.code).toBe(holds ? 0 : 12);
      expect(verified.findings.includes("APPROVAL_PRESENCE")).toBe(!holds);
      if (holds) expect(verified.findings).toEqual([]);
    }
  });
});

describe("sign of a bundle.json that is alone", () => {
  /** A folder with a release's bundle.json and reports only. */
  const alone = (bundle: string) => {
    const place = folder(tempDir(), "without the bundle");
    copyFileSync(join(bundle, "bundle.json"), join(place, "bundle.json"));
    cpSync(join(bundle, "docs"), join(place, "docs"), { recursive: true });
    return place;
  };

  it.each(FORMS)("gives a file that attaches to the bundle's %s elsewhere", async (form) => {
    const directory = await newBundle("directory");
    const bundle = form === "directory" ? directory : await newBundle("tar");
    const place = alone(directory);
    const before = contentOf(place);
    const outside = write(folder(tempDir(), "reports"), "review.pdf", "%PDF reviewed\n");
    const reviewed = ["--document", "notice.txt", "--document", outside];
    const { code, json } = await sign(
      "bundle.json",
      [...WORDS, "--key", ed25519.privateKey, ...reviewed],
      place,
    );
    expect({ code, verdict: json.verdict, kind: json.subject.kind }).toEqual({
      ...{ code: 0, verdict: "signed", kind: "document" },
    });
    const file = json.approval!.file!;
    expect(dirname(file)).toBe(place);
    const after = contentOf(place);
    after.delete(basename(file));
    expect(after).toEqual(before);
    const { documents } = statementIn(file).predicate;
    expect(documents).toEqual([
      { name: "notice.txt", sha256: hashOf(readFileSync(join(directory, "docs/notice.txt"))) },
      { name: "review.pdf", sha256: hashOf(readFileSync(outside)) },
    ]);
    const blob = join(place, "bundle.json");
    const { publicKey } = ed25519;
    expect(cosignVerify({ publicKey, blob, type: TYPE, bundle: file })).toMatchObject({ exit: 0 });

    const attached = await sign(bundle, ["--attach", file, "--public-key", publicKey]);
    expect(attached).toMatchObject({ code: 0, json: { verdict: "attached" } });
    expect(await verify(bundle, ["--public-key", publicKey])).toEqual({ code: 0, findings: [] });
    const { E } = unpacked(bundle, attached.json.approval!.file!);
    expect(readFileSync(E)).toEqual(readFileSync(file));
  });

  it("refuses to write over a file, and to sign beside a report with another byte", async () => {
    const place = alone(await newBundle("directory"));
    const options = [...WORDS, "--key", ed25519.privateKey];
    expect((await sign("bundle.json", options, place)).code).toBe(0);
    const signed = contentOf(place);
    const again = await sign("bundle.json", options, place);
    expect(again).toMatchObject({ code: 2, json: { error: { code: "OUT_EXISTS" } } });
    expect(contentOf(place)).toEqual(signed);

    const notice = readFileSync(join(place, "docs/notice.txt"));
    notice[0]! ^= 1;
    write(join(place, "docs"), "notice.txt", notice);
    const before = contentOf(place);
    const refused = await sign("bundle.json", [...options, "--role", "qa2"].slice(2), place);
    expect(refused).toMatchObject({ code: 11, json: { verdict: "refused", approval: null } });
    expect(refused.json.findings).toMatchObject([{ code: "BLOB_HASH", subject: "docs/notice.txt" }]);
    expect(contentOf(place)).toEqual(before);
  });

  it("does not take a document of the bundle's name with other bytes", async () => {
    const place = alone(await newBundle("directory"));
    const other = write(folder(tempDir(), "reports"), "notice.txt", "another notice\n");
    const before = contentOf(place);
    const options = [...WORDS, "--key", ed25519.privateKey, "--document", other];
    const { code, json } = await sign("bundle.json", options, place);
    expect({ code, codes: json.findings.map((finding) => finding.code) }).toEqual({
      ...{ code: 12, codes: ["APPROVAL_BINDING"] },
    });
    expect(contentOf(place)).toEqual(before);
  });
});

describe("what a signer is shown", () => {
  let previous: string;
  let bundle: string;
  let document: BundleDocument;

  beforeAll(async () => {
    const first = makeRelease();
    previous = await newBundle("tar", first);
    const id = hashOf(readFileSync(unpacked(previous, "bundle.json").E));
    const next = makeRelease();
    ({ document } = next);
    document.release = "1.1.0";
    document.sequence += 86400;
    document.previous = { sequence: first.document.sequence, sha256: id };
    document.flake.rev = "3".repeat(40);
    const notice = Buffer.from("A new notice.\n");
    const sha256 = hashOf(notice);
    document.docs = [{ ...document.docs[0]!, sha256, size: notice.length }];
    seal(document);
    bundle = await newBundle("directory", { ...next, blobs: new Map([...next.blobs, [sha256, notice]]) });
  });

  const show = async (options: readonly string[]) => {
    const before = contentOf(bundle);
    const argv = ["sign", bundle, ...WORDS, "--key", ed25519.privateKey, ...options];
    const { code, stdout, stderr } = await cli(argv, { cwd: dirname(bundle) });
    expect({ code, stdout, said: stderr.includes("NOT_CONFIRMED") }).toEqual({
      ...{ code: 2, stdout: "", said: true },
    });
    expect(contentOf(bundle)).toEqual(before);
    expect(readdirSync(dirname(bundle))).toEqual([basename(bundle)]);
    return stderr;
  };

  it("names what it is, where nobody can answer, and signs nothing", async () => {
    const outside = write(folder(tempDir(), "reports"), "review.pdf", "%PDF\n");
    const text = await show(["--document", outside]);
    const { product, release, sequence, tier, systems, roots, docs } = document;
    expect(text).toContain(
      `${product} ${release}, sequence ${sequence}, tier ${tier}, ${systems.join(", ")}`,
    );
    expect(text).toContain(hashOf(readFileSync(join(bundle, "bundle.json"))));
    const outputs = roots.filter(({ purpose }) => purpose === "output");
    expect(outputs).toHaveLength(1);
    for (const root of outputs) {
      expect(text).toContain(root.attr);
      for (const { path } of root.outputs) expect(text).toContain(path);
    }
    expect(text).toContain(`not reviewed: notice.txt (${docs[0]!.sha256})`);
    expect(text).toContain(`  reviewed: review.pdf (${hashOf(readFileSync(outside))})`);
    expect(text).toContain(`${ADA}, role qa`);
    expect(text).toContain("reviewed and released");
    expect(text).toContain(document.previous!.sha256);
    expect(text).toContain("give --previous BUNDLE");
    expect(await show(["--decision", "rejected"])).toContain("TO BE SIGNED, AS REJECTED");
  });

  it("says with --previous what changed, by the bundle or its bundle.json, and takes no other", async () => {
    const { E } = unpacked(previous, "bundle.json");
    for (const before of [previous, E]) {
      const text = await show(["--previous", before, "--document", "notice.txt"]);
      expect(text).toContain(`(the flake itself): ${"1".repeat(40)} -> ${"3".repeat(40)}`);
      expect(text).toMatch(new RegExp(`notice\\.txt: [0-9a-f]{64} -> ${document.docs[0]!.sha256}`));
      expect(text).toContain("roots: the same");
      expect(text).toContain(`  reviewed: notice.txt (${document.docs[0]!.sha256})`);
    }
    const other = await newBundle("directory", makeRelease({ tier: "build" }));
    const { code, json } = await sign(bundle, [
      ...WORDS,
      ...["--key", ed25519.privateKey, "--previous", other],
    ]);
    expect({ code, json }).toMatchObject({ code: 2, json: { error: { code: "USAGE" } } });
  });
});

describe.each(FORMS)("a person at a terminal signs a %s", (form) => {
  const QUESTION = /Sign this\? Answer yes: /;
  const PASSPHRASE = /Enter passphrase[^:]*: ?/;

  const person = async (key: readonly string[], answers: Parameters<typeof atTerminal>[1]) => {
    const bundle = await newBundle(form);
    const before = contentOf(bundle);
    const beside = readdirSync(dirname(bundle));
    const argv = [process.execPath, RELEASE, "sign", bundle, ...WORDS, ...key];
    const TMPDIR = tempDir();
    const env = { ...process.env, TMPDIR };
    const { code, screen } = await atTerminal(argv, answers, { cwd: dirname(bundle), env });
    expect(readdirSync(TMPDIR)).toEqual([]);
    expect(readdirSync(dirname(bundle))).toEqual(beside);
    return {
      code,
      screen,
      bundle,
      isUnchanged: JSON.stringify([...contentOf(bundle)]) === JSON.stringify([...before]),
    };
  };
  const secret = () => ["--key", ed25519.privateKey];

  it("by answering yes", async () => {
    const { code, screen, bundle } = await person(secret(), [[QUESTION, `yes${ENTER}`]]);
    expect([code, screen]).toEqual([0, expect.stringContaining("SIGNED: pump 1.0.0")]);
    const trust = ["--public-key", ed25519.publicKey];
    expect(await verify(bundle, trust)).toEqual({ code: 0, findings: [] });
  });

  it.each([
    ["no", `no${ENTER}`, 2, "NOT_CONFIRMED"],
    ["nothing", ENTER, 2, "NOT_CONFIRMED"],
    ["y", `y${ENTER}`, 2, "NOT_CONFIRMED"],
    ["YES", `YES${ENTER}`, 2, "NOT_CONFIRMED"],
    ["Ctrl-C", CTRL_C, 130, "INTERRUPTED"],
    ["yes and Ctrl-C", `yes${CTRL_C}`, 130, "INTERRUPTED"],
    ["Ctrl-D", CTRL_D, 130, "INTERRUPTED"],
  ])("and not by answering %s", async (_name, typed, exit, said) => {
    const { code, screen, isUnchanged } = await person(secret(), [[QUESTION, typed]]);
    expect({ code, screen, isUnchanged }).toEqual({
      ...{ code: exit, screen: expect.stringContaining(said), isUnchanged: true },
    });
  });

  it("with a passphrase, which only ssh-keygen reads", async () => {
    const { privateKey, publicKey } = lockedKey("beside it");
    const yes = [QUESTION, `yes${ENTER}`] as const;
    const phrase = [PASSPHRASE, `correct horse${ENTER}`] as const;
    const signed = await person(["--ssh-key", privateKey], [yes, phrase]);
    expect([signed.code, signed.screen]).toEqual([0, expect.stringContaining("SIGNED: pump 1.0.0")]);
    expect(signed.screen).not.toContain("correct horse");
    const trust = ["--public-key", publicKey];
    expect(await verify(signed.bundle, trust)).toEqual({ code: 0, findings: [] });

    // Without its public half, which ssh-keygen gives for the passphrase too.
    const alone = join(folder(tempDir(), "alone"), "id_ed25519");
    copyFileSync(privateKey, alone);
    const twice = await person(["--ssh-key", alone], [phrase, yes, phrase]);
    expect([twice.code, twice.screen]).toEqual([0, expect.stringContaining("SIGNED: pump 1.0.0")]);
    expect(await verify(twice.bundle, trust)).toEqual({ code: 0, findings: [] });
  });

  it("and not with a wrong passphrase, or Ctrl-C instead of one", async () => {
    const { privateKey } = lockedKey("wrong");
    const yes = [QUESTION, `yes${ENTER}`] as const;
    const wrong = await person(["--ssh-key", privateKey], [yes, [PASSPHRASE, `wrong${ENTER}`]]);
    expect({ ...wrong, bundle: "" }).toEqual({
      ...{ code: 2, screen: expect.stringContaining("SSH_KEYGEN"), isUnchanged: true, bundle: "" },
    });
    const stopped = await person(["--ssh-key", privateKey], [yes, [PASSPHRASE, CTRL_C]]);
    expect({ ...stopped, bundle: "" }).toEqual({
      ...{ code: 130, screen: expect.stringContaining("INTERRUPTED"), isUnchanged: true, bundle: "" },
    });
  });
});

/** As an auditor types it. Prints what is wrong. */
const PAE = `jq -j .dsseEnvelope.payload "$E" | base64 -d > st.json; T=$(jq -r .dsseEnvelope.payloadType "$E")
{ printf 'DSSEv1 %d %s %d ' \${#T} "$T" $(stat -c %s st.json); cat st.json; } > pae.bin
[ "$(jq -r '.subject[0].digest.sha256' st.json)" = "$(sha256sum < "$BUNDLE" | cut -c1-64)" ] || echo BAD subject
[ "$(jq -r .predicateType st.json)" = "$TYPE" ] || echo BAD type
`;

const OPENSSL = `jq -r '.dsseEnvelope.signatures[0].sig' "$E" | base64 -d > sig.bin
openssl pkeyutl -verify -pubin -inkey "$KEY" -rawin -in pae.bin -sigfile sig.bin || echo BAD signature
`;

const SSH_KEYGEN = `printf 'ada@example.org %s\\n' "$(cat "$KEY")" > allowed_signers
printf -- '-----BEGIN SSH SIGNATURE-----\\n%s\\n-----END SSH SIGNATURE-----\\n' "$(jq -r '.dsseEnvelope.signatures[0].sig' "$E")" > st.sig
ssh-keygen -Y verify -f allowed_signers -I ada@example.org -n "$NAMESPACE" -s st.sig < pae.bin || echo BAD signature
`;

type Audited = Readonly<Record<"E" | "BUNDLE" | "KEY" | "TYPE", string>>;

function audit(of: Audited): string[] {
  return findingsOf(PAE + OPENSSL, of);
}

function auditSsh(of: Audited & { readonly NAMESPACE: string }): string[] {
  return findingsOf(PAE + SSH_KEYGEN, of);
}

function findingsOf(script: string, env: NodeJS.ProcessEnv): string[] {
  const { exit, output } = shell(script, { cwd: tempDir(), env });
  expect(exit).toBe(0);
  return [...output.matchAll(/^BAD (.*)$/gm)].map(([, what]) => what!);
}

/** Runs the one command of `next` that stands behind `label` as it was printed, KEY being `key`. */
function typed(
  next: readonly string[],
  label: string,
  { cwd, key = "", path = [] }: { readonly cwd: string; readonly key?: string; readonly path?: string[] },
): void {
  const line = next.find((command) => command.startsWith(label)) ?? "";
  const command = line
    .slice(label.length)
    .trim()
    .replace(/\bKEY\b/, `'${key}'`);
  const { exit, output } = shell(command, { cwd, path });
  expect([command, exit, output]).toEqual([command, 0, output]);
}

/** For PATH: the program under its name. */
function programFolder(): string {
  const place = folder(tempDir(), "bin");
  const script = `#!/bin/sh\nexec '${process.execPath}' '${RELEASE}' "$@"\n`;
  writeFileSync(join(place, "nix-airgap"), script, { mode: 0o755 });
  return place;
}

/** A statement of in-toto v0.1 by cosign, with the predicate of a prepared one, about the same file. */
function attestPredicate(statement: string, what: string, key = cosignP256.privateKey): string {
  const place = folder(tempDir(), "cosign");
  const { predicate, predicateType, subject } = JSON.parse(readFileSync(statement, "utf8"));
  const isBundle = subject[0].name === "bundle.json";
  const blob = isBundle ? unpacked(what, "bundle.json").E : what;
  const file = write(place, "predicate.json", JSON.stringify(predicate));
  const bundle = statement.replace(/json$/, "sigstore.json");
  return cosignAttest({ key, blob, type: predicateType, predicate: file, bundle });
}

function statementIn(file: string) {
  const { payload } = JSON.parse(readFileSync(file, "utf8")).dsseEnvelope;
  return JSON.parse(Buffer.from(payload, "base64").toString());
}

async function signedBundle(form: Form, key: readonly string[]): Promise<Pick<Audited, "E" | "BUNDLE">> {
  const bundle = await newBundle(form);
  const { code, json } = await sign(bundle, [...WORDS, ...key]);
  expect({ code, verdict: json.verdict }).toEqual({ code: 0, verdict: "signed" });
  const { E, root } = unpacked(bundle, json.approval!.file!);
  return { E, BUNDLE: join(root, "bundle.json") };
}

/** A file of a bundle, and the folder where all of them are. */
function unpacked(bundle: string, name: string): { readonly E: string; readonly root: string } {
  if (!bundle.endsWith(".tar")) return { E: join(bundle, name), root: bundle };
  const root = folder(tempDir(), "unpacked");
  expect(shell(`tar -xf "$TAR"`, { cwd: root, env: { TAR: bundle } })).toMatchObject({ exit: 0 });
  return { E: join(root, name), root };
}

/** The two files of a bundle that name its approvals: the index, and the manifest that it names. */
function ociFilesOf(what: string): string[] {
  if (/\.(json|lock)$/.test(what)) return [];
  const { manifests } = JSON.parse(readFileSync(unpacked(what, "index.json").E, "utf8"));
  return ["index.json", `blobs/sha256/${manifests[0].digest.slice("sha256:".length)}`];
}

/** The hash of every file of a bundle, of a folder, or of a file and its approvals, by name. */
function contentOf(path: string): Map<string, string> {
  if (path.endsWith(".tar")) return hashesIn(unpacked(path, "").root).set(basename(path), "");
  if (!/\.(json|lock)$/.test(path)) return hashesIn(path);
  const beside = [...hashesIn(dirname(path))].filter(([name]) => name.startsWith(basename(path)));
  return new Map(beside);
}

function hashesIn(folderPath: string): Map<string, string> {
  return new Map([...readTree(folderPath)].map(([name, bytes]) => [name, hashOf(bytes)]));
}

function hashOf(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}

function newBundle(
  form: Form,
  release: Pick<Release, "document" | "blobs"> = makeRelease(),
): Promise<string> {
  return writeRelease(join(folder(tempDir(), "a medium"), "bundle"), release, { form });
}

/** With the error's document where there is one. */
async function sign(what: string, options: readonly string[], cwd = dir) {
  type Report = SignReport & { readonly error?: { readonly code: string } };
  return cliJson<Report>(["sign", what, "--yes", ...options], { cwd });
}

async function verify(bundle: string, trust: readonly string[]) {
  const { code, json } = await cliJson<VerifyReport>(["verify", bundle, ...trust]);
  return { code, findings: json.findings.map((finding) => finding.code) };
}

/** Ada's alone, in all roles. */
async function makePolicy(
  place: string,
  publicKey: string,
  options: readonly string[] = [],
): Promise<string> {
  const out = join(place, "policy.json");
  const asked = ["--require", "qa=1", "--require-lock", "qa=1"];
  const person = ["--person", `${ADA} qa,policy ${publicKey}`];
  await must(["trust", "new", "--out", out, "--product", "pump", ...person, ...asked, ...options]);
  return out;
}

/** Options that name a site which has pinned a policy. */
async function makeSite(policy: string): Promise<string[]> {
  const place = tempDir();
  const options = ["--policy", join(place, "pinned.json"), "--state", join(place, "state")];
  await must(["trust", "init", policy, "--sha256", hashOf(readFileSync(policy)), ...options]);
  return options;
}

async function must(argv: readonly string[]): Promise<void> {
  const { code, stdout, stderr } = await cli(argv);
  expect([code, stdout + stderr]).toEqual([0, expect.anything()]);
}

function opensslKeyPair(name: string, algorithm: string): KeyPair {
  const place = folder(tempDir(), name);
  const made = shell(
    `openssl genpkey ${algorithm} -out key.pem && openssl pkey -in key.pem -pubout -out signer.pub.pem && chmod 600 key.pem`,
    { cwd: place },
  );
  expect(made).toMatchObject({ exit: 0 });
  return { privateKey: join(place, "key.pem"), publicKey: join(place, "signer.pub.pem") };
}

/** An OpenSSH key with a passphrase. */
function lockedKey(name: string): KeyPair {
  const place = folder(tempDir(), name);
  const made = shell("ssh-keygen -q -t ed25519 -N 'correct horse' -C '' -f id", { cwd: place });
  expect(made).toMatchObject({ exit: 0 });
  return { privateKey: join(place, "id"), publicKey: join(place, "id.pub") };
}

function changedCopy(file: string): string {
  const bytes = readFileSync(file);
  bytes[bytes.length - 2]! ^= 1;
  return write(tempDir(), basename(file), bytes);
}

function folder(parent: string, name: string): string {
  const path = join(parent, name);
  mkdirSync(path, { recursive: true });
  return path;
}

function write(place: string, name: string, content: string | Buffer): string {
  const path = join(place, name);
  writeFileSync(path, content);
  return path;
}
