/**
 * One line of a site's audit log: its one encoding, and what may stand in it. How lines hang together is audit-log.ts.
 */
import { createHash } from "node:crypto";
import { formatCompactJson } from "../canonical-json.js";
import { AirgapError, fail } from "../errors.js";
import type { AuditEntry } from "../generated/types.js";
import { validateAuditEntry } from "../generated/validators.js";
import { excerpt } from "../nix/excerpt.js";
import { firstProblem } from "../schema-problem.js";
import { parseStrictJson } from "../strict-json.js";
import { isTime } from "../time.js";

/** Bytes of a line with its line feed. The largest entry of the schema is shorter. */
export const MAX_LINE = 16 * 1024;
/** What stands for the line before the first. */
const NO_LINE = "0".repeat(64);

/** An entry of the log, by its number and its line's SHA-256 in hex: what the next one continues. */
export interface Head {
  readonly number: number;
  readonly sha256: string;
}

/** Where a log begins. */
export const START: Head = { number: 0, sha256: NO_LINE };

/** The line, with its line feed. @throws AUDIT_ENTRY for what an entry cannot hold (see `entryText`) */
export function formatEntry(entry: AuditEntry): Buffer {
  const line = Buffer.from(formatCompactJson(entry));
  parseEntry(line);
  return line;
}

/** Only what `formatEntry` gives is read. @throws AUDIT_ENTRY with what is wrong with it */
export function parseEntry(line: Uint8Array): AuditEntry {
  const entry: unknown = parseStrictJson(line, { maxBytes: MAX_LINE, code: "AUDIT_ENTRY" });
  if (!validateAuditEntry(entry)) {
    return fail("AUDIT_ENTRY", {
      expected: `an entry whose ${firstProblem(validateAuditEntry.errors)}`,
    });
  }
  if (!isTime(entry.at))
    fail("AUDIT_ENTRY", { expected: "at: a time that exists", actual: excerpt(entry.at) });
  if ((entry.number === 1) !== (entry.previous === NO_LINE)) {
    fail("AUDIT_ENTRY", {
      expected: "previous: 64 zeros on entry 1, and on no other",
      actual: `entry ${entry.number}, previous ${entry.previous}`,
    });
  }
  if (Buffer.compare(Buffer.from(formatCompactJson(entry)), line) !== 0) {
    fail("AUDIT_ENTRY", { expected: "the bytes that `jq -cS .` prints" });
  }
  return entry;
}

/** The entry and its place in the chain. @throws AUDIT_ENTRY */
export function headOf(line: Uint8Array): Head {
  return { number: parseEntry(line).number, sha256: lineSha256(line) };
}

/** Hex, as the next line says it. */
export function lineSha256(line: Uint8Array): string {
  return createHash("sha256").update(line).digest("hex");
}

/** What a text of an entry may have, in characters: `short` for names, `long` for a detail. */
export const MAX_TEXT = { short: 64, long: 256 } as const;

/** Any text as an entry can hold it: control characters and broken ones replaced, and cut. */
export function entryText(text: string, max: number = MAX_TEXT.long): string {
  const held = [
    ...Buffer.from(text)
      .toString()
      .replace(/[\x00-\x1f\x7f]/g, "\ufffd"),
  ];
  return held.length <= max ? held.join("") : `${held.slice(0, max - 3).join("")}...`;
}

/** What `parseEntry` has to say against a line; null where it is an entry. */
export type ReadEntry =
  | { readonly entry: AuditEntry; readonly refusal: null }
  | { readonly entry: null; readonly refusal: AirgapError };

/** `parseEntry` with its refusal as a value, for who reads on. */
export function readEntry(line: Uint8Array): ReadEntry {
  try {
    return { entry: parseEntry(line), refusal: null };
  } catch (error) {
    if (error instanceof AirgapError && error.code === "AUDIT_ENTRY") return { entry: null, refusal: error };
    throw error;
  }
}
