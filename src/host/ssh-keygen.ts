/** OpenSSH's ssh-keygen: signing with a key that only it can use (a passphrase, an agent, a FIDO token). */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { AirgapError, fail } from "../errors.js";
import { run } from "./exec.js";
import { errorCode, withDiskErrors, writeFileAtomic } from "./files.js";

export interface SshSigning {
  /** A private key, or a public one whose other half an agent or a token has. */
  readonly keyFile: string;
  readonly namespace: string;
  /** For the message and its signature; removed by the caller. */
  readonly tempDir: string;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly signal: AbortSignal;
}

/** What ssh-keygen needs to find its agent, and whoever types or touches. */
const ENV = [
  "PATH",
  "HOME",
  "SSH_AUTH_SOCK",
  "SSH_ASKPASS",
  "SSH_ASKPASS_REQUIRE",
  "SSH_SK_PROVIDER",
  "DISPLAY",
  "TERM",
];

/** The armoured signature of `message`. @throws SSH_KEYGEN with its words, DISK, INTERRUPTED */
export async function sshSign(message: Uint8Array, options: SshSigning): Promise<string> {
  const { keyFile, namespace, tempDir } = options;
  const file = join(tempDir, "to-be-signed");
  await writeFileAtomic(file, message);
  await keygen(["-Y", "sign", "-n", namespace, "-f", keyFile, file], options);
  return withDiskErrors(file, () => readFile(`${file}.sig`, "latin1"));
}

/** The public half of a key file, as one line. @throws SSH_KEYGEN, DISK, INTERRUPTED */
export async function sshPublicKey(options: Omit<SshSigning, "namespace" | "tempDir">): Promise<string> {
  const { keyFile } = options;
  for (const path of [`${keyFile}.pub`, keyFile]) {
    const text = await withDiskErrors(path, () => readFile(path, "latin1")).catch((error) => {
      if (error instanceof AirgapError && errorCode(error.cause) === "ENOENT" && path !== keyFile) return "";
      throw error;
    });
    if (/^(ssh-|ecdsa-|sk-)/.test(text)) return text;
  }
  return (await keygen(["-y", "-f", keyFile], options)).toString("latin1");
}

async function keygen(
  args: readonly string[],
  { env, signal, keyFile }: Pick<SshSigning, "env" | "signal" | "keyFile">,
): Promise<Buffer> {
  const entries = ENV.flatMap((name) => (env[name] === undefined ? [] : [[name, env[name]] as const]));
  const result = await run(["ssh-keygen", ...args], {
    env: Object.fromEntries(entries),
    cwd: "/",
    signal,
    terminal: true,
  }).catch((error) => {
    if (!(error instanceof AirgapError) || error.code !== "NIX_MISSING") throw error;
    return fail(
      "SSH_KEYGEN",
      {
        subject: "ssh-keygen",
        expected: "OpenSSH's ssh-keygen on PATH",
        actual: error.details.actual ?? "none",
      },
      { cause: error },
    );
  });
  if (result.code === 0) return result.stdout;
  return fail("SSH_KEYGEN", {
    subject: keyFile,
    actual: result.stderr.join("\n") || `exit ${result.code}`,
  });
}
