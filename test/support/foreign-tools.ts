/**
 * Tools by which people who do not have this program sign and verify: cosign 3, OpenSSL, OpenSSH, and a PKCS #11 token
 * (SoftHSM by OpenSC). All run without a network. `bin/setup --tests` installs them; where one is missing its tests fail.
 */
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";

export interface Outcome {
  readonly exit: number | null;
  /** stdout, then stderr. */
  readonly output: string;
}

/** Commands for a POSIX shell, as somebody types them; cosign 3 is on PATH, behind `path`. */
export function shell(
  script: string,
  { cwd, env = {}, path = [] }: { cwd: string; env?: NodeJS.ProcessEnv; path?: readonly string[] },
): Outcome {
  const PATH = [...path, dirname(cosign()), process.env["PATH"]].join(":");
  return run(["sh", "-c", script], { cwd, env: { COSIGN_PASSWORD, ...env, PATH } });
}

/** Paths of PEM files. cosign's private keys are in a form of its own, OpenSSH's keys in its own. */
export interface KeyPair {
  readonly privateKey: string;
  readonly publicKey: string;
}

/** The path of cosign 3. */
export function cosign(): string {
  const path = resolve(import.meta.dirname, "../../node_modules/.cache/cosign/usr/bin/cosign");
  if (!existsSync(path)) throw new Error(`${path} is missing: run bin/setup --tests`);
  return path;
}

/** A new P-256 key, cosign's default; or `privateKeyPem`, imported: P-256, P-384, RSA, Ed25519. */
export function cosignKeyPair(dir: string, privateKeyPem?: string): KeyPair {
  const prefix = join(dir, "cosign");
  const out = ["--output-key-prefix", prefix];
  if (privateKeyPem === undefined) must(runCosign(["generate-key-pair", ...out]));
  else must(runCosign(["import-key-pair", "--key", privateKeyPem, ...out]));
  return { privateKey: `${prefix}.key`, publicKey: `${prefix}.pub` };
}

export interface Attestation {
  /** A private key of {@link cosignKeyPair}. */
  readonly key: string;
  /** The file that the statement is about. */
  readonly blob: string;
  readonly type: string;
  /** A file with a JSON object. */
  readonly predicate: string;
  /** Where the Sigstore bundle goes. */
  readonly bundle: string;
}

/** Returns the path of the Sigstore bundle. With Ed25519 cosign signs by Ed25519ph, which it does not verify itself. */
export function cosignAttest({ key, blob, type, predicate, bundle }: Attestation): string {
  const offline = ["--tlog-upload=false", "--use-signing-config=false"];
  const options = ["--key", key, "--type", type, "--predicate", predicate, "--bundle", bundle];
  must(runCosign(["attest-blob", "--yes", ...offline, ...options, blob]));
  return bundle;
}

/** Whether a Sigstore bundle is a public key's statement of such a type about a file. */
export function cosignVerify(of: {
  readonly publicKey: string;
  readonly blob: string;
  readonly type: string;
  readonly bundle: string;
}): Outcome {
  const options = ["--key", of.publicKey, "--type", of.type, "--bundle", of.bundle];
  return runCosign(["verify-blob-attestation", "--insecure-ignore-tlog", ...options, of.blob]);
}

/** Of every key of {@link cosignKeyPair}. */
const COSIGN_PASSWORD = "test";
const runCosign = (args: readonly string[]) => run([cosign(), ...args], { env: { COSIGN_PASSWORD } });

/** Where Debian has it, on every architecture. */
const SOFTHSM_MODULE = "/usr/lib/softhsm/libsofthsm2.so";

/** EDDSA: Ed25519 over the bytes. ECDSA: P-256 over their SHA-256, which the caller of a token computes. */
export type Mechanism = "EDDSA" | "ECDSA";

export interface SoftHsm {
  /** Signs a file's bytes; ECDSA as DER, or as the token gives it: r and s, 32 bytes each. */
  sign(mechanism: Mechanism, file: string, format?: "openssl" | "rs"): Buffer;
  publicKeyPem(mechanism: Mechanism): string;
  /** A folder for PATH: its pkcs11-tool is the real one, told which module, token, PIN and key. */
  toolFolder(mechanism: Mechanism): string;
}

/** A token in a new folder, with a key for each mechanism that never leaves it. */
export function makeSoftHsm(dir: string): SoftHsm {
  const tokens = join(dir, "tokens");
  mkdirSync(tokens, { recursive: true });
  const conf = join(dir, "softhsm2.conf");
  writeFileSync(conf, `directories.tokendir = ${tokens}\nobjectstore.backend = file\nlog.level = ERROR\n`);
  const env = { SOFTHSM2_CONF: conf };

  const pins = ["--pin", "1234", "--so-pin", "5678"];
  must(run(["softhsm2-util", "--init-token", "--free", "--label", "site", ...pins], { env }));
  const tool = [
    "pkcs11-tool",
    "--module",
    SOFTHSM_MODULE,
    "--token-label",
    "site",
    "--login",
    "--pin",
    "1234",
  ];
  const token = (...args: string[]) => must(run([...tool, ...args], { env }));
  const ids = { EDDSA: "01", ECDSA: "02" };
  token("--keypairgen", "--key-type", "EC:edwards25519", "--id", ids.EDDSA);
  token("--keypairgen", "--key-type", "EC:prime256v1", "--id", ids.ECDSA);

  return {
    sign(mechanism, file, format = "openssl") {
      const bytes = readFileSync(file);
      const [input, output] = [join(dir, "to-sign"), join(dir, "signature")];
      writeFileSync(input, mechanism === "ECDSA" ? createHash("sha256").update(bytes).digest() : bytes);
      const how = ["--mechanism", mechanism, "--signature-format", format, "--id", ids[mechanism]];
      token("--sign", ...how, "--input-file", input, "--output-file", output);
      return readFileSync(output);
    },
    publicKeyPem(mechanism) {
      const file = join(dir, "public-key");
      token("--read-object", "--type", "pubkey", "--id", ids[mechanism], "--output-file", file);
      // OpenSC 0.23 writes P-256 as DER and Ed25519 as PEM; OpenSSL reads either.
      return must(run(["openssl", "pkey", "-pubin", "-in", file]));
    },
    toolFolder(mechanism) {
      const folder = join(dir, `tool-${mechanism}`);
      mkdirSync(folder, { recursive: true });
      const [, ...options] = tool;
      const script = `#!/bin/sh\nPATH=\${PATH#*:} SOFTHSM2_CONF='${conf}' exec pkcs11-tool ${options.join(" ")} --id ${ids[mechanism]} "$@"\n`;
      writeFileSync(join(folder, "pkcs11-tool"), script, { mode: 0o755 });
      return folder;
    },
  };
}

/** Ed25519, and ECDSA over SHA-256 with the signature as DER. The signature and what is signed are files. */
export function opensslVerify(publicKey: string, signature: string, file: string): Outcome {
  const key = ["-pubin", "-inkey", publicKey];
  return run(["openssl", "pkeyutl", "-verify", ...key, "-rawin", "-in", file, "-sigfile", signature]);
}

export function sshKeygenKeyPair(dir: string, type: "ed25519" | "ecdsa" = "ed25519"): KeyPair {
  const privateKey = join(dir, `id_${type}`);
  must(run(["ssh-keygen", "-q", "-t", type, "-N", "", "-C", "", "-f", privateKey]));
  return { privateKey, publicKey: `${privateKey}.pub` };
}

/** An armoured signature, as `ssh-keygen -Y sign FILE` would leave it in FILE.sig. */
export function sshKeygenSign(privateKey: string, namespace: string, file: string): string {
  const argv = ["ssh-keygen", "-q", "-Y", "sign", "-f", privateKey, "-n", namespace];
  return must(run(argv, { input: readFileSync(file) }));
}

/** `allowedSigners`: a file with lines of an identity, a key type and a key; see ALLOWED SIGNERS in ssh-keygen(1). */
export function sshKeygenVerify(of: {
  readonly allowedSigners: string;
  readonly identity: string;
  readonly namespace: string;
  readonly signature: string;
  readonly file: string;
}): Outcome {
  const signer = ["-f", of.allowedSigners, "-I", of.identity, "-n", of.namespace];
  const argv = ["ssh-keygen", "-Y", "verify", ...signer, "-s", of.signature];
  return run(argv, { input: readFileSync(of.file) });
}

interface Result extends Outcome {
  readonly argv: readonly string[];
  readonly stdout: string;
}

function run(
  argv: readonly string[],
  {
    input = "",
    env = {},
    cwd,
  }: { readonly input?: string | Buffer; readonly env?: NodeJS.ProcessEnv; readonly cwd?: string } = {},
): Result {
  const user = process.getuid?.() === 0 ? [] : ["--user", "--map-root-user"];
  const { status, stdout, stderr, error } = spawnSync("unshare", [...user, "--net", "--", ...argv], {
    input,
    cwd,
    env: { PATH: process.env["PATH"], ...env },
    encoding: "utf8",
  });
  if (error !== undefined) throw error;
  return { argv, exit: status, stdout, output: stdout + stderr };
}

/** What a command that must succeed printed on stdout. */
function must({ argv, exit, stdout, output }: Result): string {
  if (exit !== 0) throw new Error(`${argv.join(" ")}: exit ${exit}: ${output}`);
  return stdout;
}
