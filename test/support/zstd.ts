/** Compresses with the zstd of the machine: no Node 20 has one. */
import { execFileSync } from "node:child_process";

/** One frame, as the command writes it to a pipe, without the content's size. */
export function zstd(content: Uint8Array, ...options: readonly string[]): Buffer {
  return execFileSync("zstd", ["-q", "-c", ...options], { input: content, maxBuffer: 2 ** 30 });
}

const done = new Map<string, Buffer>();

export function compress(bytes: Uint8Array): Buffer {
  const key = Buffer.from(bytes).toString("base64");
  const blob = done.get(key) ?? zstd(bytes, "-3", "--no-check");
  done.set(key, blob);
  return blob;
}
