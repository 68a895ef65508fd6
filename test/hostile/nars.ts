/**
 * Hostile NARs by name, each with the one code that must refuse it; and legal ones at the edge of the same rules. Built
 * from tokens that know no rule, so that a new one is a line. What is done with them is nars.test.ts's.
 */
import type { Code } from "../../src/errors.js";
import { MAX_CONTENTS, MAX_DEPTH, MAX_NAME, MAX_SYMLINK_TARGET } from "../../src/nix/nar.js";

export interface HostileNar {
  readonly name: string;
  readonly bytes: Buffer;
  readonly code: Code;
}

export interface LegalNar {
  readonly name: string;
  readonly bytes: Buffer;
}

type Part = string | Uint8Array;

/** One token: length, bytes, zeros to a multiple of 8; each of them can be forged. */
function str(text: Part, forged: { readonly length?: bigint; readonly padding?: Uint8Array } = {}): Buffer {
  const body = bytes(text);
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(forged.length ?? BigInt(body.length));
  return Buffer.concat([length, body, forged.padding ?? Buffer.alloc((8 - (body.length % 8)) % 8)]);
}

/** The token with a last padding byte that is not zero. */
function dirty(text: Part): Buffer {
  const token = str(text);
  token[token.length - 1] = 1;
  return token;
}

/** Strings become tokens, bytes stand as they are. */
const tokens = (...parts: readonly Part[]): Buffer =>
  Buffer.concat(parts.map((part) => (typeof part === "string" ? str(part) : part)));
const bytes = (text: Part): Buffer => Buffer.from(text as string);
const node = (...fields: readonly Part[]): Buffer => tokens("(", "type", ...fields, ")");
const regular = (...fields: readonly Part[]): Buffer => node("regular", ...fields);
const file = (contents: Part = "x"): Buffer => regular("contents", str(contents));
const link = (target: Part): Buffer => node("symlink", "target", str(target));
const directory = (...entries: readonly Part[]): Buffer => node("directory", ...entries);
const entry = (name: Part, inside: Buffer = file()): Buffer =>
  tokens("entry", "(", "name", str(name), "node", inside, ")");
const nar = (...parts: readonly Part[]): Buffer => tokens("nix-archive-1", ...parts);

/** `depth` directories around `inside`. */
function nested(depth: number, inside: Buffer): Buffer {
  const open = tokens("(", "type", "directory", "entry", "(", "name", "d", "node");
  const close = tokens(")", ")");
  return Buffer.concat([...Array<Buffer>(depth).fill(open), inside, ...Array<Buffer>(depth).fill(close)]);
}

const two = (power: number): bigint => 2n ** BigInt(power);
const long = "n".repeat(MAX_NAME);
const longTarget = "t".repeat(MAX_SYMLINK_TARGET);
/** Holds one of everything; cut and lengthened below. */
const whole = nar(
  directory(entry("a", regular("executable", "", "contents", "12345")), entry("b", link("a")), entry("c")),
);

/** `whole` up to the start of the `nth` token `text`, and `extra` bytes further. */
function cut(text: string, nth: number, extra: number): Buffer {
  let at = -1;
  for (let i = 0; i < nth; i++) at = whole.indexOf(str(text), at + 1);
  if (at < 0) throw new Error(`no token ${text} to cut at`);
  return whole.subarray(0, at + extra);
}

const HOSTILE: readonly (readonly [name: string, code: Code, bytes: Buffer])[] = [
  // The magic
  ["another version", "NAR_MAGIC", tokens("nix-archive-2", file())],
  ["magic in capitals", "NAR_MAGIC", tokens("NIX-ARCHIVE-1", file())],
  ["magic with one capital", "NAR_MAGIC", tokens("Nix-archive-1", file())],
  ["magic without its version", "NAR_MAGIC", tokens("nix-archive-", file())],
  ["magic with a longer version", "NAR_MAGIC", tokens("nix-archive-10", file())],
  ["magic left out", "NAR_MAGIC", file()],
  ["magic empty", "NAR_MAGIC", tokens("", file())],
  [
    "magic with a big-endian length",
    "NAR_MAGIC",
    tokens(str("nix-archive-1", { length: two(56) * 13n }), file()),
  ],
  [
    "magic with a length of 32 bits",
    "NAR_MAGIC",
    Buffer.concat([nar().subarray(0, 4), nar().subarray(8), file()]),
  ],
  ["magic longer than memory", "NAR_MAGIC", tokens(str("nix-archive-1", { length: two(63) }), file())],
  ["magic twice", "NAR_FIELD", nar("nix-archive-1", file())],
  [
    "an ELF file",
    "NAR_MAGIC",
    Buffer.concat([Buffer.from("\x7fELF\x02\x01\x01", "latin1"), Buffer.alloc(57)]),
  ],
  ["a NAR still compressed", "NAR_MAGIC", Buffer.from("28b52ffd2400010000990a0b0c0d0e0f10", "hex")],
  ["text", "NAR_MAGIC", bytes("StorePath: /nix/store\n")],

  // Padding
  ["padding of the magic", "NAR_PADDING", tokens(dirty("nix-archive-1"), file())],
  ["padding of an opening", "NAR_PADDING", nar(dirty("("), "type", "regular", "contents", "x", ")")],
  ["padding of a field", "NAR_PADDING", nar("(", dirty("type"), "regular", "contents", "x", ")")],
  ["padding of a type", "NAR_PADDING", nar(node(dirty("regular"), "contents", "x"))],
  ["padding of executable", "NAR_PADDING", nar(regular(dirty("executable"), "", "contents", "x"))],
  ["padding of contents", "NAR_PADDING", nar(regular("contents", dirty("x")))],
  [
    "padding of contents all ones",
    "NAR_PADDING",
    nar(regular("contents", str("x", { padding: Buffer.alloc(7, 0xff) }))),
  ],
  [
    "padding of contents in its first byte",
    "NAR_PADDING",
    nar(regular("contents", str("12345", { padding: bytes("6\0\0") }))),
  ],
  ["padding of target", "NAR_PADDING", nar(node("symlink", "target", dirty("x")))],
  [
    "padding of an entry",
    "NAR_PADDING",
    nar(directory(dirty("entry"), "(", "name", "a", "node", file(), ")")),
  ],
  ["padding of a name", "NAR_PADDING", nar(directory("entry", "(", "name", dirty("a"), "node", file(), ")"))],
  ["padding of node", "NAR_PADDING", nar(directory("entry", "(", "name", "a", dirty("node"), file(), ")"))],
  [
    "padding of an entry's close",
    "NAR_PADDING",
    nar(directory("entry", "(", "name", "a", "node", file(), dirty(")"))),
  ],
  ["padding of the last close", "NAR_PADDING", nar("(", "type", "regular", "contents", "x", dirty(")"))],
  ["padding left out", "NAR_PADDING", nar(regular("contents", str("x", { padding: Buffer.alloc(0) })))],
  [
    "padding of 8 bytes too many",
    "NAR_FIELD",
    nar(regular("contents", str("x", { padding: Buffer.alloc(15) }))),
  ],
  [
    "padding of an empty string",
    "NAR_FIELD",
    nar(regular("contents", str("", { padding: Buffer.alloc(8) }))),
  ],

  // Lengths
  ["contents of 2^63 bytes", "NAR_LIMIT", nar(regular("contents", str("x", { length: two(63) })))],
  ["contents of 2^64 - 1 bytes", "NAR_LIMIT", nar(regular("contents", str("x", { length: two(64) - 1n })))],
  ["contents of 2^53 + 1 bytes", "NAR_LIMIT", nar(regular("contents", str("x", { length: two(53) + 1n })))],
  [
    "contents one over the limit",
    "NAR_LIMIT",
    nar(regular("contents", str("x", { length: BigInt(MAX_CONTENTS) + 1n }))),
  ],
  [
    "contents of the limit, which are not there",
    "NAR_TRUNCATED",
    nar(regular("contents", str("x", { length: BigInt(MAX_CONTENTS) }))),
  ],
  [
    "contents of 2^32 + 1 bytes",
    "NAR_TRUNCATED",
    nar(regular("contents", str("x", { length: two(32) + 1n }))),
  ],
  [
    "contents one byte longer than said",
    "NAR_PADDING",
    nar(regular("contents", str("12345678", { length: 7n }))),
  ],
  [
    "contents one byte shorter than said",
    "NAR_FIELD",
    nar(regular("contents", str("12345678", { length: 9n }))),
  ],
  ["contents that swallow the rest", "NAR_TRUNCATED", nar(regular("contents", str("x", { length: 24n })))],
  [
    "name of 2^63 bytes",
    "NAR_LIMIT",
    nar(directory("entry", "(", "name", str("a", { length: two(63) }), "node", file(), ")")),
  ],
  [
    "name of 2^32 + 1 bytes",
    "NAR_LIMIT",
    nar(directory("entry", "(", "name", str("a", { length: two(32) + 1n }), "node", file(), ")")),
  ],
  ["name over its limit", "NAR_LIMIT", nar(directory(entry(`${long}n`)))],
  ["name of a megabyte", "NAR_LIMIT", nar(directory(entry("n".repeat(2 ** 20))))],
  ["target over its limit", "NAR_LIMIT", nar(link(`${longTarget}t`))],
  [
    "target of 2^53 + 1 bytes",
    "NAR_LIMIT",
    nar(node("symlink", "target", str("x", { length: two(53) + 1n }))),
  ],
  [
    "opening of 2^63 bytes",
    "NAR_FIELD",
    nar(str("(", { length: two(63) }), "type", "regular", "contents", "x", ")"),
  ],
  [
    "opening one byte longer than it is",
    "NAR_FIELD",
    nar(str("(", { length: 2n }), "type", "regular", "contents", "x", ")"),
  ],
  [
    "executable longer than memory",
    "NAR_FIELD",
    nar(regular("executable", str("", { length: two(40) }), "contents", "x")),
  ],

  // Names
  ["name empty", "NAR_ENTRY_NAME", nar(directory(entry("")))],
  ["name .", "NAR_ENTRY_NAME", nar(directory(entry(".")))],
  ["name ..", "NAR_ENTRY_NAME", nar(directory(entry("..")))],
  ["name /", "NAR_ENTRY_NAME", nar(directory(entry("/")))],
  ["name with a slash", "NAR_ENTRY_NAME", nar(directory(entry("a/b")))],
  ["name with a slash at its end", "NAR_ENTRY_NAME", nar(directory(entry("a/")))],
  ["name that is absolute", "NAR_ENTRY_NAME", nar(directory(entry("/tmp/escaped")))],
  ["name that leads out", "NAR_ENTRY_NAME", nar(directory(entry("../escaped")))],
  ["name of NUL", "NAR_ENTRY_NAME", nar(directory(entry("\0")))],
  ["name with NUL", "NAR_ENTRY_NAME", nar(directory(entry("a\0b")))],
  ["name with NUL at its end", "NAR_ENTRY_NAME", nar(directory(entry("a\0")))],
  [
    "name .. deep inside",
    "NAR_ENTRY_NAME",
    nar(directory(entry("a", directory(entry("b", directory(entry(".."))))))),
  ],

  // Order
  ["entries unsorted", "NAR_ENTRY_ORDER", nar(directory(entry("b"), entry("a")))],
  [
    "entries unsorted deep inside",
    "NAR_ENTRY_ORDER",
    nar(directory(entry("d", directory(entry("b"), entry("a"))))),
  ],
  [
    "entries unsorted after a directory",
    "NAR_ENTRY_ORDER",
    nar(directory(entry("b", directory(entry("z"))), entry("a"))),
  ],
  ["entry before its prefix", "NAR_ENTRY_ORDER", nar(directory(entry("ab"), entry("a")))],
  ["entries sorted without case", "NAR_ENTRY_ORDER", nar(directory(entry("a"), entry("B")))],
  [
    "entries sorted as signed bytes",
    "NAR_ENTRY_ORDER",
    nar(directory(entry(Buffer.from([0xff])), entry("a"))),
  ],
  ["entries sorted as UTF-16", "NAR_ENTRY_ORDER", nar(directory(entry("\u{10000}"), entry("\uff5e")))],
  ["entry twice, not in a row", "NAR_ENTRY_ORDER", nar(directory(entry("a"), entry("b"), entry("a")))],
  ["entry twice", "NAR_ENTRY_DUPLICATE", nar(directory(entry("a"), entry("a")))],
  [
    "entry twice, as file and directory",
    "NAR_ENTRY_DUPLICATE",
    nar(directory(entry("a"), entry("a", directory(entry("b"))))),
  ],
  [
    "entry twice, a symlink and what goes through it",
    "NAR_ENTRY_DUPLICATE",
    nar(directory(entry("a", link("..")), entry("a", directory(entry("escaped"))))),
  ],
  ["entry twice, with the longest name", "NAR_ENTRY_DUPLICATE", nar(directory(entry(long), entry(long)))],

  // Symlinks
  ["target empty", "NAR_SYMLINK_TARGET", nar(link(""))],
  ["target of NUL", "NAR_SYMLINK_TARGET", nar(link("\0"))],
  ["target with NUL", "NAR_SYMLINK_TARGET", nar(link("a\0b"))],
  ["target with NUL in an entry", "NAR_SYMLINK_TARGET", nar(directory(entry("a", link("b\0"))))],
  ["target left out", "NAR_FIELD", nar(node("symlink"))],
  ["target twice", "NAR_FIELD", nar(node("symlink", "target", "a", "target", "b"))],
  ["symlink with contents", "NAR_FIELD", nar(node("symlink", "contents", "a"))],
  ["symlink with target and contents", "NAR_FIELD", nar(node("symlink", "target", "a", "contents", "b"))],
  ["symlink that is executable", "NAR_FIELD", nar(node("symlink", "executable", "", "target", "a"))],

  // Regular files
  ["contents left out", "NAR_FIELD", nar(regular())],
  ["contents twice", "NAR_FIELD", nar(regular("contents", "x", "contents", "y"))],
  ["contents in capitals", "NAR_FIELD", nar(regular("CONTENTS", "x"))],
  ["executable after contents", "NAR_FIELD", nar(regular("contents", "x", "executable", ""))],
  ["executable twice", "NAR_FIELD", nar(regular("executable", "", "executable", "", "contents", "x"))],
  ["executable with a value", "NAR_FIELD", nar(regular("executable", "1", "contents", "x"))],
  ["executable with NUL for a value", "NAR_FIELD", nar(regular("executable", "\0", "contents", "x"))],
  ["executable without contents", "NAR_FIELD", nar(regular("executable", ""))],
  ["field unknown", "NAR_FIELD", nar(regular("mtime", "0", "contents", "x"))],
  ["field unknown after contents", "NAR_FIELD", nar(regular("contents", "x", "mtime", "0"))],
  ["field empty", "NAR_FIELD", nar(regular("", "contents", "x"))],
  ["field longer than any", "NAR_FIELD", nar(regular("executable-bits", "", "contents", "x"))],
  ["field with NUL", "NAR_FIELD", nar(regular("contents\0", "x"))],
  ["target of a regular file", "NAR_FIELD", nar(regular("target", "x"))],
  ["entry of a regular file", "NAR_FIELD", nar(regular(entry("a")))],

  // Nodes
  ["type unknown", "NAR_FIELD", nar(node("fifo"))],
  ["type empty", "NAR_FIELD", nar(node("", "contents", "x"))],
  ["type in capitals", "NAR_FIELD", nar(node("Regular", "contents", "x"))],
  ["type left out", "NAR_FIELD", nar("(", "contents", "x", ")")],
  ["type twice", "NAR_FIELD", nar(regular("type", "regular", "contents", "x"))],
  ["type changed on the way", "NAR_FIELD", nar(regular("contents", "x", "type", "symlink", "target", "y"))],
  ["node of nothing", "NAR_FIELD", nar("(", ")")],
  ["node without its opening", "NAR_FIELD", nar("type", "regular", "contents", "x", ")")],
  ["node with another bracket", "NAR_FIELD", nar("[", "type", "regular", "contents", "x", "]")],
  ["node with another close", "NAR_FIELD", nar("(", "type", "regular", "contents", "x", "]")],

  // Directories
  ["directory with contents", "NAR_FIELD", nar(directory("contents", "x"))],
  ["directory that is executable", "NAR_FIELD", nar(directory("executable", "", entry("a")))],
  ["directory with a target", "NAR_FIELD", nar(directory(entry("a"), "target", "x"))],
  ["entry of nothing", "NAR_FIELD", nar(directory("entry", "(", ")"))],
  ["entry without its opening", "NAR_FIELD", nar(directory("entry", "name", "a", "node", file(), ")"))],
  [
    "entry without its close",
    "NAR_FIELD",
    nar(directory("entry", "(", "name", "a", "node", file(), entry("b"))),
  ],
  ["entry without a name", "NAR_FIELD", nar(directory("entry", "(", "node", file(), ")"))],
  ["entry without a node", "NAR_FIELD", nar(directory("entry", "(", "name", "a", ")"))],
  [
    "entry with its node before its name",
    "NAR_FIELD",
    nar(directory("entry", "(", "node", file(), "name", "a", ")")),
  ],
  [
    "entry with two names",
    "NAR_FIELD",
    nar(directory("entry", "(", "name", "a", "name", "b", "node", file(), ")")),
  ],
  [
    "entry with two nodes",
    "NAR_FIELD",
    nar(directory("entry", "(", "name", "a", "node", file(), "node", link("/"), ")")),
  ],
  [
    "entry with a field more",
    "NAR_FIELD",
    nar(directory("entry", "(", "name", "a", "node", file(), "mode", "0", ")")),
  ],

  // Depth
  ["depth one over the limit", "NAR_DEPTH", nar(nested(MAX_DEPTH + 1, file()))],
  ["depth of empty directories one over the limit", "NAR_DEPTH", nar(nested(MAX_DEPTH + 1, directory()))],
  ["depth 70", "NAR_DEPTH", nar(nested(70, file()))],
  ["depth 1000", "NAR_DEPTH", nar(nested(1000, file()))],
  ["depth 100000", "NAR_DEPTH", nar(nested(100_000, file()))],
  ["depth never closed", "NAR_DEPTH", nar(nested(1000, file()).subarray(0, 1000 * 128))],

  // Cut
  ["cut in the length of the magic", "NAR_TRUNCATED", whole.subarray(0, 5)],
  ["cut after the length of the magic", "NAR_TRUNCATED", whole.subarray(0, 8)],
  ["cut in the magic", "NAR_TRUNCATED", cut("nix-archive-1", 1, 20)],
  ["cut in the padding of the magic", "NAR_TRUNCATED", cut("(", 1, -1)],
  ["cut after the magic", "NAR_TRUNCATED", cut("(", 1, 0)],
  ["cut after an opening", "NAR_TRUNCATED", cut("type", 1, 0)],
  ["cut after a type", "NAR_TRUNCATED", cut("entry", 1, 0)],
  ["cut in an entry", "NAR_TRUNCATED", cut("name", 1, 0)],
  ["cut before a name", "NAR_TRUNCATED", cut("a", 1, 0)],
  ["cut after a name", "NAR_TRUNCATED", cut("node", 1, 0)],
  ["cut before a node", "NAR_TRUNCATED", cut("(", 3, 0)],
  ["cut after executable", "NAR_TRUNCATED", cut("contents", 1, 0)],
  ["cut before contents", "NAR_TRUNCATED", cut("12345", 1, 0)],
  ["cut in the length of contents", "NAR_TRUNCATED", cut("12345", 1, 3)],
  ["cut in contents", "NAR_TRUNCATED", cut("12345", 1, 10)],
  ["cut after contents", "NAR_TRUNCATED", cut("12345", 1, 13)],
  ["cut in the padding of contents", "NAR_TRUNCATED", cut("12345", 1, 15)],
  ["cut before the close of a file", "NAR_TRUNCATED", cut("12345", 1, 16)],
  ["cut between two entries", "NAR_TRUNCATED", cut("entry", 2, 0)],
  ["cut before a target", "NAR_TRUNCATED", cut("target", 1, 16)],
  ["cut in a target", "NAR_TRUNCATED", cut("target", 1, 25)],
  ["cut before the last close", "NAR_TRUNCATED", whole.subarray(0, -16)],
  ["cut by one byte", "NAR_TRUNCATED", whole.subarray(0, -1)],

  // What follows
  ["one zero byte more", "NAR_TRAILING", Buffer.concat([whole, Buffer.alloc(1)])],
  ["eight zero bytes more", "NAR_TRAILING", Buffer.concat([whole, Buffer.alloc(8)])],
  ["a block of zeros more", "NAR_TRAILING", Buffer.concat([whole, Buffer.alloc(512)])],
  ["a line feed more", "NAR_TRAILING", Buffer.concat([whole, bytes("\n")])],
  ["a close more", "NAR_TRAILING", tokens(whole, ")")],
  ["a second node", "NAR_TRAILING", nar(file(), file())],
  ["a second NAR", "NAR_TRAILING", Buffer.concat([whole, whole])],
  ["a second NAR after a symlink", "NAR_TRAILING", nar(link("a"), nar(file()))],
  ["an entry after the root", "NAR_TRAILING", nar(file(), entry("a"))],
];

/** As HOSTILE: each kind of rule at its edge, kept. */
const LEGAL: readonly (readonly [name: string, bytes: Buffer])[] = [
  ["file of no bytes", nar(file(""))],
  ["file of 7 bytes", nar(file("1234567"))],
  ["file of 8 bytes", nar(file("12345678"))],
  ["file that is a NAR", nar(file(whole))],
  ["file that is executable and empty", nar(regular("executable", "", "contents", ""))],
  ["directory of nothing", nar(directory())],
  ["directory of empty directories", nar(directory(entry("a", directory()), entry("b", directory())))],
  ["name of the limit", nar(directory(entry(long)))],
  [
    "names of the limit, the last byte apart",
    nar(directory(entry(`${long.slice(1)}a`), entry(`${long.slice(1)}b`))),
  ],
  [
    "names that are no UTF-8",
    nar(directory(entry(Buffer.from([0x80])), entry(Buffer.from([0xc3, 0x28])), entry(Buffer.from([0xff])))),
  ],
  [
    "names in every order but ours",
    nar(directory(entry("B"), entry("a"), entry("ab"), entry("\uff5e"), entry("\u{10000}"))),
  ],
  ["names of dots", nar(directory(entry("..."), entry("..a"), entry(".a"), entry("a.")))],
  ["names of control characters", nar(directory(entry("\x01"), entry("\n"), entry("\x1b[31m"), entry("\\")))],
  [
    "names of NAR's words",
    nar(directory(entry("("), entry(")"), entry("entry"), entry("node"), entry("type"))),
  ],
  ["names that differ in case", nar(directory(entry("A"), entry("a")))],
  ["target of the limit", nar(link(longTarget))],
  ["target that leads out", nar(link("../../../etc/passwd"))],
  ["target that is no UTF-8", nar(link(Buffer.from([0xff, 0xfe])))],
  ["depth of the limit", nar(nested(MAX_DEPTH, file()))],
  ["depth of the limit, an empty directory", nar(nested(MAX_DEPTH, directory()))],
  ["one of everything", whole],
];

export const hostileNars: readonly HostileNar[] = HOSTILE.map(([name, code, nar]) => ({
  name,
  code,
  bytes: nar,
}));
export const legalNars: readonly LegalNar[] = LEGAL.map(([name, nar]) => ({ name, bytes: nar }));
