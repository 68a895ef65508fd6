/**
 * What a person types on site after a restore: to build, run or enter a root with no network, in the store that was
 * restored to. Pure; the same words go into receipts, the terminal, and tests, which run them.
 */

import type { BundleDocument, Root, SiteCommand } from "../generated/types.js";
import { formatFragment } from "../nix/flake-fragment.js";
import { siteReference } from "./site-reference.js";

export interface SiteSettings {
  /** For `--store`. */
  readonly storeUri: string;
  /** Host paths that the sandbox lends to builders: `nix develop` builds a small derivation of its own. */
  readonly sandboxPaths: readonly string[];
  /** Nix settings that this machine needs, by name. */
  readonly options: Readonly<Record<string, string>>;
}

/** The commands for one root. `program`: the name of one in its `bin` folder, if there is any. */
export function siteCommands(
  document: BundleDocument,
  root: Root,
  settings: SiteSettings,
  program: string | null,
): SiteCommand[] {
  const reference = `${flakeReference(document)}#${formatFragment(root.attr)}`;
  const options = { ...settings.options, substituters: "", "use-registries": "false" };
  const lent =
    settings.sandboxPaths.length > 0 ? ["--option", "sandbox-paths", settings.sandboxPaths.join(" ")] : [];
  const nix = (subcommand: string, ...more: string[]) => [
    ...["nix", "--extra-experimental-features", "nix-command flakes", subcommand],
    ...["--offline", "--store", settings.storeUri],
    ...Object.entries(options).flatMap(([name, value]) => ["--option", name, value]),
    ...["--no-update-lock-file", ...more],
  ];
  const commands = [command("build", nix("build", "--no-link", "--json", reference))];
  if (program !== null) commands.push(command("run", nix("shell", reference, "--command", program)));
  // A runtime bundle lacks what the shell's derivation is made from.
  if (isDevShell(root) && document.tier !== "runtime")
    commands.push(command("enter", nix("develop", ...lent, reference)));
  return commands;
}

/** The top flake, or the wrapper of one in a subfolder. */
export function flakeReference({ flake, evaluation, paths }: BundleDocument): string {
  const wrapper = paths.find(({ storePath }) => storePath === evaluation.wrapper);
  return siteReference(flake, wrapper ?? null);
}

/**
 * Names for a root's outputs that are short and its own: `default`, `libpump-dev`, `devShells-default`. By output
 * path; `taken` gets the names.
 */
export function linkNames(root: Root, taken: Set<string>): Map<string, string> {
  const attr = root.attr
    .replace(`.${root.system}.`, ".")
    .replace(/^(legacyP|p)ackages\./, "")
    .replace(/[^A-Za-z0-9+_-]+/g, "-")
    .replace(/^-+|-+$/g, "");
  const short = attr || "root";
  const names = new Map<string, string>();
  for (const { name: output, path } of root.outputs) {
    const wanted = output === "out" ? short : `${short}-${output}`;
    let name = wanted;
    for (let n = 2; taken.has(name); n++) name = `${wanted}-${n}`;
    taken.add(name);
    names.set(path, name);
  }
  return names;
}

/** Which of a root's programs one would run: that of its attribute or package name, else the first. */
export function mainProgram(root: Root, programs: readonly string[]): string | null {
  const drvName = root.drvPath.slice(root.drvPath.indexOf("-") + 1, -".drv".length);
  const wanted = [root.attr.split(".").at(-1), drvName, drvName.replace(/-[0-9].*$/, "")];
  return (
    wanted.find((name) => name !== undefined && programs.includes(name)) ?? [...programs].sort()[0] ?? null
  );
}

/** A command line for a POSIX shell. */
export function shellCommand(argv: readonly string[]): string {
  return argv.map(shellQuote).join(" ");
}

function isDevShell({ attr }: Root): boolean {
  return /^devShells?\./.test(attr);
}

function command(purpose: SiteCommand["purpose"], argv: string[]): SiteCommand {
  return { argv, purpose, shell: shellCommand(argv) };
}

/** One word for a POSIX shell. */
function shellQuote(word: string): string {
  return /^[\w./:=@%+,-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`;
}
