/**
 * What a pack is about, made ready: the flake read, evaluated and proved to evaluate on a site, all that the tier needs
 * in this machine's store, and the plan of the document. Writes nothing of the bundle.
 */

import { basename, join } from "node:path";
import { versionFor } from "../../bundle/document-features.js";
import { type Finding, fail } from "../../errors.js";
import type { BundleDocument, Path, Root } from "../../generated/types.js";
import { VERSION } from "../../generated/version.js";
import { exists } from "../../host/files.js";
import { withVariables } from "../../host/nix/impure.js";
import * as nix from "../../host/nix/index.js";
import { packerNix } from "../../host/nix/packer.js";
import { forScratch } from "../../host/nix/scratch.js";
import type { Variable } from "../../nix/environment.js";
import { formatHex, formatSri, hashOf } from "../../nix/hash.js";
import { minimumNix } from "../../nix/minimum-nix.js";
import { withoutPasswords } from "../../nix/url.js";
import { formatTime, timeOf } from "../../time.js";
import type { Context } from "../context.js";
import { checkLockApprovals } from "../lock-approval.js";
import type { PhaseClock } from "../phase-clock.js";
import { drvPathsOf, evaluateAsked } from "./asked.js";
import { parseVariables, variableSecrets } from "./environment.js";
import { type EvaluationClosure, evaluationClosure } from "./evaluate.js";
import { checkExpectations, parseExpectations } from "./expectations.js";
import { documentInputs, hasSelfAttributes, readFlake, type TopFlake } from "./flake.js";
import { makeReal, readDerivations, tierPaths, tierTargets } from "./gather.js";
import { compareRoots, knownIrreproducible, type PackPlan, planPaths, rootOf } from "./plan.js";
import { chooseSequence, type Previous, readPrevious } from "./previous.js";
import {
  chooseIdentity,
  chooseOut,
  chooseSystems,
  type Identity,
  type Out,
  type PackOptions,
  parseInstallables,
} from "./request.js";
import { requireRoomToEvaluate, requireRoomToFetch } from "./room.js";
import {
  findSecrets,
  isPublic,
  type Secrets,
  type SourceTree,
  secretsInLock,
  secretsInSources,
} from "./secrets.js";
import { packerSettings } from "./settings.js";
import { bashOfShells } from "./shell-bash.js";
import { dropAbandonedStage } from "./stage.js";

const DEFAULT_COMPRESSION_LEVEL = 3;

export interface Prepared {
  readonly plan: PackPlan;
  readonly secrets: Secrets;
  readonly previous: Previous | null;
  /** What `--all` does not take. */
  readonly leftOut: readonly string[];
  readonly out: Out;
  readonly nixConfig: TopFlake["nixConfig"];
  readonly nixContext: nix.NixContext;
  readonly level: number;
}

/**
 * Everything up to the first byte written: reads, evaluates, builds and fetches what is missing. Findings are all the
 * reasons, found so far, why the flake cannot be packed.
 */
export async function preparePack(
  options: PackOptions,
  context: Context,
  { tempDir, clock }: { readonly tempDir: string; readonly clock: PhaseClock },
): Promise<Prepared | { readonly findings: Finding[] }> {
  const installables = parseInstallables(options.installables, options.all);
  const variables = parseVariables(options.env);
  const expectations = parseExpectations(options.expect);
  const { settings, isProtected } = await packerSettings(options, context);
  const { nixContext, realStoreDir, substituter } = await packerNix(context, settings);
  const nixVersion = await nix.usableVersion(nixContext);
  const evaluating = variables.length > 0 ? withVariables(nixContext, variables) : nixContext;
  const step = <T>(phase: string, work: () => Promise<T>) => clock.phase(phase, {}, work);
  const current = await nix.currentSystem(nixContext);
  const top = await step("read the flake", () => readFlake(nixContext, installables.ref, realStoreDir));
  const { identity, findings } = chooseIdentity(options, top.project, { ...top, rev: top.flake.rev });
  const tier = options.tier ?? top.project.tier ?? "build";
  const systems = chooseSystems(options.systems, top.project, current);
  const out = chooseOut(options, context.cwd, { ...identity, systems, tier });
  if (findings.length === 0 && !options.dryRun && (await exists(out.path))) {
    await dropAbandonedStage(out.path);
    fail("OUT_EXISTS", { subject: out.path });
  }
  const previous =
    options.previous === undefined || findings.length > 0
      ? null
      : await readPrevious(options.previous, context.cwd, identity.product);
  const sequence = chooseSequence(options.sequence, top.flake.lastModified ?? 0, previous);
  findings.push(...top.findings, ...checkLock(top, options, context));
  const allowed = [...options.allowSecrets, ...(top.project.allowSecrets ?? [])];
  findings.push(...variableSecrets(variables, allowed));
  // Without a lock to trust, what evaluation would say is of no use; and all outputs are those of a revision.
  if (top.findings.some(({ code }) => code !== "TREE_DIRTY" || options.all)) return { findings };

  const evaluated = await step("evaluate", () =>
    evaluateAsked(evaluating, { installables, top, systems, options, variables, realStoreDir }),
  );
  findings.push(...withSubmodules(evaluated.findings, top), ...evaluated.derivations.findings);
  if (findings.length === 0) {
    const outputs = evaluated.roots.map(({ attr, drvPath }) =>
      rootOf(drvPath, attr, "output", evaluated.derivations.derivations),
    );
    findings.push(...checkExpectations(expectations, outputs));
  }
  if (findings.length > 0) return { findings };

  const inLock = secretsInLock(top.inputs, allowed);
  findings.push(...inLock.findings);
  const sources = await step("fetch inputs", () => nix.flakeArchive(nixContext, installables.ref));
  const sourceInfos = await nix.pathInfo(nixContext, sources);
  await requireRoomToEvaluate(sourceInfos, tempDir);
  const shells = tier === "runtime" ? [] : await bashOfShells(evaluating, top, evaluated.roots, sourceInfos);
  const outputRoots = [...evaluated.roots, ...shells];
  const asked =
    shells.length === 0
      ? evaluated.derivations
      : await readDerivations(drvPathsOf(outputRoots), realStoreDir);
  findings.push(...asked.findings);
  const secrets = await step("look for secrets", () =>
    lookForSecrets(top, sourceInfos, { allowed, isProtected, nixContext, realStoreDir }),
  );
  findings.push(...secrets.findings);
  const build = (phase: string, targets: readonly string[], derivations = asked.derivations) =>
    clock.phase(phase, {}, async (progress) => {
      await requireRoomToFetch(nixContext, targets, realStoreDir);
      return makeReal(nixContext, targets, derivations, progress);
    });
  const rootsBuilt = await build("build roots", drvPathsOf(outputRoots));
  findings.push(...withSubmodules(rootsBuilt, top));
  if (findings.length > 0) return { findings };

  const evaluation = await step("evaluate as a site will", async () =>
    evaluationClosure(await forScratch(evaluating), { ...top, variables }, outputRoots, {
      scratchDir: tempDir,
      substituter,
    }),
  );
  findings.push(...evaluation.findings);
  if (findings.length > 0) return { findings };

  // From here on imports from derivations are roots like the others, but for the tier that carries no derivations.
  const imported = tier === "runtime" ? [] : [...evaluation.imported.keys()];
  const rootDrvs = [...drvPathsOf(outputRoots), ...imported];
  const {
    derivations,
    infos: derivationInfos,
    findings: floating,
  } = imported.length === 0 ? asked : await readDerivations(rootDrvs, realStoreDir);
  // Of the lowest tier no derivation travels.
  const inSources = secretsInSources(tier === "runtime" ? [] : derivations.byPath, allowed);
  findings.push(
    ...inSources.findings,
    ...floating,
    ...(await build(
      `realise what tier ${tier} needs`,
      [...tierTargets(tier, rootDrvs, derivations), ...imported],
      derivations,
    )),
  );
  if (findings.length > 0) return { findings };

  const roots = [
    ...outputRoots.map(({ attr, drvPath }) => rootOf(drvPath, attr, "output", derivations)),
    ...imported.map((drvPath) => importRoot(rootOf(drvPath, "", "evaluation", derivations), evaluation)),
  ].sort(compareRoots);
  const wanted = [...sources, ...evaluation.touched.keys(), ...tierPaths(tier, roots, derivations)];
  const infos = new Map(derivationInfos);
  const present = await step("look up paths", () =>
    nix.pathInfo(nixContext, [...new Set(wanted)].sort(), { recursive: true }),
  );
  for (const info of present) infos.set(info.storePath, info);

  const draft = await draftDocument({
    options,
    variables,
    top,
    identity,
    previous,
    sequence,
    tier,
    roots,
    sources,
    evaluation,
    infos,
    nixContext,
    nixVersion,
    treeOf: (storePath) => join(realStoreDir, basename(storePath)),
  });
  const plan = planPaths(
    { ...draft, knownIrreproducible: knownIrreproducible(top.project, derivations) },
    infos,
    causesOf(evaluation, sources),
    derivations,
  );
  const { leftOut } = evaluated;
  return {
    plan,
    secrets: { ...secrets, allowed: secrets.allowed + inLock.allowed + inSources.allowed },
    previous,
    leftOut,
    out,
    nixConfig: top.nixConfig,
    nixContext,
    level: options.compressionLevel ?? DEFAULT_COMPRESSION_LEVEL,
  };
}

/** What fails for want of files may want those of submodules, which Nix fetches only when it is told to. */
function withSubmodules(findings: readonly Finding[], { ref, missesSubmodules }: TopFlake): Finding[] {
  if (!missesSubmodules) return [...findings];
  const hint = `The repository has submodules, and they are not in the tree that Nix sees. If it is files of theirs that are missing, pack it as git+URL?submodules=1, instead of ${withoutPasswords(ref)}.`;
  const mayWantFiles = new Set<Finding["code"]>(["EVALUATION_FAILED", "BUILD_FAILED"]);
  return findings.map((finding) => (mayWantFiles.has(finding.code) ? { ...finding, hint } : finding));
}

/** In the trees that travel: the top flake's, and those of inputs that have one of their own. */
async function lookForSecrets(
  { flake, inputs }: TopFlake,
  sources: readonly nix.PathInfo[],
  about: {
    readonly allowed: readonly string[];
    readonly isProtected: (host: string) => boolean;
    readonly nixContext: nix.NixContext;
    readonly realStoreDir: string;
  },
): Promise<Secrets> {
  const { allowed, isProtected, nixContext, realStoreDir } = about;
  const byNarHash = new Map(sources.map(({ narHash, storePath }) => [narHash, storePath]));
  const dirOf = (storePath: string) => join(realStoreDir, basename(storePath));
  const trees = inputs.flatMap((input): SourceTree[] => {
    const storePath = input.narHash === undefined ? undefined : byNarHash.get(formatSri(input.narHash));
    if (storePath === undefined || storePath === flake.storePath) return [];
    return [{ label: `${input.key}:`, dir: dirOf(storePath), isPublic: isPublic(input, isProtected) }];
  });
  const top = { label: "", dir: dirOf(flake.storePath), isPublic: false };
  return findSecrets([top, ...trees], allowed, nixContext.signal);
}

/** A flake without inputs has no lock, and nothing that could be approved. */
function checkLock(
  { flake: { lock }, lockApprovals: files }: TopFlake,
  { approvedLock }: PackOptions,
  { now }: Context,
): readonly Finding[] {
  if (approvedLock === undefined || lock === null) return [];
  const sha256 = formatHex(hashOf("sha256", lock));
  const { findings } = checkLockApprovals({ sha256, files }, approvedLock, timeOf(now()));
  if (findings.length === 0) return [];
  return [{ code: "LOCK_NOT_APPROVED", subject: "flake.lock", actual: sha256 }, ...findings];
}

/** Of an import, only the outputs that the evaluator read. */
function importRoot(root: Root, { imported }: EvaluationClosure): Root {
  const read = new Set(imported.get(root.drvPath));
  return { ...root, outputs: root.outputs.filter(({ path }) => read.has(path)) };
}

/** Evaluation extras: what was touched and is no flake source. What an import built brings its own closure by references. */
function causesOf(
  { touched, imported, wrapper }: EvaluationClosure,
  sources: readonly string[],
): Map<string, NonNullable<Path["cause"]>> {
  const causes = new Map<string, NonNullable<Path["cause"]>>();
  const flakeSources = new Set([...sources, wrapper?.storePath]);
  for (const [path, info] of touched)
    if (info.ca !== null && !flakeSources.has(path)) causes.set(path, "fetched");
  for (const path of [...imported.values()].flat()) causes.set(path, "import-from-derivation");
  return causes;
}

interface DraftParts {
  readonly options: PackOptions;
  readonly variables: readonly Variable[];
  readonly top: TopFlake;
  readonly identity: Identity;
  readonly previous: Previous | null;
  readonly sequence: number;
  readonly tier: BundleDocument["tier"];
  readonly roots: BundleDocument["roots"];
  readonly sources: readonly string[];
  readonly evaluation: EvaluationClosure;
  readonly infos: ReadonlyMap<string, nix.PathInfo>;
  readonly nixContext: nix.NixContext;
  readonly nixVersion: string;
  /** Where a store path lies. */
  readonly treeOf: (storePath: string) => string;
}

async function draftDocument(parts: DraftParts): Promise<PackPlan["draft"]> {
  const { options, variables, top, identity, previous, sequence, tier, roots, sources, evaluation, infos } =
    parts;
  const { nixContext, nixVersion } = parts;
  const lastModified = top.flake.lastModified ?? 0;
  const byNarHash = new Map(sources.map((path) => [infos.get(path)?.narHash ?? "", path]));
  const inputs = documentInputs(top.inputs, byNarHash);
  const minimum = minimumNix(top.inputs, {
    hasSelfAttributes: await hasSelfAttributes(nixContext, top, parts.treeOf, inputs),
    evaluatedBy: nixVersion,
  });
  return {
    created: options.created ?? formatTime(lastModified),
    docs: [],
    evaluation: {
      env: [...variables],
      method: evaluation.method,
      pure: variables.length === 0,
      wrapper: evaluation.wrapper?.storePath ?? null,
    },
    flake: { ...top.flake, narHash: infos.get(top.flake.storePath)?.narHash ?? top.flake.narHash },
    format: "nix-airgap-bundle",
    inputs,
    knownIrreproducible: [],
    minimumNix: minimum,
    previous: previous === null ? null : { sequence: previous.sequence, sha256: previous.sha256 },
    ...identity,
    requires: [],
    roots,
    sequence,
    storeDir: "/nix/store",
    systems: [...new Set(roots.map((root) => root.system))].sort(),
    tier,
    tools: { nix: nixVersion, nixAirgap: VERSION },
    ...versionFor({ hasEnvironment: variables.length > 0 }),
  };
}
