/**
 * Bytes that lie in one file, or in several one behind the other: a file of a bundle in a folder, in a tar, in the parts of
 * a tar. Places only; nothing is opened.
 */

/** Bytes of one file on disk. */
export interface Segment {
  readonly path: string;
  /** Of its first byte in that file. */
  readonly offset: number;
  readonly size: number;
}

/** Something that is known by its size, and where its bytes lie: more than one segment only where it straddles parts. */
export interface FilePart {
  readonly size: number;
  readonly segments: readonly Segment[];
}

/** `size` bytes of one file, from `offset` on. */
export function partOf(path: string, size: number, offset = 0): FilePart {
  return { size, segments: [{ path, offset, size }] };
}

/** Its place alone: what a thread is told. */
export function placeOf({ size, segments }: FilePart): FilePart {
  return { size, segments };
}

/** Files of which every one but the last has `partSize` bytes, taken one behind the other. */
export interface Row {
  readonly paths: readonly string[];
  readonly partSize: number;
}

/** `size` bytes of a row, from `offset` on, which it has. */
export function cutOut({ paths, partSize }: Row, offset: number, size: number): FilePart {
  // Where there is one file, which is most often, nothing is to be reckoned.
  if (paths.length === 1) return partOf(paths[0]!, size, offset);
  const segments: Segment[] = [];
  for (let at = offset, left = size; left > 0; ) {
    const number = Math.floor(at / partSize);
    const inPart = at - number * partSize;
    const length = Math.min(left, partSize - inPart);
    segments.push({ path: paths[number]!, offset: inPart, size: length });
    at += length;
    left -= length;
  }
  return { size, segments };
}
