/** Single fixture flakes as repositories of a test's own, for what the family of test/support/fixtures.ts does not need. */
import { execFileSync } from "node:child_process";
import { cpSync, existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { nixEnvironment } from "./fixtures.js";
import { commitAll } from "./git.js";

const FIXTURES = resolve(import.meta.dirname, "../../fixtures");

/**
 * Copies `fixtures/NAME` to `dir/NAME`, locks and commits it; returns its flake reference. `inputs`: fixtures that it has as
 * inputs, which lie beside it.
 */
export function layOutFlake(dir: string, name: string, inputs: readonly string[] = []): string {
  for (const each of [...inputs, name]) {
    cpSync(join(FIXTURES, each), join(dir, each), { recursive: true });
    const file = join(dir, each, "flake.nix");
    writeFileSync(file, readFileSync(file, "utf8").replaceAll("@DIR@", dir));
  }
  return commitFlake(join(dir, name), inputs.length > 0);
}

/** A flake of one file. */
export function writeFlake(dir: string, name: string, text: string): string {
  mkdirSync(join(dir, name), { recursive: true });
  writeFileSync(join(dir, name, "flake.nix"), text);
  return commitFlake(join(dir, name), false);
}

function commitFlake(folder: string, hasInputs: boolean): string {
  const ref = `git+file://${folder}`;
  if (hasInputs && !existsSync(join(folder, "flake.lock"))) {
    // Nix adds the lock to git's index by itself, so the repository must exist and know flake.nix.
    commitAll(folder, "Start");
    const env = nixEnvironment(join(folder, "..", "lock-nix"));
    execFileSync("nix", ["flake", "lock", ref], { env, stdio: ["ignore", "ignore", "pipe"] });
  }
  commitAll(folder, "Commit the flake");
  return ref;
}
