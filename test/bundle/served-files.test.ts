import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { classify, FOLDERS, MAX_DOCUMENT_SIZE } from "../../src/bundle/layout.js";
import { FILES_NAME, formatServedFiles, parseServedFiles } from "../../src/bundle/served-files.js";

const ID = "a".repeat(64);
const parse = (value: unknown) => parseServedFiles(Buffer.from(JSON.stringify(value)), "there");
const listing = (...files: [string, number][]) => ({
  format: "nix-airgap-files",
  sha256: ID,
  files: files.map(([name, size]) => ({ name, size })),
});

describe("files.json", () => {
  it("has a name that no bundle has", () => {
    expect([classify(FILES_NAME), FOLDERS.has(FILES_NAME)]).toEqual([null, false]);
  });

  it("says what it was given, sorted", () => {
    const blob = fc.stringMatching(/^[0-9a-f]{64}$/).map((hex) => `blobs/sha256/${hex}`);
    const sizes = fc.uniqueArray(fc.tuple(blob, fc.maxSafeNat()), { selector: ([name]) => name });
    fc.assert(
      fc.property(sizes, (files) => {
        const all = new Map<string, number>([...files, ["bundle.json", 5]]);
        const read = parseServedFiles(Buffer.from(formatServedFiles(ID, all)), "there");
        expect(read.sha256).toBe(ID);
        expect(read.sizes).toEqual(all);
        expect([...read.sizes.keys()]).toEqual([...all.keys()].sort());
      }),
    );
  });

  it.each<[string, unknown]>([
    ["a name that no bundle has", listing(["bundle.json", 1], ["evil", 1])],
    ["a way out", listing(["../bundle.json", 1], ["bundle.json", 1])],
    ["an absolute name", listing(["/etc/passwd", 1], ["bundle.json", 1])],
    ["a folder", listing(["blobs/sha256", 1], ["bundle.json", 1])],
    ["a name twice", listing(["bundle.json", 1], ["bundle.json", 1])],
    ["names in another order", listing(["bundle.json", 1], ["VERIFY.md", 1])],
    ["a document over its cap", listing(["bundle.json", MAX_DOCUMENT_SIZE + 1])],
    ["no document", listing(["roots.txt", 1])],
    ["a size below nothing", listing(["bundle.json", -1])],
    ["no sizes", { format: "nix-airgap-files", sha256: ID, files: [{ name: "bundle.json" }] }],
    ["another format", { ...listing(["bundle.json", 1]), format: "other" }],
    ["another field", { ...listing(["bundle.json", 1]), more: 1 }],
    [
      "too many approvals",
      listing(
        ...Array.from({ length: 1001 }, (_, i): [string, number] => {
          return [`approvals/qa-${i.toString(16).padStart(32, "0")}.sigstore.json`, 1];
        }),
        ["bundle.json", 1],
      ),
    ],
  ])("is refused with %s", (_, value) => {
    expect(() => parse(value)).toThrow(expect.objectContaining({ code: "SERVER_ANSWER" }));
  });

  it("is refused where it is no strict JSON", () => {
    for (const text of ["", "<html>", "{}{}", '{"files":[],"files":[]}']) {
      expect(() => parseServedFiles(Buffer.from(text), "there")).toThrow(
        expect.objectContaining({ code: "SERVER_ANSWER" }),
      );
    }
  });
});
