/** What a pack is asked for, as derivations: attributes that were named, or every output of the flake. */
import type { Finding } from "../../errors.js";
import type * as nix from "../../host/nix/index.js";
import type { Variable } from "../../nix/environment.js";
import { isNixosConfiguration } from "../../nix/flake-outputs.js";
import { allOutputs } from "./all-outputs.js";
import { type EvaluatedRoot, evaluateRoots, evaluateWhole } from "./evaluate.js";
import type { TopFlake } from "./flake.js";
import { type DerivationFiles, readDerivations } from "./gather.js";
import type { Installables, PackOptions } from "./request.js";

export interface Asked {
  readonly roots: readonly EvaluatedRoot[];
  /** Of the roots, and all that they depend on. */
  readonly derivations: DerivationFiles;
  /** What `--all` does not take. */
  readonly leftOut: readonly string[];
  readonly findings: readonly Finding[];
}

/** The attributes that were asked for, or all that there are, and their derivations. */
export async function evaluateAsked(
  context: nix.NixContext,
  about: {
    readonly installables: Installables;
    readonly top: TopFlake;
    readonly systems: readonly string[];
    readonly options: Pick<PackOptions, "all" | "except">;
    readonly variables: readonly Variable[];
    readonly realStoreDir: string;
  },
): Promise<Asked> {
  const { installables, top, systems, options, variables, realStoreDir } = about;
  const { ref } = installables;
  if (!options.all) {
    const attrs = installables.attrs.length > 0 ? installables.attrs : (top.project.roots ?? []);
    const { roots, findings } = await evaluateRoots(context, { ref, attrs }, { systems, variables });
    const derivations = await readDerivations(drvPathsOf(roots), realStoreDir);
    return {
      roots,
      derivations,
      leftOut: [],
      findings: [...findings, ...foreignPrograms(roots, derivations)],
    };
  }
  const all = await allOutputs(context, top.url, {
    systems,
    except: options.except,
    impure: variables.length > 0,
  });
  const { roots, findings } = await evaluateWhole(context, { ref, attrs: all.attrs }, variables);
  const every = await readDerivations(drvPathsOf(roots), realStoreDir);
  // Whose system a configuration is for, only its evaluation shows.
  const isForeign = ({ attr, drvPath }: EvaluatedRoot) =>
    isNixosConfiguration(attr) && !systems.includes(every.derivations.byPath.get(drvPath)!.system);
  const foreign = roots.filter(isForeign).map(({ attr }) => attr);
  const own = roots.filter((root) => !isForeign(root));
  const derivations = foreign.length > 0 ? await readDerivations(drvPathsOf(own), realStoreDir) : every;
  return {
    roots: own,
    derivations,
    leftOut: [...all.leftOut, ...foreign].sort(),
    findings: [...all.findings, ...findings, ...foreignPrograms(own, derivations)],
  };
}

export function drvPathsOf(roots: readonly EvaluatedRoot[]): string[] {
  return roots.map(({ drvPath }) => drvPath);
}

/** Apps whose program does not lie in what their derivation makes. */
function foreignPrograms(roots: readonly EvaluatedRoot[], { derivations }: DerivationFiles): Finding[] {
  return roots.flatMap(({ attr, drvPath, program }): Finding[] => {
    if (program === undefined) return [];
    const outputs = [...derivations.byPath.get(drvPath)!.outputs.values()];
    if (outputs.some((output) => "path" in output && program.startsWith(`${output.path}/`))) return [];
    const expected = `a program in an output of ${drvPath}`;
    return [{ code: "ATTR_UNSUPPORTED", subject: attr, expected, actual: program }];
  });
}
