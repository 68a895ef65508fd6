/**
 * What a GET asks for of one file: RFC 9110's conditions and ranges, as far as a read-only cache needs them. Pure. What is
 * asked for in a way that is not understood is not asked for: the whole file is the answer.
 */

/** Bytes of a file, or all of it; none where the range asked for lies behind its end. */
export type Selection =
  | { readonly kind: "all" }
  | { readonly kind: "part"; readonly start: number; readonly length: number }
  | { readonly kind: "none" };

const ALL: Selection = { kind: "all" };

/** One range, `bytes=1-5`, `bytes=1-` or `bytes=-5`; several are more than anybody who restores asks for. */
export function selectRange(header: string | undefined, size: number): Selection {
  const [, from, to] = /^bytes=(\d{0,15})-(\d{0,15})$/.exec(header ?? "") ?? [];
  if (from === undefined || to === undefined || (from === "" && to === "")) return ALL;
  if (from === "") {
    const length = Math.min(Number(to), size);
    return length === 0 ? { kind: "none" } : { kind: "part", start: size - length, length };
  }
  const start = Number(from);
  const last = to === "" ? Number.POSITIVE_INFINITY : Number(to);
  if (last < start) return ALL;
  if (start >= size) return { kind: "none" };
  return { kind: "part", start, length: Math.min(last, size - 1) - start + 1 };
}

/** A strong entity tag: the hex SHA-256 of the bytes, in quotes. */
export function entityTag(sha256: string): string {
  return `"${sha256}"`;
}

/** If-None-Match: whether the client has these very bytes already. */
export function hasAlready(header: string | undefined, tag: string): boolean {
  if (header === undefined) return false;
  if (header.trim() === "*") return true;
  return header.split(",").some((one) => one.trim().replace(/^W\//, "") === tag);
}

/** If-Range: whether a part of these bytes is still of use. A time never is: no file here has one. */
export function mayResume(header: string | undefined, tag: string): boolean {
  return header === undefined || header.trim() === tag;
}
