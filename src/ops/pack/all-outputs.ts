/**
 * What `--all` stands for: the outputs of a flake that Nix itself knows as derivations of a system, or that lead to one.
 * `nix flake show` would name them too, but stops at the first that does not evaluate, and its shape moves.
 */
import type { Finding } from "../../errors.js";
import * as nix from "../../host/nix/index.js";
import { formatAttrPath, parseAttrPath } from "../../nix/attr-path.js";
import { wholeAttr } from "../../nix/flake-outputs.js";
import { evaluationFinding } from "./nix-words.js";

export interface AllOutputs {
  /** Whole attribute paths, as the command line takes them. */
  readonly attrs: readonly string[];
  /** What the flake has besides: outputs by their first name, and what `except` names. */
  readonly leftOut: readonly string[];
  readonly findings: readonly Finding[];
}

/** `url`: a locked reference. `except`: attributes to leave out; one that the flake does not have is a finding. */
export async function allOutputs(
  context: nix.NixContext,
  url: string,
  about: {
    readonly systems: readonly string[];
    readonly except: readonly string[];
    readonly impure: boolean;
  },
): Promise<AllOutputs> {
  const attrs = new Set<string>();
  const others = new Set<string>();
  const findings: Finding[] = [];
  for (const system of about.systems) {
    const outcome = await nix.flakeOutputNames(context, url, system, about);
    if (!outcome.ok) return { attrs: [], leftOut: [], findings: [evaluationFinding(url, outcome.message)] };
    for (const name of outcome.names.others) others.add(name);
    for (const names of outcome.names.outputs) {
      const attr = formatAttrPath(names);
      if (attr === null) findings.push(unspeakable(names));
      else attrs.add(wholeAttr(attr));
    }
  }
  const except = new Set<string>();
  for (const asked of about.except) {
    const matching = matchesOf(asked, attrs, about.systems);
    for (const attr of matching) except.add(attr);
    if (matching.length === 0) {
      const actual = [...attrs].sort().join(", ") || "no output of these systems";
      findings.push({ code: "ATTR_MISSING", subject: `--except ${asked}`, expected: "one of --all", actual });
    }
  }
  return {
    attrs: [...attrs].filter((attr) => !except.has(attr)).sort(),
    leftOut: [...except, ...others].sort(),
    findings,
  };
}

/** As an installable is meant: a package of every system, or a whole path. */
function matchesOf(asked: string, attrs: ReadonlySet<string>, systems: readonly string[]): string[] {
  const names = parseAttrPath(asked);
  const candidates = [names, ...systems.map((system) => ["packages", system, ...names])];
  return candidates.flatMap((candidate) => {
    const attr = formatAttrPath(candidate);
    return attr !== null && attrs.has(wholeAttr(attr)) ? [wholeAttr(attr)] : [];
  });
}

function unspeakable(names: readonly string[]): Finding {
  return {
    code: "ATTR_UNSUPPORTED",
    subject: names.map((name) => JSON.stringify(name)).join("."),
    expected: "names without double quotes and control characters, which Nix's command line cannot take",
    hint: "Give the output another name in flake.nix.",
  };
}
