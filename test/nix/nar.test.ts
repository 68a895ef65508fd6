import { readFileSync } from "node:fs";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { AirgapError } from "../../src/errors.js";
import {
  MAX_DEPTH,
  MAX_NAME,
  MAX_SYMLINK_TARGET,
  NarParser,
  type NarVisitor,
  parseNar,
} from "../../src/nix/nar.js";
import { compareNames, type NarNode, narHeader, narSymlink, writeNar } from "../../src/nix/nar-writer.js";

const vector = (name: string) => readFileSync(new URL(`../vectors/nar/${name}.nar`, import.meta.url));
const bytes = (text: string) => Buffer.from(text, "utf8");
const file = (text: string, executable = false): NarNode => ({
  kind: "regular",
  executable,
  contents: bytes(text),
});
const link = (target: string): NarNode => ({ kind: "symlink", target: bytes(target) });
const directory = (entries: Record<string, NarNode>): NarNode => ({
  kind: "directory",
  entries: Object.entries(entries).map(([name, node]) => ({ name: bytes(name), node })),
});

/** NAR strings without any rule, for archives that the writer would not make. */
function raw(...strings: (string | Uint8Array)[]): Buffer {
  return Buffer.concat(
    strings.map((string) => {
      const body = Buffer.from(string as string);
      const size = Buffer.alloc(8);
      size.writeBigUInt64LE(BigInt(body.length));
      return Buffer.concat([size, body, Buffer.alloc((8 - (body.length % 8)) % 8)]);
    }),
  );
}
const FILE = ["(", "type", "regular", "contents", "x", ")"];
const entry = (name: string | Uint8Array, node: readonly string[] = FILE) => [
  "entry",
  "(",
  "name",
  name,
  "node",
  ...node,
  ")",
];
const inDirectory = (...entries: (string | Uint8Array)[][]) =>
  raw("nix-archive-1", "(", "type", "directory", ...entries.flat(), ")");

/** What parsing `nar` in pieces of `size` bytes answers: the error, or undefined. */
function outcome(
  nar: Uint8Array,
  size = nar.length,
  visitor: NarVisitor = {},
): AirgapError["details"] | undefined {
  const parser = new NarParser(visitor, "it");
  try {
    for (let at = 0; at < nar.length; at += size) parser.update(nar.subarray(at, at + size));
    parser.end();
    return undefined;
  } catch (error) {
    if (error instanceof AirgapError) return { ...error.details, hint: error.code };
    throw error;
  }
}

/** Rebuilds the tree from the visitor's calls alone. */
function readTree(nar: Uint8Array, size: number): NarNode {
  const nodes: { path: string; node: NarNode }[] = [];
  const pieces: Buffer[] = [];
  let current = { path: "", executable: false };
  const visitor: NarVisitor = {
    directoryEnter: (path) => nodes.push({ path, node: { kind: "directory", entries: [] } }),
    regular: (regular) => {
      current = regular;
    },
    contents: (chunk, start, end) => pieces.push(Buffer.from(chunk.subarray(start, end))),
    regularEnd: () => {
      const contents = Buffer.concat(pieces.splice(0));
      nodes.push({ path: current.path, node: { kind: "regular", executable: current.executable, contents } });
    },
    symlink: (path, target) =>
      nodes.push({ path, node: { kind: "symlink", target: Buffer.from(target, "latin1") } }),
  };
  const parser = new NarParser(visitor);
  for (let at = 0; at < nar.length; at += size) parser.update(nar.subarray(at, at + size));
  parser.end();
  const below = (path: string): NarNode => {
    const { node } = nodes.find((other) => other.path === path)!;
    if (node.kind !== "directory") return node;
    const prefix = path === "" ? "" : `${path}/`;
    const children = nodes.filter(
      (other) =>
        other.path !== "" && other.path.startsWith(prefix) && !other.path.slice(prefix.length).includes("/"),
    );
    const name = (child: string) => Buffer.from(child.slice(prefix.length), "latin1");
    return {
      kind: "directory",
      entries: children.map((child) => ({ name: name(child.path), node: below(child.path) })),
    };
  };
  return below("");
}

const names = fc
  .uint8Array({ minLength: 1, maxLength: 9 })
  .map((name) => Buffer.from(name.map((byte) => (byte === 0 || byte === 0x2f ? 0x61 : byte))))
  .filter((name) => ![".", ".."].includes(name.toString("latin1")));
const trees = fc.letrec<{ node: NarNode }>((tie) => ({
  node: fc.oneof(
    { maxDepth: 4, depthSize: "small" },
    fc.record({
      kind: fc.constant("regular" as const),
      executable: fc.boolean(),
      contents: fc.uint8Array({ maxLength: 20 }).map((b) => Buffer.from(b)),
    }),
    fc.record({ kind: fc.constant("symlink" as const), target: names }),
    fc
      .uniqueArray(fc.record({ name: names, node: tie("node") }), {
        selector: (e) => e.name.toString("latin1"),
        maxLength: 4,
      })
      .map((entries) => ({
        kind: "directory" as const,
        entries: entries.toSorted((a, b) => compareNames(a.name, b.name)),
      })),
  ),
})).node;

describe("NAR", () => {
  it.each(["tree", "plain", "exe", "link"])("accepts what Nix dumped (%s) and writes it back", (name) => {
    const nar = vector(name);
    expect(outcome(nar)).toBeUndefined();
    expect(Buffer.compare(writeNar(readTree(nar, nar.length)), nar)).toBe(0);
    expect(Buffer.compare(writeNar(readTree(nar, 1)), nar)).toBe(0);
  });

  it("tells a file's offset, size and mode", () => {
    const seen: string[] = [];
    const nar = vector("tree");
    parseNar(nar, {
      regular: ({ path, executable, size, offset }) =>
        seen.push(`${Buffer.from(path, "latin1")} ${executable} ${nar.subarray(offset, offset + size)}`),
    });
    expect(seen).toContain("bin/hello true hello\n");
    expect(seen).toContain("a b/eight false 12345678");
    expect(seen).toContain("é日本 false x");
    expect(seen).toContain("zero false ");
  });

  it("round-trips every tree, however the bytes are cut", () => {
    fc.assert(
      fc.property(trees, fc.integer({ min: 1, max: 70 }), (tree, size) => {
        expect(readTree(writeNar(tree), size)).toEqual(tree);
      }),
      { numRuns: 200 },
    );
  });

  it("refuses every changed byte, or would write the same bytes", () => {
    fc.assert(
      fc.property(trees, fc.nat(), fc.integer({ min: 1, max: 255 }), (tree, where, change) => {
        const nar = Buffer.from(writeNar(tree));
        nar[where % nar.length]! ^= change;
        const refused = outcome(nar);
        expect(outcome(nar, 1)).toEqual(refused);
        expect(outcome(nar, 13)).toEqual(refused);
        if (refused === undefined) expect(Buffer.compare(writeNar(readTree(nar, 7)), nar)).toBe(0);
      }),
      { numRuns: 300 },
    );
  });

  it("refuses every truncation, whole or byte by byte alike", () => {
    const nar = vector("tree");
    for (let size = 0; size < nar.length; size++) {
      const cut = outcome(nar.subarray(0, size));
      expect(cut).toMatchObject({ hint: "NAR_TRUNCATED", offset: size });
      if (size % 16 === 5) expect(outcome(nar.subarray(0, size), 1)).toEqual(cut);
    }
  });

  const long = "n".repeat(MAX_NAME);
  it.each<[string, string, Buffer, number?]>([
    ["another magic", "NAR_MAGIC", raw("nix-archive-2", ...FILE), 0],
    ["a zip", "NAR_MAGIC", Buffer.from("PK\x03\x04 something else altogether"), 0],
    ["trailing bytes", "NAR_TRAILING", Buffer.concat([raw("nix-archive-1", ...FILE), Buffer.alloc(8)]), 120],
    ["a second node", "NAR_TRAILING", raw("nix-archive-1", ...FILE, ...FILE)],
    [
      "non-zero padding",
      "NAR_PADDING",
      (() => {
        const nar = raw("nix-archive-1", ...FILE);
        nar[23] = 1;
        return nar;
      })(),
      23,
    ],
    [
      "non-zero padding after contents",
      "NAR_PADDING",
      (() => {
        const nar = raw("nix-archive-1", ...FILE);
        nar[nar.length - 17] = 1;
        return nar;
      })(),
    ],
    ["unsorted entries", "NAR_ENTRY_ORDER", inDirectory(entry("b"), entry("a"))],
    ["a prefix after the longer name", "NAR_ENTRY_ORDER", inDirectory(entry("ab"), entry("a"))],
    ["names sorted as signed bytes", "NAR_ENTRY_ORDER", inDirectory(entry(Buffer.from([0xff])), entry("a"))],
    ["a name twice", "NAR_ENTRY_DUPLICATE", inDirectory(entry("a"), entry("a"))],
    ["an empty name", "NAR_ENTRY_NAME", inDirectory(entry(""))],
    [".", "NAR_ENTRY_NAME", inDirectory(entry("."))],
    ["..", "NAR_ENTRY_NAME", inDirectory(entry(".."))],
    ["a slash", "NAR_ENTRY_NAME", inDirectory(entry("a/b"))],
    ["NUL in a name", "NAR_ENTRY_NAME", inDirectory(entry("a\0"))],
    ["a long name", "NAR_LIMIT", inDirectory(entry(`${long}n`))],
    [
      "a long target",
      "NAR_LIMIT",
      raw("nix-archive-1", "(", "type", "symlink", "target", "t".repeat(MAX_SYMLINK_TARGET + 1), ")"),
    ],
    [
      "an empty target",
      "NAR_SYMLINK_TARGET",
      raw("nix-archive-1", "(", "type", "symlink", "target", "", ")"),
    ],
    [
      "NUL in a target",
      "NAR_SYMLINK_TARGET",
      raw("nix-archive-1", "(", "type", "symlink", "target", "a\0b", ")"),
    ],
    ["an unknown node type", "NAR_FIELD", raw("nix-archive-1", "(", "type", "fifo", ")")],
    [
      "an unknown field",
      "NAR_FIELD",
      raw("nix-archive-1", "(", "type", "regular", "mtime", "0", "contents", "", ")"),
    ],
    [
      "executable after contents",
      "NAR_FIELD",
      raw("nix-archive-1", "(", "type", "regular", "contents", "x", "executable", "", ")"),
    ],
    [
      "executable twice",
      "NAR_FIELD",
      raw("nix-archive-1", "(", "type", "regular", "executable", "", "executable", "", "contents", "x", ")"),
    ],
    [
      "executable with a value",
      "NAR_FIELD",
      raw("nix-archive-1", "(", "type", "regular", "executable", "1", "contents", "x", ")"),
    ],
    [
      "contents twice",
      "NAR_FIELD",
      raw("nix-archive-1", "(", "type", "regular", "contents", "x", "contents", "x", ")"),
    ],
    [
      "type twice",
      "NAR_FIELD",
      raw("nix-archive-1", "(", "type", "regular", "type", "regular", "contents", "x", ")"),
    ],
    ["a file without contents", "NAR_FIELD", raw("nix-archive-1", "(", "type", "regular", ")")],
    [
      "an entry without node",
      "NAR_FIELD",
      raw("nix-archive-1", "(", "type", "directory", "entry", "(", "name", "a", ")", ")"),
    ],
    [
      "node before name",
      "NAR_FIELD",
      raw("nix-archive-1", "(", "type", "directory", "entry", "(", "node", ...FILE, "name", "a", ")", ")"),
    ],
    ["nothing at all", "NAR_TRUNCATED", Buffer.alloc(0), 0],
  ])("refuses %s with %s", (_, code, nar, offset) => {
    const refused = outcome(nar);
    expect(refused).toMatchObject({ hint: code });
    if (offset !== undefined) expect(refused?.offset).toBe(offset);
    expect(outcome(nar, 1)).toEqual(refused);
  });

  it("refuses lengths that no memory holds, at once", () => {
    for (const high of [1, 0x00ff_ffff, 0xffff_ffff]) {
      const nar = raw("nix-archive-1", "(", "type", "regular", "contents", "");
      nar.writeUInt32LE(high, nar.length - 4);
      const code = high === 1 ? "NAR_TRUNCATED" : "NAR_LIMIT";
      expect(outcome(nar)).toMatchObject({ hint: code });
      expect(outcome(nar, 3)).toEqual(outcome(nar));
    }
  });

  it("takes names, targets and depth up to their caps, and no deeper", () => {
    const nested = (depth: number): NarNode =>
      depth === 0 ? file("x") : directory({ d: nested(depth - 1) });
    expect(outcome(writeNar(nested(MAX_DEPTH)))).toBeUndefined();
    const emptyAtTheEnd = (depth: number): NarNode =>
      depth === 0 ? directory({}) : directory({ d: emptyAtTheEnd(depth - 1) });
    expect(outcome(writeNar(emptyAtTheEnd(MAX_DEPTH)))).toBeUndefined();
    expect(outcome(writeNar(nested(MAX_DEPTH + 1)))).toMatchObject({ hint: "NAR_DEPTH" });
    expect(outcome(writeNar(nested(3000)), 1)).toEqual(outcome(writeNar(nested(3000))));
    expect(outcome(inDirectory(entry(long)), 11)).toBeUndefined();
    expect(
      outcome(Buffer.concat([narHeader(), narSymlink(bytes("t".repeat(MAX_SYMLINK_TARGET)))]), 100),
    ).toBeUndefined();
  });

  it("names the path inside the NAR in an error", () => {
    const nar = raw(
      "nix-archive-1",
      "(",
      "type",
      "directory",
      ...entry("dir", ["(", "type", "directory", "entry", "(", "name", "a", "node", "(", "type", "x"]),
    );
    expect(outcome(nar)).toMatchObject({
      subject: "it/dir/a",
      expected: '"regular", "symlink" or "directory"',
    });
  });

  it("reports names that a case-blind or normalising file system merges, and accepts them", () => {
    const found: string[] = [];
    const nar = writeNar(
      directory({
        d: directory({ README: file(""), ReadMe: file(""), readme: file("") }),
        "e\u0301": file(""),
        "\u00e9": link("x"),
        D: file(""),
      }),
    );
    parseNar(nar, {
      collision: (path, other) =>
        found.push(`${Buffer.from(path, "latin1")} ${Buffer.from(other, "latin1")}`),
    });
    expect(found).toEqual(["d D", "d/ReadMe d/README", "d/readme d/README", "\u00e9 e\u0301"]);
  });

  it("keeps refusing after its first error", () => {
    const parser = new NarParser();
    const bad = expect.objectContaining({ code: "NAR_MAGIC" });
    expect(() => parser.update(raw("nope"))).toThrow(bad);
    expect(() => parser.update(raw("nix-archive-1", ...FILE))).toThrow(bad);
    expect(() => parser.end()).toThrow(bad);
  });
});
