/** keygen: a new Ed25519 key pair as three files. Overwrites nothing; the secret is never readable by others. */
import { mkdir, open, rm } from "node:fs/promises";
import { join, resolve } from "node:path";
import { fail } from "../errors.js";
import type { KeygenReport } from "../generated/types.js";
import { asDiskError, errorCode, exists, syncDirectory, withDiskErrors } from "../host/files.js";
import { formatPublicKey, formatSecretKey, generateSecretKey, toSpkiPem } from "../nix/signature.js";
import { keyHash } from "../trust/keys.js";
import type { Context } from "./context.js";

export interface KeygenOptions {
  /** The key's name, and the files'. */
  readonly name: string;
  /** The folder; it is made, for its owner only, where it does not exist. */
  readonly out: string;
}

const NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/;

/** @throws USAGE for a name, OUT_EXISTS, DISK, NO_SPACE; then nothing was written, or all that was is removed */
export async function keygen(
  { name, out }: KeygenOptions,
  context: Pick<Context, "cwd">,
): Promise<KeygenReport> {
  if (!NAME.test(name)) {
    fail("USAGE", {
      subject: "the key's name",
      expected: "letters, digits and ._-, beginning with a letter or digit, at most 128",
      actual: JSON.stringify(name),
    });
  }
  const folder = resolve(context.cwd, out);
  const secret = generateSecretKey(name);
  const { publicKey } = secret;
  const files = {
    secret: join(folder, `${name}.sec`),
    public: join(folder, `${name}.pub`),
    pem: join(folder, `${name}.pub.pem`),
  };
  for (const path of Object.values(files)) if (await exists(path)) refuseExisting(path);

  await withDiskErrors(folder, () => mkdir(folder, { recursive: true, mode: 0o700 }));
  const written: string[] = [];
  try {
    for (const [path, text, mode] of [
      [files.secret, `${formatSecretKey(secret)}\n`, 0o600],
      [files.public, `${formatPublicKey(publicKey)}\n`, 0o644],
      [files.pem, toSpkiPem(publicKey), 0o644],
    ] as const) {
      await createFile(path, text, { mode, onCreated: () => written.push(path) });
    }
    await syncDirectory(folder);
  } catch (error) {
    for (const path of written) await rm(path, { force: true });
    throw error;
  }
  return {
    format: "nix-airgap-keygen",
    exit: 0,
    name,
    publicKey: formatPublicKey(publicKey),
    keyHash: keyHash(publicKey),
    files,
  };
}

interface CreateOptions {
  /** From the first moment on. */
  readonly mode: number;
  readonly onCreated: () => void;
}

async function createFile(path: string, text: string, { mode, onCreated }: CreateOptions): Promise<void> {
  try {
    const file = await open(path, "wx", mode);
    onCreated();
    try {
      await file.writeFile(text);
      await file.sync();
    } finally {
      await file.close();
    }
  } catch (error) {
    if (errorCode(error) === "EEXIST") refuseExisting(path);
    throw asDiskError(error, path);
  }
}

function refuseExisting(path: string): never {
  return fail("OUT_EXISTS", {
    subject: path,
    hint: "Choose another --name or --out. A key that is in use must not be replaced; nothing was changed.",
  });
}
