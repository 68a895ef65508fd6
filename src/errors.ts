/**
 * Every code this program can answer with, what it means, and the exit code it leads to.
 *
 * A *finding* is data: the answer is no. A thrown `AirgapError` means that the question could not be
 * answered, or, inside a parser, that the input was refused; verify turns those into findings. Anything
 * else that is thrown is a bug (exit 70).
 */

/** Process exit codes (docs/format.md, "Exit codes"). */
export const EXIT = {
  yes: 0,
  differ: 1,
  usage: 2,
  malformed: 10,
  integrity: 11,
  trust: 12,
  incomplete: 13,
  nix: 20,
  transport: 21,
  disk: 22,
  bug: 70,
  interrupted: 130,
} as const;

export type ExitCode = (typeof EXIT)[keyof typeof EXIT];

/** What a code means (`explain`) and what its reader should do (`advice`); one line each. */
export interface CodeInfo {
  readonly exit: ExitCode;
  readonly explain: string;
  readonly advice: string;
}

const code = (exit: ExitCode, explain: string, advice: string): CodeInfo => ({ exit, explain, advice });
const { usage, malformed, integrity, trust, incomplete, nix, disk, interrupted, differ } = EXIT;

const GET_AGAIN = "Do not use this bundle; get it again from its source, and compare its bundle id.";

/**
 * The closed registry of codes. Sorted by area; add a line here before throwing or reporting a new code.
 * Kept in one place so that docs/findings.md and the program cannot differ.
 */
export const CODES = {
  // nix/: formats
  BASE32_INVALID: code(malformed, "text is not Nix base32", GET_AGAIN),
  HASH_INVALID: code(malformed, "text is not a hash in the expected form", GET_AGAIN),
  STORE_PATH_INVALID: code(malformed, "text is not a store path", GET_AGAIN),
  NARINFO_INVALID: code(malformed, "a narinfo breaks the grammar", GET_AGAIN),
  CONTENT_ADDRESS_INVALID: code(
    malformed,
    "text is not a content address, or has references that its kind cannot have",
    GET_AGAIN,
  ),
  SIGNATURE_INVALID: code(malformed, "text is not a Nix signature (`name:base64`)", GET_AGAIN),
  CLOSURE_CYCLE: code(malformed, "store paths reference each other in a circle", GET_AGAIN),
  DERIVATION_INVALID: code(malformed, "a .drv file breaks the derivation grammar", GET_AGAIN),
  FLAKE_LOCK_INVALID: code(
    malformed,
    "flake.lock breaks its grammar",
    "Run `nix flake lock` with a supported Nix and pack again.",
  ),
  NAR_MAGIC: code(malformed, "the stream does not begin as a NAR", GET_AGAIN),
  NAR_TRUNCATED: code(malformed, "a NAR ends before it is complete", GET_AGAIN),
  NAR_TRAILING: code(malformed, "bytes follow the end of a NAR", GET_AGAIN),
  NAR_PADDING: code(malformed, "padding in a NAR is not zero", GET_AGAIN),
  NAR_FIELD: code(malformed, "a NAR holds another field than the grammar has here", GET_AGAIN),
  NAR_ENTRY_NAME: code(malformed, "a directory entry in a NAR has an illegal name", GET_AGAIN),
  NAR_ENTRY_ORDER: code(malformed, "directory entries in a NAR are not sorted", GET_AGAIN),
  NAR_ENTRY_DUPLICATE: code(malformed, "a directory in a NAR names an entry twice", GET_AGAIN),
  NAR_SYMLINK_TARGET: code(malformed, "a symlink in a NAR has an illegal target", GET_AGAIN),
  NAR_DEPTH: code(malformed, "a NAR is nested deeper than is allowed", GET_AGAIN),
  NAR_LIMIT: code(malformed, "a length in a NAR is over its limit", GET_AGAIN),
  DERIVATION_UNSUPPORTED: code(
    malformed,
    "a derivation is of a kind that is not supported",
    "Remove the content-addressed, impure or dynamic derivation from the flake; bundles carry input-addressed and fixed-output ones only.",
  ),
  DERIVATION_MISSING: code(incomplete, "a derivation needed to compute a name is missing", GET_AGAIN),
  DERIVATION_CYCLE: code(malformed, "derivations depend on each other in a circle", GET_AGAIN),
  JSON_INVALID: code(malformed, "text is not the strict JSON that is accepted", GET_AGAIN),
  KEY_INVALID: code(
    usage,
    "a key is not in a form that is understood",
    "Give `name:base64` as Nix prints it, or a file that holds it.",
  ),
} as const satisfies Record<string, CodeInfo>;

export type Code = keyof typeof CODES;

/** What an error or a finding is about. Every value is text for people; machines read `code`. */
export interface Details {
  /** The thing that is wrong: a store path, a file of the bundle, a lock node, an option. */
  readonly subject?: string;
  readonly expected?: string;
  readonly actual?: string;
  /** What to do next, when the code's own advice is not specific enough. */
  readonly hint?: string;
  /** Byte offset in the input, 0-based. */
  readonly offset?: number;
  /** Line of the input, 1-based. */
  readonly line?: number;
}

export class AirgapError extends Error {
  override readonly name = "AirgapError";
  readonly code: Code;
  readonly details: Details;

  constructor(code: Code, details: Details = {}, options: { cause?: unknown } = {}) {
    super(describe(code, details), options);
    this.code = code;
    this.details = details;
  }

  get exit(): ExitCode {
    return CODES[this.code].exit;
  }
}

/** Throws an `AirgapError`; an expression, so that it can end a `??` chain. */
export function fail(code: Code, details: Details = {}, options: { cause?: unknown } = {}): never {
  throw new AirgapError(code, details, options);
}

/** One line: the code's meaning, its subject, where, expected and actual. */
export function describe(code: Code, details: Details): string {
  const where =
    details.line !== undefined
      ? ` (line ${details.line})`
      : details.offset !== undefined
        ? ` (byte ${details.offset})`
        : "";
  const parts = [`${details.subject ? `${details.subject}: ` : ""}${CODES[code].explain}${where}`];
  if (details.expected !== undefined) parts.push(`expected ${details.expected}`);
  if (details.actual !== undefined) parts.push(`found ${details.actual}`);
  return parts.join("; ");
}
