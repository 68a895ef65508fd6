/** bundle join-parts: the tar that parts were cut from, once each of them has the hash that its index says. */
import { createHash } from "node:crypto";
import { resolve } from "node:path";
import { copyBytes } from "../../bundle/copy.js";
import { openMedium } from "../../bundle/medium.js";
import type { MediumPart } from "../../bundle/parts.js";
import { FileOut } from "../../bundle/tar-out.js";
import { EXIT, exitOf, type Finding, fail } from "../../errors.js";
import type { PartsIndex, PartsReport } from "../../generated/types.js";
import { WorkerPool } from "../../host/pool.js";
import { partOf } from "../../segments.js";
import type { Context } from "../context.js";
import { requireFitsFat } from "../fat.js";
import { reportedFindings } from "../reports.js";
import { checkParts } from "../verify/parts.js";
import { writeNew } from "./new-place.js";

export interface JoinPartsOptions {
  /** The tar to make. */
  readonly out: string;
  /** Other folders that hold parts. */
  readonly parts?: readonly string[];
}

/**
 * @throws AirgapError USAGE for what is not in parts, OUT_EXISTS, BUNDLE_NOT_FOUND, PARTS_INDEX_MISSING, PARTS_AMBIGUOUS, DISK,
 * NO_SPACE, INTERRUPTED. What is wrong with parts is in the report, and then nothing was written.
 */
export async function joinParts(
  path: string,
  { out, parts: folders = [] }: JoinPartsOptions,
  context: Context,
): Promise<PartsReport> {
  const { medium } = await openMedium(path, { allowExtra: true, parts: folders });
  const onMedium = medium.parts;
  if (onMedium === null) {
    return fail("USAGE", {
      subject: path,
      expected: "a bundle in parts: one of them, the index NAME.tar.parts.json, or the folder with it",
      actual: `a ${medium.kind}`,
    });
  }
  const { index, parts, findings } = onMedium;
  const report = (rest: Partial<PartsReport>): PartsReport => ({
    ...{ format: "nix-airgap-bundle-join-parts", verdict: "refused", exit: EXIT.yes },
    ...{ bundle: index === null ? null : describe(medium.path, index), out: null },
    ...{ parts: index?.parts ?? [], findings: [], ...rest },
  });
  const refused = (wrong: readonly Finding[]) =>
    report({ exit: exitOf(wrong), findings: reportedFindings(wrong) });
  if (index === null || findings.length > 0) return refused([...findings, ...(await check(parts, context))]);

  const tar = resolve(context.cwd, out);
  await requireFitsFat(tar, index.size);
  const wrong: Finding[] = [];
  const written = await writeNew({ path: tar, kind: "file", bytes: index.size }, async (partial) => {
    wrong.push(...(await join(parts, partial, index.size, context)));
    return wrong.length > 0 ? null : partial;
  });
  return written === null ? refused(wrong) : report({ verdict: "joined", out: tar });
}

async function check(parts: readonly MediumPart[], context: Context): Promise<Finding[]> {
  const pool = new WorkerPool(context);
  try {
    return await checkParts(parts, pool, context);
  } finally {
    await pool.close();
  }
}

/** Hashes what it copies, and goes on behind a part that is wrong, so that all are named. */
async function join(
  parts: readonly MediumPart[],
  out: string,
  size: number,
  context: Context,
): Promise<Finding[]> {
  const findings: Finding[] = [];
  const places = parts.map((part) => ({ ...part, path: part.path ?? "" }));
  const segments = places.flatMap((part) => partOf(part.path, part.size).segments);
  let [hasher, at, inPart] = [createHash("sha256"), 0, 0];
  const onPiece = (piece: Buffer): void => {
    // A piece never reaches over the end of a part: each is read from one file.
    hasher.update(piece);
    inPart += piece.length;
    const { label: subject, sha256: expected, path, size: partSize } = places[at]!;
    if (inPart < partSize) return;
    const actual = hasher.digest("hex");
    if (actual !== expected)
      findings.push({ code: "PART_HASH", subject, expected, actual: `${actual}, in ${path}` });
    [hasher, at, inPart] = [createHash("sha256"), at + 1, 0];
  };
  const target = await FileOut.open(out);
  try {
    await copyBytes({ size, segments }, target, { ...context, name: out, onPiece });
    await target.end();
  } finally {
    await target.close();
  }
  return findings;
}

function describe(path: string, { product, release, bundle, size }: PartsIndex): PartsReport["bundle"] {
  return { path, product, release, sha256: bundle, tarBytes: size };
}
