/**
 * Variables that an evaluation may be given by name: which names and values there are, and which names Nix itself, or what
 * it starts, goes by. What is done with them is for others.
 */

export interface Variable {
  readonly name: string;
  readonly value: string;
}

/** Variables of one evaluation. */
export const MAX_VARIABLES = 100;
/** Characters of a value. */
export const MAX_VALUE = 4096;

/** What Nix needs to find itself, its settings, stores and sources: where these lie, not what they are. */
const NIX_NEEDS =
  /^(PATH|HOME|TMPDIR|LANG|LC_.*|XDG_.*|NIX_.*|GIT_.*|SSH_.*|SSL_CERT_(FILE|DIR)|CURL_CA_BUNDLE|(HTTPS?|FTP|ALL|NO)_PROXY)$/i;
/** They change what a program is. */
const CHANGES_PROGRAMS = /^(LD|DYLD|NODE|BASH|GLIBC|MALLOC)_.*$|^(BASH_ENV|ENV|IFS|PS4|SHELLOPTS|BASHOPTS)$/;

/** Nix's options for an evaluation that sees its environment: without the search path that a machine has by itself. */
export const IMPURE: readonly string[] = ["--impure", "--option", "nix-path", ""];

/** Sets the search path, so that it says what is evaluated. */
const SEARCH_PATH = "NIX_PATH";

export function isNeededByNix(name: string): boolean {
  return NIX_NEEDS.test(name) && name !== SEARCH_PATH;
}

/** Why there is no such variable, in words for people; null where there may be. */
export function variableProblem({ name, value }: Variable): string | null {
  if (!/^[A-Za-z_][A-Za-z0-9_]{0,127}$/.test(name)) return "a name of letters, digits and _ (at most 128)";
  if (NIX_NEEDS.test(name) || CHANGES_PROGRAMS.test(name)) {
    return "another name: Nix, or a program that it starts, goes by this one";
  }
  if (value.length > MAX_VALUE) return `a value of at most ${MAX_VALUE} characters`;
  if (/[\x00-\x1f\x7f]/.test(value)) return "a value of one line, without control characters";
  return /\p{Surrogate}/u.test(value) ? "a value in UTF-8" : null;
}
