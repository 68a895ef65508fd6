/** How a document names the bash that `nix develop` starts: an attribute of one of the flake's inputs, not of the flake. */

/** The input that Nix looks for, whatever else a flake has. */
export const SHELL_INPUT = "nixpkgs";

/** In that input. */
export function shellBashAttr(system: string): string {
  return `legacyPackages.${system}.bashInteractive`;
}

/** In the document. */
export function formatShellBash(system: string): string {
  return `inputs.${SHELL_INPUT}.${shellBashAttr(system)}`;
}

export function isShellBash(attr: string): boolean {
  return /^inputs\.nixpkgs\.legacyPackages\.[^.]+\.bashInteractive$/.test(attr);
}
