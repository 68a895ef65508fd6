import { readdirSync, readFileSync } from "node:fs";
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { AirgapError } from "../../src/errors.js";
import {
  type Derivation,
  type DerivationOutput,
  derivationName,
  formatDerivation,
  parseDerivation,
  structuredAttributes,
} from "../../src/nix/derivation.js";
import { hashOf } from "../../src/nix/hash.js";

const folder = new URL("../vectors/drv/", import.meta.url);
const files = readdirSync(folder);
const read = (name: string) =>
  readFileSync(new URL(files.find((file) => file.endsWith(`-${name}.drv`))!, folder));
const parse = (text: string) => parseDerivation(Buffer.from(text, "latin1"));
const invalid = (details: object = {}) =>
  expect.objectContaining({ code: "DERIVATION_INVALID", details: expect.objectContaining(details) });

const SIMPLE =
  'Derive([("out","/nix/store/0-x","","")],[("/nix/store/1-y.drv",["dev","out"])],["/nix/store/2-z"],"s","/bin/sh",["-c"],[("a","1"),("b","2")])';

describe("derivation", () => {
  it.each(files)("prints %s back byte for byte", (name) => {
    const bytes = readFileSync(new URL(name, folder));
    expect(Buffer.compare(formatDerivation(parseDerivation(bytes)), bytes)).toBe(0);
  });

  it("reads every part of a real one, escapes and bytes included", () => {
    const top = parseDerivation(read("top"));
    expect(top.kind).toBe("input-addressed");
    expect(top.args).toEqual(["-c", "", 'x"y\\z']);
    expect(Buffer.from(top.env.get("weird")!, "latin1").toString()).toBe(
      'quote" back\\slash \n newline \r cr \t tab ü 日本 $'.concat("{x}"),
    );
    expect(top.inputSrcs.map((path) => path.slice(44))).toEqual(["refs.txt", "a.nix"]);
    expect([...top.inputDrvs].find(([path]) => path.endsWith("-multi.drv"))?.[1]).toEqual(["dev", "lib"]);
  });

  it.each<[string, DerivationOutput["kind"], object]>([
    ["flat.txt", "fixed", { method: "flat", hash: { algorithm: "sha256" } }],
    ["sha1-rec", "fixed", { method: "nar", hash: { algorithm: "sha1" } }],
    ["md5-flat", "fixed", { method: "flat", hash: { algorithm: "md5" } }],
    ["sha512-flat", "fixed", { method: "flat", hash: { algorithm: "sha512" } }],
    ["rec256", "fixed", { method: "nar", hash: { algorithm: "sha256" } }],
    ["multi", "input-addressed", { path: expect.stringMatching(/-multi$/) }],
    ["floating", "floating", { method: "nar", algorithm: "sha256" }],
    ["impure", "impure", { method: "nar", algorithm: "sha256" }],
    ["deferred", "deferred", {}],
  ])("tells that %s is %s", (name, kind, output) => {
    const derivation = parseDerivation(read(name));
    expect(derivation.kind).toBe(kind);
    expect(derivation.outputs.get("out")).toMatchObject({ kind, ...output });
  });

  it("gives structured attributes as UTF-8", () => {
    const json = structuredAttributes(parseDerivation(read("structured")))!;
    expect(JSON.parse(Buffer.from(json).toString())).toMatchObject({
      list: [1, 2, { a: "é" }],
      outputs: ["out", "man"],
    });
    expect(structuredAttributes(parseDerivation(read("top")))).toBeUndefined();
  });

  it("takes its name from the store path, and refuses another in the environment", () => {
    const path = `/nix/store/${files.find((file) => file.endsWith("-multi2.drv"))}`;
    const derivation = parseDerivation(read("multi2"));
    expect(derivationName(path, derivation)).toBe("multi2");
    expect(() => derivationName(path.replace("multi2", "multi3"), derivation)).toThrow(invalid());
    expect(() => derivationName(path.replace(".drv", ""), derivation)).toThrow(invalid());
  });

  it("round-trips every derivation", () => {
    const text = fc.string({ unit: fc.nat(255).map((byte) => String.fromCharCode(byte)), maxLength: 12 });
    const sorted = <T>(entries: [string, T][]) => new Map(entries.toSorted(([a], [b]) => (a < b ? -1 : 1)));
    const map = <T>(key: fc.Arbitrary<string>, value: fc.Arbitrary<T>) =>
      fc.uniqueArray(fc.tuple(key, value), { selector: ([name]) => name, maxLength: 4 }).map(sorted);
    const path = text.map((name) => `/${name}`);
    const paths = fc.uniqueArray(path, { maxLength: 3 }).map((values) => values.toSorted());
    const name = text.filter((value) => value !== "");
    const outputs = fc.oneof(
      map(
        name,
        path.map((value): DerivationOutput => ({ kind: "input-addressed", path: value })),
      ),
      map(name, fc.constant<DerivationOutput>({ kind: "deferred" })),
      map(name, fc.constant<DerivationOutput>({ kind: "floating", method: "text", algorithm: "sha256" })),
      path.map((value) => {
        const fixed: DerivationOutput = {
          kind: "fixed",
          path: value,
          method: "git",
          hash: hashOf("sha1", value),
        };
        return new Map([["out", fixed]]);
      }),
    );
    const derivations = fc
      .record({
        outputs: outputs.filter((each) => each.size > 0),
        inputDrvs: map(path, paths),
        inputSrcs: paths,
        system: text,
        builder: text,
        args: fc.array(text, { maxLength: 3 }),
        env: map(text, text),
      })
      .map((each): Derivation => ({ kind: [...each.outputs.values()][0]!.kind, ...each }));
    fc.assert(
      fc.property(derivations, (derivation) => {
        expect(parseDerivation(formatDerivation(derivation))).toEqual(derivation);
      }),
      { numRuns: 200 },
    );
  });

  it("refuses every changed byte, or prints the same bytes", () => {
    const real = ["top", "structured", "sha1-rec", "floating"].map(read);
    fc.assert(
      fc.property(fc.constantFrom(...real), fc.nat(), fc.nat(255), (bytes, where, byte) => {
        const changed = Buffer.from(bytes);
        changed[where % changed.length] = byte;
        try {
          expect(Buffer.compare(formatDerivation(parseDerivation(changed)), changed)).toBe(0);
        } catch (error) {
          if (!(error instanceof AirgapError)) throw error;
          expect(error.code).toMatch(/^DERIVATION_(INVALID|UNSUPPORTED)$/);
          expect(error.details.offset).toBeLessThanOrEqual(changed.length);
        }
      }),
      { numRuns: 2000 },
    );
  });

  it("refuses every truncation and anything after the end", () => {
    for (let size = 0; size < SIMPLE.length; size++)
      expect(() => parse(SIMPLE.slice(0, size))).toThrow(invalid());
    expect(() => parse(`${SIMPLE}\n`)).toThrow(invalid({ offset: SIMPLE.length }));
    expect(parse(SIMPLE).kind).toBe("input-addressed");
  });

  it.each<[string, string, string]>([
    ["a space", '","")],[', '", "")],['],
    ["variables out of order", '("a","1"),("b","2")', '("b","2"),("a","1")'],
    ["a variable twice", '("b","2")', '("a","2")'],
    ["outputs of an input out of order", '["dev","out"]', '["out","dev"]'],
    ["a raw newline", '"1"', '"\n"'],
    ["an escape that Nix does not write", '"1"', '"\\x"'],
    ["a relative input", '"/nix/store/2-z"', '"nix"'],
    ["a hash without algorithm", '"/nix/store/0-x","",""', '"/nix/store/0-x","","00"'],
    ["an unknown algorithm", '"/nix/store/0-x","",""', '"/nix/store/0-x","blake","00"'],
    ["a hash in capitals", '"/nix/store/0-x","",""', `"/nix/store/0-x","md5","${"A".repeat(32)}"`],
    ["a fixed output without path", '"/nix/store/0-x","",""', `"","md5","${"a".repeat(32)}"`],
    [
      "a fixed output of another name",
      '"out","/nix/store/0-x","",""',
      `"dev","/nix/store/0-x","md5","${"a".repeat(32)}"`,
    ],
    ["a floating output with a path", '"/nix/store/0-x","",""', '"/nix/store/0-x","sha256",""'],
    [
      "outputs of two kinds",
      '[("out","/nix/store/0-x","","")]',
      '[("dev","","",""),("out","/nix/store/0-x","","")]',
    ],
    ["no outputs", '[("out","/nix/store/0-x","","")]', "[]"],
    ["a trailing comma", '["-c"]', '["-c",]'],
  ])("refuses %s", (_, from, to) => {
    expect(SIMPLE).toContain(from);
    expect(() => parse(SIMPLE.replace(from, to))).toThrow(invalid({ offset: expect.any(Number) }));
  });

  it("refuses a dynamic derivation by name", () => {
    expect(() => parse(`DrvWithVersion("xp-dyn-drv",${SIMPLE.slice(7)}`)).toThrow(
      expect.objectContaining({ code: "DERIVATION_UNSUPPORTED" }),
    );
  });

  it("takes a long string in linear time", () => {
    const long = `${SIMPLE.slice(0, -4)}${"x\\n".repeat(2_000_000)}")])`;
    const started = performance.now();
    expect(parse(long).env.get("b")?.length).toBe(4_000_000 + 1);
    expect(performance.now() - started).toBeLessThan(5_000);
  });
});
