/**
 * restore: a verified bundle enters a Nix store on this machine. Plans, imports through the gate, then believes only
 * what it reads back from disk. The receipt tells all of it, also when it did not end well.
 */
import { join, resolve } from "node:path";
import { AirgapError, EXIT, exitOf, type Finding, fail } from "../errors.js";
import type { Path, RestoreReceipt, SiteState } from "../generated/types.js";
import { VERSION } from "../generated/version.js";
import {
  exists,
  fileSystemOf,
  removeTree,
  requireSpace,
  sizeOnDisk,
  writeFileAtomic,
} from "../host/files.js";
import type { Gate } from "../host/gate.js";
import { makeRoots, type PendingRoots, parseRootName } from "../host/gc-roots.js";
import { makeIndirectRoots } from "../host/indirect-roots.js";
import { invalidPaths, type NixContext, usableVersion } from "../host/nix/index.js";
import { parseSandboxPaths, siteNix } from "../host/nix/site.js";
import { checkOutLinks, writeOutLinks } from "../host/out-links.js";
import { makeRunDir } from "../host/run-dir.js";
import { realPath, resolveStore, type TargetStore } from "../host/store.js";
import { withStoreLock } from "../host/store-lock.js";
import type { SecretKey } from "../nix/signature.js";
import { formatTime } from "../time.js";
import { type BundleSource, withBundle } from "./bundle-source.js";
import { checkOnDisk, checkRecords, DiskCheck, totalsOf } from "./check-disk.js";
import type { Context } from "./context.js";
import { gateTo } from "./gate-paths.js";
import { importBundle, importProgress } from "./import-bundle.js";
import { readImportKey } from "./import-key.js";
import { checkMinimumNix } from "./minimum-nix.js";
import { PhaseClock } from "./phase-clock.js";
import { auditBundle, codesOf, type Happening, recorded, recordIn } from "./record.js";
import { type ReleaseStanding, rememberRelease } from "./releases/remember.js";
import { refusal, reportedBundle, reportedFindings } from "./reports.js";
import { explainRefusal, smallestProof } from "./restore/daemon-trust.js";
import { describeRoots, linkTargets, outputLinks } from "./restore/describe-roots.js";
import { planRestore, type RestorePlan } from "./restore/plan.js";
import { dropRepair, withRepair } from "./restore/repair.js";
import { acceptRelease } from "./site.js";
import { pathKeys, type Trust, trustDetails } from "./verify/trust.js";
import type { VerifiedBundle } from "./verify/verified-bundle.js";
import { verifyToBundle } from "./verify.js";

export interface RestoreOptions {
  readonly trust: Exclude<Trust, { by: "nobody" }>;
  /** Other folders that hold parts of a bundle in parts. */
  readonly parts?: readonly string[];
  /** As `nix --store` takes it; default: this machine's. */
  readonly store?: string;
  /** Default: PRODUCT-RELEASE. */
  readonly gcRoot?: string;
  /** A folder for short symlinks to the outputs. */
  readonly outLink?: string;
  /** Host paths that `nix develop` may lend to its builder afterwards. */
  readonly sandboxPaths: readonly string[];
  readonly dryRun: boolean;
  /** A file for the receipt. */
  readonly receipt?: string;
}

/**
 * Imports nothing unless all of the bundle holds, and what the store already has of it. Whatever stops it later leaves a
 * store that the next run completes.
 *
 * @throws AirgapError of exit 2 only (USAGE, OUT_EXISTS, BUNDLE_NOT_FOUND, …), before anything is done; and DISK where
 * the receipt cannot be written. All else is in the receipt.
 */
export async function restore(
  bundlePath: string,
  options: RestoreOptions,
  context: Context,
): Promise<RestoreReceipt> {
  const store = await resolveStore(options.store, context.cwd, context.env);
  const run = new Run(bundlePath, store, options, context);
  const receipt = await run.record(await run.toReceipt());
  if (options.receipt !== undefined) {
    await writeFileAtomic(resolve(context.cwd, options.receipt), `${JSON.stringify(receipt, null, 2)}\n`);
  }
  return receipt;
}

type Outcome = Pick<RestoreReceipt, "verdict" | "exit" | "findings">;

/** The entry of an import that is about to begin; how it ended is in the next. */
const BEGUN: Outcome = { verdict: "planned", exit: EXIT.yes, findings: [] };

/** One restore, and what its receipt says so far. */
class Run {
  readonly #bundlePath: string;
  readonly #store: TargetStore;
  readonly #options: RestoreOptions;
  readonly #context: Context;
  readonly #clock: PhaseClock;
  readonly #sandboxPaths: readonly string[];
  readonly #gcRoot: string | undefined;
  #bundle: VerifiedBundle | null = null;
  /** What the bundle says it is, also where it was refused. */
  #claimed: Happening["bundle"] = null;
  #plan: RestorePlan | null = null;
  #space: RestoreReceipt["space"] = null;
  #imported = 0;
  #checked = 0;
  #gcRoots: string | null = null;
  #rootCount = 0;
  #release: RestoreReceipt["release"] = null;
  #roots: RestoreReceipt["roots"] = [];
  #nixVersion: string | null = null;

  constructor(bundlePath: string, store: TargetStore, options: RestoreOptions, context: Context) {
    this.#bundlePath = bundlePath;
    this.#store = store;
    this.#options = options;
    this.#context = context;
    this.#clock = new PhaseClock(context);
    this.#sandboxPaths = parseSandboxPaths(options.sandboxPaths);
    this.#gcRoot = options.gcRoot === undefined ? undefined : parseRootName(options.gcRoot);
  }

  async toReceipt(): Promise<RestoreReceipt> {
    const startedAt = this.#now();
    const tempDir = await makeRunDir("restore", this.#context.tmpDir);
    try {
      const ended = await withBundle(this.#bundlePath, this.#context, (source) =>
        this.#restore(source, tempDir),
      );
      return this.#receipt(startedAt, ended);
    } catch (error) {
      if (!(error instanceof AirgapError) || error.exit === EXIT.usage) throw error;
      return this.#receipt(startedAt, outcome("failed", [{ ...error.details, code: error.code }]));
    } finally {
      await removeTree(tempDir);
    }
  }

  /** How it ended goes into the site's log. */
  async record(receipt: RestoreReceipt): Promise<RestoreReceipt> {
    const { trust, dryRun } = this.#options;
    if (trust.by !== "policy" || trust.site === null || dryRun) return receipt;
    return recorded(receipt, trust.site.place, this.#happening(receipt, trust), this.#context);
  }

  #happening(
    { verdict, exit, tools, findings }: RestoreReceipt,
    trust: Extract<Trust, { by: "policy" }>,
  ): Happening {
    return {
      event: "restore",
      verdict: verdict === "planned" ? "begun" : verdict,
      exit,
      bundle: this.#claimed,
      nix: tools.nix,
      details: { ...trustDetails(trust), findings: codesOf(findings), store: this.#store.uri },
    };
  }

  async #restore(source: BundleSource, tempDir: string): Promise<Outcome> {
    const { trust, dryRun, outLink } = this.#options;
    const { signal, report, env } = this.#context;
    const { report: verification, bundle } = await verifyToBundle(
      source,
      { trust, documentOnly: false, allowExtra: false, parts: this.#options.parts ?? [] },
      this.#context,
    );
    this.#claimed = auditBundle(verification.bundle);
    if (bundle === null) return refusal(verification);
    this.#bundle = bundle;
    const nix = await siteNix({ dir: join(tempDir, "nix"), path: env["PATH"], signal, report });
    this.#nixVersion = await usableVersion(nix);
    const tooOld = checkMinimumNix(bundle.document, this.#nixVersion);
    if (tooOld.length > 0) return outcome("refused", tooOld);
    const links = outputLinks(bundle.document);
    if (outLink !== undefined) await checkOutLinks(this.#absolute(outLink), links.values());
    if (dryRun) {
      await this.#makePlan(bundle, nix, tempDir);
      return outcome("planned", []);
    }
    return withStoreLock(this.#store, async () => {
      const plan = await this.#makePlan(bundle, nix, tempDir);
      const findings = await this.#execute(bundle, plan, nix, tempDir);
      if (findings.length > 0) return outcome(this.#imported > 0 ? "failed" : "refused", findings);
      await this.#describeRoots(bundle, nix, links);
      this.#release = await this.#remember(bundle, links);
      return outcome("complete", findings);
    });
  }

  async #makePlan(
    { document, medium }: VerifiedBundle,
    nix: NixContext,
    tempDir: string,
  ): Promise<RestorePlan> {
    const all = document.paths.map(({ storePath }) => storePath);
    const isNew =
      !(await exists(join(this.#store.stateDir, "db/db.sqlite"))) && this.#store.kind !== "daemon";
    const invalid = isNew ? new Set(all) : await invalidPaths(nix, all, this.#store.uri);
    const plan = planRestore(document, invalid, medium.kind);
    this.#plan = plan;
    const { freeBytes } = await fileSystemOf(this.#store.realStoreDir);
    this.#space = { needed: plan.needed, free: freeBytes, staging: plan.staging };
    await requireSpace(
      {
        path: this.#store.realStoreDir,
        bytes: plan.needed - (await this.#leftOverBytes(plan)),
        files: plan.missing.length,
        elsewhere: "collect garbage with nix-store --gc, or give another --store",
      },
      { path: tempDir, bytes: plan.staging, elsewhere: "set TMPDIR to a folder on another disk" },
    );
    return plan;
  }

  /** What an interrupted import left under names that are not valid: Nix removes it before it writes them anew. */
  async #leftOverBytes({ missing }: RestorePlan): Promise<number> {
    let bytes = 0;
    for (const { storePath } of missing) bytes += await sizeOnDisk(realPath(this.#store, storePath));
    return bytes;
  }

  /** What the store has must hold before anything is added; what was added, before it is called complete. */
  async #execute(
    bundle: VerifiedBundle,
    plan: RestorePlan,
    nix: NixContext,
    tempDir: string,
  ): Promise<Finding[]> {
    const wrongBefore = await this.#check("check what is there", plan.present);
    if (wrongBefore.length > 0) return this.#withRepair(wrongBefore.map(asWrongContent), bundle, nix);
    const wrongRecords = await checkRecords(nix, this.#store, plan.present);
    if (wrongRecords.length > 0) return wrongRecords;

    const { paths } = bundle.document;
    const refused = await this.#accept(bundle);
    if (refused.length > 0) return [...refused];
    const name = this.#nameOf(bundle);
    const roots = await this.#makeRoots(name, paths, nix);
    const proof = this.#store.kind === "daemon" ? smallestProof(plan.missing) : [];
    const refusals = await this.#prove(bundle, proof, nix, tempDir);
    if (refusals.length > 0) return refusals;
    const rest = plan.missing.filter((path) => !proof.includes(path));
    const findings = rest.length > 0 ? await this.#import(bundle, rest, nix, tempDir) : [];
    if (findings.length > 0) return findings;
    await roots.commit();
    this.#rootCount = roots.count;
    if (this.#store.roots === "indirect") await this.#requireAll(paths, nix);
    await dropRepair(this.#store);
    this.#gcRoots = roots.path;
    return [];
  }

  #nameOf({ document: { product, release } }: VerifiedBundle): string {
    return this.#gcRoot ?? `${product}-${release}`;
  }

  /** So that it can be listed, removed, and gone back to. */
  #remember(bundle: VerifiedBundle, links: ReadonlyMap<string, string>): Promise<ReleaseStanding> {
    const { outLink } = this.#options;
    return rememberRelease(
      this.#store,
      {
        bundle,
        name: this.#nameOf(bundle),
        rootCount: this.#rootCount,
        links,
        outLink: outLink === undefined ? null : this.#absolute(outLink),
      },
      this.#context,
    );
  }

  #makeRoots(name: string, paths: readonly Path[], nix: NixContext): Promise<PendingRoots> {
    const store = this.#store;
    if (store.roots === "indirect") return makeIndirectRoots(nix, store, name, paths);
    return makeRoots(
      store,
      name,
      paths.map(({ storePath }) => storePath),
    );
  }

  /** Roots that came after the import: a collection may have come between. */
  async #requireAll(paths: readonly Path[], nix: NixContext): Promise<void> {
    const names = paths.map(({ storePath }) => storePath);
    const [gone] = await invalidPaths(nix, names, this.#store.uri);
    if (gone !== undefined)
      fail("STORE_PATH_ABSENT", { subject: gone, actual: "it was collected meanwhile" });
  }

  /** From here on the site has this release: what is older needs an authorization. */
  async #accept({ document, documentSha256: sha256 }: VerifiedBundle): Promise<readonly Finding[]> {
    const { trust } = this.#options;
    if (trust.by !== "policy" || trust.site === null) return [];
    const { policy, rollbacks, site } = trust;
    // What cannot be recorded is not begun.
    const begun = (state: SiteState) =>
      recordIn(site.place, state, this.#happening(this.#receipt(this.#now(), BEGUN), trust), this.#context);
    return acceptRelease(
      { place: site.place, policy },
      { document, sha256, rollbacks, begun },
      this.#context,
    );
  }

  /** Checks on disk what the store has by then, while the rest is imported. */
  #import(
    bundle: VerifiedBundle,
    missing: readonly Path[],
    nix: NixContext,
    tempDir: string,
  ): Promise<Finding[]> {
    const context = this.#context;
    const before = this.#imported;
    const byName = new Map(missing.map((path) => [path.storePath, path]));
    const work = importProgress(bundle, missing, { context, isChecked: true });
    return this.#clock.phase("import", work.totals, async (progress) => {
      const check = new DiskCheck(this.#store, context, {
        onProgress: ({ storePath }, narBytes) => {
          work.checking(storePath, narBytes);
          progress(work.done);
        },
        onChecked: ({ storePath }, wrong) => {
          work.checked(storePath);
          if (wrong.length === 0) this.#checked += 1;
          progress(work.done);
        },
      });
      try {
        const changed = await importBundle(bundle, missing, {
          nix,
          gate: await this.#gate(bundle, join(tempDir, "gate")),
          store: this.#store.uri,
          context,
          onEvent: (event, lane) => {
            if (!work.take(event, lane)) return;
            this.#imported = before + work.copied;
            progress(work.done);
          },
          onImported: (names) => check.add(names.map((name) => byName.get(name)!)),
        });
        if (changed.length > 0) {
          // Nix also says of what it refused that it was done.
          this.#imported = before + (await this.#countValid(missing, nix));
          return changed;
        }
        const wrong = await check.finish();
        return wrong.length > 0 ? await this.#withRepair(wrong, bundle, nix) : [];
      } finally {
        await check.close();
      }
    });
  }

  /** Whether a daemon takes paths of this user, by the smallest part of them: before the others are moved. */
  async #prove(
    bundle: VerifiedBundle,
    proof: readonly Path[],
    nix: NixContext,
    tempDir: string,
  ): Promise<Finding[]> {
    if (proof.length === 0) return [];
    const context = this.#context;
    const gate = await this.#gate(bundle, join(tempDir, "proof"));
    const to = { nix, gate, store: this.#store.uri, context, onEvent: () => {} };
    try {
      const changed = await importBundle(bundle, proof, to);
      if (changed.length > 0) return changed;
    } catch (error) {
      const siteKey = (await this.#siteKey())?.publicKey ?? null;
      const about = { paths: proof, siteKey, pathKeys: pathKeys(this.#options.trust) };
      return [await explainRefusal(error, about, context)];
    } finally {
      this.#imported = await this.#countValid(proof, nix);
    }
    const wrong = await checkOnDisk(this.#store, proof, context, () => {});
    this.#checked += proof.length - wrong.length;
    return wrong.length > 0 ? this.#withRepair(wrong, bundle, nix) : [];
  }

  async #countValid(paths: readonly Path[], nix: NixContext): Promise<number> {
    const names = paths.map(({ storePath }) => storePath);
    return names.length - (await invalidPaths(nix, names, this.#store.uri)).size;
  }

  /** Of the site's own key, where it keeps one: its daemon trusts no other. */
  async #gate(bundle: VerifiedBundle, dir: string): Promise<Gate> {
    const key = await this.#siteKey();
    const { signal } = this.#context;
    return gateTo(bundle, dir, key === null ? { signal } : { signal, key });
  }

  async #siteKey(): Promise<SecretKey | null> {
    const { trust } = this.#options;
    return trust.by === "policy" && trust.site !== null ? readImportKey(trust.site.place) : null;
  }

  async #check(phase: string, paths: readonly Path[]): Promise<Finding[]> {
    if (paths.length === 0) return [];
    const findings = await this.#clock.phase(phase, totalsOf(paths), (progress) =>
      checkOnDisk(this.#store, paths, this.#context, progress),
    );
    this.#checked += paths.length - findings.length;
    return findings;
  }

  #withRepair(findings: readonly Finding[], bundle: VerifiedBundle, nix: NixContext): Promise<Finding[]> {
    return withRepair(findings, { bundle, store: this.#store, nix, context: this.#context });
  }

  async #describeRoots(
    { document }: VerifiedBundle,
    nix: NixContext,
    links: ReadonlyMap<string, string>,
  ): Promise<void> {
    const { outLink } = this.#options;
    const dir = outLink === undefined ? null : this.#absolute(outLink);
    if (dir !== null) await writeOutLinks(dir, linkTargets(this.#store, links));
    const buildUsers = nix.options["build-users-group"];
    const settings = {
      storeUri: this.#store.uri,
      sandboxPaths: this.#sandboxPaths,
      options: buildUsers === undefined ? {} : { "build-users-group": buildUsers },
    };
    this.#roots = await describeRoots(document, { store: this.#store, settings, dir, links });
  }

  #receipt(startedAt: string, { verdict, exit, findings }: Outcome): RestoreReceipt {
    const { uri, kind, realStoreDir } = this.#store;
    const plan = this.#plan;
    return {
      bundle: this.#bundle === null ? null : reportedBundle(this.#bundle),
      dryRun: this.#options.dryRun,
      exit,
      findings,
      finishedAt: this.#now(),
      format: "nix-airgap-restore",
      gcRoots: this.#gcRoots,
      paths: plan && {
        checked: this.#checked,
        importBytes: plan.importBytes,
        imported: this.#imported,
        narBytes: this.#bundle?.document.totals.narBytes ?? 0,
        present: plan.present.length,
        total: plan.present.length + plan.missing.length,
      },
      phases: this.#clock.phases,
      release: this.#release,
      roots: this.#roots,
      space: this.#space,
      startedAt,
      store: { kind, storeDir: realStoreDir, uri },
      tools: { nix: this.#nixVersion, nixAirgap: VERSION },
      verdict,
    };
  }

  #absolute(path: string): string {
    return resolve(this.#context.cwd, path);
  }

  #now(): string {
    return formatTime(Math.floor(this.#context.now().getTime() / 1000));
  }
}

/** A path that the store calls valid, of which nothing lies on disk. */
function asWrongContent(finding: Finding): Finding {
  if (finding.code !== "STORE_PATH_ABSENT") return finding;
  return { ...finding, code: "STORE_CONTENT", actual: "nothing" };
}

function outcome(verdict: Outcome["verdict"], findings: readonly Finding[]): Outcome {
  return { verdict, exit: exitOf(findings), findings: reportedFindings(findings) };
}
