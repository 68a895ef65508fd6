import { describe, expect, it } from "vitest";
import { PackedDerivations } from "../../../src/bundle/packed.js";
import type { BundleDocument, RebuiltDerivation } from "../../../src/generated/types.js";
import type { Derivation } from "../../../src/nix/derivation.js";
import { buildable, importable, planRebuild } from "../../../src/ops/rebuild/plan.js";
import {
  type BuildOutcome,
  countVerdicts,
  findingsOf,
  judge,
  summarise,
} from "../../../src/ops/rebuild/verdict.js";
import { sampleDocument, samplePath } from "../../support/document.js";

const digits = "0123456789abcdfghijklmnpqrsvwxyz";
const hashPart = (name: string) =>
  [...Buffer.from(name.padEnd(32, "z").slice(0, 32))].map((byte) => digits[byte % 32]).join("");
const out = (name: string) => `/nix/store/${hashPart(name)}-${name}`;
const drv = (name: string) => `/nix/store/${hashPart(`${name}d`)}-${name}.drv`;
const sri = (char: string) => `sha256-${char.repeat(43)}=`;

function derivation(name: string, inputs: readonly string[], sources: readonly string[] = []): Derivation {
  return {
    kind: "input-addressed",
    outputs: new Map([["out", { kind: "input-addressed", path: out(name) }]]),
    inputDrvs: new Map(inputs.map((input) => [drv(input), ["out"]])),
    inputSrcs: sources,
    system: "x86_64-linux",
    builder: "/bin/sh",
    args: [],
    env: new Map(),
  };
}

interface Shape {
  /** Derivations: name to the names of their inputs. */
  readonly derivations: Readonly<Record<string, readonly string[]>>;
  readonly roots: readonly string[];
  /** Outputs in the bundle: name to what their paths refer to. */
  readonly outputs: Readonly<Record<string, readonly string[]>>;
  readonly inputs?: readonly string[];
}

function bundle({ derivations, roots, outputs, inputs = [] }: Shape): {
  document: BundleDocument;
  packed: PackedDerivations;
} {
  const sample = sampleDocument();
  const paths = [
    ...Object.entries(derivations).map(([name, needs]) =>
      samplePath({ storePath: drv(name), kinds: ["derivation"], references: needs.map(drv) }),
    ),
    ...Object.entries(outputs).map(([name, refs]) =>
      samplePath({
        storePath: out(name),
        kinds: [...(inputs.includes(name) ? ["input" as const] : []), "output"],
        narHash: sri("A"),
        references: refs.map(out),
      }),
    ),
  ];
  return {
    document: {
      ...sample,
      paths,
      roots: roots.map((name) => ({ ...sample.roots[0]!, attr: name, drvPath: drv(name) })),
    },
    packed: new PackedDerivations(
      new Map(Object.entries(derivations).map(([name, needs]) => [drv(name), derivation(name, needs)])),
    ),
  };
}

const CHAIN: Shape = {
  derivations: { lib: [], mid: ["lib"], app: ["mid"] },
  roots: ["app"],
  outputs: { lib: [], mid: ["lib"], app: ["mid"] },
};

/** `hashes`: what each name was built as; what is absent was not. */
function verdictsOf(
  shape: Shape,
  hashes: Readonly<Record<string, string>>,
  more: { known?: Readonly<Record<string, string>>; started?: readonly string[] } = {},
): RebuiltDerivation[] {
  const { document, packed } = bundle(shape);
  const outcome: BuildOutcome = {
    actual: new Map(Object.entries(hashes).map(([name, char]) => [out(name), sri(char)])),
    started: new Set((more.started ?? []).map(drv)),
    logs: new Map([[drv("lib"), ["last words"]]]),
    differences: new Map(),
  };
  const knownIrreproducible = Object.entries(more.known ?? {}).map(([name, reason]) => ({
    drvPath: drv(name),
    reason,
  }));
  const plan = planRebuild(document, packed, "source");
  return judge(plan, { ...document, knownIrreproducible }, packed, outcome);
}

const names = (derivations: readonly RebuiltDerivation[]) =>
  derivations.map(({ drvPath, verdict }) => `${drvPath.slice(44, -4)}: ${verdict}`);

describe("judge", () => {
  it("calls equal hashes identical", () => {
    const verdicts = verdictsOf(CHAIN, { lib: "A", mid: "A", app: "A" });
    expect(names(verdicts)).toEqual(["lib: identical", "mid: identical", "app: identical"]);
    expect(findingsOf(verdicts)).toEqual([]);
  });

  it("tells a difference of its own from one that came down, also through what is identical in between", () => {
    expect(names(verdictsOf(CHAIN, { lib: "B", mid: "B", app: "B" }))).toEqual([
      "lib: differs",
      "mid: inherited",
      "app: inherited",
    ]);
    // What mid became is the same again: app's difference is its own.
    expect(names(verdictsOf(CHAIN, { lib: "B", mid: "A", app: "B" }))).toEqual([
      "lib: differs",
      "mid: identical",
      "app: differs",
    ]);
  });

  it("passes taint on through an output that the bundle does not hold", () => {
    const shape = { ...CHAIN, outputs: { lib: [], app: [] } };
    expect(names(verdictsOf(shape, { lib: "B", mid: "B", app: "B" }))).toEqual([
      "lib: differs",
      "mid: uncompared",
      "app: inherited",
    ]);
  });

  it("does not count what is known, nor what inherits it, as wrong", () => {
    const verdicts = verdictsOf(CHAIN, { lib: "B", mid: "B", app: "A" }, { known: { lib: "a clock" } });
    expect(names(verdicts)).toEqual(["lib: known-irreproducible", "mid: inherited", "app: identical"]);
    expect(verdicts[0]?.reason).toBe("a clock");
    expect(findingsOf(verdicts)).toEqual([]);
  });

  it("calls identical what is known to be irreproducible, and was not this time", () => {
    const verdicts = verdictsOf(CHAIN, { lib: "A", mid: "A", app: "A" }, { known: { lib: "a clock" } });
    expect(names(verdicts)[0]).toBe("lib: identical");
  });

  it("tells what failed from what was not begun because of it", () => {
    const verdicts = verdictsOf(CHAIN, {}, { started: ["lib"] });
    expect(names(verdicts)).toEqual(["lib: failed", "mid: not-built", "app: not-built"]);
    expect(verdicts.map(({ because }) => because)).toEqual([[], [drv("lib")], [drv("mid")]]);
    expect(findingsOf(verdicts)).toMatchObject([{ code: "BUILD_FAILED", actual: "last words" }]);
  });

  it("reports a difference before a failure, so that the exit is that of a difference", () => {
    const shape: Shape = {
      derivations: { lib: [], app: [] },
      roots: ["lib", "app"],
      outputs: { lib: [], app: [] },
    };
    const verdicts = verdictsOf(shape, { app: "B" }, { started: ["lib", "app"] });
    expect(findingsOf(verdicts).map(({ code }) => code)).toEqual(["REBUILD_DIFFERS", "BUILD_FAILED"]);
  });
});

it("the summary counts, and names prebuilt binaries and lent paths", () => {
  const counts = countVerdicts(verdictsOf(CHAIN, { lib: "B", mid: "B", app: "A" }), 0);
  const start =
    "1 of 3 derivations rebuilt identical from tier source; 1 differ; 1 differ because of what they depend on; " +
    `1 start from prebuilt binaries (${out("bootstrap").slice(11)})`;
  const prebuilt = [{ path: out("bootstrap") }];
  expect(
    summarise(counts, "source", { prebuilt, sandbox: { byNix: [], paths: ["/bin"] }, leftOut: [] }),
  ).toBe(`${start}; builders could use /bin of this machine`);
  expect(
    summarise(counts, "source", {
      prebuilt,
      sandbox: { byNix: ["/bin/sh=/usr/bin/bash-static"], paths: [] },
      leftOut: [],
    }),
  ).toBe(`${start}; this Nix lends every build /bin/sh=/usr/bin/bash-static`);
});

describe("the order of imports and builds", () => {
  // mid is an input of app, and refers to lib, which is a root too: lib must be built before mid can come in.
  const shape: Shape = { ...CHAIN, roots: ["app", "lib"], inputs: ["mid", "lib"] };

  it("leaves out what is to be built, and waits with what refers to it", () => {
    const { document, packed } = bundle(shape);
    const plan = planRebuild(document, packed, "build");
    expect([...plan.build.keys()]).toEqual([drv("lib"), drv("app")].sort((a, b) => (a < b ? -1 : 1)));
    const paths = plan.imports.map(({ storePath }) => storePath);
    expect(paths).toContain(out("mid"));
    expect(paths).not.toContain(out("lib"));
    const first = importable(plan.imports, new Set());
    expect(first.map(({ storePath }) => storePath)).not.toContain(out("mid"));
    expect(buildable(plan, packed, new Set(first.map(({ storePath }) => storePath)))).toEqual([drv("lib")]);
    const there = new Set([...first.map(({ storePath }) => storePath), out("lib")]);
    const rest = plan.imports.filter(({ storePath }) => !there.has(storePath));
    expect(importable(rest, there).map(({ storePath }) => storePath)).toEqual([out("mid")]);
    expect(buildable(plan, packed, new Set([...there, out("mid")]))).toHaveLength(2);
  });

  it("takes a chain of builds in one go", () => {
    const { document, packed } = bundle(CHAIN);
    const plan = planRebuild(document, packed, "source");
    const there = new Set(plan.imports.map(({ storePath }) => storePath));
    expect(buildable(plan, packed, there)).toEqual([drv("lib"), drv("mid"), drv("app")]);
    expect(plan.imports.every(({ storePath }) => storePath.endsWith(".drv"))).toBe(true);
  });
});
