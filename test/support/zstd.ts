/** Compresses with the zstd of the machine: no Node 20 has one. */
import { execFileSync } from "node:child_process";

const done = new Map<string, Buffer>();

export function compress(bytes: Uint8Array): Buffer {
  const key = Buffer.from(bytes).toString("base64");
  const blob = done.get(key) ?? execFileSync("zstd", ["-q", "-3", "--no-check", "-c"], { input: bytes });
  done.set(key, blob);
  return blob;
}
