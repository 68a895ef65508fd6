/**
 * Nix on the packer's machine: the user's own store, configuration and environment, since it is they who can reach
 * the sources. (A site's Nix is another matter: there nothing of the environment counts.)
 */
import { readFile } from "node:fs/promises";
import type { Report } from "../../events.js";
import type { TargetStore } from "../store.js";
import { findNix, type NixContext } from "./invoke.js";

export interface PackerContext {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly cwd: string;
  readonly signal: AbortSignal;
  readonly report: Report;
}

/**
 * Never handed on: they change what a program is, or which repository git works in (`git rev-parse --local-env-vars`:
 * a git hook has them set), not where sources are.
 */
const DROPPED = new RegExp(
  `^(${[
    "(NODE|LD|npm)_.*",
    "NIX_DATA_HOME",
    "BASH_ENV|BASH_FUNC_.*|BASHOPTS|ENV|IFS|PS4|SHELLOPTS",
    "GIT_(ALTERNATE_OBJECT_DIRECTORIES|COMMON_DIR|CONFIG|CONFIG_(COUNT|KEY_.*|PARAMETERS|VALUE_.*)|DIR|EXEC_PATH)",
    "GIT_(GRAFT_FILE|IMPLICIT_WORK_TREE|INDEX_FILE|INTERNAL_SUPER_PREFIX|NAMESPACE|NO_REPLACE_OBJECTS)",
    "GIT_(OBJECT_DIRECTORY|PREFIX|REPLACE_REF_BASE|SHALLOW_FILE|TEMPLATE_DIR|WORK_TREE)",
  ].join("|")})$`,
);

export interface PackerSettings {
  /** Default: the user's own. */
  readonly store?: TargetStore | undefined;
  /** Absolute path of a netrc file. Nix reads it; nobody copies it. */
  readonly netrc?: string | undefined;
}

export interface PackerNix {
  readonly nixContext: NixContext;
  /** Where the files of /nix/store lie. */
  readonly realStoreDir: string;
  /** The store, as another one may be told to take from it what it lacks. */
  readonly substituter: string;
}

/** @throws AirgapError NIX_MISSING */
export async function packerNix(
  context: PackerContext,
  { store, netrc }: PackerSettings = {},
): Promise<PackerNix> {
  const { cwd, signal, report } = context;
  const entries = Object.entries(context.env).flatMap(([name, value]): [string, string][] =>
    value === undefined || DROPPED.test(name) ? [] : [[name, value]],
  );
  const given = Object.fromEntries(entries);
  const env = {
    ...given,
    // There Nix keeps which settings of a flake (nixConfig) its user has once accepted.
    XDG_DATA_HOME: "/var/empty",
    LC_ALL: "C.UTF-8",
    ...(store === undefined ? {} : storeVariable(store, given)),
  };
  const binDir = await findNix(context.env["PATH"]);
  const options = {
    ...(await buildUsersOption()),
    "accept-flake-config": "false",
    "warn-dirty": "false",
    ...(netrc === undefined ? {} : { "netrc-file": netrc }),
  };
  return {
    nixContext: { binDir, env, options, cwd, signal, report },
    realStoreDir: store?.realStoreDir ?? "/nix/store",
    substituter: store === undefined ? "auto?trusted=1" : withTrust(store.uri),
  };
}

/** Before what names another store on its command line, and after all files with settings. */
function storeVariable({ uri }: TargetStore, env: Readonly<Record<string, string>>): { NIX_CONFIG: string } {
  return { NIX_CONFIG: `${env["NIX_CONFIG"] ?? ""}\nstore = ${uri}\n` };
}

/** What lies in the packer's own store needs no signature. */
function withTrust(uri: string): string {
  return `${uri}${uri.includes("?") ? "&" : "?"}trusted=1`;
}

/**
 * As root Nix builds as users of the group nixbld, and refuses where that group does not exist, as after a plain
 * `apt-get install nix-bin`: then it builds as root.
 */
export async function buildUsersOption(): Promise<Readonly<Record<string, string>>> {
  if (process.getuid?.() !== 0) return {};
  const groups = await readFile("/etc/group", "utf8").catch(() => "");
  return /^nixbld:/m.test(groups) ? {} : { "build-users-group": "" };
}
