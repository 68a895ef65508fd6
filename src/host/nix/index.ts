/**
 * One typed function for each thing we ask of Nix; the only place that knows how Nix spells it. The spelling is
 * that of 2.8.0 and holds for 2.26 and 2.34 too, where it was measured.
 */
import { fail } from "../../errors.js";
import { IMPURE } from "../../nix/environment.js";
import { formatFragment } from "../../nix/flake-fragment.js";
import { NEWEST_TESTED_NIX, OLDEST_NIX, standingOf } from "../../nix/version.js";
import type { ProcessIo } from "../process-io.js";
import type { NixLogEvent } from "./internal-log.js";
import { chunkArguments, invokeNix, type NixContext, type NixOutcome, tryNix } from "./invoke.js";
import { type PathInfo, parsePathInfo, type StoredPathInfo } from "./path-info.js";
import { unpackedBytes } from "./words.js";

export type { NixLogEvent } from "./internal-log.js";
export type { NixContext } from "./invoke.js";
export type { PathInfo } from "./path-info.js";

const STORE_DIR = "/nix/store";

/** "2.8.0". @throws AirgapError NIX_FAILED */
export async function version(nix: NixContext): Promise<string> {
  const out = await invokeNix({ ...nix, options: {} }, "nix", ["--version"]);
  return /(\d[\w.+-]*)\s*$/.exec(out)?.[1] ?? fail("NIX_FAILED", { subject: "nix --version", actual: out });
}

/** The same, of a Nix that is old enough to be known; another is tried, with a note. @throws AirgapError NIX_FAILED, NIX_TOO_OLD */
export async function usableVersion(nix: NixContext): Promise<string> {
  const found = await version(nix);
  const standing = standingOf(found);
  if (standing === "too old") {
    fail("NIX_TOO_OLD", {
      subject: "the Nix of this machine",
      expected: `Nix ${OLDEST_NIX} or newer`,
      actual: `Nix ${found}`,
    });
  }
  if (standing === "unknown") {
    const text = `Nix ${found} is no release that this program was tested with (the newest is ${NEWEST_TESTED_NIX}): it is tried.`;
    nix.report({ type: "note", text });
  }
  return found;
}

/** The system Nix builds for, such as x86_64-linux. */
export function currentSystem(nix: NixContext): Promise<string> {
  return invokeNix(nix, "nix", ["eval", "--impure", "--raw", "--expr", "builtins.currentSystem"]);
}

export interface FlakeMetadata {
  /** Store path of the tree that holds the flake. */
  readonly path: string;
  readonly locked: {
    readonly type: string;
    readonly url?: string;
    readonly dir?: string;
    readonly ref?: string;
    readonly rev?: string;
    readonly revCount?: number;
    readonly lastModified?: number;
    readonly narHash?: string;
    readonly submodules?: boolean;
    readonly dirtyRev?: string;
    readonly owner?: string;
    readonly repo?: string;
    readonly host?: string;
  };
  readonly url: string;
}

/**
 * The lock file is never written. `locked`: a stale lock is an error. `as-if`: as if it had been brought up to date.
 * (Both flags together would let a stale lock through; none would rewrite the user's.)
 */
export async function flakeMetadata(
  nix: NixContext,
  ref: string,
  mode: "locked" | "as-if",
): Promise<NixOutcome & { readonly metadata: FlakeMetadata | null }> {
  const outcome = await tryNix(nix, "nix", [
    "flake",
    "metadata",
    "--json",
    mode === "locked" ? "--no-update-lock-file" : "--no-write-lock-file",
    ref,
  ]);
  return { ...outcome, metadata: outcome.ok ? (JSON.parse(outcome.stdout) as FlakeMetadata) : null };
}

/** Fetches the flake and all inputs of its lock into the store. @throws AirgapError NIX_FAILED */
export async function flakeArchive(nix: NixContext, ref: string): Promise<string[]> {
  interface Archived {
    readonly path?: string;
    readonly inputs?: Readonly<Record<string, Archived>>;
  }
  const out = await invokeNix(nix, "nix", ["flake", "archive", "--json", "--no-update-lock-file", ref]);
  const paths = new Set<string>();
  const stack: Archived[] = [JSON.parse(out) as Archived];
  for (let node = stack.pop(); node !== undefined; node = stack.pop()) {
    if (node.path !== undefined) paths.add(node.path);
    stack.push(...Object.values(node.inputs ?? {}));
  }
  return [...paths].sort();
}

/** What flake.nix says beside its outputs, as Nix takes it: plain values alone. */
export interface FlakeWords {
  /** A path is its text. */
  readonly nixConfig: Readonly<Record<string, unknown>>;
  /** Attributes of `inputs.self`. */
  readonly self: Readonly<Record<string, unknown>>;
}

/** `files`: flake.nix of flakes that Nix has read before. @throws AirgapError NIX_FAILED */
export async function flakeWords(nix: NixContext, files: readonly string[]): Promise<FlakeWords[]> {
  const words = `file: let flake = import file; in {
    nixConfig = builtins.mapAttrs (_: plain) (flake.nixConfig or { });
    self = builtins.mapAttrs (_: plain) (flake.inputs.self or { });
  }`;
  // A path in JSON would be copied to the store.
  const plain =
    "value: if builtins.isPath value then toString value else if builtins.isList value then map plain value else value";
  const list = files.map(quoteNix).join(" ");
  const expression = `let plain = ${plain}; in map (${words}) [ ${list} ]`;
  return JSON.parse(
    await invokeNix(nix, "nix", ["eval", "--json", "--impure", "--expr", expression]),
  ) as FlakeWords[];
}

/** Names of packages, checks and devShells of a system, for a message. Empty where Nix cannot tell. */
export async function flakeOutputs(nix: NixContext, ref: string, system: string): Promise<string[]> {
  const outcome = await tryNix(nix, "nix", ["flake", "show", "--json", "--no-update-lock-file", ref]);
  if (!outcome.ok) return [];
  const shown = JSON.parse(outcome.stdout) as Record<
    string,
    Record<string, Record<string, unknown>> | undefined
  >;
  return ["packages", "devShells", "checks"].flatMap((kind) =>
    Object.keys(shown[kind]?.[system] ?? {}).map((name) =>
      kind === "packages" ? name : `${kind}.${system}.${name}`,
    ),
  );
}

export interface OutputNames {
  /** Attribute paths, by their names. */
  readonly outputs: readonly (readonly string[])[];
  /** First names of what else there is. */
  readonly others: readonly string[];
}

/** The outputs of a system that are derivations or lead to one, without evaluating them. `url`: a locked flake reference. */
export async function flakeOutputNames(
  nix: NixContext,
  url: string,
  system: string,
  { impure = false }: Pick<EvalOptions, "impure"> = {},
): Promise<NixOutcome & { readonly names: OutputNames }> {
  const args = ["eval", "--json", "--expr", outputNames(url, system), ...(impure ? IMPURE : [])];
  const outcome = await tryNix(nix, "nix", args, { mayBuild: true });
  const names = outcome.ok ? (JSON.parse(outcome.stdout) as OutputNames) : { outputs: [], others: [] };
  return { ...outcome, names };
}

/** The outputs that `nix flake check` knows, those of older flakes among them. */
function outputNames(url: string, system: string): string {
  return `
    let
      outputs = (builtins.getFlake ${quoteNix(url)}).outputs;
      system = ${quoteNix(system)};
      of = kind: map (name: [ kind system name ]) (builtins.attrNames (outputs.\${kind}.\${system} or { }));
      one = kind: if outputs ? \${kind}.\${system} then [ [ kind system ] ] else [ ];
      configurations = map (name: [ "nixosConfigurations" name ]) (builtins.attrNames (outputs.nixosConfigurations or { }));
      many = [ "packages" "devShells" "checks" "apps" ];
      single = [ "formatter" "defaultPackage" "devShell" "defaultApp" ];
    in {
      outputs = builtins.concatMap of many ++ builtins.concatMap one single ++ configurations;
      others = builtins.attrNames (removeAttrs outputs (many ++ single ++ [ "nixosConfigurations" ]));
    }`;
}

/** A Nix string literal: no interpolation, whatever the text. */
function quoteNix(text: string): string {
  return `"${text.replace(/["\\$]/g, "\\$&")}"`;
}

export interface EvalOptions {
  /** A store to evaluate in; default: the context's. */
  readonly store?: string;
  /** A cache folder of its own: Nix's evaluation and fetcher caches hide what is missing. */
  readonly cacheDir?: string;
  /** The way a site does it: no network, no substitution, no registry, and no program to fetch with. */
  readonly offline?: boolean;
  readonly substituters?: string;
  /** Sees the environment of the context (impure.ts); no search path. */
  readonly impure?: boolean;
}

/** `REF#attr.drvPath`. */
export function evalDrvPath(
  nix: NixContext,
  ref: string,
  attr: string,
  options: EvalOptions = {},
): Promise<NixOutcome> {
  return evalFlake(nix, ["--raw", `${ref}#${formatFragment(attr)}.drvPath`], options);
}

/** The program of `REF#attr`, an app, and the derivations that its text was made from. */
export async function evalProgram(
  nix: NixContext,
  ref: string,
  attr: string,
  options: EvalOptions = {},
): Promise<NixOutcome & { readonly program: { readonly path: string; readonly derivations: string[] } }> {
  const apply =
    "program: { path = builtins.unsafeDiscardStringContext program; context = builtins.attrNames (builtins.getContext program); }";
  const args = ["--json", `${ref}#${formatFragment(attr)}.program`, "--apply", apply];
  const outcome = await evalFlake(nix, args, options);
  if (!outcome.ok) return { ...outcome, program: { path: "", derivations: [] } };
  const { path, context } = JSON.parse(outcome.stdout) as { path: string; context: string[] };
  return { ...outcome, program: { path, derivations: context.filter((name) => name.endsWith(".drv")) } };
}

/** `nix eval` of a flake's outputs. */
function evalFlake(nix: NixContext, what: readonly string[], options: EvalOptions = {}): Promise<NixOutcome> {
  const args = ["eval", "--show-trace", "--no-update-lock-file", ...what];
  if (options.store !== undefined) args.push("--store", options.store);
  if (options.substituters !== undefined) args.push("--option", "substituters", options.substituters);
  if (options.impure) args.push(...IMPURE);
  if (options.offline)
    args.push(
      ...["--offline", "--option", "substitute", "false", "--option", "use-registries", "false"],
      ...["--option", "max-jobs", "0", "--option", "builders", ""],
    );
  // A PATH without programs keeps Nix from running git; a proxy that nobody serves keeps curl from the network.
  const isolated = {
    PATH: "/var/empty",
    http_proxy: "http://127.0.0.1:9",
    https_proxy: "http://127.0.0.1:9",
    all_proxy: "http://127.0.0.1:9",
    no_proxy: "",
    NO_PROXY: "",
  };
  const env = {
    ...(options.cacheDir ? { XDG_CACHE_HOME: options.cacheDir } : {}),
    ...(options.offline ? isolated : {}),
  };
  return tryNix(nix, "nix", args, { env, mayBuild: true });
}

/** Everything that is valid in a store. */
export async function allPathInfo(nix: NixContext, store: string): Promise<StoredPathInfo[]> {
  return parsePathInfo(
    await invokeNix(nix, "nix", ["path-info", "--json", "--all", "--store", store]),
    STORE_DIR,
  );
}

/** The valid ones of these paths, with their closure where `recursive`. Not for .drv files: Nix 2.8 reads those as their outputs. */
export async function pathInfo(
  nix: NixContext,
  paths: readonly string[],
  { recursive = false, store }: { recursive?: boolean; store?: string } = {},
): Promise<PathInfo[]> {
  const infos = new Map<string, PathInfo>();
  for (const chunk of chunkArguments(paths)) {
    const args = [
      "path-info",
      "--json",
      ...(recursive ? ["--recursive"] : []),
      ...(store ? ["--store", store] : []),
    ];
    const out = await invokeNix(nix, "nix", [...args, ...chunk]);
    for (const info of parsePathInfo(out, STORE_DIR)) infos.set(info.storePath, info);
  }
  return [...infos.values()];
}

/** Those of these paths, .drv files too, that are not valid in the store. Nothing is built or fetched. @throws AirgapError NIX_FAILED */
export async function invalidPaths(
  nix: NixContext,
  paths: readonly string[],
  store: string,
): Promise<Set<string>> {
  const invalid = new Set<string>();
  for (const chunk of chunkArguments(paths)) {
    const args = ["--store", store, "--check-validity", "--print-invalid", ...chunk];
    const out = await invokeNix(nix, "nix-store", args);
    for (const path of out.split("\n")) if (path !== "") invalid.add(path);
  }
  return invalid;
}

/** Makes a store where there is none, without anything in it. @throws AirgapError NIX_FAILED */
export async function openStore(nix: NixContext, store: string): Promise<void> {
  await invokeNix(nix, "nix-store", ["--store", store, "--check-validity"]);
}

/** Adds a folder as a content-addressed source named like it; its store path. @throws AirgapError NIX_FAILED */
export async function addPath(nix: NixContext, folder: string, store?: string): Promise<string> {
  const out = await invokeNix(nix, "nix-store", [...(store ? ["--store", store] : []), "--add", folder]);
  return out.trim();
}

/** Deletes paths from a scratch store. @throws AirgapError NIX_FAILED */
export async function deletePaths(nix: NixContext, paths: readonly string[], store: string): Promise<void> {
  for (const chunk of chunkArguments(paths))
    await invokeNix(nix, "nix-store", ["--store", store, "--delete", ...chunk]);
}

/**
 * Makes symlinks `<link>`, `<link>-2`, … to these valid paths, and tells the store, which may be a daemon's, that they are
 * roots. Outputs and sources, or .drv files: not both. Builds and fetches nothing. @throws AirgapError NIX_FAILED
 */
export async function addRoots(
  nix: NixContext,
  link: string,
  paths: readonly string[],
  store: string,
): Promise<void> {
  const about = ["--store", store, "--add-root", link];
  if (!paths[0]?.endsWith(".drv")) {
    await invokeNix(nix, "nix-store", [...about, "--realise", ...paths]);
    return;
  }
  // `nix-store --realise` roots what a derivation gives; this one roots the derivation.
  const list = paths.map((path) => JSON.stringify(path)).join(" ");
  await invokeNix(nix, "nix-instantiate", [...about, "--expr", `map import [ ${list} ]`]);
}

export interface RealiseOptions {
  readonly store?: string;
  readonly keepGoing?: boolean;
  readonly keepFailed?: boolean;
  readonly extra?: readonly string[];
  readonly onEvent?: (event: NixLogEvent) => void;
}

/**
 * Builds or substitutes. Targets: `X.drv` (all its outputs), `X.drv!out` or an output path's store path. With
 * `keepGoing` each part is tried; the outcome of the first that failed is returned.
 */
export async function realise(
  nix: NixContext,
  targets: readonly string[],
  options: RealiseOptions = {},
): Promise<NixOutcome> {
  const args = [
    "--realise",
    ...(options.keepGoing ? ["--keep-going"] : []),
    ...(options.keepFailed ? ["--keep-failed"] : []),
  ];
  if (options.store !== undefined) args.push("--store", options.store);
  args.push(...(options.extra ?? []));
  let failed: NixOutcome | undefined;
  for (const chunk of chunkArguments(targets)) {
    const outcome = await tryNix(nix, "nix-store", [...args, ...chunk], {
      mayBuild: true,
      ...(options.onEvent ? { onEvent: options.onEvent } : {}),
    });
    if (!outcome.ok) failed ??= outcome;
    if (failed && !options.keepGoing) break;
  }
  return failed ?? { ok: true, stdout: "", message: "" };
}

/** Bytes of NARs, about, that substituters have and the store lacks. 0 where Nix cannot tell. Fetches nothing. @throws AirgapError INTERRUPTED */
export async function bytesToFetch(nix: NixContext, targets: readonly string[]): Promise<number> {
  let bytes = 0;
  const onEvent = (event: NixLogEvent): void => {
    if (event.type === "message") bytes += unpackedBytes(event.text);
  };
  for (const chunk of chunkArguments(targets)) {
    await tryNix(nix, "nix-store", ["--realise", "--dry-run", ...chunk], { onEvent });
  }
  return bytes;
}

/**
 * `moved`: bytes of NARs, and of what goes with them, that this call of Nix has read or written so far. `staged`: bytes of
 * a blob that are where Nix can read them.
 */
export type CopyEvent =
  | NixLogEvent
  | { readonly type: "moved"; readonly bytes: number }
  | { readonly type: "staged"; readonly blob: string; readonly bytes: number };

export interface CopyOptions {
  readonly from?: string;
  readonly to?: string;
  /** Also what the paths refer to, at any depth; true unless given. */
  readonly recursive?: boolean;
  readonly onEvent?: (event: CopyEvent) => void;
}

/**
 * Copies outputs and sources, then derivations: Nix 2.8 cannot take both in one call, and reads a .drv as its output
 * unless told. Signatures are checked by the receiving store's settings. @throws AirgapError NIX_FAILED
 */
export async function copy(nix: NixContext, paths: readonly string[], options: CopyOptions): Promise<void> {
  const ends = [
    ...(options.from ? ["--from", options.from] : []),
    ...(options.to ? ["--to", options.to] : []),
    ...(options.recursive === false ? ["--no-recursive"] : []),
  ];
  const { onEvent } = options;
  // A cache is read compressed, and a store is read as it is.
  const side = options.from ? "written" : "read";
  const onIo = (io: ProcessIo) => onEvent?.({ type: "moved", bytes: io[side] });
  const events = onEvent ? { onEvent, onIo } : {};
  for (const derivation of [false, true]) {
    const kind = paths.filter((path) => path.endsWith(".drv") === derivation);
    for (const chunk of chunkArguments(kind)) {
      await invokeNix(
        nix,
        "nix",
        ["copy", ...(derivation ? ["--derivation"] : []), ...ends, ...chunk],
        events,
      );
    }
  }
}
