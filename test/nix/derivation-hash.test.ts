import { readdirSync, readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { type Derivation, declaredOutputPaths, parseDerivation } from "../../src/nix/derivation.js";
import { DerivationHasher, drvPathFromBytes } from "../../src/nix/derivation-hash.js";

const folder = new URL("../vectors/drv/", import.meta.url);
const files = readdirSync(folder);
const bytesOf = (file: string) => readFileSync(new URL(file, folder));
const real = new Map(files.map((file) => [`/nix/store/${file}`, parseDerivation(bytesOf(file))]));
const pathOf = (name: string) => `/nix/store/${files.find((file) => file.endsWith(`-${name}.drv`))}`;
const pathed = ["input-addressed", "fixed"];
const over = (derivations: ReadonlyMap<string, Derivation>) =>
  new DerivationHasher((path) => derivations.get(path));
const code = (expected: string) => expect.objectContaining({ code: expected });

describe("names that follow from derivations", () => {
  it.each(files)("computes the .drv path of %s", (file) => {
    const name = file.slice(33, -".drv".length);
    expect(drvPathFromBytes(bytesOf(file), name, parseDerivation(bytesOf(file)))).toBe(`/nix/store/${file}`);
  });

  it.each([...real].filter(([, { kind }]) => pathed.includes(kind)))(
    "computes the output paths of %s",
    (path, derivation) => {
      expect(over(real).outputPaths(path)).toEqual(declaredOutputPaths(derivation));
    },
  );

  it("gives the same in any order of asking", () => {
    const hasher = over(real);
    const paths = [...real].filter(([, { kind }]) => pathed.includes(kind)).map(([path]) => path);
    for (const path of [...paths, ...paths.toReversed()]) {
      hasher.modulo(path);
      expect(hasher.outputPaths(path)).toEqual(declaredOutputPaths(real.get(path)!));
    }
  });

  it("gives other paths when anything that builds them changes", () => {
    const change = (name: string, env: [string, string]) => {
      const drv = real.get(pathOf(name))!;
      return over(new Map(real).set(pathOf(name), { ...drv, env: new Map([...drv.env, env].sort()) }));
    };
    const top = declaredOutputPaths(real.get(pathOf("top"))!);
    expect(change("top", ["empty", "x"]).outputPaths(pathOf("top"))).not.toEqual(top);
    expect(change("multi", ["zz", "x"]).outputPaths(pathOf("top"))).not.toEqual(top);
    // How a fixed output comes about makes no difference.
    expect(change("flat.txt", ["zz", "x"]).outputPaths(pathOf("top"))).toEqual(top);
  });

  it("depends on the store directory", () => {
    const hasher = new DerivationHasher(
      (path) => real.get(path.replace("/other/store", "/nix/store")),
      "/other/store",
    );
    expect(hasher.outputPaths(pathOf("flat.txt").replace("/nix/store", "/other/store")).get("out")).not.toBe(
      declaredOutputPaths(real.get(pathOf("flat.txt"))!)
        .get("out")
        ?.replace("/nix/store", "/other/store"),
    );
  });

  it("refuses a variable that names another output path", () => {
    const drv = real.get(pathOf("multi"))!;
    const bad = over(
      new Map(real).set(pathOf("multi"), { ...drv, env: new Map([...drv.env, ["dev", "/tmp"]]) }),
    );
    expect(() => bad.outputPaths(pathOf("multi"))).toThrow(code("DERIVATION_INVALID"));
  });

  it.each(["floating", "impure", "deferred"])("refuses a %s derivation by name", (name) => {
    const refusal = {
      code: "DERIVATION_UNSUPPORTED",
      details: expect.objectContaining({ subject: pathOf(name) }),
    };
    expect(() => over(real).outputPaths(pathOf(name))).toThrow(expect.objectContaining(refusal));
  });

  it("names a missing input, an unknown output, and a circle", () => {
    const without = new Map(real);
    without.delete(pathOf("multi"));
    expect(() => over(without).outputPaths(pathOf("top"))).toThrow(
      expect.objectContaining({ code: "DERIVATION_MISSING", details: { subject: pathOf("multi") } }),
    );

    const multi = real.get(pathOf("multi"))!;
    const use = (outputs: string[], of: string) => ({ ...multi, inputDrvs: new Map([[of, outputs]]) });
    const unknown = new Map(real).set(pathOf("multi"), use(["nope"], pathOf("multi2")));
    expect(() => over(unknown).outputPaths(pathOf("multi"))).toThrow(code("DERIVATION_INVALID"));

    const circle = new Map(real).set(pathOf("multi"), use(["out"], pathOf("structured")));
    expect(() => over(circle).outputPaths(pathOf("top"))).toThrow(code("DERIVATION_CYCLE"));
    const self = new Map(real).set(pathOf("multi"), use(["out"], pathOf("multi")));
    expect(() => over(self).modulo(pathOf("multi"))).toThrow(code("DERIVATION_CYCLE"));
  });

  it("follows a chain of 20,000 without recursion", () => {
    const path = (i: number) => `/nix/store/${"0".repeat(32)}-d${i}.drv`;
    const chain = new Map<string, Derivation>();
    for (let i = 0; i < 20_000; i++) {
      const inputDrvs = new Map(i === 0 ? [] : [[path(i - 1), ["out"]]]);
      const outputs = new Map([["out", { kind: "input-addressed" as const, path: "/nix/store/x" }]]);
      chain.set(path(i), {
        kind: "input-addressed",
        outputs,
        inputDrvs,
        inputSrcs: [],
        system: "s",
        builder: "b",
        args: [],
        env: new Map(),
      });
    }
    const hasher = over(chain);
    expect(hasher.outputPaths(path(19_999)).get("out")).toMatch(/-d19999$/);
    expect(hasher.modulo(path(19_999))).toMatch(/^[0-9a-f]{64}$/);
  });
});
