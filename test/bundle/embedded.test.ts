import { describe, expect, it } from "vitest";
import { EmbeddedPaths, isScanned, knownHashParts } from "../../src/bundle/embedded.js";
import { PackedDerivations } from "../../src/bundle/packed.js";
import type { Derivation } from "../../src/nix/derivation.js";
import { makeRelease, pathOf } from "../support/release.js";

const { document, derivations, named } = makeRelease();
const packed = new PackedDerivations(derivations);
const hashPart = (storePath: string) => storePath.slice(11, 43);

/** The findings for a path in whose bytes these store paths were found. */
function check(storePath: string, found: readonly string[], over = packed) {
  return new EmbeddedPaths(document, over).check(pathOf(document, storePath), found.map(hashPart));
}

describe("store paths inside an output", () => {
  it("are the declared references, and nothing else", () => {
    expect(check(named.pump, [named.pump, named.payload])).toEqual({ findings: [], note: undefined });
  });

  it.each([
    ["an input source", named.script],
    ["an output of an input", named.codegen],
    ["another of its own outputs", named.pumpDev],
  ])("must be declared: %s", (_, hidden) => {
    expect(check(named.pump, [named.pump, named.payload, hidden]).findings).toEqual([
      { code: "REFERENCE_UNDECLARED", subject: named.pump, actual: hidden },
    ]);
  });

  it("must be declared when they are in the closure of an input only", () => {
    const { document: changed } = makeRelease();
    pathOf(changed, named.codegen).references = [named.motor];
    const paths = new EmbeddedPaths(changed, packed);
    const found = [named.pump, named.payload, named.motor].map(hashPart);
    expect(paths.check(pathOf(changed, named.pump), found).findings).toEqual([
      { code: "REFERENCE_UNDECLARED", subject: named.pump, actual: named.motor },
    ]);
  });

  it("need not be declared where its builder could not see them: Nix does not either", () => {
    expect(check(named.pump, [named.pump, named.payload, named.parameters]).findings).toEqual([]);
  });

  it("must hold what is declared, itself included", () => {
    expect(check(named.pump, [named.payload]).findings).toEqual([
      { code: "REFERENCE_NOT_FOUND", subject: named.pump, expected: named.pump },
    ]);
  });

  it("need not be declared where the derivation asks Nix to forget them", () => {
    const pump = derivations.get(named.pumpDrv)!;
    const forgetting = (json: string): PackedDerivations => {
      const env = new Map(pump.env).set("__json", json);
      return new PackedDerivations(
        new Map<string, Derivation>(derivations).set(named.pumpDrv, { ...pump, env }),
      );
    };
    const found = [named.pump, named.payload, named.script];
    const asked = forgetting(`{"unsafeDiscardReferences":{"out":true}}`);
    expect(check(named.pump, found, asked).findings).toEqual([]);
    for (const json of [
      `{"unsafeDiscardReferences":{"dev":true}}`,
      `{"unsafeDiscardReferences":{}}`,
      "[]",
      "{",
    ]) {
      expect(check(named.pump, found, forgetting(json)).findings, json).toHaveLength(1);
    }
  });

  it("are only noted where no derivation tells what may be there", () => {
    const none = new PackedDerivations(new Map());
    expect(check(named.pump, [named.script], none)).toEqual({
      findings: [],
      note: { storePath: named.pump, names: [named.script] },
    });
  });
});

describe("what is searched", () => {
  it("are outputs, not sources, fixed outputs or derivations", () => {
    const scanned = document.paths
      .filter((path) => isScanned(path, packed))
      .map(({ storePath }) => storePath);
    expect(scanned).toEqual([named.codegen, named.parameters, named.pump, named.pumpDev].sort());
  });

  it("is every path of the document, and every output that could have been there", () => {
    const { document: runtime } = makeRelease({ tier: "runtime" });
    const parts = knownHashParts(runtime, packed);
    expect(parts).toEqual(expect.arrayContaining([named.motor, named.codegen].map(hashPart)));
    expect(parts).toEqual([...parts].sort());
  });

  it("is nothing that a derivation calls an output but is no store path", () => {
    const codegen = derivations.get(named.codegenDrv)!;
    const evil = new Map([["out", { kind: "input-addressed", path: "/etc/passwd" } as const]]);
    const over = new PackedDerivations(new Map([[named.codegenDrv, { ...codegen, outputs: evil }]]));
    expect(knownHashParts(document, over).every((part) => /^[0-9a-z]{32}$/.test(part))).toBe(true);
  });
});
