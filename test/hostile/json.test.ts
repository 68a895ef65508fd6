/** JSON that two readers could take for two things, in every file that is JSON: refused as text, before its meaning is asked. */

import { describe, expect, it } from "vitest";
import { formatDocument, parseDocument } from "../../src/bundle/document.js";
import { AirgapError, type Code, type Finding } from "../../src/errors.js";
import { parseFlakeLock } from "../../src/nix/flake-lock.js";
import { parseProjectFile } from "../../src/ops/pack/request.js";
import { bundleSubject, checkApprovals, makeApproval } from "../../src/trust/approval.js";
import { ed25519Key } from "../../src/trust/keys.js";
import { signingKey } from "../../src/trust/signing.js";
import { formatStatement, machineStatement, parseStatement } from "../../src/trust/statement.js";
import { packerKey } from "../support/bundle.js";
import { makeRelease } from "../support/release.js";

const { document } = makeRelease({ tier: "runtime" });
const statement = machineStatement({
  document,
  documentSha256: "0".repeat(64),
  role: "packer",
  signedAt: document.created,
  keyName: "packer-1",
});
const approval = makeApproval(statement, signingKey(packerKey));

/** Each with a text that it takes, and the code of its refusals. */
const READERS: readonly (readonly [
  name: string,
  code: Code,
  text: string,
  read: (bytes: Buffer) => readonly Finding[],
])[] = [
  [
    "bundle.json",
    "JSON_INVALID",
    formatDocument(document).toString(),
    (bytes) => parseDocument(bytes).findings,
  ],
  [
    "an approval",
    "APPROVAL_MALFORMED",
    approval.bytes.toString(),
    (bytes) =>
      checkApprovals(new Map([[approval.fileName, bytes]]), bundleSubject("0".repeat(64)), [
        ed25519Key(packerKey.publicKey),
      ]).findings,
  ],
  ["a statement", "APPROVAL_MALFORMED", formatStatement(statement).toString(), thrown(parseStatement)],
  ["flake.lock", "FLAKE_LOCK_INVALID", document.flake.lock!, thrown(parseFlakeLock)],
  ["nix-airgap.json", "PROJECT_FILE", '{"product":"pump"}\n', thrown(parseProjectFile)],
];

function thrown(read: (bytes: Buffer) => unknown): (bytes: Buffer) => readonly Finding[] {
  return (bytes) => {
    try {
      read(bytes);
      return [];
    } catch (error) {
      if (error instanceof AirgapError) return [{ ...error.details, code: error.code }];
      throw error;
    }
  };
}

/** Puts a member before the others of the top object. */
const withMember = (member: string | Buffer) => (text: string) =>
  Buffer.concat([Buffer.from("{"), Buffer.from(member as string), Buffer.from(`,${text.slice(1)}`)]);
const keyOf = (text: string) => /"(\w+)"/.exec(text)![1]!;
const escaped = (key: string) => `\\u00${key.charCodeAt(0).toString(16)}${key.slice(1)}`;
const deep = (open: string, close: string) => `"x":${open.repeat(1_000_000)}0${close.repeat(1_000_000)}`;

const HOSTILE: readonly (readonly [name: string, make: (text: string) => Buffer])[] = [
  ["a key twice", (text) => withMember(`"${keyOf(text)}":null`)(text)],
  ["a key twice, once escaped", (text) => withMember(`"${escaped(keyOf(text))}":null`)(text)],
  ["__proto__", withMember('"__proto__":{"x":1}')],
  ["__proto__, escaped", withMember('"__\\u0070roto__":{"x":1}')],
  ["__proto__ further down", withMember('"a":[{"__proto__":{"x":1}}]')],
  ["2^53", withMember('"x":9007199254740992')],
  ["-2^53", withMember('"x":-9007199254740992')],
  ["an integer of a thousand digits", withMember(`"x":${"9".repeat(1000)}`)],
  ["minus zero", withMember('"x":-0')],
  ["a fraction", withMember('"x":1.0')],
  ["an exponent", withMember('"x":1e0')],
  ["a million arrays", withMember(deep("[", "]"))],
  ["a million objects", withMember(deep('{"a":', "}"))],
  ["a million of both", withMember(deep('[{"a":', "}]"))],
  ["a million arrays, not closed", withMember(`"x":${"[".repeat(1_000_000)}`)],
  ["a lone high surrogate", withMember('"x":"\\ud800"')],
  ["a lone low surrogate", withMember('"x":"\\udc00"')],
  ["surrogates the wrong way round", withMember('"x":"\\udc00\\ud800"')],
  ["a lone surrogate in a key", withMember('"\\udbff":1')],
  ["a surrogate as bytes", withMember(Buffer.from('"x":"\xed\xa0\x80"', "latin1"))],
  ["an overlong form of a quote", withMember(Buffer.from('"x":"\xc0\xa2"', "latin1"))],
  ["bytes that are no UTF-8", withMember(Buffer.from('"x":"\xff"', "latin1"))],
  ["a raw line feed in a string", withMember('"x":"\n"')],
  ["a raw NUL in a string", withMember('"x":"\0"')],
  ["a comment", withMember('/**/"x":1')],
  ["a comma too many", (text) => Buffer.from(text.trimEnd().replace(/\}$/, ",}\n"))],
  ["a byte order mark", (text) => Buffer.from(`\ufeff${text}`)],
  ["UTF-16", (text) => Buffer.from(`\ufeff${text}`, "utf16le")],
  ["another value after it", (text) => Buffer.from(`${text}{}`)],
  ["itself after it", (text) => Buffer.from(text + text)],
  ["NUL after it", (text) => Buffer.from(`${text}\0`)],
  ["a word after it", (text) => Buffer.from(`${text}x`)],
  ["its last bracket missing", (text) => Buffer.from(text.trimEnd().slice(0, -1))],
];

describe.each(READERS)("%s", (_, code, text, read) => {
  it("is taken as it is", () => {
    expect(read(Buffer.from(text))).toEqual([]);
  });

  it.each(HOSTILE)("is refused with %s", (_, make) => {
    // Only a refusal of the text names a line.
    expect(read(make(text))).toEqual([expect.objectContaining({ code, line: expect.any(Number) })]);
    expect(({} as Record<string, unknown>)["x"]).toBeUndefined();
  });
});
