/**
 * Writes a planned bundle: blobs, then the document, then what follows from it; checks the whole of it as a site would;
 * the final name last.
 */
import { mkdir, readdir, stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import { formatDocument } from "../../bundle/document.js";
import { totalsOf } from "../../bundle/totals.js";
import { finishDirectory, writeParts, writeTar } from "../../bundle/write.js";
import { AirgapError } from "../../errors.js";
import type { BundleDocument, PackReport, Path, VerifyReport } from "../../generated/types.js";
import {
  type Need,
  publishFile,
  publishFolder,
  removeTree,
  requireSpace,
  sizeOnDisk,
  syncDirectory,
  withDiskErrors,
} from "../../host/files.js";
import { defaultThreads } from "../../host/pool.js";
import { syncFileSystem } from "../../host/sync.js";
import { formatHex, hashOf, parseSri } from "../../nix/hash.js";
import { fingerprint } from "../../nix/narinfo.js";
import { type SecretKey, signFingerprint } from "../../nix/signature.js";
import type { FilePart } from "../../segments.js";
import { makeApproval } from "../../trust/approval.js";
import { ed25519Key } from "../../trust/keys.js";
import { signingKey } from "../../trust/signing.js";
import { machineStatement } from "../../trust/statement.js";
import type { Context } from "../context.js";
import { type CopyCosts, CopyProgress } from "../copy-progress.js";
import { requireFitsFat, warnOfFat } from "../fat.js";
import type { PhaseClock } from "../phase-clock.js";
import type { Trust } from "../verify/trust.js";
import { verify } from "../verify.js";
import { lanesOf } from "./lanes.js";
import type { Prepared } from "./prepare.js";
import type { Out, PackOptions } from "./request.js";
import { COMPRESSED_SHARE, needsOfTemp } from "./room.js";
import { SizeLimit } from "./size-limit.js";
import { blobInLane, fillLanes, openStage, type Stage, stageOf, takeBlobs, withStageLock } from "./stage.js";

export type Written =
  | { readonly bundle: NonNullable<PackReport["bundle"]>; readonly verification: null }
  /** It does not hold: nothing has the final name. */
  | { readonly bundle: null; readonly verification: VerifyReport };

/** Where a bundle goes, and by whom it is signed. */
export interface Publication {
  readonly out: Prepared["out"];
  readonly secretKey: SecretKey | undefined;
  readonly clock: PhaseClock;
}

interface WriteParts extends Prepared {
  readonly tempDir: string;
  readonly clock: PhaseClock;
}

/** @throws AirgapError OUT_EXISTS, BUNDLE_TOO_LARGE, LOCKED, NIX_FAILED, DISK, NO_SPACE, INTERRUPTED */
export function writeBundle(parts: WriteParts, options: PackOptions, context: Context): Promise<Written> {
  const { out, clock } = parts;
  return publish({ out, clock, secretKey: options.secretKey }, context, () =>
    fillStage(parts, options, context),
  );
}

/** Has a stage filled, checks it as a site would, and gives it its final name. Throws what `fill` does, and LOCKED, DISK. */
export async function publish(
  { out, clock, secretKey }: Publication,
  context: Context,
  fill: () => Promise<Staged>,
): Promise<Written> {
  const folder = dirname(out.path);
  await withDiskErrors(folder, () => mkdir(folder, { recursive: true }));
  return withStageLock(out.path, async () => {
    const { stageDir, partial, ...bundle } = await fill().catch(async (error: unknown) => {
      // Other failures keep it, so that the next run goes on from there; this one comes again.
      if (error instanceof AirgapError && error.code === "BUNDLE_TOO_LARGE") {
        await removeTree(stageOf(out.path));
      }
      throw error;
    });
    const verification = await clock.phase("verify", {}, () => verifyOwn(partial, secretKey, context));
    if (verification.exit !== 0) {
      // A blob that the disk lost, as after a power cut, would be found again and again.
      await removeTree(stageDir);
      return { bundle: null, verification };
    }
    await (out.form === "tar" ? publishFile(partial, out.path) : publishFolder(partial, out.path));
    await syncDirectory(folder);
    await removeTree(stageDir);
    return { bundle: { path: out.path, kind: out.form, ...bundle }, verification: null };
  });
}

/** A bundle that is complete under a name that is not final. */
export interface Staged {
  readonly stageDir: string;
  readonly partial: string;
  /** Of the document, and of all files. */
  readonly sha256: string;
  readonly bytes: number;
}

/** All of what it makes on the way, the document above all, is let go before the bundle is verified, which takes as much. */
async function fillStage(
  { plan, out, nixContext, level, tempDir, clock }: WriteParts,
  options: PackOptions,
  context: Context,
): Promise<Staged> {
  const folder = dirname(out.path);
  const lanes = lanesOf(plan.paths, context.threads ?? defaultThreads());
  const recipe = { compressionLevel: level, nixVersion: plan.draft.tools.nix, lanes: lanes.length };
  const narBytes = plan.paths.reduce((sum, path) => sum + path.narSize, 0);
  const copies = out.form === "directory" ? 1 : 2;
  await warnOfFat(folder, plan.paths.length, context);
  const missing = narBytes * COMPRESSED_SHARE * copies - (await sizeOnDisk(stageOf(out.path)));
  await requireSpace(roomFor(folder, missing), needsOfTemp(tempDir, lanes, recipe.nixVersion));
  const stage = await openStage(out.path, recipe);
  const limit = new SizeLimit(options.maxSize);
  const copied = new CopyProgress(plan.paths, copyCosts(level), lanes.length);
  await clock.phase("compress", copied.totals, (progress) =>
    fillLanes(nixContext, stage, lanes, {
      recipe,
      tempDir,
      onEvent: (event, lane) => {
        if (copied.take(event, lane)) progress(copied.done);
        // Each look costs a read of a narinfo.
        if (options.maxSize !== undefined && event.type === "finished" && event.kind === "copy")
          limit.add(blobInLane(stage, lane, event.subject));
      },
    }),
  );
  const paths = await clock.phase("take over", { items: plan.paths.length }, (progress) =>
    takeBlobs(stage, plan.paths, lanes, progress),
  );
  const complete = { ...plan.draft, paths, totals: totalsOf(paths) };
  const document = signPaths(complete, options.secretKey);
  return finishStage(stage, { out, clock, secretKey: options.secretKey }, context, { document, limit });
}

/** Blobs and docs lie in the stage, or are `given` by name (of a tar or its parts): writes all else. */
export async function finishStage(
  stage: Pick<Stage, "dir" | "bundle" | "tar" | "parts">,
  { out, clock, secretKey }: Publication,
  context: Context,
  {
    document,
    given,
    limit,
  }: {
    readonly document: BundleDocument;
    readonly limit?: SizeLimit;
    readonly given?: ReadonlyMap<string, FilePart>;
  },
): Promise<Staged> {
  const folder = dirname(out.path);
  const documentBytes = formatDocument(document);
  const sha256 = formatHex(hashOf("sha256", documentBytes));
  const approvals = packerApproval(document, sha256, secretKey);
  const { blobBytes } = document.totals;
  limit?.check(blobBytes + 2 * documentBytes.length, "without narinfos");
  if (out.form !== "directory") await requireSpace(roomFor(folder, blobBytes));
  await requireFitsFat(folder, largestFile(out, document.paths, blobBytes));

  const { report, signal } = context;
  const what = { document, approvals, report, signal, ...(given ? { given } : {}) };
  const partial = { directory: stage.bundle, tar: stage.tar, parts: stage.parts }[out.form];
  await clock.phase("write", {}, () => {
    if (out.form === "tar") return writeTar(stage.bundle, partial, what);
    if (out.form === "parts") return writeParts(stage.bundle, partial, { ...what, cut: out.cut });
    return finishDirectory(stage.bundle, document, approvals, (dir) => syncFileSystem(dir, signal));
  });
  const bytes = out.form === "directory" ? blobBytes + 2 * documentBytes.length : await sizeOfFiles(partial);
  limit?.check(bytes, "as it was written");
  return { stageDir: stage.dir, partial, sha256, bytes };
}

function largestFile(out: Out, paths: readonly Path[], blobBytes: number): number {
  if (out.form === "tar") return blobBytes;
  return out.form === "parts" ? Math.min(out.cut.partSize, blobBytes) : largestBlob(paths);
}

/** Of a tar, or of parts with what lies beside them. */
async function sizeOfFiles(path: string): Promise<number> {
  const { size, isFolder } = await withDiskErrors(path, async () => {
    const stats = await stat(path);
    return { size: stats.size, isFolder: stats.isDirectory() };
  });
  if (!isFolder) return size;
  let bytes = 0;
  for (const name of await readdir(path)) bytes += (await stat(join(path, name))).size;
  return bytes;
}

/** A path costs the less beside its bytes, the longer a byte takes to compress. What Nix has compressed it reads once more. */
function copyCosts(level: number): CopyCosts {
  return { perPath: 128 * 1024 * Math.min(1, (3 / level) ** 2), moves: 1.1 };
}

function roomFor(folder: string, bytes: number): Need {
  return { path: folder, bytes, elsewhere: "give --out on another disk" };
}

/** What a site would refuse must not leave this machine. */
function verifyOwn(path: string, secretKey: SecretKey | undefined, context: Context): Promise<VerifyReport> {
  const trust: Trust =
    secretKey === undefined ? { by: "nobody" } : { by: "keys", keys: [ed25519Key(secretKey.publicKey)] };
  return verify(path, { trust, documentOnly: false, allowExtra: false }, context);
}

function largestBlob(paths: readonly Path[]): number {
  return paths.reduce((largest, { blobSize }) => Math.max(largest, blobSize), 0);
}

/** With the packer's signature on the store paths that Nix wants one for. */
export function signPaths(document: BundleDocument, secretKey: SecretKey | undefined): BundleDocument {
  if (secretKey === undefined) return document;
  const paths = document.paths.map((path) => {
    // A content-addressed name says what it holds: Nix asks for no signature, and each takes a verifier 60 µs.
    if (path.ca !== null) return path;
    const signature = signFingerprint(fingerprint({ ...path, narHash: parseSri(path.narHash) }), secretKey);
    return { ...path, signatures: [...new Set([...path.signatures, signature])].sort() };
  });
  return { ...document, paths };
}

/** The packer's approval says `created` for its time, so that the same inputs give the same bytes. */
function packerApproval(
  document: BundleDocument,
  sha256: string,
  secretKey: SecretKey | undefined,
): Map<string, Buffer> {
  if (secretKey === undefined) return new Map();
  const statement = machineStatement({
    document,
    documentSha256: sha256,
    role: "packer",
    signedAt: document.created,
    keyName: secretKey.publicKey.name,
  });
  const { fileName, bytes } = makeApproval(statement, signingKey(secretKey));
  return new Map([[`approvals/${fileName}`, bytes]]);
}
