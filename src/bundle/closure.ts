/**
 * V6: every reference, derivation input and lock node is in the bundle for the tier that it claims, nothing is
 * there that no root needs, and every path says truly why it is there (docs/format.md, section 3).
 * Knows the document and the parsed derivations; contents are for others.
 */
import { AirgapError, type Code, type Finding } from "../errors.js";
import type { BundleDocument, Path } from "../generated/types.js";
import { closure } from "../nix/closure.js";
import { excerpt } from "../nix/excerpt.js";
import { type LockedInput, parseFlakeLock, resolveFlakeLock } from "../nix/flake-lock.js";
import { KINDS, kindSets } from "./kinds.js";
import { derivationsNeeded, type Kind, Needs, type Seed, seedsOf } from "./needs.js";
import type { PackedDerivations } from "./packed.js";

/** What only the contents of derivations tell. */
const FROM_DERIVATIONS: ReadonlySet<Kind> = new Set<Kind>(["fixed", "input"]);

/**
 * All findings of V6. `packed` may lack derivations (their blobs are damaged, or were not read): then what
 * only they could tell is taken from the document, and `complete` of the result is false.
 */
export function checkClosure(
  document: BundleDocument,
  packed: PackedDerivations,
): {
  readonly findings: readonly Finding[];
  readonly complete: boolean;
  /** Paths that are here for evaluation alone, by the document's word: that it reads them, only evaluation can show. */
  readonly claimed: number;
} {
  const byPath = new Map(document.paths.map((path) => [path.storePath, path]));
  const seeds = seedsOf(document, packed);
  const needed = document.tier === "runtime" ? [] : derivationsNeeded(document, byPath);
  const complete = needed.every((drvPath) => packed.byPath.has(drvPath));
  const wrongInputs = checkInputs(document);
  const unsure = new Set<Kind>(complete ? [] : FROM_DERIVATIONS);
  if (wrongInputs.some(({ code }) => code === "INPUT_MISSING")) unsure.add("flake");
  const findings = [
    ...wrongInputs,
    ...checkPresence(document, byPath, seeds),
    ...checkKinds(document, byPath, seeds, unsure),
    ...checkEvaluation(document, byPath, packed, complete),
    ...checkIrreproducible(document, new Set(needed.filter((drvPath) => byPath.has(drvPath)))),
  ];
  const claimed = document.paths.filter(({ cause, kinds }) => cause !== null && kinds.length === 1).length;
  return { findings, complete, claimed };
}

/** The document's inputs are the nodes that the lock's root needs, no more and no less. */
function checkInputs(document: BundleDocument): Finding[] {
  const { lock } = document.flake;
  let nodes: LockedInput[] = [];
  try {
    if (lock !== null) nodes = resolveFlakeLock(parseFlakeLock(Buffer.from(lock)));
  } catch (error) {
    if (!(error instanceof AirgapError) || error.code !== "FLAKE_LOCK_INVALID") throw error;
    return [{ ...error.details, code: error.code }];
  }
  const findings: Finding[] = [];
  const listed = new Map(document.inputs.map((input) => [input.node, input]));
  for (const { key, parent } of nodes) {
    const input = listed.get(key);
    listed.delete(key);
    const expected = parent === undefined ? "a tree of its own" : `in the tree of ${plain(parent)}`;
    const subject = `input ${plain(key)}`;
    if (input === undefined) findings.push({ code: "INPUT_MISSING", subject, expected });
    else if (input.parent !== (parent ?? null) || (input.storePath === null) !== (parent !== undefined)) {
      const actual =
        input.parent === null ? (input.storePath ?? "no tree") : `in the tree of ${plain(input.parent)}`;
      findings.push({ code: "INPUT_MISSING", subject, expected, actual });
    }
  }
  for (const node of listed.keys())
    findings.push({ code: "INPUT_UNLISTED", subject: `input ${plain(node)}` });
  return findings;
}

/** A reason given in advance is about a derivation that a rebuild may meet. */
function checkIrreproducible(
  { tier, knownIrreproducible }: BundleDocument,
  derivations: ReadonlySet<string>,
): Finding[] {
  if (tier === "runtime") return [];
  return knownIrreproducible
    .filter(({ drvPath }) => !derivations.has(drvPath))
    .map(({ drvPath: subject }) => ({
      code: "DERIVATION_MISSING",
      subject,
      neededBy: ["the list of what is known to be irreproducible"],
    }));
}

/** Keys of a lock are any text: quoted where a line cannot show them. */
function plain(key: string): string {
  return /[\x00-\x1f\x7f]/.test(key) ? excerpt(key) : key;
}

/** What the roots ask for, and what anything refers to, is there. One finding for each absent path. */
function checkPresence(
  document: BundleDocument,
  byPath: ReadonlyMap<string, Path>,
  seeds: readonly Seed[],
): Finding[] {
  const absent = new Map<string, { code: Code; referrer?: string }>();
  for (const { kind, path, label } of seeds) {
    if (byPath.has(path) || absent.has(path)) continue;
    absent.set(path, { code: codeOfAbsentSeed(kind, label) });
  }
  for (const { storePath, references } of document.paths) {
    for (const reference of references) {
      if (byPath.has(reference) || absent.has(reference)) continue;
      const derivation = reference.endsWith(".drv") && storePath.endsWith(".drv");
      absent.set(reference, {
        code: derivation ? "DERIVATION_MISSING" : "REFERENCE_MISSING",
        referrer: storePath,
      });
    }
  }
  if (absent.size === 0) return [];
  const needs = new Needs(document, seeds);
  return [...absent].map(([subject, { code, referrer }]) => {
    const neededBy = needs.of(subject);
    return { code, subject, neededBy: neededBy.length > 0 || !referrer ? neededBy : [`path ${referrer}`] };
  });
}

function codeOfAbsentSeed(kind: Kind, label: string): Code {
  if (kind === "derivation") return "DERIVATION_MISSING";
  return kind === "flake" && label.startsWith("input ") ? "INPUT_MISSING" : "TIER_INCOMPLETE";
}

/**
 * Every path has exactly the kinds whose set it is in. Where something of a set is absent, what it would have led to
 * cannot be told: that is no second finding, and a path is believed what it says of itself. `unsure`: such kinds.
 */
function checkKinds(
  document: BundleDocument,
  byPath: ReadonlyMap<string, Path>,
  seeds: readonly Seed[],
  unsure: ReadonlySet<Kind>,
): Finding[] {
  const sets = kindSets(byPath, seeds);
  const believed = new Set(unsure);
  for (const [kind, paths] of sets) {
    for (const path of kind === "flake" ? [] : paths) if (!byPath.has(path)) believed.add(kind);
  }
  const findings: Finding[] = [];
  for (const { storePath, kinds } of document.paths) {
    const expected = KINDS.filter(
      (kind) => sets.get(kind)!.has(storePath) || (believed.has(kind) && kinds.includes(kind)),
    );
    if (expected.length === 0) {
      findings.push({ code: "PATH_UNNEEDED", subject: storePath, actual: kinds.join(", ") });
    } else if (expected.join() !== kinds.join()) {
      findings.push({
        code: "PATH_KINDS",
        subject: storePath,
        expected: expected.join(", "),
        actual: kinds.join(", "),
      });
    }
  }
  return findings;
}

/**
 * What evaluation read is content-addressed or built by a packed derivation, and each import from derivation
 * belongs to a root. What the document calls fetched needs no derivation to be told; of the rest nothing can be
 * without derivations (tier `runtime`), and V7 counts such paths.
 */
function checkEvaluation(
  { tier, paths, roots }: BundleDocument,
  byPath: ReadonlyMap<string, Path>,
  packed: PackedDerivations,
  complete: boolean,
): Finding[] {
  const imported = roots.filter(({ purpose }) => purpose === "evaluation");
  const built = new Set(
    closure(
      byPath,
      imported.flatMap(({ outputs }) => outputs.map(({ path }) => path)),
    ),
  );
  const findings: Finding[] = [];
  const refuse = (subject: string, expected: string) =>
    findings.push({ code: "EVALUATION_UNEXPLAINED", subject, expected });
  for (const { storePath, ca, cause, kinds } of paths) {
    const explained = ca !== null || packed.outputs.has(storePath);
    if (cause === "fetched" && ca === null) refuse(storePath, "a content address");
    if (tier === "runtime" || !complete) continue;
    if (cause !== "fetched" && kinds.includes("evaluation") && !explained) {
      refuse(storePath, "a content address, or a packed derivation that builds it");
    } else if (cause === "import-from-derivation" && !built.has(storePath)) {
      refuse(storePath, "a root of purpose evaluation that builds it");
    }
  }
  return findings;
}
