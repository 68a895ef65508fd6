/**
 * What a person types on site after a restore: to build, run, enter or load a root with no network, in the store that was
 * restored to. Pure; the same words go into receipts, the terminal, and tests, which run them.
 */

import type { BundleDocument, Root, SiteCommand } from "../generated/types.js";
import { IMPURE } from "../nix/environment.js";
import { formatFragment } from "../nix/flake-fragment.js";
import { isApp, isDevShell } from "../nix/flake-outputs.js";
import { isShellBash } from "./shell-bash.js";
import { siteReference } from "./site-reference.js";

export interface SiteSettings {
  /** For `--store`. */
  readonly storeUri: string;
  /** Host paths that the sandbox lends to builders: `nix develop` builds a small derivation of its own. */
  readonly sandboxPaths: readonly string[];
  /** Nix settings that this machine needs, by name. */
  readonly options: Readonly<Record<string, string>>;
}

/** What lies on disk of a root's main output. */
export interface FoundOutput {
  /** The path to it that people use: a short link, else where it lies. */
  readonly place: string;
  /** Whether what it refers to in /nix/store is there: not so in a store whose root is a folder. */
  readonly isInPlace: boolean;
  /** The name of a program in its `bin` folder, if there is any. */
  readonly program: string | null;
  /** Where it is a container image. */
  readonly image: {
    readonly kind: "docker-archive" | "oci-archive" | "stream";
    readonly isZipped: boolean;
    /** `name:tag`. */
    readonly name: string | null;
  } | null;
}

/** The commands for one root. */
export function siteCommands(
  document: BundleDocument,
  root: Root,
  settings: SiteSettings,
  found: FoundOutput,
): SiteCommand[] {
  const { place, isInPlace, program, image } = found;
  const reference = `${flakeReference(document)}#${formatFragment(root.attr)}`;
  // The settings that a flake asks for (nixConfig) are not taken; and with this log format nobody is asked whether to.
  const quiet = ["--log-format", "raw"];
  const options = {
    ...settings.options,
    substituters: "",
    "use-registries": "false",
    "accept-flake-config": "false",
  };
  const lent =
    settings.sandboxPaths.length > 0 ? ["--option", "sandbox-paths", settings.sandboxPaths.join(" ")] : [];
  const { pure, env } = document.evaluation;
  const nix = (subcommand: string, ...more: string[]) => [
    ...(pure ? [] : ["env", ...env.map(({ name, value }) => `${name}=${value}`)]),
    ...["nix", "--extra-experimental-features", "nix-command flakes", subcommand],
    ...["--offline", "--store", settings.storeUri],
    ...Object.entries(options).flatMap(([name, value]) => ["--option", name, value]),
    ...quiet,
    ...(pure ? [] : IMPURE),
    ...["--no-update-lock-file", ...more],
  ];
  // Nix itself starts it, from what the flake's lock names.
  if (isShellBash(root.attr)) return [];
  // Of an app Nix builds what it needs, and runs it.
  if (isApp(root.attr)) return [command("run", nix("run", reference))];
  const commands = [command("build", nix("build", "--no-link", "--json", reference))];
  const inStore = (...argv: string[]) => nix("shell", reference, "--command", ...argv);
  if (program !== null) {
    commands.push(command("run", isInPlace ? [`${place}/bin/${program}`] : inStore(program)));
  }
  if (image !== null) {
    const writer = isInPlace ? [place] : inStore(mainOutput(root).path);
    commands.push(...loadCommands(image, place, writer));
  }
  // A runtime bundle lacks what the shell's derivation is made from.
  if (isDevShell(root.attr) && document.tier !== "runtime")
    commands.push(command("enter", nix("develop", ...lent, reference)));
  return commands;
}

/** The output that one means by a root's name. */
export function mainOutput({ outputs }: Root): Root["outputs"][number] {
  return outputs.find(({ name }) => name === "out") ?? outputs[0]!;
}

/** Each by itself loads the image. `writer`: what runs a script that streams one. */
function loadCommands(
  { kind, isZipped, name }: NonNullable<FoundOutput["image"]>,
  place: string,
  writer: readonly string[],
): SiteCommand[] {
  if (kind === "stream") {
    return ["docker", "podman"].map((tool) => shellLine("load", `${shellCommand(writer)} | ${tool} load`));
  }
  const docker = command("load", ["docker", "load", "-i", place]);
  const podman = ["podman", "load", "-i", place];
  const skopeo = (file: string) => [
    "skopeo",
    "copy",
    `${kind}:${file}`,
    `docker-daemon:${withTag(name ?? "image")}`,
  ];
  if (!isZipped) return [docker, command("load", podman), command("load", skopeo(place))];
  // Debian's skopeo 1.9 unzips only a part, and podman has that from the same library.
  const unzip = shellCommand(["gunzip", "-c", place]);
  return [
    docker,
    shellLine("load", `${unzip} | podman load`),
    shellLine("load", `${unzip} > image.tar && ${shellCommand(skopeo("image.tar"))}`),
  ];
}

function withTag(name: string): string {
  return /:[^/]*$/.test(name) ? name : `${name}:latest`;
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

function command(purpose: SiteCommand["purpose"], argv: string[]): SiteCommand {
  return { argv, purpose, shell: shellCommand(argv) };
}

/** For what takes a shell. */
function shellLine(purpose: SiteCommand["purpose"], shell: string): SiteCommand {
  return { argv: ["sh", "-c", shell], purpose, shell };
}

/** One word for a POSIX shell. */
function shellQuote(word: string): string {
  return /^[\w./:=@%+,-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`;
}
