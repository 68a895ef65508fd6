/** Decides what goes into the bundle. Pure: from what was gathered to the document without its blobs. */

import { KINDS, kindSets } from "../../bundle/kinds.js";
import { seedsOf } from "../../bundle/needs.js";
import type { PackedDerivations } from "../../bundle/packed.js";
import type { BundleDocument, PackReport, Path, ProjectFile, Root } from "../../generated/types.js";
import type { PathInfo } from "../../host/nix/index.js";
import { closure } from "../../nix/closure.js";
import { formatContentAddress } from "../../nix/content-address.js";
import { derivationName } from "../../nix/derivation.js";
import { excerpt } from "../../nix/excerpt.js";
import type { TopFlake } from "./flake.js";
import { compareWith, type Previous } from "./previous.js";
import type { Secrets } from "./secrets.js";
import { sizeRange } from "./size-limit.js";

export type Draft = Omit<BundleDocument, "paths" | "totals">;
export type PlannedPath = Omit<Path, "blob" | "blobSize">;

export interface PackPlan {
  readonly draft: Draft;
  readonly paths: readonly PlannedPath[];
}

/**
 * The paths that the draft's roots and tier ask for, with their kinds; everything else that was gathered stays behind.
 * `causes`: the evaluation extras.
 */
export function planPaths(
  draft: Draft,
  infos: ReadonlyMap<string, PathInfo>,
  causes: ReadonlyMap<string, NonNullable<Path["cause"]>>,
  derivations: PackedDerivations,
): PackPlan {
  const gathered = [...infos.values()].sort(byStorePath).map(
    (info): Path => ({
      blob: "",
      blobSize: 0,
      ca: fixedAddress(info.storePath, derivations) ?? info.ca,
      cause: causes.get(info.storePath) ?? null,
      compression: "zstd",
      deriver: null,
      kinds: [],
      narHash: info.narHash,
      narSize: info.narSize,
      references: [...info.references],
      signatures: [...info.signatures],
      storePath: info.storePath,
    }),
  );
  const totals = { paths: 0, narBytes: 0, blobs: 0, blobBytes: 0 };
  const seeds = seedsOf({ ...draft, paths: gathered, totals }, derivations);
  const sets = kindSets(new Map(gathered.map((path) => [path.storePath, path])), seeds);
  const withDerivations = draft.tier !== "runtime";
  const paths = gathered
    .map(({ blob: _, blobSize: __, ...path }) => ({
      ...path,
      kinds: KINDS.filter((kind) => sets.get(kind)?.has(path.storePath)),
      deriver: withDerivations ? (derivations.outputs.get(path.storePath)?.drvPath ?? null) : null,
    }))
    .filter(({ kinds }) => kinds.length > 0);
  if (!withDerivations) return { draft, paths };
  // Also read were derivations of what evaluation imported and no root has.
  const packed = new Set(paths.map(({ storePath }) => storePath));
  const known = draft.knownIrreproducible.filter(({ drvPath }) => packed.has(drvPath));
  return { draft: { ...draft, knownIrreproducible: known }, paths };
}

/** A fixed output's content address follows from its derivation; databases of old stores may lack it. */
function fixedAddress(storePath: string, derivations: PackedDerivations): string | null {
  const output = derivations.outputs.get(storePath)?.output;
  if (output?.kind !== "fixed" || (output.method !== "flat" && output.method !== "nar")) return null;
  return formatContentAddress({ kind: "fixed", method: output.method, hash: output.hash });
}

/** The document's `knownIrreproducible` from the project file's names. */
export function knownIrreproducible(
  project: ProjectFile,
  derivations: PackedDerivations,
): BundleDocument["knownIrreproducible"] {
  const reasons = new Map(
    (project.knownIrreproducible ?? []).map((entry) => [entry.derivation, entry.reason]),
  );
  return [...derivations.byPath]
    .flatMap(([drvPath, derivation]) => {
      const reason = reasons.get(derivationName(drvPath, derivation));
      return reason === undefined ? [] : [{ drvPath, reason }];
    })
    .sort((a, b) => (a.drvPath < b.drvPath ? -1 : 1));
}

/** The part of a document's `roots` that follows from a derivation. */
export function rootOf(
  drvPath: string,
  attr: string,
  purpose: Root["purpose"],
  derivations: PackedDerivations,
): Root {
  const derivation = derivations.byPath.get(drvPath)!;
  const outputs = [...derivation.outputs].flatMap(([name, output]) =>
    "path" in output ? [{ name, path: output.path }] : [],
  );
  return { attr, drvPath, outputs, purpose, system: derivation.system };
}

/** As the document lists them. */
export function compareRoots(a: Root, b: Root): number {
  const key = ({ purpose, attr, drvPath }: Root) => [purpose, attr, drvPath];
  const [x, y] = [key(a), key(b)];
  const at = x.findIndex((part, i) => part !== y[i]);
  return at < 0 ? 0 : x[at]! < y[at]! ? -1 : 1;
}

/** What a plan is described from. */
export interface PlanParts {
  readonly plan: PackPlan;
  readonly secrets: Pick<Secrets, "allowed" | "inPublic">;
  readonly previous: Previous | null;
  readonly leftOut: readonly string[];
  readonly out: { readonly path: string };
  readonly nixConfig: TopFlake["nixConfig"];
}

/** Settings of a flake that a plan repeats. */
const MAX_SETTINGS = 50;

/** The plan as people and machines read it. */
export function describePlan(
  { plan: { draft, paths }, secrets, previous, leftOut, out, nixConfig }: PlanParts,
  signedBy: string | null,
): NonNullable<PackReport["plan"]> {
  const byPath = new Map(paths.map((path) => [path.storePath, path as Path]));
  const size = (path: string) => byPath.get(path)?.narSize ?? 0;
  const sum = (all: Iterable<string>) => [...all].reduce((total, path) => total + size(path), 0);
  const closures = draft.roots.map((root) =>
    closure(
      byPath,
      root.outputs.map((output) => output.path),
    ),
  );
  const users = new Map<string, number>();
  for (const reached of closures) for (const path of reached) users.set(path, (users.get(path) ?? 0) + 1);
  const kinds = new Map<string, { kind: string; paths: number; narBytes: number }>();
  for (const path of paths) {
    for (const kind of path.kinds) {
      const entry = kinds.get(kind) ?? { kind, paths: 0, narBytes: 0 };
      kinds.set(kind, { kind, paths: entry.paths + 1, narBytes: entry.narBytes + path.narSize });
    }
  }
  const { product, release, sequence, created, tier, systems } = draft;
  return {
    product,
    release,
    sequence,
    created,
    tier,
    systems,
    out: out.path,
    signedBy,
    previous: previous === null ? null : compareWith(previous, paths),
    size: sizeRange(paths, previous),
    secrets: { allowed: secrets.allowed, inPublic: secrets.inPublic },
    env: draft.evaluation.env,
    nixConfig: Object.entries(nixConfig)
      .slice(0, MAX_SETTINGS)
      .map(([name, value]) => ({
        name: /^[\w-]{1,64}$/.test(name) ? name : excerpt(name),
        value: excerpt(settingText(value)),
      })),
    leftOut: [...leftOut],
    roots: draft.roots.map(({ attr, purpose, drvPath, outputs }, i) => ({
      attr,
      purpose,
      drvPath,
      outputs,
      closureBytes: sum(closures[i]!),
      ownBytes: sum([...closures[i]!].filter((path) => users.get(path) === 1)),
    })),
    kinds: [...kinds.values()].sort((a, b) => (a.kind < b.kind ? -1 : 1)),
    paths: paths.length,
    narBytes: paths.reduce((total, path) => total + path.narSize, 0),
  };
}

/** As nix.conf would have it. */
function settingText(value: unknown): string {
  return Array.isArray(value) ? value.map(String).join(" ") : String(value);
}

function byStorePath(a: { readonly storePath: string }, b: { readonly storePath: string }): number {
  return a.storePath < b.storePath ? -1 : a.storePath > b.storePath ? 1 : 0;
}
