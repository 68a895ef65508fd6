import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { AuditEntry } from "../../src/generated/types.js";
import {
  entryText,
  formatEntry,
  MAX_LINE,
  MAX_TEXT,
  parseEntry,
  START,
} from "../../src/trust/audit-entry.js";
import { makeEntry } from "../support/audit-log.js";

const refusal = expect.objectContaining({ code: "AUDIT_ENTRY" });
const line = (given: Partial<AuditEntry> = {}) => formatEntry(makeEntry(START, given));

describe("an entry", () => {
  it("is one line of sorted keys, and reads back", () => {
    const entry = makeEntry(START);
    const text = formatEntry(entry).toString();
    expect(text).toMatch(
      /^\{"at":"2026-02-03T04:05:06Z","bundle":\{"product":"pump",.*"verdict":"verified"\}\n$/,
    );
    expect(parseEntry(Buffer.from(text))).toEqual(entry);
  });

  it("may leave open what is not known", () => {
    const { sha256, ...unread } = makeEntry(START).bundle!;
    const nothing = Object.fromEntries(Object.keys(unread).map((key) => [key, null]));
    const entry = makeEntry(START, {
      bundle: { ...nothing, sha256 } as AuditEntry["bundle"],
      details: {},
      policy: null,
      tools: { nix: null, nixAirgap: "0.2.0" },
      user: { name: "root", sudoUser: null, uid: 0 },
    });
    expect(parseEntry(formatEntry(entry))).toEqual(entry);
    expect(parseEntry(line({ bundle: null })).bundle).toBe(null);
  });

  it("fits its line at its largest", () => {
    const text = (length: number) => "\u{1F600}".repeat(length);
    const largest = line({
      bundle: {
        product: "p".repeat(64),
        release: "r".repeat(64),
        sequence: Number.MAX_SAFE_INTEGER,
        sha256: "a".repeat(64),
        systems: Array(32).fill("s".repeat(64)),
        tier: "runtime",
      },
      details: Object.fromEntries(
        Array.from({ length: 10 }, (_, i) => [`k${i}`.padEnd(32, "x"), text(MAX_TEXT.long)]),
      ),
      exit: 255,
      machine: text(MAX_TEXT.short),
      policy: { sha256: "a".repeat(64), version: Number.MAX_SAFE_INTEGER },
      tools: { nix: "\\".repeat(64), nixAirgap: "\\".repeat(64) },
      user: { name: text(MAX_TEXT.short), sudoUser: text(MAX_TEXT.short), uid: 2 ** 32 - 1 },
      verdict: "v".repeat(64),
    });
    expect(largest.length).toBeGreaterThan(MAX_LINE / 2);
    expect(largest.length).toBeLessThanOrEqual(MAX_LINE);
  });

  it.each<[string, Partial<AuditEntry>]>([
    ["a line feed in a text", { machine: "a\nb" }],
    ["an escape sequence in a detail", { details: { path: "\x1b[2J" } }],
    ["half a character", { machine: "\ud800" }],
    ["a long text", { machine: "m".repeat(65) }],
    ["a long detail", { details: { path: "p".repeat(257) } }],
    ["many details", { details: Object.fromEntries(Array.from({ length: 11 }, (_, i) => [`k${i}`, ""])) }],
    ["a detail of a strange name", { details: { "=x": "" } }],
    ["a time that does not exist", { at: "2026-02-30T00:00:00Z" }],
    ["another event", { event: "delete" as AuditEntry["event"] }],
    ["another field", { extra: 1 } as Partial<AuditEntry>],
    ["a first entry that continues another", { previous: "a".repeat(64) }],
    ["a second entry that continues none", { number: 2 }],
  ])("does not hold %s", (_, given) => {
    expect(() => line(given)).toThrow(refusal);
  });

  it.each<[string, (text: string) => string]>([
    ["no line feed", (text) => text.trimEnd()],
    ["two", (text) => `${text}\n`],
    ["a carriage return", (text) => text.replace("\n", "\r\n")],
    ["a space", (text) => text.replace(":", ": ")],
    ["keys in another order", (text) => text.replace(/("at":"[^"]*"),("bundle":null)/, "$2,$1")],
    ["a needless escape", (text) => text.replace("pump", "pum\\u0070")],
    ["a key twice", (text) => text.replace('"exit":0', '"exit":0,"exit":0')],
    ["nothing", () => ""],
    ["something else", () => "[]\n"],
    ["a byte order mark", (text) => `\ufeff${text}`],
    ["more than fits a line", () => `"${"a".repeat(MAX_LINE)}"\n`],
  ])("is not read with %s", (_, change) => {
    const before = line({ bundle: null, verdict: "pump" }).toString();
    const after = change(before);
    expect(after).not.toBe(before);
    expect(() => parseEntry(Buffer.from(after))).toThrow(refusal);
  });

  it("holds any text after entryText", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary", maxLength: 600 }), (text) => {
        expect(parseEntry(line({ details: { text: entryText(text) } })).details["text"]).toBe(
          entryText(text),
        );
      }),
    );
    expect(entryText("a\nb\ud800")).toBe("a\ufffdb\ufffd");
    expect(entryText("x".repeat(65), MAX_TEXT.short)).toBe(`${"x".repeat(61)}...`);
    expect(entryText("x".repeat(64), MAX_TEXT.short)).toBe("x".repeat(64));
  });
});
