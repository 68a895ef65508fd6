/**
 * Approvals in the hands of other programs, without a network: what is made here verifies with openssl, cosign and
 * ssh-keygen; what cosign, ssh-keygen and a PKCS #11 token sign verifies here.
 */
import { execFileSync, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { cpSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import type { SignReport, VerifyReport } from "../../src/generated/types.js";
import { formatPublicKey } from "../../src/nix/signature.js";
import { packerKey, tempDir } from "../support/bundle.js";
import { cli, cliJson, RELEASE } from "../support/cli.js";
import { makeFidoKey } from "../support/fido.js";
import {
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
import { makeRelease } from "../support/release.js";
import { writeRelease } from "../support/write-release.js";

const TYPE = "urn:nix-airgap:approval:v2";
const WHO = ["--signer", "Ada Example <ada@example.org>"];
const WORDS = ["--role", "qa", "--meaning", "tested and released"];

let dir: string;
let bundles: Record<"directory" | "tar", string>;
const at = (name: string) => join(dir, name);

beforeAll(async () => {
  dir = tempDir();
  const release = makeRelease();
  bundles = {
    directory: await writeRelease(at("bundle"), release),
    tar: await writeRelease(at("packed"), release, { form: "tar" }),
  };
  writeFileSync(at("packer.pub"), `${formatPublicKey(packerKey.publicKey)}\n`);
  execFileSync("openssl", ["genpkey", "-algorithm", "ed25519", "-out", at("ed.pem")]);
  const curve = ["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"];
  execFileSync("openssl", ["genpkey", ...curve, "-out", at("ec.pem")], { stdio: "ignore" });
  for (const name of ["ed", "ec"]) {
    execFileSync("openssl", ["pkey", "-in", at(`${name}.pem`), "-pubout", "-out", at(`${name}.pub.pem`)]);
  }
});

const run = (...args: string[]) => cli(args, { cwd: dir });
let copies = 0;

/** Of the bundle, to be signed. */
function copy(form: "directory" | "tar"): string {
  const path = at(`copy-${copies++}${form === "tar" ? ".tar" : ""}`);
  cpSync(bundles[form], path, { recursive: true });
  return path;
}

async function sign(bundle: string, ...args: string[]): Promise<SignReport> {
  const { code, json, stderr } = await cliJson<SignReport>(["sign", bundle, ...args, "--yes"], { cwd: dir });
  expect(code, stderr + JSON.stringify(json.findings)).toBe(0);
  return json;
}

async function verify(
  bundle: string,
  ...args: string[]
): Promise<{ exit: number | null; codes: string[]; json: VerifyReport }> {
  const { code, json } = await cliJson<VerifyReport>(["verify", bundle, ...args], { cwd: dir });
  return { exit: code, codes: [...new Set(json.findings.map((finding) => finding.code))], json };
}

/** Everything that an approval must not change: document, blobs but its own, narinfos, docs. */
function unchanged(bundle: string): string {
  const documents = bundle.endsWith(".tar")
    ? execFileSync("tar", ["-xOf", bundle, "bundle.json"])
    : readFileSync(join(bundle, "bundle.json"));
  return createHash("sha256").update(documents).digest("hex");
}

/** An auditor's own commands: the bytes that were signed, and the signature. */
function extract(approval: string): { pae: string; sig: string; statement: string; ssh: string } {
  const out = tempDir();
  const script = `
jq -j .dsseEnvelope.payload "$1" | base64 -d > st.json; T=$(jq -r .dsseEnvelope.payloadType "$1")
{ printf 'DSSEv1 %d %s %d ' \${#T} "$T" $(stat -c %s st.json); cat st.json; } > pae.bin
jq -r '.dsseEnvelope.signatures[0].sig' "$1" | base64 -d > sig.bin
jq -r '"-----BEGIN SSH SIGNATURE-----", .dsseEnvelope.signatures[0].sig, "-----END SSH SIGNATURE-----"' "$1" > sig.ssh
`;
  execFileSync("sh", ["-ec", script, "sh", approval], { cwd: out });
  const file = (name: string) => join(out, name);
  return { pae: file("pae.bin"), sig: file("sig.bin"), statement: file("st.json"), ssh: file("sig.ssh") };
}

describe("an approval made here", () => {
  it.each(["ed", "ec"])("by a key in PEM (%s) verifies with openssl and cosign", async (name) => {
    const bundle = copy("directory");
    const { approval } = await sign(bundle, ...WORDS, ...WHO, "--key", at(`${name}.pem`));
    const file = join(bundle, approval!.file!);
    const { pae, sig, statement } = extract(file);
    const publicKey = at(`${name}.pub.pem`);
    expect(opensslVerify(publicKey, sig, pae).exit).toBe(0);
    const { subject } = JSON.parse(readFileSync(statement, "utf8")) as {
      subject: { digest: { sha256: string } }[];
    };
    expect(subject[0]!.digest.sha256).toBe(unchanged(bundle));

    const about = { publicKey, blob: join(bundle, "bundle.json"), type: TYPE, bundle: file };
    expect(cosignVerify(about)).toMatchObject({ exit: 0, output: expect.stringContaining("Verified OK") });
    writeFileSync(at("other.json"), "{}\n");
    expect(cosignVerify({ ...about, blob: at("other.json") }).exit).not.toBe(0);
    expect(cosignVerify({ ...about, type: "urn:nix-airgap:rollback:v1" }).exit).not.toBe(0);
    const other = at(name === "ed" ? "ec.pub.pem" : "ed.pub.pem");
    expect(cosignVerify({ ...about, publicKey: other }).exit).not.toBe(0);
  });

  it.each(["ed25519", "ecdsa"] as const)("by an OpenSSH key (%s) verifies with ssh-keygen", async (type) => {
    const { privateKey, publicKey } = sshKeygenKeyPair(tempDir(), type);
    const bundle = copy("directory");
    const { approval } = await sign(bundle, ...WORDS, ...WHO, "--ssh-key", privateKey);
    const { pae, ssh } = extract(join(bundle, approval!.file!));
    const allowedSigners = at(`allowed-${type}`);
    writeFileSync(allowedSigners, `ada@example.org ${readFileSync(publicKey, "utf8")}`);
    const about = { allowedSigners, identity: "ada@example.org", signature: ssh, file: pae };
    expect(sshKeygenVerify({ ...about, namespace: "nix-airgap" }).exit).toBe(0);
    expect(sshKeygenVerify({ ...about, namespace: "git" }).exit).not.toBe(0);
  });
});

/** Each way in which somebody else signs what `sign --prepare` wrote; returns what is attached, and the key that checks it. */
const MAKERS: readonly [name: string, make: (bundle: string) => Promise<{ attach: string; key: string }>][] =
  [
    ...(["EDDSA", "ECDSA"] as const).map((mechanism): (typeof MAKERS)[number] => [
      `a token by pkcs11-tool, ${mechanism}`,
      async (bundle) => {
        const token = softHsm();
        const [prepared, key] = [at(`prepared-${copies++}.bin`), at(`hsm-${mechanism}.pem`)];
        writeFileSync(key, token.publicKeyPem(mechanism));
        await sign(bundle, ...WORDS, ...WHO, "--prepare", prepared);
        writeFileSync(`${prepared}.sig`, token.sign(mechanism, prepared, "rs"));
        return { attach: `${prepared}.sig`, key };
      },
    ]),
    [
      "a token by pkcs11-tool, ECDSA as DER",
      async (bundle) => {
        const token = softHsm();
        const [prepared, key] = [at(`prepared-${copies++}.bin`), at("hsm-der.pem")];
        writeFileSync(key, token.publicKeyPem("ECDSA"));
        await sign(bundle, ...WORDS, ...WHO, "--prepare", prepared);
        writeFileSync(`${prepared}.sig`, token.sign("ECDSA", prepared, "openssl"));
        return { attach: `${prepared}.sig`, key };
      },
    ],
    ...(["ed25519", "ecdsa"] as const).map((type): (typeof MAKERS)[number] => [
      `ssh-keygen -Y sign, ${type}`,
      async (bundle) => {
        const { privateKey, publicKey } = sshKeygenKeyPair(tempDir(), type);
        const prepared = at(`prepared-${copies++}.bin`);
        await sign(bundle, ...WORDS, ...WHO, "--prepare", prepared);
        writeFileSync(`${prepared}.sig`, sshKeygenSign(privateKey, "nix-airgap", prepared));
        return { attach: `${prepared}.sig`, key: publicKey };
      },
    ]),
    [
      "cosign attest-blob, by the predicate of what was prepared",
      async (bundle) => {
        const place = tempDir();
        const [statement, predicate] = [join(place, "statement.json"), join(place, "predicate.json")];
        await sign(bundle, ...WORDS, ...WHO, "--prepare", statement);
        const parsed = JSON.parse(readFileSync(statement, "utf8")) as { predicate: unknown };
        writeFileSync(predicate, JSON.stringify(parsed.predicate));
        const { privateKey, publicKey } = cosignKeyPair(place);
        const blob = join(place, "bundle.json");
        writeFileSync(blob, execFileSync(...documentOf(bundle)));
        const attach = cosignAttest({
          ...{ key: privateKey, blob, type: TYPE, predicate },
          bundle: join(place, "attestation.json"),
        });
        return { attach, key: publicKey };
      },
    ],
  ];

const documentOf = (bundle: string): [string, string[]] =>
  bundle.endsWith(".tar") ? ["tar", ["-xOf", bundle, "bundle.json"]] : ["cat", [join(bundle, "bundle.json")]];

let hsm: SoftHsm | undefined;
const softHsm = () => (hsm ??= makeSoftHsm(tempDir()));

describe.each(["directory", "tar"] as const)("attached to a %s", (form) => {
  it.each(MAKERS)("verifies here what was signed by %s", async (_, make) => {
    const bundle = copy(form);
    const before = unchanged(bundle);
    const { attach, key } = await make(bundle);
    expect((await verify(bundle, "--public-key", key)).exit).toBe(12);
    const report = await sign(bundle, "--attach", attach, "--public-key", key);
    expect(report).toMatchObject({ verdict: "attached", approval: { role: "qa", decision: "approved" } });
    expect(unchanged(bundle)).toBe(before);
    const { exit, json } = await verify(bundle, "--public-key", key);
    expect([exit, json.verdict]).toEqual([0, "verified"]);
    expect(json.approvals.find(({ state }) => state === "valid")).toMatchObject({
      signer: "Ada Example <ada@example.org>",
      meaning: "tested and released",
    });
  });

  it("is refused when the key did not sign it, when it is over something else, or for another bundle", async () => {
    const bundle = copy(form);
    const before = readFileSync(form === "tar" ? bundle : join(bundle, "index.json"));
    const { attach, key } = await MAKERS[0]![1](bundle);
    const refuse = async (...args: string[]) => {
      const { code, json } = await cliJson<SignReport & { error?: { code: string } }>(
        ["sign", bundle, ...args],
        {
          cwd: dir,
        },
      );
      return [code, json.error?.code ?? json.findings.map((finding) => finding.code).join()];
    };
    expect(await refuse("--attach", attach, "--public-key", at("ed.pub.pem"))).toEqual([
      12,
      "ATTACH_REFUSED",
    ]);
    const prepared = attach.replace(/\.sig$/, "");
    const bytes = readFileSync(prepared);
    writeFileSync(prepared, Buffer.from(bytes.toString().replace("tested", "tasted")));
    expect(await refuse("--attach", attach, "--public-key", key)).toEqual([12, "ATTACH_REFUSED"]);
    writeFileSync(prepared, bytes.subarray(1));
    expect(await refuse("--attach", attach, "--public-key", key)).toEqual([2, "PREPARED_INVALID"]);
    writeFileSync(prepared, bytes);

    const other = makeRelease();
    other.document.release = "6.6.6";
    const elsewhere = await writeRelease(join(tempDir(), "other"), other);
    const { code, json } = await cliJson<SignReport>(
      ["sign", elsewhere, "--attach", attach, "--public-key", key],
      { cwd: dir },
    );
    expect([code, json.findings.map((finding) => finding.code)]).toEqual([12, ["APPROVAL_SUBJECT"]]);
    expect(readFileSync(form === "tar" ? bundle : join(bundle, "index.json"))).toEqual(before);
  });
});

describe("a FIDO key's signature", () => {
  it("counts in a role that asks for touch and PIN only where it says both", async () => {
    const fido = makeFidoKey("sk-ssh-ed25519@openssh.com");
    writeFileSync(at("fido.pub"), `${fido.publicLine}\n`);
    const made = await run(
      ...["trust", "new", "--out", "fido-policy.json", "--product", "pump"],
      ...["--machine", "Packer <packer-1> packer packer.pub", "--require", "packer=1"],
      ...["--person", "Ada Example <ada@example.org> qa fido.pub", "--require", "qa=1"],
      ...["--person", "Bo Example <bo@example.org> policy ed.pub.pem", "--touch", "qa", "--pin", "qa"],
    );
    expect(made.code, made.stderr).toBe(0);
    for (const [touch, pin, exit] of [
      [false, false, 12],
      [true, false, 12],
      [false, true, 12],
      [true, true, 0],
    ] as const) {
      const bundle = copy("directory");
      const prepared = at(`fido-${touch}-${pin}.bin`);
      await sign(bundle, ...WORDS, ...WHO, "--prepare", prepared);
      const blob = fido.sign(readFileSync(prepared), { namespace: "nix-airgap", touch, pin });
      writeFileSync(`${prepared}.sig`, blob);
      await sign(bundle, "--attach", `${prepared}.sig`, "--public-key", at("fido.pub"));
      const { exit: code, codes } = await verify(bundle, "--policy", at("fido-policy.json"), "--no-state");
      expect([touch, pin, code]).toEqual([touch, pin, exit]);
      if (exit !== 0) expect(codes).toContain("APPROVAL_PRESENCE");
    }
  });
});

describe("sign, on a machine that has only bundle.json and its reports", () => {
  /** What is sent to the approver. */
  function send(): string {
    const place = tempDir();
    mkdirSync(join(place, "docs"));
    for (const name of ["bundle.json", "docs/notice.txt"])
      cpSync(join(bundles.directory, name), join(place, name));
    return place;
  }

  it("makes a file that is attached where the bundle is", async () => {
    const place = send();
    const words = [
      ...WORDS,
      ...WHO,
      "--document",
      "notice.txt",
      "--document",
      at("ed.pub.pem"),
      "--key",
      at("ed.pem"),
    ];
    const { approval } = await sign(join(place, "bundle.json"), ...words, "--out", place);
    const made = readdirSync(place).filter((name) => name.endsWith(".sigstore.json"));
    expect(made).toEqual([basename(approval!.file!)]);
    const bundle = copy("tar");
    await sign(bundle, "--attach", join(place, made[0]!), "--public-key", at("ed.pub.pem"));
    const { exit } = await verify(bundle, "--public-key", at("ed.pub.pem"));
    expect(exit).toBe(0);
    const statement = Buffer.from(
      (JSON.parse(readFileSync(join(place, made[0]!), "utf8")) as { dsseEnvelope: { payload: string } })
        .dsseEnvelope.payload,
      "base64",
    ).toString();
    const { predicate } = JSON.parse(statement) as { predicate: { documents: { name: string }[] } };
    expect(predicate.documents.map(({ name }) => name)).toEqual(["ed.pub.pem", "notice.txt"]);
  });

  it("signs nothing when a report is not the one that the document names", async () => {
    const place = send();
    writeFileSync(join(place, "docs/notice.txt"), "another\n");
    const { code, json } = await cliJson<SignReport>(
      ["sign", join(place, "bundle.json"), ...WORDS, ...WHO, "--key", at("ed.pem"), "--yes", "--out", place],
      { cwd: dir },
    );
    expect([code, json.verdict, json.findings.map((finding) => finding.code)]).toEqual([
      11,
      "refused",
      ["BLOB_HASH"],
    ]);
    expect(readdirSync(place).sort()).toEqual(["bundle.json", "docs"]);
  });

  it("shows what is to be signed, and signs nothing where nobody answers", async () => {
    const bundle = copy("directory");
    const outcome = await run("sign", bundle, ...WORDS, ...WHO, "--key", at("ed.pem"));
    expect(outcome.code).toBe(2);
    for (const part of [
      "TO BE SIGNED",
      "pump 1.0.0",
      "sequence",
      "tier source",
      "notice.txt",
      "roots:",
      "Ada Example",
    ]) {
      expect(outcome.stderr).toContain(part);
    }
    expect(outcome.stderr).toContain("NOT_CONFIRMED");
    expect(readdirSync(join(bundle, "approvals"))).toHaveLength(1);
  });

  it("shows what changed since the release before", async () => {
    const next = makeRelease({ tier: "runtime" });
    next.document.release = "1.1.0";
    next.document.sequence += 1;
    next.document.previous = { sequence: next.document.sequence - 1, sha256: unchanged(bundles.directory) };
    const bundle = await writeRelease(join(tempDir(), "next"), next);
    const args = [...WORDS, ...WHO, "--key", at("ed.pem"), "--previous", bundles.directory];
    const outcome = await run("sign", bundle, ...args);
    expect(outcome.stderr).toMatch(
      /changes since the release before: 0 store paths are new, [1-9]\d* are gone/,
    );
    const wrong = await run("sign", bundle, ...args.slice(0, -1), bundle);
    expect([wrong.code, wrong.stderr]).toEqual([2, expect.stringContaining("--previous")]);
  });
});

describe("sign at a terminal", () => {
  /** Types each answer when its question is there. */
  function typed(answers: readonly [question: string, answer: string][], ...args: string[]) {
    const script = `
import json, os, pty, sys
answers = json.loads(sys.argv[1])
pid, fd = pty.fork()
if pid == 0:
    os.execvp(sys.argv[2], sys.argv[2:])
said = b""
while True:
    try:
        piece = os.read(fd, 4096)
    except OSError:
        break
    if not piece:
        break
    said += piece
    if answers and answers[0][0].encode() in said:
        os.write(fd, answers.pop(0)[1].encode())
        said = b""
sys.stdout.buffer.write(said)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) % 256)
`;
    const argv = ["-c", script, JSON.stringify(answers), process.execPath, RELEASE, ...args];
    const { status, stdout } = spawnSync("python3", argv, { cwd: dir, encoding: "utf8" });
    return { code: status, output: stdout };
  }
  const ASKED = "Answer yes";

  it.each([
    ["yes\n", 0, 2],
    ["no\n", 2, 1],
    ["\n", 2, 1],
    ["\x03", 130, 1],
  ])("answers %j with exit %i", (answer, exit, approvals) => {
    const bundle = copy("directory");
    const { code, output } = typed(
      [[ASKED, answer]],
      "sign",
      bundle,
      ...WORDS,
      ...WHO,
      "--key",
      at("ed.pem"),
    );
    expect(code, output).toBe(exit);
    expect(readdirSync(join(bundle, "approvals"))).toHaveLength(approvals);
  });

  it("lets ssh-keygen ask for its passphrase", () => {
    const file = join(tempDir(), "id");
    execFileSync("ssh-keygen", ["-q", "-t", "ed25519", "-N", "open sesame", "-C", "", "-f", file]);
    for (const [passphrase, exit, approvals] of [
      ["open sesame", 0, 2],
      ["wrong", 2, 1],
    ] as const) {
      const bundle = copy("directory");
      const { code, output } = typed(
        [
          [ASKED, "yes\n"],
          ["Enter passphrase", `${passphrase}\n`],
        ],
        ...["sign", bundle, ...WORDS, ...WHO, "--ssh-key", file],
      );
      expect(code, output).toBe(exit);
      expect(readdirSync(join(bundle, "approvals"))).toHaveLength(approvals);
    }
  });
});
