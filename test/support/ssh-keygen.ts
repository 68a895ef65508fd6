/** The real ssh-keygen: keys without passphrase, and SSHSIG signatures. */
import { execFileSync, spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** Arguments of `ssh-keygen -t`. */
export const SSH_KEY_KINDS = { ed25519: ["ed25519"], ecdsa: ["ecdsa", "-b", "256"] } as const;

interface SshKeyFiles {
  /** The secret key's file; the public one's has `.pub` behind it. */
  readonly path: string;
  /** The .pub file's text. */
  readonly publicText: string;
}

interface Checked {
  readonly accepted: boolean;
  /** What it printed. */
  readonly output: string;
}

export function makeSshKey(path: string, type: readonly string[], comment = "test"): SshKeyFiles {
  execFileSync("ssh-keygen", ["-q", "-t", ...type, "-N", "", "-C", comment, "-f", path]);
  return { path, publicText: readFileSync(`${path}.pub`, "utf8") };
}

/** The second field of `ssh-keygen -l`. */
export function sshKeygenFingerprint(publicText: string): string | undefined {
  return inFolder((folder) => {
    writeFileSync(join(folder, "key.pub"), `${publicText.trimEnd()}\n`);
    return execFileSync("ssh-keygen", ["-l", "-f", join(folder, "key.pub")], { encoding: "utf8" }).split(
      " ",
    )[1];
  });
}

/** The armoured signature of `ssh-keygen -Y sign`. */
export function sshKeygenSign(message: Uint8Array, key: SshKeyFiles, options: SignOptions): string {
  return inFolder((folder) => {
    const file = join(folder, "message");
    writeFileSync(file, message);
    const hash = options.hash ? ["-O", `hashalg=${options.hash}`] : [];
    execFileSync("ssh-keygen", ["-q", "-Y", "sign", "-n", options.namespace, ...hash, "-f", key.path, file], {
      stdio: "pipe",
    });
    return readFileSync(`${file}.sig`, "utf8");
  });
}

interface SignOptions {
  readonly namespace: string;
  readonly hash?: "sha256" | "sha512";
}

/** Whether `ssh-keygen -Y verify` accepts a signature of the key in `signer`: `[options] type base64`. */
export function sshKeygenVerify(
  message: Uint8Array,
  armoured: string,
  { signer, namespace }: { readonly signer: string; readonly namespace: string },
): Checked {
  return inFolder((folder) => {
    const signers = join(folder, "allowed_signers");
    const signature = join(folder, "signature");
    writeFileSync(signers, `id ${signer}\n`);
    writeFileSync(signature, armoured);
    const { status, stdout, stderr } = spawnSync(
      "ssh-keygen",
      ["-Y", "verify", "-f", signers, "-I", "id", "-n", namespace, "-s", signature],
      { input: message, encoding: "utf8" },
    );
    return { accepted: status === 0, output: stdout + stderr };
  });
}

function inFolder<T>(use: (folder: string) => T): T {
  const folder = mkdtempSync(join(tmpdir(), "nix-airgap-ssh-"));
  try {
    return use(folder);
  } finally {
    rmSync(folder, { recursive: true });
  }
}
