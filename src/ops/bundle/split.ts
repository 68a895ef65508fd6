/**
 * bundle split: a bundle as parts of one tar, for media that are too small for it, or take no large files. Looks at its form
 * alone: whoever gets the parts verifies them.
 */
import { readFile } from "node:fs/promises";
import { basename, join, resolve } from "node:path";
import { copyBytes } from "../../bundle/copy.js";
import type { Medium } from "../../bundle/medium.js";
import { countParts, indexName, parsePartsIndex, problemOfTarName } from "../../bundle/parts-index.js";
import { PartsOut } from "../../bundle/tar-out.js";
import { nameOf, sizeOfTar, writeSources } from "../../bundle/write.js";
import { EXIT, exitOf, fail } from "../../errors.js";
import type { PartsReport } from "../../generated/types.js";
import { fileSize } from "../../host/files.js";
import { type FilePart, partOf } from "../../segments.js";
import type { Context } from "../context.js";
import { requireFitsFat } from "../fat.js";
import { reportedFindings } from "../reports.js";
import { writeNew } from "./new-place.js";
import { readBundle } from "./read.js";
import { sourcesOf } from "./sources.js";

export interface SplitOptions {
  /** Bytes of every part but the last. */
  readonly partSize: number;
  /** A folder to make. */
  readonly out: string;
  /** Other folders that hold parts of a bundle in parts. */
  readonly parts?: readonly string[];
}

/**
 * @throws AirgapError USAGE, OUT_EXISTS, BUNDLE_NOT_FOUND, PARTS_INDEX_MISSING, PARTS_AMBIGUOUS, DISK, NO_SPACE, INTERRUPTED.
 * What is wrong with the bundle is in the report, and then nothing was written.
 */
export async function bundleSplit(
  path: string,
  { partSize, out, parts: folders = [] }: SplitOptions,
  context: Context,
): Promise<PartsReport> {
  const report = (rest: Partial<PartsReport>): PartsReport => ({
    ...{ format: "nix-airgap-bundle-split", verdict: "refused", exit: EXIT.yes },
    ...{ bundle: null, out: null, parts: [], findings: [], ...rest },
  });
  const { medium, parts: bundle, findings } = await readBundle(path, folders);
  if (bundle === null) return report({ exit: exitOf(findings), findings: reportedFindings(findings) });

  const tarName = tarNameFor(medium);
  const whole = await wholeTar(medium);
  const sources = sourcesOf(bundle, ({ name }) => medium.files.get(name)!);
  const size = whole?.size ?? sizeOfTar(sources);
  countParts(size, partSize);
  const folder = resolve(context.cwd, out);
  await requireFitsFat(folder, Math.min(partSize, size));
  const named = nameOf(bundle.document);
  const index = await writeNew({ path: folder, kind: "folder", bytes: size }, async (partial) => {
    const target = await PartsOut.open(partial, { tarName, partSize }, { ...named, size });
    if (whole === null) {
      await writeSources(sources, target, context);
    } else {
      try {
        await copyBytes(whole, target, { ...context, name: medium.path });
        await target.end();
      } finally {
        await target.close();
      }
    }
    return parsePartsIndex(await readFile(join(partial, indexName(tarName))), tarName);
  });
  return report({
    verdict: "split",
    bundle: {
      path: medium.path,
      product: named.product,
      release: named.release,
      sha256: named.bundle,
      tarBytes: size,
    },
    out: folder,
    parts: index?.parts ?? [],
  });
}

function tarNameFor({ kind, path, parts }: Medium): string {
  const name = parts?.tarName ?? (kind === "tar" ? basename(path) : `${basename(path)}.tar`);
  const expected = problemOfTarName(name);
  if (expected === null) return name;
  return fail("USAGE", {
    subject: path,
    expected,
    actual: name,
    hint: "Rename the bundle: its parts are named after it.",
  });
}

/** Where all bytes of the tar lie; null for a directory, of which it is made. */
async function wholeTar({ kind, path, parts }: Medium): Promise<FilePart | null> {
  if (kind === "directory") return null;
  if (parts === null) return partOf(path, await fileSize(path));
  const segments = parts.parts.map((part) => ({ path: part.path ?? "", offset: 0, size: part.size }));
  return { size: segments.reduce((sum, segment) => sum + segment.size, 0), segments };
}
