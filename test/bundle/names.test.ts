import { describe, expect, it } from "vitest";
import { checkAddresses, checkContent, checkNames, readDerivation } from "../../src/bundle/names.js";
import { PackedDerivations } from "../../src/bundle/packed.js";
import type { BundleDocument } from "../../src/generated/types.js";
import { type Derivation, formatDerivation } from "../../src/nix/derivation.js";
import { hashOf } from "../../src/nix/hash.js";
import { makeRelease, pathOf, type Release } from "../support/release.js";

type Names = Release["named"];
type Derivations = Map<string, Derivation>;

function namesOf(
  change: (document: BundleDocument, named: Names, derivations: Derivations) => void,
  tier: BundleDocument["tier"] = "source",
) {
  const release = makeRelease({ tier });
  const derivations = new Map(tier === "runtime" ? [] : release.derivations);
  change(release.document, release.named, derivations);
  const { findings, demands } = checkAddresses(release.document);
  const names = checkNames(release.document, new PackedDerivations(derivations), true);
  return { findings: [...names.findings, ...findings], unproven: names.unproven, demands };
}

const codes = (findings: readonly { code: string; subject?: string }[]) =>
  findings.map(({ code, subject }) => [code, subject]);

const { named } = makeRelease();

/** The derivation with one output's path replaced, and its variable too. */
function withOutput(derivation: Derivation, name: string, path: string): Derivation {
  const output = derivation.outputs.get(name)!;
  return {
    ...derivation,
    outputs: new Map(derivation.outputs).set(name, { ...output, path } as typeof output),
    env: new Map(derivation.env).set(name, path),
  };
}

const other = `/nix/store/${"9".repeat(32)}-other`;

describe("names that follow from contents", () => {
  it.each(["build", "source"] as const)("are proved, all of them, at tier %s", (tier) => {
    const { findings, unproven } = namesOf(() => {}, tier);
    expect(findings).toEqual([]);
    expect(unproven).toEqual([]);
  });

  it("are proved at tier runtime for content-addressed paths alone; the rest is counted", () => {
    const { findings, unproven } = namesOf(() => {}, "runtime");
    expect(findings).toEqual([]);
    expect(unproven).toEqual([named.parameters, named.pump, named.pumpDev].sort());
  });

  it("demands the hashes that a NAR's own does not tell", () => {
    const { demands } = namesOf(() => {});
    const methods = [...demands].map(([path, list]) => [
      path,
      list.map(({ method, hash }) => `${method} ${hash.algorithm}`),
    ]);
    const drvs = [named.codegenDrv, named.parametersDrv, named.payloadDrv, named.pumpDrv, named.vendoredDrv];
    expect(Object.fromEntries(methods)).toEqual({
      [named.limits]: ["flat sha256"],
      [named.payload]: ["flat sha256"],
      [named.selfish]: ["modulo sha256"],
      [named.vendored]: ["nar sha1"],
      ...Object.fromEntries(drvs.map((drv) => [drv, ["flat sha256"]])),
    });
  });
});

describe("a content address", () => {
  it.each(["script", "limits", "selfish", "payload", "vendored", "pumpDrv"] as const)(
    "of another content gives another path than that of %s",
    (name) => {
      const changed = namesOf((document) => {
        const path = pathOf(document, named[name]);
        path.ca = path.ca!.replace(/[0-9a-z]{4}$/, (end) => (end === "0000" ? "1111" : "0000"));
      });
      expect(codes(changed.findings)).toContainEqual(["CA_PATH", named[name]]);
    },
  );

  it("covers the references", () => {
    const dropped = namesOf((document) => Object.assign(pathOf(document, named.limits), { references: [] }));
    expect(codes(dropped.findings)).toEqual([["CA_PATH", named.limits]]);
    const added = namesOf((document) =>
      Object.assign(pathOf(document, named.payload), { references: [named.script] }),
    );
    expect(codes(added.findings)).toEqual([["CA_PATH", named.payload]]);
  });

  it("is compared with the NAR's hash where that is what it names", () => {
    const { narHash } = pathOf(makeRelease().document, named.payload);
    const { findings } = namesOf((document) => Object.assign(pathOf(document, named.script), { narHash }));
    expect(findings).toEqual([
      expect.objectContaining({ code: "CA_CONTENT", subject: named.script, actual: narHash }),
    ]);
  });

  it.each([
    ["flake", "CA_PATH"],
    ["motor", "CA_PATH"],
    ["pumpDrv", "CA_PATH"],
    ["script", "OUTPUT_UNPROVEN"],
  ] as const)("cannot be taken away from %s", (name, code) => {
    const { findings } = namesOf((document) => {
      Object.assign(pathOf(document, named[name]), {
        ca: null,
        kinds: name === "script" ? ["input"] : ["flake"],
      });
    });
    expect(codes(findings)).toEqual([[code, named[name]]]);
  });

  it("taken away from a fixed output is missed, since its derivation gives it", () => {
    const { findings } = namesOf((document) => {
      for (const name of ["payload", "vendored"] as const) pathOf(document, named[name]).ca = null;
    });
    const subjects = findings.map(({ code, subject, actual }) => [code, subject, actual]);
    expect(subjects.sort()).toEqual(
      [named.payload, named.vendored].map((path) => ["FIXED_OUTPUT_HASH", path, "no content address"]).sort(),
    );
  });
});

it("a root of another system than its derivation is refused", () => {
  const { findings } = namesOf((document) => {
    document.roots[1]!.system = "aarch64-linux";
  });
  expect(findings.map(({ code, actual }) => [code, actual])).toEqual([["ROOT_OUTPUTS", "aarch64-linux"]]);
});

describe("a demand", () => {
  const demand = { code: "CA_CONTENT", method: "flat", hash: hashOf("sha256", "right") } as const;

  it("is met by that hash alone", () => {
    expect(checkContent("p", demand, hashOf("sha256", "right"))).toBeUndefined();
    expect(checkContent("p", demand, hashOf("sha256", "wrong"))).toMatchObject({ code: "CA_CONTENT" });
    expect(checkContent("p", demand, "a directory")).toMatchObject({ actual: "a directory" });
  });
});

describe("a .drv", () => {
  const { document, derivations } = makeRelease();
  const path = pathOf(document, named.pumpDrv);
  const bytes = formatDerivation(derivations.get(named.pumpDrv)!);

  it("is read, and has its own name and references", () => {
    expect(readDerivation(path, bytes)).toEqual({ derivation: derivations.get(named.pumpDrv), findings: [] });
  });

  it("of other bytes has another path", () => {
    const args = formatDerivation({ ...derivations.get(named.pumpDrv)!, args: ["-c", "evil"] });
    expect(codes(readDerivation(path, args).findings)).toEqual([["DRV_PATH", named.pumpDrv]]);
  });

  it("refers to its inputs, no more and no less", () => {
    const dropped = { ...path, references: path.references.slice(1) };
    expect(readDerivation(dropped, bytes).findings).toEqual([
      {
        code: "DRV_REFERENCES",
        subject: named.pumpDrv,
        expected: path.references[0],
        actual: path.references[1],
      },
    ]);
    const added = { ...path, references: [...path.references, other].sort() };
    expect(codes(readDerivation(added, bytes).findings)).toEqual([["DRV_REFERENCES", named.pumpDrv]]);
  });

  it("that is no derivation is a finding", () => {
    const { derivation, findings } = readDerivation(path, Buffer.from("Derive(nonsense)"));
    expect(derivation).toBeUndefined();
    expect(codes(findings)).toEqual([["DERIVATION_INVALID", named.pumpDrv]]);
  });
});

describe("a derivation's outputs", () => {
  it("have no other paths than the derivation gives", () => {
    const { findings } = namesOf((_, { pumpDrv }, derivations) => {
      derivations.set(pumpDrv, withOutput(derivations.get(pumpDrv)!, "out", other));
    });
    expect(codes(findings)).toEqual(
      expect.arrayContaining([
        ["OUTPUT_PATH", `${named.pumpDrv}!out`],
        ["ROOT_OUTPUTS", "packages.x86_64-linux.default!out"],
        ["DERIVER_OUTPUT", named.pump],
        ["OUTPUT_UNPROVEN", named.pump],
      ]),
    );
  });

  it("follow from the inputs too", () => {
    const { findings } = namesOf((_, { codegenDrv }, derivations) => {
      const codegen = derivations.get(codegenDrv)!;
      derivations.set(codegenDrv, { ...codegen, args: ["-c", "evil"] });
    });
    const subjects = findings.filter(({ code }) => code === "OUTPUT_PATH").map(({ subject }) => subject);
    expect(subjects.sort()).toEqual(
      [
        `${named.codegenDrv}!out`,
        `${named.parametersDrv}!out`,
        `${named.pumpDrv}!dev`,
        `${named.pumpDrv}!out`,
      ].sort(),
    );
  });

  it("cannot be fixed to another hash under the same path", () => {
    const { findings } = namesOf((_, { payloadDrv }, derivations) => {
      const payload = derivations.get(payloadDrv)!;
      const output = { ...payload.outputs.get("out")!, hash: hashOf("sha256", "evil") };
      derivations.set(payloadDrv, {
        ...payload,
        outputs: new Map([["out", output as typeof output]]),
      } as Derivation);
    });
    expect(codes(findings)).toEqual(
      expect.arrayContaining([
        ["OUTPUT_PATH", `${named.payloadDrv}!out`],
        ["FIXED_OUTPUT_HASH", named.payload],
      ]),
    );
  });

  it("are not proved where an input is missing, which is for V6 to say", () => {
    const { derivations, document } = makeRelease();
    const some = new Map(derivations);
    some.delete(named.codegenDrv);
    const { findings, unproven } = checkNames(document, new PackedDerivations(some), false);
    expect(findings).toEqual([]);
    expect(unproven).toEqual([named.codegen, named.parameters, named.pump, named.pumpDev].sort());
  });

  it("cannot depend on themselves", () => {
    const { findings } = namesOf((_, { codegenDrv, parametersDrv }, derivations) => {
      const codegen = derivations.get(codegenDrv)!;
      derivations.set(codegenDrv, { ...codegen, inputDrvs: new Map([[parametersDrv, ["out"]]]) });
    });
    expect(findings.filter(({ code }) => code === "DERIVATION_CYCLE")).toHaveLength(1);
  });

  it("of kinds that a bundle cannot carry are refused", () => {
    const { findings } = namesOf((_, { codegenDrv }, derivations) => {
      const floating = { kind: "floating", method: "nar", algorithm: "sha256" } as const;
      const codegen = derivations.get(codegenDrv)!;
      derivations.set(codegenDrv, { ...codegen, kind: "floating", outputs: new Map([["out", floating]]) });
    });
    expect(codes(findings)).toContainEqual(["DERIVATION_UNSUPPORTED", named.codegenDrv]);
  });
});

describe("roots and derivers", () => {
  it("finds a root whose output is another path", () => {
    const { findings } = namesOf((document) => {
      document.roots[1]!.outputs[1]!.path = named.payload;
    });
    expect(findings).toEqual([
      {
        code: "ROOT_OUTPUTS",
        subject: "packages.x86_64-linux.default!out",
        expected: named.pump,
        actual: named.payload,
      },
    ]);
  });

  it("finds a root with an output that its derivation does not have", () => {
    const { findings } = namesOf((document) => {
      document.roots[1]!.outputs[1]!.name = "doc";
    });
    expect(codes(findings)).toEqual([
      ["ROOT_OUTPUTS", "packages.x86_64-linux.default!doc"],
      ["ROOT_OUTPUTS", "packages.x86_64-linux.default!out"],
    ]);
  });

  it("finds a root that leaves one of its outputs out", () => {
    const { findings } = namesOf((document) => {
      document.roots[1]!.outputs = document.roots[1]!.outputs.slice(1);
    });
    expect(findings).toEqual([
      {
        code: "ROOT_OUTPUTS",
        subject: "packages.x86_64-linux.default!dev",
        expected: named.pumpDev,
        actual: "not listed",
      },
    ]);
  });

  it("finds a deriver that builds something else", () => {
    const { findings } = namesOf((document) => {
      pathOf(document, named.pump).deriver = named.codegenDrv;
    });
    expect(codes(findings)).toEqual([["DERIVER_OUTPUT", named.pump]]);
  });
});

describe("a path that nothing explains", () => {
  it("is refused where derivations are packed", () => {
    const { findings } = namesOf((document) => {
      document.paths.push({ ...pathOf(document, named.pump), storePath: other, deriver: null });
    });
    expect(codes(findings)).toEqual([["OUTPUT_UNPROVEN", other]]);
  });
});
