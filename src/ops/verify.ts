/**
 * Verifies a bundle, step by step (docs/format.md, section 10): authenticate, then parse, then believe. Only reads.
 * Each step is a file of its own; here is their order, and what stops them.
 */
import { checkClosure } from "../bundle/closure.js";
import { type Contents, contentsOf } from "../bundle/contents.js";
import { parseDocument } from "../bundle/document.js";
import { checkDerived, checkDocs, checkUnlisted, derivedFiles } from "../bundle/inventory.js";
import {
  checkTarOrder,
  classify,
  DOCUMENT_NAME,
  MAX_APPROVAL_SIZE,
  MAX_DOCUMENT_SIZE,
} from "../bundle/layout.js";
import { hashOfFile, type Medium, openMedium } from "../bundle/medium.js";
import { checkAddresses, checkNames } from "../bundle/names.js";
import { PackedDerivations } from "../bundle/packed.js";
import { PathSignatures } from "../bundle/path-signatures.js";
import { checkPins } from "../bundle/pins.js";
import { AirgapError, type Finding, fail } from "../errors.js";
import type { BundleDocument, PartsIndex, VerifyReport } from "../generated/types.js";
import type { FileJob } from "../host/jobs.js";
import { WorkerPool } from "../host/pool.js";
import { formatHex, hashOf } from "../nix/hash.js";
import type { PublicKey } from "../nix/signature.js";
import { placeOf } from "../segments.js";
import { type BundleSource, withBundle } from "./bundle-source.js";
import type { Context } from "./context.js";
import { auditBundle, codesOf, record } from "./record.js";
import { BlobReading } from "./verify/blobs.js";
import { type Step, VerifyLog } from "./verify/log.js";
import { checkParts } from "./verify/parts.js";
import { authenticate, bind, checkSite, pathKeys, type Trust, trustDetails } from "./verify/trust.js";
import { VerifiedBundle } from "./verify/verified-bundle.js";

/** Above this, threads are started before it is known what they will do. */
const MANY_FILES = 400;

export interface VerifyOptions {
  /** Who must have approved the document; signatures on store paths by the keys it has for that must hold. */
  readonly trust: Trust;
  /** Leave out the contents of blobs: the verdict says so. */
  readonly documentOnly: boolean;
  /** Tolerate what operating systems leave on media. */
  readonly allowExtra: boolean;
  /** Other folders that hold parts of a bundle in parts. */
  readonly parts?: readonly string[];
}

export interface VerifyOutcome {
  readonly report: VerifyReport;
  /** Null unless every step passed, by a trusted approval. */
  readonly bundle: VerifiedBundle | null;
}

/**
 * All findings as data; nothing is written. `bundlePath`: or the URL of a `serve`.
 *
 * @throws AirgapError BUNDLE_NOT_FOUND; DISK where the medium fails or changes meanwhile; INTERRUPTED; of a URL what `withBundle` throws
 */
export async function verify(
  bundlePath: string,
  options: VerifyOptions,
  context: Context,
): Promise<VerifyReport> {
  const { report } = await withBundle(bundlePath, context, (source) =>
    verifyToBundle(source, options, context),
  );
  const { trust } = options;
  return trust.by === "policy" ? recordVerification(report, trust, context) : report;
}

/** Who may only look at the site, or finds its log broken, is told that the log does not know of it. */
async function recordVerification(
  report: VerifyReport,
  { site, ...trust }: Extract<Trust, { by: "policy" }>,
  context: Context,
): Promise<VerifyReport> {
  if (site === null) return report;
  const { verdict, exit, bundle, findings } = report;
  const details = { ...trustDetails(trust), findings: codesOf(findings), path: bundle.path };
  const happening = { event: "verify" as const, verdict, exit, bundle: auditBundle(bundle), details };
  try {
    await record(site.place, happening, context);
    return report;
  } catch (error) {
    if (!(error instanceof AirgapError) || error.code === "INTERRUPTED") throw error;
    const text = `not recorded in the site's log: ${error.message}`;
    return { ...report, notes: [...report.notes, { subject: null, text }] };
  }
}

/** As `verify`, with the bundle for those who go on with it. `bundle`: a path, or what `withBundle` gives. */
export async function verifyToBundle(
  bundle: string | BundleSource,
  options: VerifyOptions,
  context: Context,
): Promise<VerifyOutcome> {
  const pool = new WorkerPool(context);
  try {
    const source = typeof bundle === "string" ? { url: null, path: bundle } : bundle;
    return await verifySteps(source, options, context, pool);
  } finally {
    await pool.close();
  }
}

async function verifySteps(
  source: BundleSource,
  options: VerifyOptions,
  context: Context,
  pool: WorkerPool,
): Promise<VerifyOutcome> {
  const log = new VerifyLog(source.url ?? source.path);
  const verdict = options.documentOnly
    ? "document-only"
    : options.trust.by === "nobody"
      ? "integrity-only"
      : "verified";
  const refused = () => ({ report: log.report(verdict), bundle: null });
  const { trust } = options;
  if (trust.by === "keys" && trust.keys.length === 0) {
    log.find("V2", [{ code: "KEY_REQUIRED" }]);
    return refused();
  }

  const opened = await open(log, source, { pool, context, ...options });
  if (opened === null) return refused();
  let medium = opened;
  // Threads are ready when the document has been read.
  if (!options.documentOnly && medium.files.size > MANY_FILES) pool.start();

  const documentSha256 = await hashDocument(medium, log, context);
  if (documentSha256 === null) return refused();
  const approvalFiles = await readApprovals(medium);
  log.bundle.sha256 = documentSha256;
  authenticate(log, trust, { approvalFiles, documentSha256 });
  if (log.failed("V2")) return refused();

  const documentBytes = await readDocument(medium, documentSha256);
  const document = parse(log, documentBytes);
  if (document === null) return refused();
  if (medium.parts?.index) {
    log.find("V1", checkIndexName(medium.parts.index, medium.path, { ...document, bundle: documentSha256 }));
  }
  bind(log, trust, document);
  if (log.failed("V2")) return refused();
  checkSite(log, trust, document, context);
  if (source.url !== null) {
    // What this site will not take is not fetched.
    if (log.failed("V4")) return refused();
    await source.complete({ document, documentBytes, approvalFiles }, options.documentOnly);
    const whole = await open(log, source, { pool, context, ...options });
    if (whole === null) return refused();
    medium = whole;
  }

  // Threads read while this one does what takes no reading.
  const { documentOnly } = options;
  const blobs = new BlobReading({ medium, document }, pool, context, log);
  const derivations = documentOnly ? noDerivations : blobs.readDerivations();
  const files = await checkFiles(log, {
    medium,
    document,
    contents: contentsOf(document, documentBytes, approvalFiles),
    pool,
    context,
    documentOnly,
  });
  const { findings: wrongAddresses, demands } = checkAddresses(document);
  log.find("V7", wrongAddresses);

  const packed = await derivations();
  const rest = documentOnly ? null : blobs.readRest(packed, demands);
  checkNamesAndClosure(log, document, packed);
  await checkPathSignatures(log, document, { publicKeys: pathKeys(trust), context });
  if (rest === null) leaveOutContents(log, files.blobs);
  else await rest();
  log.addChecked("V8", files.docsChecked);

  const report = log.report(verdict);
  const verified = VerifiedBundle.of(report, {
    url: source.url,
    medium,
    document,
    documentSha256,
    derivations: packed.byPath,
    approvals: log.approvals,
    approvalFiles,
    prebuilt: blobs.prebuilt,
  });
  return { report, bundle: verified };
}

/** V1. Null where parts are missing or wrong. */
async function open(
  log: VerifyLog,
  { path }: BundleSource,
  options: VerifyOptions & { readonly pool: WorkerPool; readonly context: Context },
): Promise<Medium | null> {
  const { medium, findings } = await openMedium(path, options);
  log.bundle.kind = medium.kind;
  log.done("V1", medium.files.size);
  const wrongParts = await findWrongParts(medium, log, options);
  log.find("V1", wrongParts.length > 0 ? wrongParts : findings);
  return wrongParts.length > 0 ? null : medium;
}

/**
 * V1, of a bundle in parts. What lies in a part that is missing or wrong, and behind it, nobody can tell, and it is that
 * part which is to be had again: so where there are any, all of them are named, and nothing else is.
 */
async function findWrongParts(
  { parts: onMedium }: Medium,
  log: VerifyLog,
  {
    pool,
    context,
    documentOnly,
  }: { readonly pool: WorkerPool; readonly context: Context; readonly documentOnly: boolean },
): Promise<Finding[]> {
  if (onMedium === null) return [];
  const { findings, parts } = onMedium;
  if (!documentOnly) return [...findings, ...(await checkParts(parts, pool, context))];
  log.note("of the parts, only presence and size were looked at");
  return [...findings];
}

type Named = Pick<PartsIndex, "bundle" | "product" | "release">;

/** An index that was put beside the parts of another bundle. */
function checkIndexName(index: Named, subject: string, document: Named): Finding[] {
  const [expected, actual] = [index, document].map(
    ({ product, release, bundle }) => `${product} ${release}, bundle ${bundle}`,
  );
  return expected === actual
    ? []
    : [{ code: "PARTS_FOREIGN", subject, expected: expected!, actual: actual! }];
}

/** Hex; null, with a finding, where there is no document that may be read. A stranger's is not held in memory. */
async function hashDocument(medium: Medium, log: VerifyLog, { signal }: Context): Promise<string | null> {
  const file = medium.files.get(DOCUMENT_NAME);
  if (file === undefined) log.find("V2", [{ code: "DOCUMENT_MISSING", subject: DOCUMENT_NAME }]);
  // Over its cap it has a finding of V1.
  if (file === undefined || file.size > MAX_DOCUMENT_SIZE) return null;
  return hashOfFile(file, signal);
}

/** The bytes that were authenticated, and no others. */
async function readDocument(medium: Medium, sha256: string): Promise<Buffer> {
  const bytes = await medium.read(DOCUMENT_NAME, MAX_DOCUMENT_SIZE);
  if (formatHex(hashOf("sha256", bytes)) === sha256) return bytes;
  return fail("DISK", { subject: DOCUMENT_NAME, hint: "The file changed while it was read." });
}

/** By full name; those over their cap have a finding of V1. */
async function readApprovals(medium: Medium): Promise<Map<string, Buffer>> {
  const approvals = new Map<string, Buffer>();
  for (const { name, size } of medium.files.values()) {
    if (classify(name) !== "approval" || size > MAX_APPROVAL_SIZE) continue;
    approvals.set(name, await medium.read(name, MAX_APPROVAL_SIZE));
  }
  return approvals;
}

/** V3. */
function parse(log: VerifyLog, bytes: Buffer): BundleDocument | null {
  const { document, findings } = parseDocument(bytes);
  log.find("V3", findings);
  log.done("V3", 1);
  if (document === null) return null;
  log.document = document;
  const { created, product, release, sequence, systems, tier } = document;
  Object.assign(log.bundle, { created, product, release, sequence, systems, tier });
  return document;
}

const noDerivations = async () => new PackedDerivations(new Map());

interface FileParts {
  readonly medium: Medium;
  readonly document: BundleDocument;
  readonly contents: Contents;
  readonly pool: WorkerPool;
  readonly context: Context;
  readonly documentOnly: boolean;
}

/**
 * What takes the bytes of all files as they should be, which nobody keeps longer: they are as large as the document three
 * times. V5 and V11, the order of a tar, and of V8 the docs.
 */
async function checkFiles(
  log: VerifyLog,
  parts: FileParts,
): Promise<{ readonly blobs: number; readonly docsChecked: number }> {
  const { medium, document, contents, context, documentOnly } = parts;
  if (medium.kind !== "directory") {
    log.find("V1", checkTarOrder(medium.files.keys(), contents.files.keys()));
  }
  await checkDerivedFiles(log, parts);
  const reading = { contents: !documentOnly, signal: context.signal };
  const docs = await checkDocs(medium, document, contents.files, reading);
  log.find("V8", docs.findings);
  log.find("V11", checkUnlisted(medium, contents));
  log.done("V11", medium.files.size);
  const blobs = [...contents.files.values()].filter((file) => !Buffer.isBuffer(file)).length;
  return { blobs, docsChecked: docs.checked };
}

/** V5. */
async function checkDerivedFiles(log: VerifyLog, parts: FileParts): Promise<void> {
  const { medium, contents, pool, context, documentOnly } = parts;
  context.report({ type: "phase.started", phase: "derived files" });
  const equal = documentOnly ? new Set<string>() : await findEqual(medium, contents, pool);
  const { findings, checked } = await checkDerived(medium, contents, { equal, signal: context.signal });
  log.find("V5", findings);
  log.done("V5", checked);
  context.report({ type: "phase.finished", phase: "derived files" });
}

/** Derived files that threads found to have the hash of what is expected; what is wrong with others is for checkDerived. */
async function findEqual(medium: Medium, contents: Contents, pool: WorkerPool): Promise<Set<string>> {
  const likely = derivedFiles(contents).flatMap(([name, expected]) => {
    const file = medium.files.get(name);
    return file?.size === expected.length ? [{ name, expected, file }] : [];
  });
  const jobs = likely.map(({ file }): FileJob => ({ kind: "file", file: placeOf(file) }));
  const reading = pool.run(jobs);
  // Meanwhile, and before anything is waited for.
  const wanted = likely.map(({ expected }) => formatHex(hashOf("sha256", expected)));
  const hashes = await reading;
  const equal = likely.filter((_, i) => hashes[i] === wanted[i]);
  return new Set(equal.map(({ name }) => name));
}

/** V6, and V7 as far as no NAR is needed. */
function checkNamesAndClosure(log: VerifyLog, document: BundleDocument, packed: PackedDerivations): void {
  const closure = checkClosure(document, packed);
  log.derivations = packed;
  log.find("V6", closure.findings);
  const { claimed } = closure;
  log.done(
    "V6",
    document.paths.length,
    claimed > 0
      ? `${claimed} of them for evaluation alone: that it reads them, only evaluation can show`
      : undefined,
  );
  const names = checkNames(document, packed, closure.complete);
  log.unproven = names.unproven;
  log.find("V7", names.findings);
  log.find("V7", checkPins(document));
  const { length } = names.unproven;
  log.done(
    "V7",
    document.paths.length,
    length > 0 ? `the names of ${length} paths are not proved` : undefined,
  );
}

/** Signatures checked at a time: more than there are threads for it. */
const SIGNATURES_AT_ONCE = 64;

/** V7, item 7. */
async function checkPathSignatures(
  log: VerifyLog,
  document: BundleDocument,
  { publicKeys, context }: { readonly publicKeys: readonly PublicKey[]; readonly context: Context },
): Promise<void> {
  const signatures = new PathSignatures(publicKeys);
  const { paths } = document;
  for (let i = 0; i < paths.length; i += SIGNATURES_AT_ONCE) {
    if (context.signal.aborted) fail("INTERRUPTED");
    await Promise.all(paths.slice(i, i + SIGNATURES_AT_ONCE).map((path) => signatures.add(path)));
  }
  log.find("V7", signatures.findings);
  log.signatures = { perKey: signatures.counts(), local: signatures.local };
}

/** Says what was not looked at. */
function leaveOutContents(log: VerifyLog, blobs: number): void {
  const paths = log.document?.paths.length ?? 0;
  const steps: [Step, string][] = [
    ["V6", "what only derivations tell is taken from the document: they were not read"],
    ["V7", "content addresses and pins only: neither contents nor derivations were read"],
  ];
  for (const [step, note] of steps) log.partly(step, paths, note);
  log.partly("V8", blobs, "presence and size only");
  log.notRun("V9", "contents were not read");
  log.notRun("V10", "contents were not read");
}
