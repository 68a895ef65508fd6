/**
 * One document of several: bundles of one release that were packed for different systems. Pure. Its roots and paths are those
 * of all parts; what follows from them (kinds, derivers, systems) is told anew. The order of the parts makes no difference.
 */
import { formatJson } from "../canonical-json.js";
import type { Code, Finding } from "../errors.js";
import type { BundleDocument, Flake, Path, Root } from "../generated/types.js";
import type { Derivation } from "../nix/derivation.js";
import { KINDS, kindSets } from "./kinds.js";
import { seedsOf } from "./needs.js";
import { PackedDerivations } from "./packed.js";
import { totalsOf } from "./totals.js";

export interface Part {
  /** Its bundle, for findings. */
  readonly label: string;
  readonly document: BundleDocument;
  /** Every .drv of the bundle. */
  readonly derivations: ReadonlyMap<string, Derivation>;
}

/** A document is given exactly when there are no findings. */
export type Joined =
  | { readonly document: BundleDocument; readonly findings: readonly [] }
  | { readonly document: null; readonly findings: readonly Finding[] };

/** What the bundles of one release have in common. */
const COMMON = [
  ...["created", "evaluation", "features", "format", "inputs", "previous", "product", "release", "requires"],
  ...["sequence", "storeDir", "tier", "version"],
] as const satisfies readonly (keyof BundleDocument)[];

/** And of their flake. Where it was fetched from, and under which name of a branch, each machine and Nix says in its own way. */
const COMMON_OF_FLAKE = [
  "dir",
  "lastModified",
  "lock",
  "narHash",
  "rev",
  "revCount",
  "storePath",
  "submodules",
] as const satisfies readonly (keyof Flake)[];

/** `parts`: verified, at least one. Sizes and totals are complete; nothing is signed for it. */
export function joinDocuments(parts: readonly Part[]): Joined {
  // Which part stands first where nothing else decides must not depend on the command line.
  const sorted = parts
    .map((part) => ({ part, key: formatJson(part.document) }))
    .sort((a, b) => (a.key < b.key ? -1 : 1))
    .map(({ part }) => part);
  const differing = checkCommon(sorted);
  if (differing.length > 0) return { document: null, findings: differing };

  const conflicts = new Conflicts();
  const roots = joinRoots(sorted, conflicts);
  const docs = joinList(sorted, conflicts, {
    of: ({ docs }) => docs,
    keyOf: ({ name }) => name,
    subject: (name) => `docs/${name}`,
  });
  const knownIrreproducible = joinList(sorted, conflicts, {
    of: (document) => document.knownIrreproducible,
    keyOf: ({ drvPath }) => drvPath,
    subject: (drvPath) => `knownIrreproducible ${drvPath}`,
  });
  const paths = joinPaths(sorted, conflicts);
  if (conflicts.findings.length > 0) return { document: null, findings: conflicts.findings };

  const [first] = sorted as [Part, ...Part[]];
  const versions = (of: (document: BundleDocument) => string) =>
    sorted.map(({ document }) => of(document)).sort(compareVersions);
  const draft: BundleDocument = {
    ...first.document,
    docs,
    knownIrreproducible,
    minimumNix: versions(({ minimumNix }) => minimumNix).at(-1)!,
    paths,
    roots,
    systems: [...new Set(roots.map(({ system }) => system))].sort(),
    tools: {
      nix: versions(({ tools }) => tools.nix).at(-1)!,
      nixAirgap: versions(({ tools }) => tools.nixAirgap).at(-1)!,
    },
  };
  return { document: tellAnew(draft, sorted), findings: [] };
}

function checkCommon(parts: readonly Part[]): Finding[] {
  const [first, ...others] = parts as [Part, ...Part[]];
  const fieldsOf = ({ document }: Part): [string, string][] => [
    ...COMMON.map((field): [string, string] => [field, JSON.stringify(document[field])]),
    ...COMMON_OF_FLAKE.map((field): [string, string] => [
      `flake.${field}`,
      JSON.stringify(document.flake[field]),
    ]),
  ];
  const expected = fieldsOf(first);
  return others.flatMap((other) => {
    const actual = new Map(fieldsOf(other));
    return expected
      .filter(([field, value]) => actual.get(field) !== value)
      .map(([field, value]) =>
        difference("BUNDLES_DIFFER", field, [first, value], [other, actual.get(field)]),
      );
  });
}

/** What two parts say of one thing. */
class Conflicts {
  readonly findings: Finding[] = [];

  add(subject: string, one: readonly [Part, string], other: readonly [Part, string]): void {
    this.findings.push(difference("BUNDLES_CONFLICT", subject, one, other));
  }
}

const MAX_SHOWN = 200;

function difference(
  code: Code,
  subject: string,
  [part, expected]: readonly [Part, string],
  [other, actual]: readonly [Part, string | undefined],
): Finding {
  const show = ({ label }: Part, text = "nothing") =>
    `${text.length > MAX_SHOWN ? `${text.slice(0, MAX_SHOWN)}…` : text} in ${label}`;
  return { code, subject, expected: show(part, expected), actual: show(other, actual) };
}

/** An attribute leads to one derivation; of an import, each part may have read other outputs. */
function joinRoots(parts: readonly Part[], conflicts: Conflicts): Root[] {
  const byAttr = new Map<string, [Part, Root]>();
  const joined = new Map<string, Root>();
  for (const part of parts) {
    for (const root of part.document.roots) {
      const { purpose, attr, drvPath } = root;
      const [other, same] = byAttr.get(attr) ?? [];
      if (purpose === "output") byAttr.set(attr, [part, root]);
      if (other !== undefined && other !== part && same?.drvPath !== drvPath) {
        conflicts.add(`root ${attr}`, [other, same!.drvPath], [part, drvPath]);
      }
      const key = [purpose, attr, drvPath].join("\0");
      const outputs = new Map(
        [...(joined.get(key)?.outputs ?? []), ...root.outputs].map((output) => [output.name, output]),
      );
      joined.set(key, { ...root, outputs: sortBy([...outputs.values()], ({ name }) => name) });
    }
  }
  return sortBy([...joined], ([key]) => key).map(([, root]) => root);
}

/** A list whose elements are the same wherever they have the same key. */
function joinList<T>(
  parts: readonly Part[],
  conflicts: Conflicts,
  list: {
    readonly of: (document: BundleDocument) => readonly T[];
    readonly keyOf: (element: T) => string;
    readonly subject: (key: string) => string;
  },
): T[] {
  const joined = new Map<string, [Part, T]>();
  for (const part of parts) {
    for (const element of list.of(part.document)) {
      const key = list.keyOf(element);
      const [other, same] = joined.get(key) ?? [part, element];
      const [expected, actual] = [JSON.stringify(same), JSON.stringify(element)];
      if (expected !== actual) conflicts.add(list.subject(key), [other, expected], [part, actual]);
      joined.set(key, [other, same]);
    }
  }
  return sortBy([...joined], ([key]) => key).map(([, [, element]]) => element);
}

function joinPaths(parts: readonly Part[], conflicts: Conflicts): Path[] {
  const joined = new Map<string, [Part, Path]>();
  for (const part of parts) {
    for (const path of part.document.paths) {
      const before = joined.get(path.storePath);
      if (before === undefined) {
        joined.set(path.storePath, [part, path]);
        continue;
      }
      const [other, same] = before;
      const [expected, actual] = [contentOf(same), contentOf(path)];
      if (expected !== actual) conflicts.add(path.storePath, [other, expected], [part, actual]);
      else joined.set(path.storePath, [other, joinPath(same, path)]);
    }
  }
  return sortBy([...joined], ([storePath]) => storePath).map(([, [, path]]) => path);
}

function contentOf({ narHash, narSize, references }: Path): string {
  return JSON.stringify({ narHash, narSize, references });
}

/** Another Nix may have compressed it otherwise: the smaller blob is taken. */
function joinPath(one: Path, other: Path): Path {
  const isFirst = one.blobSize !== other.blobSize ? one.blobSize < other.blobSize : one.blob <= other.blob;
  const { blob, blobSize } = isFirst ? one : other;
  const causes = [one.cause, other.cause];
  return {
    ...one,
    blob,
    blobSize,
    // The database of an old store may lack it.
    ca: one.ca ?? other.ca,
    // As pack tells it of a path that is both.
    cause: causes.find((cause) => cause === "import-from-derivation") ?? one.cause ?? other.cause,
    signatures: [...new Set([...one.signatures, ...other.signatures])].sort(),
  };
}

/** Kinds and derivers, which follow from all roots and derivations together; and the totals. */
function tellAnew(draft: BundleDocument, parts: readonly Part[]): BundleDocument {
  const packed = new PackedDerivations(new Map(parts.flatMap(({ derivations }) => [...derivations])));
  const byPath = new Map(draft.paths.map((path) => [path.storePath, path]));
  const sets = kindSets(byPath, seedsOf(draft, packed));
  const hasDerivations = draft.tier !== "runtime";
  const paths = draft.paths.map((path) => ({
    ...path,
    deriver: hasDerivations ? (packed.outputs.get(path.storePath)?.drvPath ?? null) : null,
    kinds: KINDS.filter((kind) => sets.get(kind)!.has(path.storePath)),
  }));
  return { ...draft, paths, totals: totalsOf(paths) };
}

/** By their numbers, left to right; 2.8 before 2.26. */
function compareVersions(a: string, b: string): number {
  const [x, y] = [a, b].map((text) => text.split(/[^0-9]+/).map(Number));
  const at = x!.findIndex((number, i) => number !== y![i]);
  return at < 0 ? x!.length - y!.length : x![at]! - (y![at] ?? -1);
}

/** By code unit, as the document sorts. */
function sortBy<T>(list: readonly T[], keyOf: (element: T) => string): T[] {
  return [...list].sort((a, b) => (keyOf(a) < keyOf(b) ? -1 : keyOf(a) > keyOf(b) ? 1 : 0));
}
