/** What the commands of the audit log have in common. */

/** Where a site keeps its state. */
const STATE = "/var/lib/nix-airgap";

export const stateOption = {
  kind: "text",
  describe: `DIR  of the site's state; default: ${STATE}`,
} as const;

export function stateFolder(given: string | undefined): string {
  return given ?? STATE;
}
