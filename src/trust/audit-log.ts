/**
 * A site's audit log as a whole: whether its lines still are the ones that were written, in one pass and little memory.
 *
 * Each line holds the hash of the one before, so that a line is vouched for by the next, and the last by the head that
 * the site's state remembers. What happened where a link does not hold is judged in audit-chain.ts.
 */
import { createHash } from "node:crypto";
import type { AirgapError, Code, Details, Finding } from "../errors.js";
import type { AuditEntry } from "../generated/types.js";
import { Chain, type Judgement } from "./audit-chain.js";
import { type Head, MAX_LINE, readEntry } from "./audit-entry.js";

/** Bytes of the log, in pieces of any size; a piece must stay as it is. */
export type Chunks = AsyncIterable<Uint8Array> | Iterable<Uint8Array>;

/** Findings that are kept: a log of years may be wrong in every line. */
export const MAX_FINDINGS = 1000;

/** A finding names its line, from 1. */
export type LogFinding = Finding & { readonly line: number };

export interface LogNote {
  readonly line: number | null;
  readonly text: string;
}

export interface LogCheck {
  /** Whole lines that were read. */
  readonly entries: number;
  /** The last line that was read; null where there is none. To be relied upon only where there are no findings. */
  readonly head: Head | null;
  readonly firstAt: string | null;
  readonly lastAt: string | null;
  /** By line. */
  readonly findings: readonly LogFinding[];
  readonly notes: readonly LogNote[];
}

/**
 * Checks a log against the head that the site's state remembers, null where that is not known. `onEntry` is given each
 * entry in its order, before it is known whether the log holds.
 *
 * The head is written after its line, so that a crash in between leaves the log one entry ahead: that is no finding.
 */
export async function checkLog(
  chunks: Chunks,
  head: Head | null,
  onEntry: (entry: AuditEntry) => void | Promise<void> = () => {},
): Promise<LogCheck> {
  const log = new Findings();
  const chain = new Chain(head, log);
  const times = new Times(log);
  for await (const line of linesOf(chunks)) {
    if (line.torn) {
      log.note(line.position, "torn: a run was stopped while it wrote this entry; the next run removes it");
      break;
    }
    const { entry, refusal } = line.bytes === null ? TOO_LONG : readEntry(line.bytes);
    if (refusal !== null) log.find("AUDIT_ENTRY", line.position, refusal);
    chain.add(line, entry);
    if (entry === null) continue;
    times.add(entry.at, line.position);
    await onEntry(entry);
  }
  chain.end();
  const { firstAt, lastAt } = times;
  return { entries: chain.entries, head: chain.head, firstAt, lastAt, ...log.result() };
}

const TOO_LONG = {
  entry: null,
  refusal: { expected: `a line of at most ${MAX_LINE} bytes`, actual: "a longer one" },
} as const;

interface Line {
  /** From 1. */
  readonly position: number;
  readonly sha256: string;
  /** With its line feed; null where it is longer than any entry. */
  readonly bytes: Buffer | null;
  /** It is the last, and has no line feed. One that is too long is none that a crash leaves. */
  readonly torn: boolean;
}

/** Holds no more than one line of MAX_LINE, and the piece at hand. */
async function* linesOf(chunks: Chunks): AsyncGenerator<Line, void, undefined> {
  let position = 1;
  let held: Uint8Array[] = [];
  let size = 0;
  let hasher = createHash("sha256");
  const take = (piece: Uint8Array) => {
    hasher.update(piece);
    size += piece.length;
    if (size <= MAX_LINE) held.push(piece);
    else held = [];
  };
  const line = (hasEnd: boolean): Line => {
    const bytes = size <= MAX_LINE ? Buffer.concat(held) : null;
    const torn = !hasEnd && bytes !== null;
    return { position, sha256: hasher.digest("hex"), bytes, torn };
  };
  for await (const chunk of chunks) {
    for (let from = 0; from < chunk.length; ) {
      const feed = chunk.indexOf(0x0a, from);
      const end = feed < 0 ? chunk.length : feed + 1;
      take(chunk.subarray(from, end));
      from = end;
      if (feed < 0) continue;
      yield line(true);
      position++;
      held = [];
      size = 0;
      hasher = createHash("sha256");
    }
  }
  if (size > 0) yield line(false);
}

/** First and last, and whether the clock went back. */
class Times {
  readonly #log: Findings;
  firstAt: string | null = null;
  lastAt: string | null = null;
  #noted = false;

  constructor(log: Findings) {
    this.#log = log;
  }

  add(at: string, position: number): void {
    this.firstAt ??= at;
    if (this.lastAt !== null && at < this.lastAt && !this.#noted) {
      this.#noted = true;
      this.#log.note(
        position,
        `its time, ${at}, is before the one of the line before: the clock was set back`,
      );
    }
    this.lastAt = at;
  }
}

/** Keeps so many findings, and counts the others. */
class Findings implements Judgement {
  readonly #findings: LogFinding[] = [];
  readonly #notes: LogNote[] = [];
  #more = 0;

  find(code: Code, line: number, details: Details | AirgapError): void {
    if (this.#findings.length >= MAX_FINDINGS) {
      this.#more++;
      return;
    }
    const { expected, actual, hint } = "details" in details ? details.details : details;
    this.#findings.push({
      code,
      line,
      ...(expected === undefined ? {} : { expected }),
      ...(actual === undefined ? {} : { actual }),
      ...(hint === undefined ? {} : { hint }),
    });
  }

  note(line: number | null, text: string): void {
    this.#notes.push({ line, text });
  }

  result(): { findings: readonly LogFinding[]; notes: readonly LogNote[] } {
    if (this.#more > 0) this.note(null, `${this.#more} more findings are not listed`);
    return { findings: this.#findings.sort((a, b) => a.line - b.line), notes: this.#notes };
  }
}
