/** What changed from one release's document to the next, in the words of a flake: inputs, roots, packages. */
import type { BundleDocument, Changes, NamedChange } from "../generated/types.js";

/** Of documents that hold; either may be of any product. */
export function changesBetween(before: BundleDocument, after: BundleDocument): Changes {
  return {
    inputs: compare(inputsOf(before), inputsOf(after)),
    roots: compare(rootsOf(before), rootsOf(after)),
    packages: compare(packagesOf(before), packagesOf(after)),
    documents: compare(
      new Map(before.docs.map(({ name, sha256 }) => [name, sha256])),
      new Map(after.docs.map(({ name, sha256 }) => [name, sha256])),
    ),
    paths: {
      added: countNew(before, after),
      removed: countNew(after, before),
    },
  };
}

/** By the lock's node: its narHash, or the parent in whose tree it lies. And the flake itself. */
function inputsOf({ inputs, flake }: BundleDocument): Map<string, string> {
  return new Map([
    ["(the flake itself)", flake.rev ?? flake.narHash],
    ...inputs.map(({ node, narHash, parent }): [string, string] => [node, narHash ?? `in ${parent}`]),
  ]);
}

function rootsOf({ roots }: BundleDocument): Map<string, string> {
  const named = roots.filter(({ purpose }) => purpose === "output");
  return new Map(named.map(({ attr, outputs }) => [attr, outputs.map(({ path }) => path).join(" ")]));
}

/** By name without version: the versions, of all paths that are no derivations. */
function packagesOf({ paths, storeDir }: BundleDocument): Map<string, string> {
  const versions = new Map<string, Set<string>>();
  for (const { storePath } of paths) {
    const full = storePath.slice(storeDir.length + 34);
    if (full.endsWith(".drv")) continue;
    const { name, version } = splitName(full);
    if (version !== "") versions.set(name, (versions.get(name) ?? new Set()).add(version));
  }
  return new Map([...versions].map(([name, found]) => [name, [...found].sort().join(", ")]));
}

/** As builtins.parseDrvName does: the version begins at the first dash that no letter follows. */
function splitName(full: string): { readonly name: string; readonly version: string } {
  const at = /-(?![a-zA-Z])/.exec(full)?.index;
  return at === undefined
    ? { name: full, version: "" }
    : { name: full.slice(0, at), version: full.slice(at + 1) };
}

function compare(before: ReadonlyMap<string, string>, after: ReadonlyMap<string, string>): NamedChange[] {
  const names = [...new Set([...before.keys(), ...after.keys()])].sort();
  return names.flatMap((name) => {
    const [from = null, to = null] = [before.get(name), after.get(name)];
    return from === to ? [] : [{ name, before: from, after: to }];
  });
}

function countNew(before: BundleDocument, after: BundleDocument): number {
  const known = new Set(before.paths.map(({ storePath }) => storePath));
  return after.paths.filter(({ storePath }) => !known.has(storePath)).length;
}
