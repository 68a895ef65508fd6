/** Keys as the command line names them: a public one as text or in a file, a secret one in a file or on stdin only. */
// Cryptography is imported when there is a key to read: --help must come at once.
import { open } from "node:fs/promises";
import { basename, resolve } from "node:path";
import type { Readable } from "node:stream";
import { AirgapError, fail } from "../errors.js";
import { errorCode } from "../host/files.js";
import type { SecretKey } from "../nix/signature.js";
import type { Context } from "../ops/context.js";
import type { VerificationKey } from "../trust/keys.js";
import type { SigningKey } from "../trust/signing.js";
import type { Session } from "./command.js";

/** A key file of any form is far smaller. */
const MAX_KEY_FILE = 4096;

/** Each is a key's text, or the path of a file that holds one: Nix's form, PEM, OpenSSH's. @throws KEY_INVALID, USAGE, DISK */
export function readPublicKeys(
  values: readonly string[],
  context: Pick<Context, "cwd">,
): Promise<VerificationKey[]> {
  return Promise.all(values.map((value) => readPublicKey(value, context)));
}

async function readPublicKey(value: string, { cwd }: Pick<Context, "cwd">): Promise<VerificationKey> {
  const subject = `--public-key ${value}`;
  const { parseVerificationKey } = await import("../trust/keys.js");
  const isText = /^[^/:\s]+:[A-Za-z0-9+/]{43}=$/.test(value) || /^(ssh|ecdsa|sk)-\S+ AAAA/.test(value);
  if (isText) return named(subject, () => parseVerificationKey(value, commentOf(value)));
  if (looksSecret(value)) refuseSecretText("--public-key");
  const { text } = await readKeyFile(resolve(cwd, value), "--public-key", value);
  return named(subject, () =>
    parseVerificationKey(
      text,
      basename(value)
        .replace(/\.pem$/, "")
        .replace(/\.pub$/, ""),
    ),
  );
}

/** What stands behind an SSH key, for a name. */
function commentOf(value: string): string {
  return value.split(" ").slice(2).join(" ") || "an SSH key";
}

/** A key in Nix's form, which signs store paths too. `value` as for `readSigningKey`. @throws KEY_INVALID, USAGE, DISK */
export async function readSecretKey(value: string, session: Session): Promise<SecretKey> {
  const text = await readSecret(value, session);
  const { parseSecretKey } = await import("../nix/signature.js");
  return named(`--key ${value}`, () => parseSecretKey(text.replace(/\n$/, "")));
}

/** A key in any form. `value` is a path, or `-` for stdin. @throws KEY_INVALID, USAGE, DISK */
export async function readSigningKey(value: string, session: Session): Promise<SigningKey> {
  const text = await readSecret(value, session);
  const { parseSigningKey } = await import("../trust/signing.js");
  return named(`--key ${value}`, () => parseSigningKey(text, value === "-" ? "key" : basename(value)));
}

/** Notes a file that others can read. */
async function readSecret(value: string, { context, stdin }: Session): Promise<string> {
  if (looksSecret(value)) refuseSecretText("--key");
  const { text, mode } =
    value === "-"
      ? { text: await readAll(stdin, context.signal), mode: 0 }
      : await readKeyFile(resolve(context.cwd, value), "--key", value);
  if ((mode & 0o077) !== 0) {
    context.report({ type: "note", text: `${value} can be read by others: chmod 600 ${value}` });
  }
  return text;
}

/** `name:` and the base64 of 64 bytes. */
function looksSecret(value: string): boolean {
  return /^[^/:\s]+:[A-Za-z0-9+/]{86}==$/.test(value);
}

/** The process list and the shell's history keep a command line: never repeat it either. */
function refuseSecretText(option: string): never {
  return fail("USAGE", {
    subject: option,
    expected: option === "--key" ? "a secret key's file, or - for stdin" : "a public key",
    actual: "a secret key on the command line",
    hint: "That key is now in the shell's history: make a new one. Keep a secret in a file of mode 0600.",
  });
}

async function readKeyFile(
  path: string,
  option: string,
  shown: string,
): Promise<{ readonly text: string; readonly mode: number }> {
  try {
    const file = await open(path, "r");
    try {
      const stats = await file.stat();
      const bytes = Buffer.alloc(MAX_KEY_FILE + 1);
      let size = 0;
      // Not by the file's size: a pipe (`<(…)`) has none.
      for (let read = -1; read !== 0 && size < bytes.length; size += read) {
        read = (await file.read(bytes, size, bytes.length - size, null)).bytesRead;
      }
      return {
        text: keyText(bytes.subarray(0, size), `${option} ${shown}`),
        mode: stats.isFile() ? stats.mode : 0,
      };
    } finally {
      await file.close();
    }
  } catch (error) {
    const reasons: Readonly<Record<string, string>> = {
      ENOENT: "no such file",
      ENOTDIR: "no such file",
      EISDIR: "a folder",
      EACCES: "no permission to read it",
      EPERM: "no permission to read it",
      ENAMETOOLONG: "no such file",
    };
    const actual = reasons[errorCode(error)];
    if (actual === undefined) throw error;
    const expected =
      option === "--key" ? "a secret key's file, or - for stdin" : "name:base64, or a key's file";
    return fail("USAGE", { subject: `${option} ${shown}`, expected, actual }, { cause: error });
  }
}

/** Someone may be asked to type it, and press Ctrl-C instead. */
async function readAll(stdin: Readable, signal: AbortSignal): Promise<string> {
  const stop = (): void => void stdin.destroy();
  signal.addEventListener("abort", stop);
  try {
    const chunks: Buffer[] = [];
    let size = 0;
    for await (const chunk of stdin) {
      const bytes = Buffer.from(chunk);
      chunks.push(bytes);
      size += bytes.length;
      if (size > MAX_KEY_FILE) break;
    }
    return keyText(Buffer.concat(chunks), "--key -");
  } catch (error) {
    if (signal.aborted) fail("INTERRUPTED", { subject: "--key -" }, { cause: error });
    throw error;
  } finally {
    signal.removeEventListener("abort", stop);
  }
}

function keyText(bytes: Buffer, subject: string): string {
  if (bytes.length > MAX_KEY_FILE)
    fail("KEY_INVALID", { subject, expected: `at most ${MAX_KEY_FILE} bytes`, actual: "more" });
  return bytes.toString("latin1");
}

/** The error says which option, since several keys may be given. */
function named<T>(subject: string, parse: () => T): T {
  try {
    return parse();
  } catch (error) {
    if (!(error instanceof AirgapError)) throw error;
    return fail(error.code, { ...error.details, subject }, { cause: error });
  }
}
