/** What the outputs of a flake are for, told from their attribute paths (`nix flake check --help`, "Evaluation checks"). */
import { parseAttrPath } from "./attr-path.js";

/** A NixOS configuration by its name alone stands for the system that it makes. */
const TOPLEVEL = "config.system.build.toplevel";

/** The attribute that leads to a derivation, for one whose name everybody says in short. */
export function wholeAttr(attr: string): string {
  const names = parseAttrPath(attr);
  return names.length === 2 && names[0] === "nixosConfigurations" ? `${attr}.${TOPLEVEL}` : attr;
}

/** `apps.SYSTEM.NAME`: no derivation, but the path of a program. */
export function isApp(attr: string): boolean {
  return /^(apps\.[^.]+|defaultApp)\.[^.]/.test(attr);
}

export function isDevShell(attr: string): boolean {
  return /^devShells?\./.test(attr);
}

export function isNixosConfiguration(attr: string): boolean {
  return attr.startsWith("nixosConfigurations.");
}
