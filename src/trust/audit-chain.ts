/**
 * The chain of an audit log: from each line's number, and the hash that it says of the line before, what was altered,
 * deleted, inserted or moved. Sees no bytes; what an entry is, is audit-entry.ts.
 */
import type { Code, Details } from "../errors.js";
import type { AuditEntry } from "../generated/types.js";
import { type Head, START } from "./audit-entry.js";

/** Where a verdict goes: `line` is a position in the file, from 1. */
export interface Judgement {
  find(code: Code, line: number, details: Details): void;
  note(line: number | null, text: string): void;
}

/** A line of the file as it is. */
export interface ChainLine {
  /** From 1. */
  readonly position: number;
  readonly sha256: string;
}

/** A line as far as those after it are judged by it. */
interface Link extends Head {
  readonly position: number;
  /** A finding names it. */
  blamed: boolean;
}

/**
 * Judges each line by the two before it.
 *
 * - It continues the line before: then that one is as it was.
 * - It continues the line before that one: then what stands between was inserted.
 * - It has the number of its place, but another hash: one of the two was altered. Which one, the next line tells: if it
 *   continues this one, this one is as it was.
 * - It has another number: lines before it are gone, or it is not from here.
 */
export class Chain {
  readonly #remembered: Head | null;
  readonly #log: Judgement;
  #before: Link | null = null;
  #last: Link = { ...START, position: 0, blamed: false };
  /** Numbers less positions, where lines stand in their places. */
  #shift = 0;
  /** `#last` does not continue `#before`, and one of them is to blame. */
  #isOpen = false;
  /** The line with the number that the state remembers, its own bytes if they are there. */
  #headLine: Link | null = null;

  constructor(remembered: Head | null, log: Judgement) {
    this.#remembered = remembered;
    this.#log = log;
  }

  get entries(): number {
    return this.#last.position;
  }

  get head(): Head | null {
    const { position, number, sha256 } = this.#last;
    return position === 0 ? null : { number, sha256 };
  }

  /** `entry`: null where the line is none, which is a finding already. */
  add({ position, sha256 }: ChainLine, entry: AuditEntry | null): void {
    const link = this.#place({ position, sha256 }, entry);
    this.#before = this.#last;
    this.#last = link;
    const { number, sha256: remembered } = this.#remembered ?? START;
    if (link.number === number && this.#headLine?.sha256 !== remembered) this.#headLine = link;
  }

  #place(line: ChainLine, entry: AuditEntry | null): Link {
    const { position } = line;
    const last = this.#last;
    if (entry === null) {
      this.#settle(false);
      return { ...line, number: position + this.#shift, blamed: true };
    }
    if (entry.previous === last.sha256) {
      this.#settle(true);
      const number = last.number + 1;
      this.#shift = number - position;
      const blamed = entry.number !== number;
      if (blamed) {
        this.#log.find("AUDIT_ENTRY", position, { expected: `number ${number}`, actual: `${entry.number}` });
      }
      return { ...line, number, blamed };
    }
    const { number } = entry;
    const link: Link = { ...line, number, blamed: false };
    if (this.#before?.sha256 === entry.previous && number === this.#before.number + 1) {
      this.#blame("AUDIT_CHAIN", last, {
        expected: `nothing between line ${this.#before.position} and line ${position}, which continues it`,
        actual: "an entry",
      });
      this.#isOpen = false;
      this.#shift = number - position;
      return link;
    }
    this.#settle(false);
    if (number === position + this.#shift || number === last.number + 1) {
      this.#shift = number - position;
      // Where a line before it is out of its place, that explains it.
      if (!last.blamed && this.#isRemembered(last)) this.#blameContinuation(link);
      else this.#isOpen = !last.blamed;
      return link;
    }
    const expected = position + this.#shift;
    this.#blame("AUDIT_CHAIN", link, {
      expected: `entry ${expected}`,
      actual:
        number > expected
          ? `entry ${number}: those between are missing, or it was moved`
          : `entry ${number}: it was inserted here, or moved`,
    });
    return link;
  }

  /** Decides which of two lines was altered: the first, where something vouches for the second. */
  #settle(isContinued: boolean): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    const [first, second] = [this.#before!, this.#last];
    if (isContinued || this.#isRemembered(second)) {
      this.#blameAltered(first, `line ${second.position} continues another one`);
    } else {
      this.#blameContinuation(
        second,
        `Line ${first.position} may have been altered too, as nothing vouches for it now. Compare both with an earlier export or a backup.`,
      );
    }
  }

  #blameAltered(link: Link, actual: string): void {
    this.#blame("AUDIT_ENTRY", link, { expected: "the line that was written", actual });
  }

  #blameContinuation(link: Link, hint?: string): void {
    this.#blame("AUDIT_ENTRY", link, {
      expected: `a line that continues line ${link.position - 1}`,
      actual: "one that continues another",
      ...(hint === undefined ? {} : { hint }),
    });
  }

  #blame(code: Code, link: Link, details: Details): void {
    if (!link.blamed) this.#log.find(code, link.position, details);
    link.blamed = true;
  }

  #isRemembered({ number, sha256 }: Head): boolean {
    return this.#remembered?.number === number && this.#remembered.sha256 === sha256;
  }

  /** What only the head can tell: of the last line, and of those that are missing after it. */
  end(): void {
    const remembered = this.#remembered;
    // Without a head, or where it is of the first of two, nothing speaks against the second: it is the last.
    this.#settle(remembered === null || remembered.number === this.#before?.number);
    if (remembered === null) {
      if (this.entries > 0) {
        this.#log.note(null, "no head is known, so that entries cut off at the end would not be noticed");
      }
      return;
    }
    const at = this.#headLine;
    if (at === null) this.#missing(remembered);
    else if (at.sha256 !== remembered.sha256)
      this.#blameAltered(at, "the site's state remembers another one");
    else if (!at.blamed) this.#ahead(at);
  }

  #missing({ number }: Head): void {
    const { position, number: last } = this.#last;
    const details = { expected: `entries up to ${number}`, actual: `up to ${last}` };
    if (last < number) this.#log.find("AUDIT_TRUNCATED", position + 1, details);
    else this.#log.find("AUDIT_CHAIN", position, { expected: `entry ${number}`, actual: "none" });
  }

  #ahead(head: Link): void {
    const ahead = this.entries - head.position;
    const next = head.position + 1;
    if (ahead > 1) {
      this.#log.find("AUDIT_CHAIN", next, {
        expected: `the end of the log soon after entry ${head.number}, the last that the site's state remembers`,
        actual: `${ahead} more`,
      });
    } else if (ahead === 1 && !this.#last.blamed) {
      this.#log.note(
        next,
        "the site's state does not know this entry yet: a run was stopped just after it was written",
      );
    }
  }
}
