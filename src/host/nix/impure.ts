/** Evaluation under named variables: the environment of a Nix that sees these, and nothing else that is the user's. */
import { isNeededByNix, type Variable } from "../../nix/environment.js";
import type { NixContext } from "./invoke.js";

/** On this machine, where Nix must still find its settings and the flake's sources. */
export function withVariables(nix: NixContext, variables: readonly Variable[]): NixContext {
  const needed = Object.entries(nix.env).filter(([name]) => isNeededByNix(name));
  return { ...nix, env: { ...Object.fromEntries(needed), ...byName(variables) } };
}

/** As on a site: another home, another folder to stand in. `dir`: one that is empty. */
export function onOtherMachine(nix: NixContext, variables: readonly Variable[], dir: string): NixContext {
  const kept = Object.entries(nix.env).filter(([name]) => /^(NIX_(?!PATH$).*|TMPDIR)$/.test(name));
  const env = { ...Object.fromEntries(kept), LC_ALL: "C.UTF-8", HOME: dir, ...byName(variables) };
  return { ...nix, env, cwd: dir };
}

function byName(variables: readonly Variable[]): Record<string, string> {
  return Object.fromEntries(variables.map(({ name, value }) => [name, value]));
}
