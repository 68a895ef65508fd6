import { readdirSync, readFileSync } from "node:fs";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { AirgapError } from "../../src/errors.js";
import {
  type FlakeLock,
  formatFlakeLock,
  inputNode,
  type LockInput,
  type LockNode,
  MAX_NESTING,
  parseFlakeLock,
  resolveFlakeLock,
} from "../../src/nix/flake-lock.js";
import { formatSri, hashOf } from "../../src/nix/hash.js";
import type { JsonObject, JsonValue } from "../../src/strict-json.js";

const folder = new URL("../vectors/locks/", import.meta.url);
const files = readdirSync(folder);
const read = (name: string) => readFileSync(new URL(name, folder));
const parse = (value: JsonValue | string) =>
  parseFlakeLock(Buffer.from(typeof value === "string" ? value : JSON.stringify(value)));
const resolve = (value: JsonValue) => resolveFlakeLock(parse(value));
const invalid = (subject?: string | RegExp) =>
  expect.objectContaining({
    code: "FLAKE_LOCK_INVALID",
    ...(subject === undefined
      ? {}
      : { details: expect.objectContaining({ subject: expect.stringMatching(subject) }) }),
  });

const pin = (extra: JsonObject = {}, more: JsonObject = {}): JsonObject => ({
  locked: { type: "github", owner: "o", repo: "r", rev: "0", ...extra },
  original: { type: "github", owner: "o", repo: "r" },
  ...more,
});
const lock = (nodes: JsonObject, rest: JsonObject = {}): JsonObject => ({
  nodes,
  root: "root",
  version: 7,
  ...rest,
});

describe("flake.lock", () => {
  it.each(files)("prints %s as Nix wrote it, and resolves it", (name) => {
    const bytes = read(name);
    const parsed = parseFlakeLock(bytes);
    expect(formatFlakeLock(parsed)).toBe(bytes.toString());
    const inputs = resolveFlakeLock(parsed);
    expect(inputs.map(({ key }) => key).toSorted()).toEqual(
      [...parsed.nodes.keys()].filter((key) => key !== parsed.root).toSorted(),
    );
    for (const { key, path, narHash } of inputs) {
      expect(path.length).toBeGreaterThan(0);
      expect(formatSri(narHash!)).toBe(parsed.nodes.get(key)?.pin?.locked["narHash"]);
    }
  });

  it("resolves follows, also those to the root, and says how to reach each node", () => {
    const inputs = new Map(
      resolveFlakeLock(parseFlakeLock(read("nix-2.8.flake.lock"))).map((input) => [input.key, input]),
    );
    expect(inputs.get("a")).toMatchObject({ path: ["a"], flake: true, parent: undefined });
    expect(inputs.get("a")?.inputs).toEqual(
      new Map([
        ["b", "b"],
        ["gone", "root"],
      ]),
    );
    expect(inputs.get("b_2")?.path).toEqual(["é", "b"]);
    expect(inputs.get("raw")?.flake).toBe(false);
  });

  it("places a relative path in its parent's tree", () => {
    const relative = (path: string, parent: string[]) => ({
      ...pin(),
      locked: { type: "path", path },
      original: { type: "path", path },
      parent,
    });
    const inputs = resolve(
      lock({
        root: { inputs: { sub: "sub", other: "other" } },
        sub: { ...relative("./sub", []), inputs: { deeper: "deeper" } },
        deeper: relative("../x", ["sub"]),
        other: pin(),
      }),
    );
    expect(inputs.map(({ key, parent, narHash }) => [key, parent, narHash])).toEqual([
      ["other", undefined, undefined],
      ["sub", "root", undefined],
      ["deeper", "sub", undefined],
    ]);
    const absolute = { ...relative("/abs", []) };
    expect(() => parse(lock({ root: { inputs: { sub: "sub" } }, sub: absolute }))).toThrow(
      invalid(/node "sub"/),
    );
    const lost = relative("./sub", ["nowhere"]);
    expect(() => resolve(lock({ root: { inputs: { sub: "sub" } }, sub: lost }))).toThrow(
      invalid(/node "sub"/),
    );
  });

  it("takes version 5 with its separate info", () => {
    const narHash = formatSri(hashOf("sha256", "x"));
    const five = lock(
      { root: { inputs: { a: "a" } }, a: pin({}, { info: { narHash, lastModified: 1 } }) },
      { version: 5 },
    );
    expect(resolve(five)[0]).toMatchObject({
      narHash: hashOf("sha256", "x"),
      locked: { lastModified: 1, rev: "0" },
    });
    const parsed = parse(five);
    expect(parse(formatFlakeLock(parsed))).toEqual(parsed);
    expect(() => parse({ ...five, version: 7 })).toThrow(invalid(/node "a"/));
  });

  it("keeps attributes that it does not know", () => {
    const extra = { submodules: true, revCount: 12, __final: true, dir: "sub", new: "x" };
    expect(resolve(lock({ root: { inputs: { a: "a" } }, a: pin(extra) }))[0]?.locked).toMatchObject(extra);
  });

  it("leaves out nodes that nothing leads to", () => {
    expect(resolve(lock({ root: {}, a: pin() }))).toEqual([]);
  });

  it.each<[string, JsonValue | string]>([
    ["another version", lock({ root: {} }, { version: 8 })],
    ["a version as text", lock({ root: {} }, { version: "7" })],
    ["a missing root", lock({}, {})],
    ["no root at all", { nodes: {}, version: 7 }],
    ["an unknown member", lock({ root: {} }, { extra: 1 })],
    ["nodes as a list", lock([] as unknown as JsonObject)],
    ["an unknown member of a node", lock({ root: {}, a: pin({}, { extra: 1 }) })],
    ["a pinned root", lock({ root: pin() })],
    ["a node without locked", lock({ root: {}, a: { original: { type: "path" } } })],
    ["a node without original", lock({ root: {}, a: { locked: { type: "path" } } })],
    ["locked without type", lock({ root: {}, a: { locked: {}, original: { type: "path" } } })],
    ["an attribute that is an object", lock({ root: {}, a: pin({ x: {} }) })],
    ["a negative attribute", lock({ root: {}, a: pin({ lastModified: -1 }) })],
    ["a fraction", '{"nodes":{"root":{}},"root":"root","version":7.0}'],
    ["a narHash in hex", lock({ root: {}, a: pin({ narHash: `sha256:${"0".repeat(64)}` }) })],
    ["a narHash of lax base64", lock({ root: {}, a: pin({ narHash: "sha256-AAAA" }) })],
    ["flake as text", lock({ root: {}, a: pin({}, { flake: "no" }) })],
    ["an input as number", lock({ root: { inputs: { a: 1 } } })],
    ["follows with a number", lock({ root: { inputs: { a: [1] } } })],
    ["a key twice", '{"nodes":{"root":{}},"root":"root","version":7,"version":7}'],
    ["__proto__", '{"nodes":{"root":{},"__proto__":{}},"root":"root","version":7}'],
    ["a number", "7"],
    ["nothing", ""],
  ])("refuses %s", (_, value) => {
    expect(() => parse(value)).toThrow(invalid());
  });

  it.each<[string, JsonObject]>([
    ["an input that is no node", { root: { inputs: { a: "a" } } }],
    ["follows to a missing input", { root: { inputs: { a: ["b"] } } }],
    ["follows through a missing input", { root: { inputs: { a: "a", c: ["a", "x", "y"] } }, a: pin() }],
    ["follows that follow themselves", { root: { inputs: { a: ["a"] } } }],
    ["follows in a circle", { root: { inputs: { a: ["b"], b: ["a"] } } }],
    [
      "nodes in a circle",
      {
        root: { inputs: { a: "a" } },
        a: pin({}, { inputs: { b: "b" } }),
        b: pin({}, { inputs: { a: "a" } }),
      },
    ],
    ["a way back to the root", { root: { inputs: { a: "a" } }, a: pin({}, { inputs: { r: "root" } }) }],
    ["a node named like an object's member", { root: { inputs: { a: "toString" } } }],
  ])("refuses %s when resolving", (_, nodes) => {
    expect(() => resolve(lock(nodes))).toThrow(invalid());
  });

  it("bounds chains of follows, and is quick on a wide graph", () => {
    const chain = Object.fromEntries(
      Array.from({ length: 5000 }, (_, i) => [`i${String(9999 - i)}`, [`i${String(9998 - i)}`]]),
    );
    expect(() =>
      resolve(lock({ root: { inputs: { ...chain, a: ["i9999"], i4999: "x" } }, x: pin() })),
    ).toThrow(invalid(/input/));

    // Each of 60 layers reaches the next by two inputs: 2^60 ways, 60 nodes.
    const nodes: Record<string, JsonValue> = { root: { inputs: { l: "n0" } } };
    for (let i = 0; i < 60; i++)
      nodes[`n${i}`] = pin({}, i === 59 ? {} : { inputs: { l: `n${i + 1}`, r: `n${i + 1}` } });
    expect(resolve(lock(nodes))).toHaveLength(60);
  });

  it("bounds inputs of inputs, in time and memory that do not grow with the square of their number", () => {
    const deep = (depth: number): JsonObject => {
      const nodes: Record<string, JsonValue> = { root: { inputs: { l: "n1" } } };
      for (let i = 1; i <= depth; i++)
        nodes[`n${i}`] = pin({}, i === depth ? {} : { inputs: { l: `n${i + 1}` } });
      return lock(nodes);
    };
    expect(resolve(deep(MAX_NESTING)).at(-1)?.path).toHaveLength(MAX_NESTING);
    expect(() => resolve(deep(MAX_NESTING + 1))).toThrow(invalid(/node "n100"/));
    const before = process.memoryUsage.rss();
    expect(() => resolve(deep(50_000))).toThrow(invalid(/node "n100"/));
    expect(process.memoryUsage.rss() - before).toBeLessThan(256 * 1024 * 1024);
  });

  it("parses what it prints", () => {
    const word = fc
      .string({ minLength: 1, maxLength: 6 })
      .filter((text) => text !== "__proto__" && !/\p{Surrogate}/u.test(text));
    const attributes = fc
      .dictionary(word, fc.oneof(word, fc.boolean(), fc.nat()), { maxKeys: 3, noNullPrototype: true })
      .map(({ narHash: _, ...rest }) => ({ ...rest, type: "github" }));
    const input = fc.oneof(
      word.map((key): LockInput => ({ kind: "node", key })),
      fc.array(word, { maxLength: 3 }).map((path): LockInput => ({ kind: "follows", path })),
    );
    const inputs = fc.array(fc.tuple(word, input), { maxLength: 3 }).map((entries) => new Map(entries));
    const node = fc.record({
      inputs,
      flake: fc.boolean(),
      pin: fc.record({ locked: attributes, original: attributes, parent: fc.constant(undefined) }),
    });
    const locks = fc
      .record({
        version: fc.constantFrom(5, 6, 7),
        nodes: fc.array(fc.tuple(word, node), { maxLength: 4 }),
        inputs,
      })
      .map(({ version, nodes, inputs: ofRoot }): FlakeLock => {
        const root = { inputs: ofRoot, flake: true, pin: undefined };
        return {
          version: version as 5 | 6 | 7,
          root: "root",
          nodes: new Map<string, LockNode>([...nodes, ["root", root]]),
        };
      });
    fc.assert(
      fc.property(locks, (value) => {
        const text = formatFlakeLock(value);
        expect(parse(text)).toEqual(value);
        expect(formatFlakeLock(parse(text))).toBe(text);
      }),
      { numRuns: 200 },
    );
  });

  it("answers every changed byte with a value or a typed error", () => {
    const bytes = read("nix-2.8.flake.lock");
    fc.assert(
      fc.property(fc.nat(bytes.length - 1), fc.nat(255), (where, byte) => {
        const changed = Buffer.from(bytes);
        changed[where] = byte;
        try {
          const value = parseFlakeLock(changed);
          resolveFlakeLock(value);
          expect(parse(formatFlakeLock(value))).toEqual(value);
        } catch (error) {
          if (!(error instanceof AirgapError)) throw error;
          expect(error.code).toBe("FLAKE_LOCK_INVALID");
        }
      }),
      { numRuns: 300 },
    );
  });
});

it("an input of the root is found by its name, follows resolved, as Nix looks for nixpkgs", () => {
  const inputs = { nixpkgs: ["tools", "pkgs"], tools: "tools" };
  const found = parse(
    lock({ root: { inputs }, tools: pin({}, { inputs: { pkgs: "pkgs_2" } }), pkgs_2: pin() }),
  );
  expect(["nixpkgs", "tools", "pkgs_2"].map((name) => inputNode(found, name))).toEqual([
    "pkgs_2",
    "tools",
    null,
  ]);
});
