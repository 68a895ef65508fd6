/** Whether a site's Nix is new enough for what a bundle says it needs; asked before anything is imported. */
import type { Finding } from "../errors.js";
import type { BundleDocument } from "../generated/types.js";

/** `version`: of the Nix here, as it says it. One that does not begin with two numbers is not judged. */
export function checkMinimumNix({ minimumNix }: BundleDocument, version: string): Finding[] {
  const [wanted, here] = [numbers(minimumNix), numbers(version)];
  if (wanted === null || here === null) return [];
  const at = wanted.findIndex((number, i) => number !== here[i]);
  if (at < 0 || here[at]! > wanted[at]!) return [];
  return [
    {
      code: "NIX_TOO_OLD",
      subject: "the Nix of this machine",
      expected: `Nix ${minimumNix} or newer`,
      actual: `Nix ${version}`,
    },
  ];
}

/** A pre-release or a fork counts by its numbers alone. */
function numbers(version: string): number[] | null {
  const [, major, minor, patch] = /^(\d+)\.(\d+)(?:\.(\d+))?/.exec(version) ?? [];
  return major === undefined || minor === undefined ? null : [major, minor, patch ?? 0].map(Number);
}
