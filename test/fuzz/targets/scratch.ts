/**
 * Places on the disk, made when they are first wanted, for what is not read from memory. What lies in them is made
 * by whoever asks.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** A folder of its own for each that asks, gone at the end. */
export function scratch(): string {
  const dir = mkdtempSync(join(tmpdir(), "nix-airgap-fuzz-"));
  process.on("exit", () => rmSync(dir, { recursive: true, force: true }));
  return dir;
}

/** Made when it is first wanted. */
export function lazy<T>(make: () => T): () => T {
  let made: { readonly value: T } | undefined;
  return () => {
    made ??= { value: make() };
    return made.value;
  };
}
