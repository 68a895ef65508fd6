/** The Nix that the tests run: versions differ in what they let through, and a test says so by asking. */
import { execFileSync } from "node:child_process";
import { compareNixVersions, parseNixVersion, parseVersionLine } from "../../src/nix/version.js";

/** "2.26.3" */
export function installedNix(): string {
  const line = execFileSync("nix", ["--version"], { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] });
  const version = parseVersionLine(line)?.version;
  if (version === undefined) throw new Error(`what Nix is this? ${line}`);
  return version;
}

/** Whether `version` comes before `other`: "2.26.3" before "2.34". */
export function isOlder(version: string, other: string): boolean {
  const [a, b] = [parseNixVersion(version), parseNixVersion(other)];
  if (a === null || b === null) throw new Error(`no release of Nix: ${version} or ${other}`);
  return compareNixVersions(a, b) < 0;
}
