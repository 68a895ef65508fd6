/** Which copy of each file is good: the first, in the order of the media, whose bytes have the hash that the document says. */
import { contentsOf } from "../../bundle/contents.js";
import type { Medium } from "../../bundle/medium.js";
import { BLOCK, tarPadded } from "../../bundle/tar.js";
import type { FileJob } from "../../host/jobs.js";
import type { WorkerPool } from "../../host/pool.js";
import { cutOut, type FilePart, placeOf, type Row } from "../../segments.js";
import { type BundleParts, type NamedFile, namedFiles } from "../bundle/sources.js";
import type { Context } from "../context.js";
import type { Copy } from "./media.js";

export interface Choice {
  /** By hex SHA-256: where good bytes lie, and on which of the copies. */
  readonly good: ReadonlyMap<string, { readonly place: FilePart; readonly copy: number }>;
  /** For each copy, in order: names of files whose bytes were asked for there, and are wrong or absent. */
  readonly bad: readonly (readonly string[])[];
  /** What no copy has, and whether any has something of that name. */
  readonly lost: readonly (NamedFile & { readonly isPresent: boolean })[];
}

/** @throws AirgapError INTERRUPTED */
export async function chooseCopies(
  copies: readonly Copy[],
  bundle: BundleParts,
  pool: WorkerPool,
  { report }: Pick<Context, "report">,
): Promise<Choice> {
  const named = namedFiles(bundle);
  const good = new Map<string, { place: FilePart; copy: number }>();
  const bad: string[][] = copies.map(() => []);
  const present = new Set<string>();
  const phase = "look for good copies";
  report({ type: "phase.started", phase, items: named.length });
  for (const [copy, { medium }] of copies.entries()) {
    const wanted = named.filter(({ sha256 }) => !good.has(sha256));
    const places = placesOn(medium, bundle);
    const asked = wanted.map((file) => ({ file, place: places(file) }));
    const jobs = asked.flatMap(({ place }): FileJob[] =>
      place === null ? [] : [{ kind: "file", file: place }],
    );
    const hashes = (await pool.run(jobs)).values();
    for (const { file, place } of asked) {
      const hash = place === null ? null : hashes.next().value;
      if (place !== null && hash === file.sha256) {
        if (!good.has(file.sha256)) good.set(file.sha256, { place, copy });
        continue;
      }
      bad[copy]!.push(file.name);
      if (place !== null) present.add(file.name);
    }
    report({ type: "phase.progress", phase, items: named.filter(({ sha256 }) => good.has(sha256)).length });
  }
  report({ type: "phase.finished", phase });
  const lost = named
    .filter(({ sha256 }) => !good.has(sha256))
    .map((file) => ({ ...file, isPresent: present.has(file.name) }));
  return { good, bad, lost };
}

/**
 * Where a file lies on a medium, as far as it is there with its size. In a tar, whose order and sizes follow from the document, a
 * file is found also where headers are damaged, or parts are missing: those that it names stand before what signing changes.
 */
function placesOn(
  medium: Medium,
  { document, documentBytes, approvals }: BundleParts,
): (file: NamedFile) => FilePart | null {
  const row = rowOf(medium);
  if (row === null) {
    return ({ name, size }) => {
      const file = medium.files.get(name);
      return file?.size === size ? placeOf(file) : null;
    };
  }
  const offsets = new Map<string, number>();
  let at = 0;
  for (const [name, file] of contentsOf(document, documentBytes, approvals).files) {
    offsets.set(name, at + BLOCK);
    at += BLOCK + tarPadded(Buffer.isBuffer(file) ? file.length : file.size);
  }
  return ({ name, size }) => {
    const offset = offsets.get(name) ?? row.size;
    if (offset + size > row.size) return null;
    const place = cutOut(row, offset, size);
    return place.segments.every(({ path }) => path !== "") ? place : null;
  };
}

/** The bytes of a tar as they should lie; a part that is not there has no path. */
function rowOf({ kind, path, parts }: Medium): (Row & { readonly size: number }) | null {
  if (kind === "directory") return null;
  if (parts === null)
    return { paths: [path], partSize: Number.MAX_SAFE_INTEGER, size: Number.MAX_SAFE_INTEGER };
  if (parts.index === null) return null;
  const { size } = parts.index;
  return { paths: parts.parts.map((part) => part.path ?? ""), partSize: parts.parts[0]!.size, size };
}
