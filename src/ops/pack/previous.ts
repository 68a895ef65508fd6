/**
 * The release before: its bundle's document, which the next one names by hash. Nothing else of that bundle is read, and
 * nothing of it is believed but what it calls itself: a site that goes by the chain compares the hash with what it took.
 */
import { resolve } from "node:path";
import { parseDocument } from "../../bundle/document.js";
import { DOCUMENT_NAME, MAX_DOCUMENT_SIZE } from "../../bundle/layout.js";
import { openMedium } from "../../bundle/medium.js";
import { fail } from "../../errors.js";
import type { PackReport, Path } from "../../generated/types.js";
import { formatHex, hashOf } from "../../nix/hash.js";

export interface Previous {
  readonly sequence: number;
  /** Of its document, hex. */
  readonly sha256: string;
  readonly paths: ReadonlyMap<string, PreviousPath>;
}

type PreviousPath = Pick<Path, "narHash" | "blobSize">;
/** As much of a path as is compared. */
type NewPath = Pick<Path, "storePath" | "narHash" | "narSize">;

/** `path`: of a bundle of the same product. @throws AirgapError USAGE, codes of the medium and the document, DISK */
export async function readPrevious(path: string, cwd: string, product: string): Promise<Previous> {
  const subject = `--previous ${path}`;
  const { medium, findings } = await openMedium(resolve(cwd, path), { allowExtra: false });
  const bytes = await medium.read(DOCUMENT_NAME, MAX_DOCUMENT_SIZE);
  const parsed = parseDocument(bytes);
  const problem = [...findings, ...parsed.findings][0];
  if (problem !== undefined || parsed.document === null)
    fail(problem?.code ?? "DOCUMENT_SCHEMA", { ...problem, subject });
  const { document } = parsed;
  if (document.product !== product)
    fail("USAGE", { subject, expected: `product ${product}`, actual: document.product });
  return {
    sequence: document.sequence,
    sha256: formatHex(hashOf("sha256", bytes)),
    paths: new Map(
      document.paths.map(({ storePath, narHash, blobSize }) => [storePath, { narHash, blobSize }]),
    ),
  };
}

/**
 * What was given; else the flake's time, or one more than the previous where that is not more: as when a branch was packed that
 * is older.
 *
 * @throws AirgapError USAGE where what was given is not more than the previous
 */
export function chooseSequence(
  given: number | undefined,
  lastModified: number,
  previous: Pick<Previous, "sequence"> | null,
): number {
  if (previous === null) return given ?? lastModified;
  if (given === undefined) return Math.max(lastModified, previous.sequence + 1);
  if (given > previous.sequence) return given;
  return fail("USAGE", {
    subject: "--sequence",
    expected: `more than ${previous.sequence}, that of the previous bundle`,
    actual: String(given),
  });
}

/** Which paths are as they were. */
export function compareWith(
  { sequence, sha256, paths: before }: Previous,
  paths: readonly NewPath[],
): NonNullable<NonNullable<PackReport["plan"]>["previous"]> {
  const isReused = ({ storePath, narHash }: NewPath) => before.get(storePath)?.narHash === narHash;
  const counts = (some: readonly NewPath[]) => ({
    paths: some.length,
    narBytes: some.reduce((sum, { narSize }) => sum + narSize, 0),
  });
  return {
    sequence,
    sha256,
    reused: counts(paths.filter(isReused)),
    new: counts(paths.filter((path) => !isReused(path))),
  };
}
