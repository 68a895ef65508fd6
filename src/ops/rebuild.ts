/**
 * rebuild: builds what a verified bundle promises to rebuild, in a scratch store that holds nothing else, sandboxed and
 * without network, and compares every result with the document. This machine's own store is never touched.
 */
import { mkdir } from "node:fs/promises";
import { basename, join } from "node:path";
import { setImmediate } from "node:timers/promises";
import { blobName } from "../bundle/layout.js";
import { PackedDerivations } from "../bundle/packed.js";
import { AirgapError, EXIT, exitOf, type Finding, fail } from "../errors.js";
import type { BundleDocument, Path, RebuildReport, RebuiltDerivation, Root } from "../generated/types.js";
import { VERSION } from "../generated/version.js";
import { compareListings, listPath, type TreeDifference } from "../host/disk-nar.js";
import { makeTempDir, moveTree, removeTree, requireSpace, withDiskErrors } from "../host/files.js";
import type { Gate } from "../host/gate.js";
import { listBlob } from "../host/nar-listing.js";
import {
  currentSystem,
  type NixContext,
  type NixLogEvent,
  realise,
  usableVersion,
} from "../host/nix/index.js";
import { effectiveSettings } from "../host/nix/machine.js";
import { forScratch } from "../host/nix/scratch.js";
import { parseSandboxPaths, siteNix } from "../host/nix/site.js";
import { isAboutSandbox, keptBuildFolder } from "../host/nix/words.js";
import { makeRunDir } from "../host/run-dir.js";
import { realPath } from "../host/store.js";
import { formatTime } from "../time.js";
import { type BundleSource, withBundle } from "./bundle-source.js";
import { checkOnDisk, hashOnDisk, totalsOf } from "./check-disk.js";
import type { Context } from "./context.js";
import { gateTo } from "./gate-paths.js";
import { importBundle, importProgress } from "./import-bundle.js";
import { checkMinimumNix } from "./minimum-nix.js";
import { PhaseClock } from "./phase-clock.js";
import {
  buildable,
  foreignDerivations,
  importable,
  limitRoots,
  planRebuild,
  type RebuildPlan,
  type RebuildTier,
} from "./rebuild/plan.js";
import {
  type Scratch,
  type ScratchContents,
  scratchContents,
  unusable,
  withScratch,
} from "./rebuild/scratch.js";
import {
  type BuildOutcome,
  countVerdicts,
  findingsOf,
  judge,
  type RebuildCounts,
  summarise,
} from "./rebuild/verdict.js";
import { auditBundle, codesOf, type Happening, recorded } from "./record.js";
import { refusal, reportedBundle, reportedFindings } from "./reports.js";
import { stagingBytes } from "./restore/plan.js";
import { type Trust, trustDetails } from "./verify/trust.js";
import type { VerifiedBundle } from "./verify/verified-bundle.js";
import { verifyToBundle } from "./verify.js";

export interface RebuildOptions {
  readonly trust: Exclude<Trust, { by: "nobody" }>;
  /** Other folders that hold parts of a bundle in parts. */
  readonly parts?: readonly string[];
  /** Default: the bundle's tier. */
  readonly from?: RebuildTier;
  /** Those of the roots to rebuild; default: all. */
  readonly systems?: readonly string[];
  /** A folder for the scratch store, which is kept, and resumed from; default: a temporary one. */
  readonly scratch?: string;
  /** Host paths that are lent to builders. */
  readonly sandboxPaths: readonly string[];
  /** Builds at a time. */
  readonly jobs?: number;
  /** Processors for each build; 0 for all. */
  readonly cores?: number;
  readonly keepFailed: boolean;
  readonly dryRun: boolean;
}

/** Lines of a failed build's log that a report has. */
const LOG_LINES = 20;
/** Files named for one output that differs. */
const MAX_DIFFERENCES = 10;
/** Derivations named for one system. */
const MAX_NEEDED_BY = 8;

/**
 * @throws AirgapError of exit 2 only (USAGE, SCRATCH_FOREIGN, BUNDLE_NOT_FOUND, …). All else is in the report.
 */
export async function rebuild(
  bundlePath: string,
  options: RebuildOptions,
  context: Context,
): Promise<RebuildReport> {
  const run = new Run(bundlePath, options, context);
  return run.record(await run.toReport());
}

type Outcome = Pick<RebuildReport, "verdict" | "exit" | "findings">;

/** One rebuild, and what its report says so far. */
class Run {
  readonly #bundlePath: string;
  readonly #options: RebuildOptions;
  readonly #context: Context;
  readonly #clock: PhaseClock;
  readonly #sandboxPaths: readonly string[];
  #bundle: VerifiedBundle | null = null;
  /** What the bundle says it is, also where it was refused. */
  #claimed: Happening["bundle"] = null;
  #from: RebuildTier;
  #startedWith: RebuildReport["startedWith"] = null;
  #leftOut: readonly Root[] = [];
  #derivations: RebuiltDerivation[] = [];
  #counts: RebuildCounts | null = null;
  #scratch: string | null = null;
  #kept: string[] = [];
  #nixVersion: string | null = null;
  /** What this Nix lends to every build, unless told otherwise. */
  #lentByNix: readonly string[] = [];
  /** Systems that this machine builds for. */
  #ownSystems: ReadonlySet<string> = new Set();

  constructor(bundlePath: string, options: RebuildOptions, context: Context) {
    this.#bundlePath = bundlePath;
    this.#options = options;
    this.#context = context;
    this.#clock = new PhaseClock(context);
    this.#sandboxPaths = parseSandboxPaths(options.sandboxPaths);
    this.#from = options.from ?? "source";
  }

  async toReport(): Promise<RebuildReport> {
    const startedAt = this.#now();
    const tempDir = await makeRunDir("rebuild", this.#context.tmpDir);
    try {
      const ended = await withBundle(this.#bundlePath, this.#context, (source) =>
        this.#rebuild(source, tempDir),
      );
      return this.#report(startedAt, ended);
    } catch (error) {
      if (!(error instanceof AirgapError) || error.exit === EXIT.usage) throw error;
      return this.#report(startedAt, outcome("failed", [{ ...error.details, code: error.code }]));
    } finally {
      await removeTree(tempDir);
    }
  }

  /** How it ended goes into the site's log. */
  async record(report: RebuildReport): Promise<RebuildReport> {
    const { trust, dryRun } = this.#options;
    if (trust.by !== "policy" || trust.site === null || dryRun) return report;
    const { verdict, exit, tools, findings } = report;
    const { systems } = this.#options;
    const happening: Happening = {
      event: "rebuild",
      verdict,
      exit,
      bundle: this.#claimed,
      nix: tools.nix,
      details: {
        ...trustDetails(trust),
        findings: codesOf(findings),
        ...(systems === undefined ? {} : { systems: systems.join(" ") }),
      },
    };
    return recorded(report, trust.site.place, happening, this.#context);
  }

  async #rebuild(source: BundleSource, tempDir: string): Promise<Outcome> {
    const { trust, dryRun, scratch: scratchDir } = this.#options;
    const { report, bundle } = await verifyToBundle(
      source,
      { trust, documentOnly: false, allowExtra: false, parts: this.#options.parts ?? [] },
      this.#context,
    );
    this.#claimed = auditBundle(report.bundle);
    if (bundle === null) return refusal(report);
    this.#bundle = bundle;
    const { document, documentSha256 } = bundle;
    const packed = new PackedDerivations(bundle.derivations);
    const tooLow = this.#chooseTier(document.tier);
    if (tooLow !== null) return outcome("refused", [tooLow]);
    const { limited, leftOut } = limitRoots(document, this.#options.systems);
    if (limited.roots.length === 0) refuseSystems(this.#options.systems, document);
    this.#leftOut = leftOut;
    const plan = planRebuild(limited, packed, this.#from);
    this.#startedWith = describeStart(plan, bundle, packed);
    if (dryRun) {
      this.#counts = { ...countVerdicts([], 0), toBuild: plan.build.size };
      return outcome("planned", []);
    }
    const nix = await this.#nix(tempDir);
    const tooOld = checkMinimumNix(document, this.#nixVersion ?? "");
    if (tooOld.length > 0) return outcome("refused", tooOld);
    const foreign = foreignDerivations(plan, this.#ownSystems);
    if (foreign.size > 0) return outcome("refused", foreignFindings(foreign, this.#ownSystems));
    const owner = [documentSha256, this.#from, ...(this.#options.systems ?? [])].join(" ");
    return withScratch(scratchDir, owner, this.#context, async (scratch) => {
      this.#scratch = scratch.kept;
      const before = await scratchContents(scratch, plan, nix);
      await this.#requireSpace(scratch, plan, before, bundle, tempDir);
      const wrong = await this.#checkImported(scratch, plan, before.valid);
      if (wrong.length > 0) return outcome("refused", unusable(wrong, scratch.kept));
      const gate = await gateTo(bundle, join(tempDir, "gate"), this.#context);
      const builds = new Builds();
      const changed = await this.#build({ plan, packed, scratch, bundle, nix, gate, builds });
      if (changed.length > 0) return outcome("failed", changed);
      const resumed = [...plan.build].filter(([, derivation]) =>
        [...derivation.outputs.values()].every((output) => "path" in output && before.built.has(output.path)),
      ).length;
      return this.#judge({ plan, packed, scratch, bundle, nix, builds, resumed });
    });
  }

  #chooseTier(tier: "runtime" | RebuildTier): Finding | null {
    const from = this.#options.from ?? (tier === "runtime" ? "build" : tier);
    this.#from = from;
    if (tier === "source" || tier === from) return null;
    return {
      code: "TIER_TOO_LOW",
      subject: this.#bundlePath,
      expected: `tier ${from}`,
      actual: `tier ${tier}`,
    };
  }

  async #nix(tempDir: string): Promise<NixContext> {
    const { signal, report, env } = this.#context;
    const { jobs, cores } = this.#options;
    const nix = await forScratch(
      await siteNix({ dir: join(tempDir, "nix"), path: env["PATH"], signal, report }),
    );
    this.#nixVersion = await usableVersion(nix);
    const { sandboxPaths, system, extraPlatforms } = await effectiveSettings(nix);
    if (this.#sandboxPaths.length === 0) this.#lentByNix = sandboxPaths ?? [];
    this.#ownSystems = new Set([system ?? (await currentSystem(nix)), ...(extraPlatforms ?? [])]);
    const builds = join(tempDir, "builds");
    await withDiskErrors(builds, () => mkdir(builds));
    const options = {
      ...nix.options,
      sandbox: "true",
      "sandbox-fallback": "false",
      ...(this.#sandboxPaths.length > 0 ? { "sandbox-paths": this.#sandboxPaths.join(" ") } : {}),
      "max-jobs": String(jobs ?? this.#context.threads ?? 1),
      ...(cores === undefined ? {} : { cores: String(cores) }),
    };
    return { ...nix, options, env: { ...nix.env, TMPDIR: builds } };
  }

  /** For what is to be imported and built, and for the blobs that come out of a tar. */
  async #requireSpace(
    { store, kept }: Scratch,
    { imports, outputs }: RebuildPlan,
    { valid }: ScratchContents,
    { document, medium }: VerifiedBundle,
    tempDir: string,
  ): Promise<void> {
    const elsewhere = "set TMPDIR to a folder on another disk";
    const missing = imports.filter(({ storePath }) => !valid.has(storePath));
    const toBuild = document.paths.filter(({ storePath }) => outputs.has(storePath) && !valid.has(storePath));
    await requireSpace(
      {
        path: store.realStoreDir,
        bytes: sumSizes(missing) + sumSizes(toBuild),
        files: missing.length + toBuild.length,
        elsewhere: kept === null ? `${elsewhere}, or give --scratch` : "give another --scratch",
      },
      { path: tempDir, bytes: stagingBytes(missing, medium.kind), elsewhere },
    );
  }

  /** What an earlier run imported is believed only once it was read back. */
  #checkImported(scratch: Scratch, plan: RebuildPlan, valid: ReadonlySet<string>): Promise<Finding[]> {
    const there = plan.imports.filter(({ storePath }) => valid.has(storePath));
    if (there.length === 0) return Promise.resolve([]);
    return this.#clock.phase("check what is there", totalsOf(there), (progress) =>
      checkOnDisk(scratch.store, there, this.#context, progress),
    );
  }

  /**
   * Imports and builds in turns, until neither can go on. One turn is the rule; an input that refers to another root's
   * output waits until that was built. The findings are those of a medium that changed meanwhile.
   */
  async #build(parts: BuildParts): Promise<Finding[]> {
    const { plan, packed, scratch, nix, builds } = parts;
    const tried = new Set<string>();
    let { valid } = await scratchContents(scratch, plan, nix);
    for (;;) {
      const imports = importable(
        plan.imports.filter(({ storePath }) => !valid.has(storePath)),
        valid,
      );
      const changed = await this.#import(imports, parts);
      if (changed.length > 0) return changed;
      const there = new Set([...valid, ...imports.map(({ storePath }) => storePath)]);
      const targets = buildable(plan, packed, there).filter((drvPath) => !tried.has(drvPath));
      if (targets.length === 0) return [];
      // Nothing that the tier does not promise may be there to build with.
      await scratchContents(scratch, plan, nix);
      for (const drvPath of targets) tried.add(drvPath);
      await this.#realise(targets, builds, parts);
      ({ valid } = await scratchContents(scratch, plan, nix));
    }
  }

  async #import(paths: readonly Path[], { bundle, scratch, nix, gate }: BuildParts): Promise<Finding[]> {
    if (paths.length === 0) return [];
    const copied = importProgress(bundle, paths, { context: this.#context, isChecked: false });
    return this.#clock.phase("import", copied.totals, (progress) =>
      importBundle(bundle, paths, {
        nix,
        gate,
        store: scratch.store.uri,
        context: this.#context,
        onEvent(event, lane) {
          if (copied.take(event, lane)) progress(copied.done);
        },
      }),
    );
  }

  async #realise(targets: readonly string[], builds: Builds, { scratch, nix }: BuildParts): Promise<void> {
    const { keepFailed } = this.#options;
    await this.#clock.phase("build", { items: targets.length }, async (progress) => {
      const onEvent = (event: NixLogEvent): void => {
        builds.take(event);
        const { finished: items, running: detail } = builds;
        progress({ items, ...(detail === undefined ? {} : { detail }) });
      };
      const result = await realise(nix, targets, {
        store: scratch.store.uri,
        keepGoing: true,
        keepFailed,
        onEvent,
      });
      if (result.ok || builds.started.size > 0) return;
      // Nix did not get as far as a build: that says nothing about the bundle.
      fail("NIX_FAILED", {
        subject: "nix-store --realise",
        actual: result.message,
        ...(isAboutSandbox(result.message)
          ? { hint: "Builds need a sandbox: run as root, or where users may make namespaces." }
          : {}),
      });
    });
  }

  async #judge(parts: JudgeParts): Promise<Outcome> {
    const { plan, packed, scratch, bundle, nix, builds, resumed } = parts;
    const { document } = bundle;
    const { built } = await scratchContents(scratch, plan, nix);
    const byPath = new Map(document.paths.map((path) => [path.storePath, path]));
    const outputs = [...built].sort().map((storePath) => ({
      storePath,
      narSize: byPath.get(storePath)?.narSize ?? 0,
    }));
    const actual = await this.#clock.phase("compare", totalsOf(outputs), (progress) =>
      hashOnDisk(scratch.store, outputs, this.#context, progress),
    );
    const differences = new Map<string, TreeDifference[]>();
    for (const [storePath, narHash] of actual) {
      const expected = byPath.get(storePath);
      if (expected === undefined || expected.narHash === narHash) continue;
      await setImmediate();
      differences.set(storePath, firstDifferences(bundle, expected, realPath(scratch.store, storePath)));
    }
    const { started, logs } = builds;
    const outcomes: BuildOutcome = { actual, started, logs, differences };
    this.#derivations = judge(plan, document, packed, outcomes);
    this.#counts = countVerdicts(this.#derivations, resumed);
    this.#kept = await this.#keepFailed(builds);
    const findings = findingsOf(this.#derivations);
    if (findings.length === 0) return outcome("identical", []);
    return outcome(findings[0]?.code === "REBUILD_DIFFERS" ? "differs" : "failed", findings);
  }

  /** Folders of failed builds, moved to where they are not removed. */
  async #keepFailed({ kept }: Builds): Promise<string[]> {
    if (!this.#options.keepFailed || kept.size === 0) return [];
    const to = await makeTempDir("nix-airgap-failed-", this.#context.tmpDir);
    for (const folder of kept) await moveTree(folder, join(to, basename(folder)));
    return [...kept].map((folder) => join(to, basename(folder))).sort();
  }

  #report(startedAt: string, { verdict, exit, findings }: Outcome): RebuildReport {
    const prebuilt = this.#startedWith?.prebuilt ?? [];
    return {
      bundle: this.#bundle === null ? null : reportedBundle(this.#bundle),
      counts: this.#counts,
      derivations: this.#derivations,
      dryRun: this.#options.dryRun,
      exit,
      findings,
      finishedAt: this.#now(),
      format: "nix-airgap-rebuild",
      from: this.#from,
      kept: this.#kept,
      leftOut: this.#leftOut.map(({ attr, drvPath, system }) => ({ attr, drvPath, system })),
      phases: this.#clock.phases,
      sandbox: { byNix: [...this.#lentByNix], paths: [...this.#sandboxPaths] },
      scratch: this.#scratch,
      startedAt,
      startedWith: this.#startedWith,
      summary: this.#summary(verdict, prebuilt),
      tools: { nix: this.#nixVersion, nixAirgap: VERSION },
      verdict,
    };
  }

  #summary(verdict: RebuildReport["verdict"], prebuilt: readonly { readonly path: string }[]): string {
    const counts = this.#counts;
    if (verdict === "planned") return `${counts?.toBuild ?? 0} derivations to build from tier ${this.#from}`;
    if (counts === null) return "nothing was rebuilt";
    const sandbox = { byNix: this.#lentByNix, paths: this.#sandboxPaths };
    return summarise(counts, this.#from, { prebuilt, sandbox, leftOut: this.#leftOut });
  }

  #now(): string {
    return formatTime(Math.floor(this.#context.now().getTime() / 1000));
  }
}

interface BuildParts {
  readonly plan: RebuildPlan;
  readonly packed: PackedDerivations;
  readonly scratch: Scratch;
  readonly bundle: VerifiedBundle;
  readonly nix: NixContext;
  readonly gate: Gate;
  readonly builds: Builds;
}

interface JudgeParts extends Omit<BuildParts, "gate"> {
  /** Derivations that an earlier run built. */
  readonly resumed: number;
}

/** What Nix says about the builds that it runs. */
class Builds {
  readonly started = new Set<string>();
  readonly logs = new Map<string, string[]>();
  /** Folders of failed builds. */
  readonly kept = new Set<string>();
  readonly #running = new Set<string>();
  finished = 0;

  /** One of those that run now, for people. */
  get running(): string | undefined {
    return [...this.#running][0];
  }

  take(event: NixLogEvent): void {
    if (event.type === "message") {
      const folder = keptBuildFolder(event.text);
      if (folder !== null) this.kept.add(folder);
    } else if (event.type === "build-line") {
      if (event.line.trim() === "") return;
      const lines = this.logs.get(event.subject) ?? [];
      lines.push(event.line);
      if (lines.length > LOG_LINES) lines.shift();
      this.logs.set(event.subject, lines);
    } else if (event.type === "started" && event.kind === "build") {
      this.started.add(event.subject);
      this.#running.add(event.subject);
    } else if (event.type === "finished" && event.kind === "build") {
      this.#running.delete(event.subject);
      this.finished += 1;
    }
  }
}

function refuseSystems(systems: readonly string[] | undefined, document: BundleDocument): never {
  fail("USAGE", {
    subject: `--system ${systems?.join(" ") ?? ""}`,
    expected: `one of the bundle's: ${document.systems.join(", ")}`,
    actual: "no root of these",
  });
}

/** For each system that this machine cannot build for. */
function foreignFindings(
  foreign: ReadonlyMap<string, readonly string[]>,
  own: ReadonlySet<string>,
): Finding[] {
  const [system = ""] = own;
  return [...foreign].map(([subject, drvPaths]) => ({
    code: "SYSTEM_UNAVAILABLE",
    subject,
    expected: [...own].join(", "),
    actual: `${drvPaths.length} derivations of another system`,
    neededBy: drvPaths.slice(0, MAX_NEEDED_BY),
    hint: `Rebuild here what is for this machine (--system ${system}), and the rest on one of that system.`,
  }));
}

function firstDifferences(bundle: VerifiedBundle, path: Path, onDisk: string): TreeDifference[] {
  const { storePath, blob, narHash, narSize } = path;
  const file = bundle.medium.files.get(blobName(blob)) ?? fail("BLOB_MISSING", { subject: blobName(blob) });
  const original = listBlob({ subject: storePath, file, narHash, narSize });
  return compareListings(original, listPath(onDisk), MAX_DIFFERENCES);
}

function describeStart(
  plan: RebuildPlan,
  bundle: VerifiedBundle,
  packed: PackedDerivations,
): NonNullable<RebuildReport["startedWith"]> {
  const { imports } = plan;
  const derivations = imports.filter(({ storePath }) => storePath.endsWith(".drv")).length;
  const outputs = imports.filter(({ storePath }) => packed.outputs.has(storePath)).length;
  return {
    derivations,
    narBytes: sumSizes(imports),
    outputs,
    paths: imports.length,
    prebuilt: imports.flatMap(({ storePath }) => {
      const files = bundle.prebuilt.get(storePath);
      return files === undefined ? [] : [{ files: [...files], path: storePath }];
    }),
    sources: imports.length - derivations - outputs,
  };
}

function outcome(verdict: Outcome["verdict"], findings: readonly Finding[]): Outcome {
  return { verdict, exit: exitOf(findings), findings: reportedFindings(findings) };
}

function sumSizes(paths: readonly { readonly narSize: number }[]): number {
  return paths.reduce((sum, { narSize }) => sum + narSize, 0);
}
