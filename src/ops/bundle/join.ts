/**
 * bundle join: bundles of one release, packed for different systems, become one. Each is verified first; blobs are taken as they
 * are. The document is a new one, so that nobody's approval of the parts is one of it.
 */
import { basename } from "node:path";
import { joinDocuments } from "../../bundle/join.js";
import { blobName, docName } from "../../bundle/layout.js";
import type { MediumFile } from "../../bundle/medium.js";
import { copyNamed } from "../../bundle/write.js";
import { exitOf, fail } from "../../errors.js";
import type { BundleDocument, BundleJoinReport } from "../../generated/types.js";
import { exists, requireSpace } from "../../host/files.js";
import type { SecretKey } from "../../nix/signature.js";
import type { Context } from "../context.js";
import { chooseOut } from "../pack/request.js";
import { dropAbandonedStage, openStage } from "../pack/stage.js";
import { finishStage, type Publication, publish, type Staged, signPaths } from "../pack/write-bundle.js";
import { PhaseClock } from "../phase-clock.js";
import { reportedBundle, reportedFindings, verifyFindings } from "../reports.js";
import type { Trust } from "../verify/trust.js";
import type { VerifiedBundle } from "../verify/verified-bundle.js";
import { verifyToBundle } from "../verify.js";

export interface JoinOptions {
  /** Bundles, at least two. */
  readonly bundles: readonly string[];
  /** Who must have approved each of them. */
  readonly trust: Exclude<Trust, { by: "nobody" }>;
  /** Folders that hold parts, for those bundles that are in parts. */
  readonly parts?: readonly string[];
  /** A directory to make, or a file that ends in `.tar`; default: as pack names it. */
  readonly out?: string;
  readonly secretKey?: SecretKey;
}

/**
 * Why they cannot be joined is in the report's findings, and then nothing was written.
 *
 * @throws AirgapError USAGE, BUNDLE_NOT_FOUND, OUT_EXISTS, LOCKED, DISK, NO_SPACE, INTERRUPTED
 */
export async function bundleJoin(options: JoinOptions, context: Context): Promise<BundleJoinReport> {
  const clock = new PhaseClock(context);
  const parts: VerifiedBundle[] = [];
  const report = (
    outcome: Pick<BundleJoinReport, "exit" | "findings"> & Partial<BundleJoinReport>,
  ): BundleJoinReport => ({
    format: "nix-airgap-bundle-join",
    bundle: null,
    parts: parts.map(reportedBundle),
    phases: clock.phases,
    signedBy: options.secretKey?.publicKey.name ?? null,
    ...outcome,
  });

  const asked = { trust: options.trust, parts: options.parts ?? [], documentOnly: false, allowExtra: false };
  for (const path of options.bundles) {
    const verification = await clock.phase(`verify ${basename(path)}`, {}, () =>
      verifyToBundle(path, asked, context),
    );
    if (verification.bundle === null) {
      const { report: refused } = verification;
      return report({ exit: refused.exit, findings: verifyFindings(refused) });
    }
    parts.push(verification.bundle);
  }
  refuseRepetition(parts);

  const { document, findings } = joinDocuments(
    parts.map(({ medium, document, derivations }) => ({ label: medium.path, document, derivations })),
  );
  if (document === null) return report({ exit: exitOf(findings), findings: reportedFindings(findings) });
  const out = chooseOut(options, context.cwd, document);
  if (await exists(out.path)) {
    await dropAbandonedStage(out.path);
    fail("OUT_EXISTS", { subject: out.path });
  }
  const publication = { out, clock, secretKey: options.secretKey };
  const { bundle, verification } = await publish(publication, context, () =>
    fillStage({ document: signPaths(document, options.secretKey), parts }, publication, context),
  );
  if (bundle !== null)
    return report({ exit: 0, findings: [], bundle: { ...bundle, ...variantOf(document) } });
  return report({ exit: verification.exit, findings: verifyFindings(verification) });
}

function refuseRepetition(parts: readonly VerifiedBundle[]): void {
  const seen = new Map<string, string>();
  for (const { documentSha256, medium } of parts) {
    const other = seen.get(documentSha256);
    if (other !== undefined) {
      fail("USAGE", { subject: medium.path, expected: "different bundles", actual: `the same as ${other}` });
    }
    seen.set(documentSha256, medium.path);
  }
}

function variantOf({ product, release, sequence, systems, tier, totals }: BundleDocument) {
  return { product, release, sequence, systems, tier, paths: totals.paths };
}

/** A tar takes blobs from where they are; a directory gets copies of its own. */
async function fillStage(
  { document, parts }: { readonly document: BundleDocument; readonly parts: readonly VerifiedBundle[] },
  publication: Publication,
  context: Context,
): Promise<Staged> {
  const { out } = publication;
  const files = filesOf(document, parts);
  const stage = await openStage(out.path, {
    joined: parts.map(({ documentSha256 }) => documentSha256).sort(),
  });
  if (out.form === "tar") return finishStage(stage, publication, context, { document, given: files });
  const bytes = [...files.values()].reduce((sum, { size }) => sum + size, 0);
  await requireSpace({ path: stage.dir, bytes, elsewhere: "give --out on another disk" });
  const hashes = new Map(document.docs.map(({ name, sha256 }) => [docName(name), sha256]));
  const placed = [...files].map(([name, place]) => ({
    name,
    sha256: hashes.get(name) ?? basename(name),
    place,
  }));
  await copyNamed(stage.bundle, placed, context);
  return finishStage(stage, publication, context, { document });
}

/** Where the blobs of NARs, and docs, that the document names lie in the parts. */
function filesOf(document: BundleDocument, parts: readonly VerifiedBundle[]): Map<string, MediumFile> {
  const files = new Map<string, MediumFile>();
  const names = [
    ...document.paths.map(({ blob }) => blobName(blob)),
    ...document.docs.map(({ name }) => docName(name)),
  ];
  for (const name of names) {
    for (const { medium } of parts) {
      const file = medium.files.get(name);
      if (file !== undefined) files.set(name, file);
    }
  }
  return files;
}
