/**
 * What a bundle's roots ask for, and so who needs a path: the starting points ("seeds") of every set of paths
 * in docs/format.md, section 3, each with words for people.
 */
import type { BundleDocument, Path } from "../generated/types.js";
import { closure } from "../nix/closure.js";
import type { PackedDerivations } from "./packed.js";

export type Kind = Path["kinds"][number];

/** A path that something asks for by itself; unless it is a flake source, its closure comes along. */
export interface Seed {
  readonly kind: Kind;
  readonly path: string;
  /** Who asks for it, for people: `root packages.x86_64-linux.default`, `input nixpkgs`. */
  readonly label: string;
}

/** Names given for one path at most. */
const MAX_NEEDED_BY = 8;

/** The kinds that each tier promises. */
const TIER_KINDS: Readonly<Record<BundleDocument["tier"], ReadonlySet<Kind>>> = {
  runtime: new Set<Kind>(["flake", "evaluation", "output"]),
  build: new Set<Kind>(["flake", "evaluation", "output", "derivation", "input"]),
  source: new Set<Kind>(["flake", "evaluation", "output", "derivation", "input", "fixed"]),
};

/**
 * The seeds of every set that the document's tier promises. Those of kinds `input` and `fixed` come from
 * derivations, so that they are complete only when all derivations are at hand.
 */
export function seedsOf(document: BundleDocument, packed: PackedDerivations): Seed[] {
  const { flake, inputs, evaluation, roots, paths } = document;
  const seeds: Seed[] = [];
  const add = (kind: Kind, path: string | null, label: string) => {
    if (path !== null) seeds.push({ kind, path, label });
  };

  for (const root of roots) {
    const label = rootLabel(root);
    const kind = root.purpose === "output" ? "output" : "evaluation";
    for (const { path } of root.outputs) add(kind, path, label);
    add("derivation", root.drvPath, label);
    for (const path of packed.inputsOf(root.drvPath)) add("input", path, `derivation ${root.drvPath}`);
  }
  add("flake", flake.storePath, "the top flake");
  for (const { node, storePath } of inputs) add("flake", storePath, `input ${node}`);
  add("flake", evaluation.wrapper, "the wrapper flake");
  for (const { storePath, cause } of paths) {
    if (cause !== null) add("evaluation", storePath, `evaluation (${cause})`);
  }
  for (const drvPath of derivationClosure(document)) {
    for (const output of packed.byPath.get(drvPath)?.outputs.values() ?? []) {
      if (output.kind === "fixed") add("fixed", output.path, `derivation ${drvPath}`);
    }
  }
  return seeds.filter(({ kind }) => TIER_KINDS[document.tier].has(kind));
}

function rootLabel({ purpose, attr, drvPath }: BundleDocument["roots"][number]): string {
  return purpose === "output" ? `root ${attr}` : `import from derivation ${drvPath}`;
}

/** The .drv files that the roots lead to, themselves included; absent ones too. */
export function derivationsNeeded({ roots }: BundleDocument, byPath: ReadonlyMap<string, Path>): string[] {
  const reached = closure(
    byPath,
    roots.map(({ drvPath }) => drvPath),
  );
  return reached.filter((path) => path.endsWith(".drv"));
}

/** Of these, those that are in the bundle. */
export function derivationClosure(document: BundleDocument): string[] {
  const byPath = new Map(document.paths.map((path) => [path.storePath, path]));
  return derivationsNeeded(document, byPath).filter((path) => byPath.has(path));
}

/** Answers who needs a path. Built once, for all questions. */
export class Needs {
  readonly #direct = new Map<string, string[]>();
  /** For what was reached by references: the seed's label, and the path that refers to it, on a shortest way. */
  readonly #reached = new Map<string, { label: string; from: string | undefined }>();

  constructor(document: BundleDocument, seeds: readonly Seed[]) {
    const byPath = new Map(document.paths.map((path) => [path.storePath, path]));
    for (const { path, label } of seeds) {
      const labels = this.#direct.get(path) ?? [];
      if (labels.length < MAX_NEEDED_BY && !labels.includes(label)) labels.push(label);
      this.#direct.set(path, labels);
      if (!this.#reached.has(path)) this.#reached.set(path, { label, from: undefined });
    }
    // A Map's iteration also visits what is added while it runs: breadth first.
    for (const [path, { label }] of this.#reached) {
      for (const reference of byPath.get(path)?.references ?? []) {
        if (!this.#reached.has(reference)) this.#reached.set(reference, { label, from: path });
      }
    }
  }

  /** Who asks for `path`: all that name it, else one root that leads to it and what refers to it. */
  of(path: string): string[] {
    const direct = this.#direct.get(path);
    if (direct !== undefined) return [...direct];
    const reached = this.#reached.get(path);
    if (reached === undefined) return [];
    const { label, from } = reached;
    return from === undefined
      ? [label]
      : [label, from.endsWith(".drv") ? `derivation ${from}` : `path ${from}`];
  }
}
