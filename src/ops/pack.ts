/**
 * pack: a flake becomes one bundle. Plans first (nothing is written under the output's name until everything else
 * is on disk), refuses with all reasons at once, and resumes where an earlier run was stopped.
 */
import { link, mkdir, rename, rm, stat } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { formatDocument, parseDocument } from "../bundle/document.js";
import { DOCUMENT_NAME, MAX_DOCUMENT_SIZE } from "../bundle/layout.js";
import { openMedium } from "../bundle/medium.js";
import { finishDirectory, writeTar } from "../bundle/write.js";
import { CODES, exitOf, type Finding, fail } from "../errors.js";
import type { BundleDocument, PackReport, Path } from "../generated/types.js";
import { VERSION } from "../generated/version.js";
import {
  exists,
  fileSystemOf,
  makeTempDir,
  removeTree,
  requireSpace,
  withDiskErrors,
} from "../host/files.js";
import { withLock } from "../host/lock.js";
import * as nix from "../host/nix/index.js";
import { packerNix } from "../host/nix/packer.js";
import { formatHex, hashOf, parseSri } from "../nix/hash.js";
import { fingerprint } from "../nix/narinfo.js";
import { type SecretKey, signFingerprint } from "../nix/signature.js";
import { formatTime } from "../time.js";
import { makeApproval } from "../trust/approval.js";
import { makeStatement } from "../trust/statement.js";
import type { Context } from "./context.js";
import { type EvaluationClosure, evaluateRoots, evaluationClosure } from "./pack/evaluate.js";
import { documentInputs, readFlake, type TopFlake } from "./pack/flake.js";
import { makeReal, readDerivations, tierTargets } from "./pack/gather.js";
import {
  compareRoots,
  describePlan,
  knownIrreproducible,
  type PackPlan,
  planPaths,
  rootOf,
} from "./pack/plan.js";
import {
  chooseIdentity,
  chooseOut,
  type Identity,
  type PackOptions,
  parseInstallables,
} from "./pack/request.js";
import { dropCache, openStage, stageBlobs } from "./pack/stage.js";
import { PhaseClock } from "./phase-clock.js";

export type { PackOptions } from "./pack/request.js";

/** What a compressed NAR is of its size, for a first look at the space that is needed; checked again when it is known. */
const COMPRESSED_SHARE = 0.5;
const DEFAULT_COMPRESSION_LEVEL = 3;
/** The largest file of FAT32. */
const MAX_FAT_FILE = 2 ** 32 - 1;

/**
 * @throws AirgapError USAGE, OUT_EXISTS, NIX_MISSING, NIX_FAILED, DISK, NO_SPACE, LOCKED, INTERRUPTED. What is wrong with
 * the flake itself is in the report's findings, and then nothing was written.
 */
export async function pack(options: PackOptions, context: Context): Promise<PackReport> {
  const clock = new PhaseClock(context);
  const tempDir = await makeTempDir("nix-airgap-pack-", context.tmpDir);
  try {
    const planned = await planPack(options, context, tempDir, clock);
    if ("findings" in planned) return refusal(options, planned.findings, clock);
    const { plan, out, nixContext, level } = planned;
    const signedBy = options.secretKey?.publicKey.name ?? null;
    const report = { plan: describePlan(plan, out.path, signedBy), dryRun: options.dryRun, findings: [] };
    if (options.dryRun)
      return { format: "nix-airgap-pack", exit: 0, bundle: null, ...report, phases: clock.phases };
    const bundle = await writeBundle({ plan, out, nixContext, level, tempDir, clock }, options, context);
    return { format: "nix-airgap-pack", exit: 0, bundle, ...report, phases: clock.phases };
  } finally {
    await removeTree(tempDir);
  }
}

interface Planned {
  readonly plan: PackPlan;
  readonly out: Out;
  readonly nixContext: nix.NixContext;
  readonly level: number;
}

type Out = ReturnType<typeof chooseOut>;

async function planPack(
  options: PackOptions,
  context: Context,
  tempDir: string,
  clock: PhaseClock,
): Promise<Planned | { readonly findings: Finding[] }> {
  const installables = parseInstallables(options.installables);
  const { nixContext, realStoreDir } = await packerNix(context);
  const step = <T>(phase: string, work: () => Promise<T>) => clock.phase(phase, {}, work);
  const system = await nix.currentSystem(nixContext);
  const top = await step("read the flake", () => readFlake(nixContext, installables.ref, realStoreDir));
  const { identity, findings } = chooseIdentity(options, top.project, { ...top, rev: top.flake.rev });
  const tier = options.tier ?? top.project.tier ?? "build";
  const out = chooseOut(options.out, context.cwd, { ...identity, systems: [system], tier });
  if (findings.length === 0 && !options.dryRun && (await exists(out.path)))
    fail("OUT_EXISTS", { subject: out.path });
  findings.push(...top.findings);
  // Without a lock to trust, what evaluation would say is of no use.
  if (top.findings.some(({ code }) => code !== "TREE_DIRTY")) return { findings };

  const attrs = installables.attrs.length > 0 ? installables.attrs : (top.project.roots ?? []);
  const evaluated = await step("evaluate", () =>
    evaluateRoots(nixContext, { ref: installables.ref, attrs }, system),
  );
  findings.push(...evaluated.findings);
  const asked = await readDerivations(
    evaluated.roots.map((root) => root.drvPath),
    realStoreDir,
  );
  findings.push(...asked.findings);
  if (findings.length > 0) return { findings };

  const sources = await step("fetch inputs", () => nix.flakeArchive(nixContext, installables.ref));
  const build = (phase: string, targets: readonly string[], derivations = asked.derivations) =>
    clock.phase(phase, {}, (progress) => makeReal(nixContext, targets, derivations, progress));
  findings.push(
    ...(await build(
      "build roots",
      evaluated.roots.map((root) => root.drvPath),
    )),
  );
  if (findings.length > 0) return { findings };

  const evaluation = await step("evaluate as a site will", () =>
    evaluationClosure(nixContext, top, evaluated.roots, tempDir),
  );
  findings.push(...evaluation.findings);
  if (findings.length > 0) return { findings };

  // From here on imports from derivations are roots like the others, but for the tier that carries no derivations.
  const imported = tier === "runtime" ? [] : [...evaluation.imported.keys()];
  const rootDrvs = [...evaluated.roots.map((root) => root.drvPath), ...imported];
  const {
    derivations,
    infos: derivationInfos,
    findings: floating,
  } = await readDerivations(rootDrvs, realStoreDir);
  findings.push(
    ...floating,
    ...(await build(
      `realise what tier ${tier} needs`,
      [...tierTargets(tier, rootDrvs, derivations), ...imported],
      derivations,
    )),
  );
  if (findings.length > 0) return { findings };

  const roots = [
    ...evaluated.roots.map(({ attr, drvPath }) => rootOf(drvPath, attr, "output", derivations)),
    ...imported.map((drvPath) => rootOf(drvPath, "", "evaluation", derivations)),
  ].sort(compareRoots);
  const wanted = new Set([
    ...sources,
    ...evaluation.touched.keys(),
    ...roots.flatMap((root) => root.outputs.map(({ path }) => path)),
  ]);
  if (tier !== "runtime")
    for (const derivation of derivations.byPath.values())
      for (const path of derivation.inputSrcs) wanted.add(path);
  if (tier !== "runtime")
    for (const drvPath of rootDrvs) for (const path of derivations.inputsOf(drvPath)) wanted.add(path);
  if (tier === "source")
    for (const [path, { output }] of derivations.outputs) if (output.kind === "fixed") wanted.add(path);
  const infos = new Map(derivationInfos);
  const present = await step("look up paths", () =>
    nix.pathInfo(nixContext, [...wanted].sort(), { recursive: true }),
  );
  for (const info of present) infos.set(info.storePath, info);

  const draft = await draftDocument({
    options,
    context,
    top,
    identity,
    tier,
    roots,
    sources,
    evaluation,
    infos,
    nixContext,
  });
  const plan = planPaths(
    { ...draft, knownIrreproducible: knownIrreproducible(top.project, derivations) },
    infos,
    causesOf(evaluation, sources),
    derivations,
  );
  return { plan, out, nixContext, level: options.compressionLevel ?? DEFAULT_COMPRESSION_LEVEL };
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
  for (const path of imported.values()) causes.set(path, "import-from-derivation");
  return causes;
}

interface DraftParts {
  readonly options: PackOptions;
  readonly context: Context;
  readonly top: TopFlake;
  readonly identity: Identity;
  readonly tier: BundleDocument["tier"];
  readonly roots: BundleDocument["roots"];
  readonly sources: readonly string[];
  readonly evaluation: EvaluationClosure;
  readonly infos: ReadonlyMap<string, nix.PathInfo>;
  readonly nixContext: nix.NixContext;
}

async function draftDocument(parts: DraftParts): Promise<PackPlan["draft"]> {
  const { options, top, identity, tier, roots, sources, evaluation, infos, nixContext } = parts;
  const lastModified = top.flake.lastModified ?? 0;
  const sequence = options.sequence ?? lastModified;
  const byNarHash = new Map(sources.map((path) => [infos.get(path)?.narHash ?? "", path]));
  return {
    created: options.created ?? formatTime(lastModified),
    docs: [],
    evaluation: {
      env: [],
      method: evaluation.method,
      pure: true,
      wrapper: evaluation.wrapper?.storePath ?? null,
    },
    features: [],
    flake: { ...top.flake, narHash: infos.get(top.flake.storePath)?.narHash ?? top.flake.narHash },
    format: "nix-airgap-bundle",
    inputs: documentInputs(top.inputs, byNarHash),
    knownIrreproducible: [],
    minimumNix: minimumNix(top),
    previous:
      options.previous === undefined
        ? null
        : await readPrevious(options.previous, identity.product, sequence),
    ...identity,
    requires: [],
    roots,
    sequence,
    storeDir: "/nix/store",
    systems: [...new Set(roots.map((root) => root.system))].sort(),
    tier,
    tools: { nix: await nix.version(nixContext), nixAirgap: VERSION },
    version: "1.0",
  };
}

/** Nix 2.8 is the oldest we know; what newer ones write into locks it cannot read. */
function minimumNix({ inputs }: TopFlake): string {
  if (inputs.some((input) => input.parent !== undefined)) return "2.26.0";
  const newTarball = inputs.some(
    ({ locked }) => locked["type"] === "tarball" && locked["lastModified"] !== undefined,
  );
  return newTarball ? "2.26.0" : "2.8.0";
}

async function readPrevious(
  path: string,
  product: string,
  sequence: number,
): Promise<BundleDocument["previous"]> {
  const { medium, findings } = await openMedium(path, { allowExtra: false });
  const bytes = await medium.read(DOCUMENT_NAME, MAX_DOCUMENT_SIZE);
  const parsed = parseDocument(bytes);
  const problem = [...findings, ...parsed.findings][0];
  if (problem !== undefined || parsed.document === null)
    fail(problem?.code ?? "DOCUMENT_SCHEMA", { ...problem, subject: `--previous ${path}` });
  const { document } = parsed;
  if (document.product !== product)
    fail("USAGE", {
      subject: `--previous ${path}`,
      expected: `product ${product}`,
      actual: document.product,
    });
  if (document.sequence >= sequence) {
    fail("USAGE", {
      subject: "--sequence",
      expected: `more than ${document.sequence}, that of the previous bundle`,
      actual: String(sequence),
    });
  }
  return { sequence: document.sequence, sha256: formatHex(hashOf("sha256", bytes)) };
}

interface WriteParts extends Planned {
  readonly tempDir: string;
  readonly clock: PhaseClock;
}

/** execute: blobs, then document, then what follows from it; the final name last. */
async function writeBundle(
  parts: WriteParts,
  options: PackOptions,
  context: Context,
): Promise<PackReport["bundle"]> {
  const { plan, out, nixContext, level, tempDir, clock } = parts;
  const folder = dirname(out.path);
  await withDiskErrors(folder, () => mkdir(folder, { recursive: true }));
  return withLock(join(folder, `.${basename(out.path)}.lock`), async () => {
    const recipe = { compressionLevel: level, nixVersion: plan.draft.tools.nix };
    const stage = await openStage(out.path, recipe);
    const narBytes = plan.paths.reduce((sum, path) => sum + path.narSize, 0);
    await requireSpace(folder, narBytes * COMPRESSED_SHARE);
    const paths = await clock.phase("compress", { items: plan.paths.length, bytes: narBytes }, (progress) => {
      const done = { items: 0, bytes: 0 };
      return stageBlobs(nixContext, stage, plan.paths, {
        recipe,
        tempDir,
        onCopied: (bytes, path) => {
          done.items += 1;
          done.bytes += bytes;
          progress(done.items, done.bytes, path);
        },
      });
    });
    const document = completeDocument(plan, paths, options.secretKey);
    const bytes = formatDocument(document);
    const sha256 = formatHex(hashOf("sha256", bytes));
    const largest =
      out.form === "tar" ? document.totals.blobBytes : Math.max(...paths.map((path) => path.blobSize));
    if (out.form === "tar") await requireSpace(folder, document.totals.blobBytes);
    await checkFat(folder, largest);
    await clock.phase("write", {}, async () => {
      const approvals = packerApproval(document, sha256, options.secretKey);
      if (out.form === "tar") {
        const partial = join(stage.dir, "bundle.tar");
        await writeTar(stage.bundle, partial, {
          document,
          approvals,
          report: context.report,
          signal: context.signal,
        });
        await publishFile(partial, out.path);
      } else {
        await finishDirectory(stage.bundle, document, approvals);
        await publishDirectory(stage.bundle, out.path);
      }
    });
    await dropCache(stage);
    await removeTree(stage.dir);
    return { path: out.path, kind: out.form, sha256, bytes: await sizeOf(out, document, bytes.length) };
  });
}

function completeDocument(
  plan: PackPlan,
  paths: readonly Path[],
  secretKey: SecretKey | undefined,
): BundleDocument {
  const blobs = new Map(paths.map((path) => [path.blob, path.blobSize]));
  const signed = paths.map((path) => {
    if (secretKey === undefined) return path;
    const signature = signFingerprint(fingerprint({ ...path, narHash: parseSri(path.narHash) }), secretKey);
    return { ...path, signatures: [...new Set([...path.signatures, signature])].sort() };
  });
  return {
    ...plan.draft,
    paths: signed,
    totals: {
      blobBytes: [...blobs.values()].reduce((sum, size) => sum + size, 0),
      blobs: blobs.size,
      narBytes: paths.reduce((sum, path) => sum + path.narSize, 0),
      paths: paths.length,
    },
  };
}

/** The packer's approval says `created` for its time, so that the same inputs give the same bytes. */
function packerApproval(
  document: BundleDocument,
  sha256: string,
  secretKey: SecretKey | undefined,
): Map<string, Buffer> {
  if (secretKey === undefined) return new Map();
  const statement = makeStatement({
    document,
    documentSha256: sha256,
    role: "packer",
    signedAt: document.created,
    keyName: secretKey.publicKey.name,
  });
  const { fileName, bytes } = makeApproval(statement, secretKey);
  return new Map([[fileName, bytes]]);
}

async function checkFat(folder: string, largest: number): Promise<void> {
  const { isFat } = await fileSystemOf(folder);
  if (!isFat || largest <= MAX_FAT_FILE) return;
  fail("DISK", {
    subject: folder,
    expected: `files of at most ${MAX_FAT_FILE} bytes, since this is a FAT file system`,
    actual: `${largest} bytes`,
    hint: "Write to another file system, or format the medium as exFAT or ext4; a directory (--out without .tar) has smaller files.",
  });
}

/** Gives the file its final name without ever replacing another. */
async function publishFile(partial: string, out: string): Promise<void> {
  await withDiskErrors(out, async () => {
    try {
      await link(partial, out);
      await rm(partial);
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code === "EEXIST") fail("OUT_EXISTS", { subject: out });
      // A file system without hard links; the lock file keeps other packs away.
      if (code !== "EPERM" && code !== "ENOTSUP" && code !== "ENOSYS") throw error;
      if (await exists(out)) fail("OUT_EXISTS", { subject: out });
      await rename(partial, out);
    }
  });
}

async function publishDirectory(partial: string, out: string): Promise<void> {
  if (await exists(out)) fail("OUT_EXISTS", { subject: out });
  await withDiskErrors(out, () => rename(partial, out));
}

async function sizeOf(out: Out, document: BundleDocument, documentBytes: number): Promise<number> {
  if (out.form === "tar") return (await stat(out.path)).size;
  return document.totals.blobBytes + 2 * documentBytes;
}

function refusal(options: PackOptions, findings: readonly Finding[], clock: PhaseClock): PackReport {
  return {
    format: "nix-airgap-pack",
    exit: exitOf(findings),
    dryRun: options.dryRun,
    bundle: null,
    plan: null,
    findings: findings.map(({ code, ...finding }) => ({
      code,
      ...(finding.subject === undefined ? {} : { subject: finding.subject }),
      ...(finding.expected === undefined ? {} : { expected: finding.expected }),
      ...(finding.actual === undefined ? {} : { actual: finding.actual }),
      explain: CODES[code].explain,
      advice: finding.hint ?? CODES[code].advice,
      neededBy: [...(finding.neededBy ?? [])],
    })),
    phases: clock.phases,
  };
}
