/**
 * What the flake evaluates to, what evaluation needs besides the flake's sources, and the proof that a site
 * which has only those gets the same derivations.
 */
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { siteReference } from "../../bundle/site-reference.js";
import { type Wrapper, wrapperOf } from "../../bundle/wrapper.js";
import { type Finding, fail } from "../../errors.js";
import type { Flake } from "../../generated/types.js";
import { fetchedInto } from "../../host/nix/fetcher-cache.js";
import { onOtherMachine } from "../../host/nix/impure.js";
import * as nix from "../../host/nix/index.js";
import type { Variable } from "../../nix/environment.js";
import { wholeAttr } from "../../nix/flake-outputs.js";
import { parseStorePath } from "../../nix/store-path.js";
import { withoutPasswords } from "../../nix/url.js";
import { evaluateInstallable, type Installable } from "./evaluate-installable.js";
import { readDerivations } from "./gather.js";
import { evaluationFinding, readsMachine, siteFinding } from "./nix-words.js";
import { DEFAULT_ATTR, type Installables } from "./request.js";

export interface EvaluatedRoot {
  /** The whole attribute path: `packages.x86_64-linux.default`. */
  readonly attr: string;
  readonly drvPath: string;
  /** Of an app: a path in what the derivation makes. */
  readonly program?: string;
  /** Where it is evaluated, if not at `attr` of the flake itself; the same on a site. */
  readonly installable?: Installable;
}

/**
 * Evaluates what was asked for on this machine's own terms, one system after the other. Findings name attributes that do not
 * evaluate. `variables`: the context's environment has these, and nothing else that is the user's; none for a pure evaluation.
 */
export async function evaluateRoots(
  context: nix.NixContext,
  { ref, attrs }: Installables,
  { systems, variables }: { readonly systems: readonly string[]; readonly variables: readonly Variable[] },
): Promise<{ readonly roots: EvaluatedRoot[]; readonly findings: Finding[] }> {
  const roots = new Map<string, EvaluatedRoot>();
  const findings: Finding[] = [];
  for (const asked of attrs.length > 0 ? attrs : [DEFAULT_ATTR]) {
    const about = { ref, asked, systems, impure: variables.length > 0 };
    for (const result of await evaluateAttr(context, about)) {
      if ("drvPath" in result) roots.set(result.attr, result);
      else findings.push(result);
    }
  }
  return { roots: [...roots.values()], findings };
}

/** Evaluates whole attribute paths, each as it stands. */
export async function evaluateWhole(
  context: nix.NixContext,
  { ref, attrs }: Installables,
  variables: readonly Variable[],
): Promise<{ readonly roots: EvaluatedRoot[]; readonly findings: Finding[] }> {
  const roots: EvaluatedRoot[] = [];
  const findings: Finding[] = [];
  const about = { ref, impure: variables.length > 0 };
  for (const attr of attrs) {
    const result = (await firstOf(context, about, [attr])) ?? noDerivation(attr);
    if ("drvPath" in result) roots.push(result);
    else findings.push({ ...result, hint: result.hint ? `${result.hint} ${EXCEPT}` : EXCEPT });
  }
  return { roots, findings };
}

function noDerivation(subject: string): Finding {
  return { code: "ATTR_UNSUPPORTED", subject, expected: "a derivation", actual: "something else" };
}

const EXCEPT = "Mend it, or leave it out by name: --except ATTR.";

/**
 * Tries an attribute where Nix would look for it, in Nix's order (`nix build --help`, "Flake output attribute"): as a package
 * of each system; where no system has it, as it stands.
 */
async function evaluateAttr(
  context: nix.NixContext,
  about: {
    readonly ref: string;
    readonly asked: string;
    readonly systems: readonly string[];
    readonly impure: boolean;
  },
): Promise<(EvaluatedRoot | Finding)[]> {
  const { ref, asked, systems, impure } = about;
  const found: (EvaluatedRoot | Finding)[] = [];
  const without: string[] = [];
  for (const system of systems) {
    const candidates = [`packages.${system}.${asked}`, `legacyPackages.${system}.${asked}`];
    const result = await firstOf(context, { ref, impure }, candidates);
    if (result === null) without.push(system);
    else found.push(result);
  }
  if (found.length === 0) {
    const result = await firstOf(context, { ref, impure }, [wholeAttr(asked)]);
    if (result !== null) return [result];
  }
  for (const system of without) found.push(await missingAttr(context, ref, asked, system));
  return found;
}

/** Null where the flake has none of them. */
async function firstOf(
  context: nix.NixContext,
  { ref, impure }: { readonly ref: string; readonly impure: boolean },
  attrs: readonly string[],
): Promise<EvaluatedRoot | Finding | null> {
  for (const attr of attrs) {
    const outcome = await evaluateInstallable(context, { ref, attr }, { impure });
    if (outcome.ok) {
      const { ok: _, ...evaluated } = outcome;
      const reads = impure ? await readsThisMachine(context, { ref, attr }) : null;
      return reads ?? { attr, ...evaluated };
    }
    if (!/does not provide attribute/.test(outcome.message)) return evaluationFinding(attr, outcome.message);
  }
  return null;
}

async function missingAttr(
  context: nix.NixContext,
  ref: string,
  asked: string,
  system: string,
): Promise<Finding> {
  const known = await nix.flakeOutputs(context, ref, system);
  return {
    code: "ATTR_MISSING",
    subject: `${withoutPasswords(ref)}#${asked}`,
    expected: `an attribute that leads to a derivation for ${system}`,
    actual: known.length > 0 ? `the flake has: ${known.join(", ")}` : "none of that name",
  };
}

/** That variables were named allows variables, and no file of this machine: a pure evaluation tells of the first it meets. */
async function readsThisMachine(context: nix.NixContext, installable: Installable): Promise<Finding | null> {
  const outcome = await evaluateInstallable(context, installable);
  return !outcome.ok && readsMachine(outcome.message)
    ? evaluationFinding(installable.attr, outcome.message)
    : null;
}

export interface EvaluationClosure {
  readonly method: "topq" | "wrapper";
  readonly wrapper: Wrapper | null;
  /** Everything evaluation touched that is no derivation, by store path; flake sources among it. */
  readonly touched: ReadonlyMap<string, nix.PathInfo>;
  /** Derivations whose outputs the evaluator read, with the paths of those outputs. */
  readonly imported: ReadonlyMap<string, readonly string[]>;
  readonly findings: readonly Finding[];
}

/**
 * Evaluates again in an empty scratch store that takes what it lacks from this machine's: what is then in the
 * scratch store is what evaluation needs, exactly. Then evaluates a third time in that store, the way a site
 * does it: no network, no programs, no caches, only that store; the derivations must be the same.
 */
export async function evaluationClosure(
  context: nix.NixContext,
  top: { readonly ref: string; readonly flake: Flake; readonly variables: readonly Variable[] },
  roots: readonly EvaluatedRoot[],
  { scratchDir, substituter }: { readonly scratchDir: string; readonly substituter: string },
): Promise<EvaluationClosure> {
  const store = join(scratchDir, "store");
  await mkdir(store, { recursive: true });
  const findings: Finding[] = [];
  for (const { attr, drvPath, installable = { ref: top.ref, attr } } of roots) {
    const cacheDir = await freshCache(scratchDir);
    const outcome = await evaluateInstallable(context, installable, {
      store,
      cacheDir,
      impure: top.variables.length > 0,
      substituters: substituter,
    });
    if (!outcome.ok) findings.push(evaluationFinding(attr, outcome.message));
    else if (outcome.drvPath !== drvPath) findings.push(differs(attr, drvPath, outcome.drvPath));
  }
  const wrapper = top.flake.dir === "" ? null : wrapperOf(top.flake);
  if (wrapper) await addWrapper(context, wrapper, scratchDir, store);

  const all = new Map((await nix.allPathInfo(context, store)).map((info) => [info.storePath, info]));
  const method = wrapper ? "wrapper" : "topq";
  const prove = () => proveSiteEvaluation(context, top, roots, wrapper, { scratchDir, store });
  if (findings.length === 0) findings.push(...(await prove()), ...(await fetchedAnew(context, store, all)));
  const unneeded =
    findings.length > 0 ? new Set<string>() : await unneededDownloads(context, store, all, prove);
  const touched = new Map([...all].filter(([path]) => !path.endsWith(".drv") && !unneeded.has(path)));
  return { method, wrapper, touched, imported: await importedFrom(touched, all, store), findings };
}

/** The site's way, in the store that holds just what was touched. */
async function proveSiteEvaluation(
  context: nix.NixContext,
  { flake, variables }: { readonly flake: Flake; readonly variables: readonly Variable[] },
  roots: readonly EvaluatedRoot[],
  wrapper: Wrapper | null,
  { scratchDir, store }: { readonly scratchDir: string; readonly store: string },
): Promise<Finding[]> {
  const findings: Finding[] = [];
  const ref = siteReference(flake, wrapper);
  const impure = variables.length > 0;
  for (const { attr, drvPath, installable = { ref, attr } } of roots) {
    const cacheDir = await freshCache(scratchDir);
    const siteContext = impure ? onOtherMachine(context, variables, cacheDir) : context;
    const options = { store, cacheDir, offline: true, impure };
    const outcome = await evaluateInstallable(siteContext, installable, options);
    // Where the scratch store lies says nothing to anybody.
    if (!outcome.ok) findings.push(siteFinding(attr, outcome.message.replaceAll(store, ""), drvPath));
    else if (outcome.drvPath !== drvPath) findings.push(differs(attr, drvPath, outcome.drvPath));
    else {
      // Newer Nix reads a repository or an archive on this machine's disk by itself.
      const fetched = await fetchedInto(cacheDir);
      if (fetched.length > 0)
        findings.push({ code: "EVALUATION_FETCHES", subject: attr, actual: fetched.join(", ") });
    }
  }
  return findings;
}

async function addWrapper(
  context: nix.NixContext,
  wrapper: Wrapper,
  scratchDir: string,
  store: string,
): Promise<void> {
  const folder = join(scratchDir, "wrapper", "source");
  await mkdir(folder, { recursive: true });
  await writeFile(join(folder, "flake.nix"), wrapper.flakeNix);
  await writeFile(join(folder, "flake.lock"), wrapper.flakeLock);
  for (const target of [undefined, store]) {
    const added = await nix.addPath(context, folder, target);
    if (added !== wrapper.storePath)
      fail("EVALUATION_DIFFERS", { subject: "wrapper flake", expected: wrapper.storePath, actual: added });
  }
}

function differs(attr: string, expected: string, actual: string): Finding {
  return { code: "EVALUATION_DIFFERS", subject: attr, expected, actual };
}

/** What the site's evaluation brought in by itself: a site could not, though a `file://` on this machine could be read. */
async function fetchedAnew(
  context: nix.NixContext,
  store: string,
  before: ReadonlyMap<string, nix.PathInfo>,
): Promise<Finding[]> {
  const after = await nix.allPathInfo(context, store);
  return after
    .filter(({ storePath }) => !storePath.endsWith(".drv") && !before.has(storePath))
    .map(({ storePath }) => ({ code: "EVALUATION_FETCHES", subject: storePath }));
}

/**
 * Nix keeps the file that `fetchTarball` downloaded beside the tree it unpacked, flat and under the same name. Such files
 * are not needed if the site's evaluation succeeds without them, and does not bring them in again.
 */
async function unneededDownloads(
  context: nix.NixContext,
  store: string,
  all: ReadonlyMap<string, nix.PathInfo>,
  prove: () => Promise<Finding[]>,
): Promise<Set<string>> {
  const infos = [...all.values()];
  const nameOf = (storePath: string) => parseStorePath(storePath).name;
  const referenced = new Set(
    infos.flatMap((info) => info.references.filter((path) => path !== info.storePath)),
  );
  const trees = new Set(
    infos.filter(({ ca }) => ca?.startsWith("fixed:r:")).map((info) => nameOf(info.storePath)),
  );
  const candidates = infos
    .filter(({ storePath, ca }) => /^fixed:(?!r:)/.test(ca ?? "") && trees.has(nameOf(storePath)))
    .map(({ storePath }) => storePath)
    .filter((path) => !referenced.has(path));
  if (candidates.length === 0) return new Set();
  await nix.deletePaths(context, candidates, store);
  const findings = await prove();
  const after = new Set((await nix.allPathInfo(context, store)).map(({ storePath }) => storePath));
  return findings.length > 0 || candidates.some((path) => after.has(path)) ? new Set() : new Set(candidates);
}

/**
 * The derivations that evaluation built from: those of input-addressed paths that no other such path refers to (the
 * others came along as their closure). Which derivation gives a path is looked up among those that evaluation made: the
 * store's own `deriver` may be another one with the same output.
 */
async function importedFrom(
  touched: ReadonlyMap<string, nix.PathInfo>,
  all: ReadonlyMap<string, nix.PathInfo>,
  store: string,
): Promise<Map<string, readonly string[]>> {
  const built = [...touched.values()].filter((info) => info.ca === null);
  const imported = new Map<string, readonly string[]>();
  if (built.length === 0) return imported;
  const inner = new Set(built.flatMap((info) => info.references.filter((path) => path !== info.storePath)));
  const drvs = [...all.keys()].filter((path) => path.endsWith(".drv"));
  const { derivations } = await readDerivations(drvs, join(store, "nix/store"));
  for (const { storePath } of built) {
    if (inner.has(storePath)) continue;
    const drvPath = derivations.outputs.get(storePath)?.drvPath;
    if (drvPath === undefined) {
      return fail("EVALUATION_UNEXPLAINED", {
        subject: storePath,
        hint: "Evaluation read a path that no derivation of this flake gives; take it out of the flake.",
      });
    }
    imported.set(drvPath, [...(imported.get(drvPath) ?? []), storePath]);
  }
  return imported;
}

let caches = 0;

/** A cache folder of its own for each evaluation: Nix's caches hide what is missing. */
async function freshCache(scratchDir: string): Promise<string> {
  const dir = join(scratchDir, `cache-${caches++}`);
  await mkdir(dir, { recursive: true });
  return dir;
}
