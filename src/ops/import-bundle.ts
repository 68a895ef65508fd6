/**
 * Imports paths of a verified bundle through its gate. Where one is refused, tells whether the medium gave other bytes than
 * when it was verified: that is an answer about the bundle, and not a failure of Nix.
 */
import { blobName } from "../bundle/layout.js";
import { AirgapError, EXIT, type Finding } from "../errors.js";
import type { Path } from "../generated/types.js";
import type { BlobJob } from "../host/blob.js";
import type { Gate } from "../host/gate.js";
import { type ImportOptions, importPaths } from "../host/import.js";
import type { NixContext } from "../host/nix/index.js";
import { importMismatch, misnamedPath } from "../host/nix/words.js";
import { defaultThreads, runJobs } from "../host/pool.js";
import { partOf, placeOf } from "../segments.js";
import type { Context } from "./context.js";
import { CopyProgress } from "./copy-progress.js";
import type { VerifiedBundle } from "./verify/verified-bundle.js";

/** What a path costs Nix beside the bytes of its NAR, in such bytes: files, and rows in its database. */
const COST_OF_PATH = 352 * 1024;
/** And what its blob costs, where it is copied out of a tar first. */
const COST_OF_STAGED = 24 * 1024;
/** And what hashing it afterwards costs. */
const COST_OF_CHECK = { perByte: 0.4, perPath: 48 * 1024 };

export interface Importing extends Omit<ImportOptions, "lanes"> {
  readonly nix: NixContext;
  readonly gate: Gate;
  readonly context: Context;
}

/**
 * `paths`: in dependency order. The findings are those of a medium that changed; then a part of `paths` may be valid, and what
 * is has the right content.
 *
 * @throws AirgapError NIX_FAILED where Nix failed for another reason, DISK, NO_SPACE, INTERRUPTED
 */
export async function importBundle(
  bundle: VerifiedBundle,
  paths: readonly Path[],
  { nix, gate, context, ...options }: Importing,
): Promise<Finding[]> {
  try {
    const storePaths = paths.map(({ storePath }) => storePath);
    await importPaths(nix, gate, storePaths, { ...options, lanes: lanesOf(context) });
    return [];
  } catch (error) {
    if (!(error instanceof AirgapError)) throw error;
    if (error.code !== "NIX_FAILED" && error.exit !== EXIT.integrity) throw error;
    const subject = misnamedPath(error.details.actual ?? "");
    if (subject !== null) throw new AirgapError("NIX_FAILED", { ...error.details, subject, hint: MISNAMED });
    const findings = await checkAgain(bundle, paths, context);
    if (findings.length === 0) findings.push(asMismatch(error));
    return findings.map((finding) => ({ ...finding, hint: CHANGED }));
  }
}

const CHANGED =
  "The medium gives other bytes than when it was verified: copy the bundle to another one, and verify it there.";

const MISNAMED =
  "The bundle holds. This path refers to itself, and Nix 2.8 names such a path by its content in another way than newer ones: use a Nix of the kind that packed it (nix-airgap inspect says which).";

/** More Nixes keep no disk busier. */
const MAX_LANES = 8;

function lanesOf({ threads }: Context): number {
  return Math.min(threads ?? defaultThreads(), MAX_LANES);
}

/** Of an import that has not begun. `isChecked`: whether what is imported is checked on disk by and by. */
export function importProgress(
  { medium }: VerifiedBundle,
  paths: readonly Path[],
  { context, isChecked }: { readonly context: Context; readonly isChecked: boolean },
): CopyProgress {
  const copied = paths.map(({ storePath, narSize, blob, blobSize, references: after }) => {
    const staged =
      medium.kind === "directory"
        ? {}
        : { staged: { blob, size: blobSize, cost: blobSize + COST_OF_STAGED } };
    return { storePath, narSize, after, ...staged };
  });
  const costs = {
    perPath: COST_OF_PATH,
    isSerial: true,
    moves: 1,
    ...(isChecked ? { check: COST_OF_CHECK } : {}),
  };
  return new CopyProgress(copied, costs, lanesOf(context));
}

/** What is wrong with the blobs now. */
async function checkAgain(
  { medium }: VerifiedBundle,
  paths: readonly Path[],
  context: Context,
): Promise<Finding[]> {
  const jobs = paths.flatMap(({ storePath: subject, blob, blobSize, narHash, narSize }): BlobJob[] => {
    const file = medium.files.get(blobName(blob));
    if (file === undefined) return [];
    // A file of its own may have grown.
    const grown = medium.kind === "directory" ? partOf(file.segments[0]!.path, file.size + 1) : file;
    return [{ kind: "blob", file: placeOf(grown), subject, blob, blobSize, narHash, narSize }];
  });
  return (await runJobs(jobs, context)).flatMap(({ findings }) => findings);
}

/** A medium that changed back: only the words of who read the bytes are left. @throws `error` where they say something else */
function asMismatch(error: AirgapError): Finding {
  if (error.exit === EXIT.integrity) return { code: error.code, ...error.details };
  const mismatch = importMismatch(error.details.actual ?? "");
  if (mismatch === null) throw error;
  const { storePath: subject, expected, actual } = mismatch;
  return { code: "NAR_HASH", subject, expected, actual };
}
