/** Machines with another Nix: those of the releases of Debian that `bin/setup --debian` made roots of. */
import { execFileSync } from "node:child_process";
import { resolve } from "node:path";

/** From the oldest Nix to the newest. */
export const SUITES = ["bookworm", "trixie", "sid"] as const;
export type Suite = (typeof SUITES)[number];

const DEBIAN = resolve(import.meta.dirname, "debian");
const MACHINE = resolve(import.meta.dirname, "site-machine");

/**
 * Runs a scenario of test/support/site-machine there, in a new folder. @throws where the machine cannot be made, or the
 * scenario ends early
 */
export function runMachine(suite: Suite, dir: string, scenario: string): void {
  execFileSync(DEBIAN, [suite, "--", MACHINE, dir, scenario], { stdio: ["ignore", "inherit", "inherit"] });
}
