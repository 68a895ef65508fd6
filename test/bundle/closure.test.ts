import { describe, expect, it } from "vitest";
import { checkClosure } from "../../src/bundle/closure.js";
import { PackedDerivations } from "../../src/bundle/packed.js";
import type { BundleDocument, Path } from "../../src/generated/types.js";
import { makeRelease, pathOf, type Release, type ReleaseOptions } from "../support/release.js";

type Names = Release["named"];

/** The findings after `change`; the document is the test's own. */
function findingsOf(change: (document: BundleDocument, named: Names) => void, options: ReleaseOptions = {}) {
  const { document, derivations, named } = makeRelease(options);
  change(document, named);
  const packed = document.tier === "runtime" ? new Map() : derivations;
  return checkClosure(document, new PackedDerivations(packed)).findings;
}

function without(document: BundleDocument, storePath: string): Path {
  const path = pathOf(document, storePath);
  document.paths = document.paths.filter((other) => other !== path);
  return path;
}

const tiers = ["runtime", "build", "source"] as const;

describe("a closed bundle", () => {
  it.each(tiers)("has no findings at tier %s", (tier) => {
    expect(findingsOf(() => {}, { tier })).toEqual([]);
    expect(findingsOf(() => {}, { tier, wrapper: true })).toEqual([]);
  });

  it("holds for each tier exactly the paths that the format says, with these kinds", () => {
    const kindsAt = (tier: (typeof tiers)[number]) => {
      const { document, named } = makeRelease({ tier });
      const names = new Map(Object.entries(named).map(([name, path]) => [path, name]));
      const entries = document.paths.map(({ storePath, kinds }) => [
        names.get(storePath) ?? storePath,
        kinds.join(" "),
      ]);
      return Object.fromEntries(entries);
    };
    const runtime = {
      flake: "flake",
      motor: "flake",
      // `limits` refers to it.
      script: "evaluation",
      limits: "evaluation",
      selfish: "evaluation",
      parameters: "evaluation",
      payload: "output",
      pump: "output",
      pumpDev: "output",
    };
    const build = {
      ...runtime,
      script: "derivation evaluation input",
      limits: "derivation evaluation input",
      payload: "input output",
      vendored: "input",
      codegen: "input",
      codegenDrv: "derivation",
      parametersDrv: "derivation",
      payloadDrv: "derivation",
      pumpDrv: "derivation",
      vendoredDrv: "derivation",
    };
    expect(kindsAt("runtime")).toEqual(runtime);
    expect(kindsAt("build")).toEqual(build);
    expect(kindsAt("source")).toEqual({ ...build, payload: "fixed input output", vendored: "fixed input" });
  });

  it("takes the document's word for kinds that only unread derivations tell, and says so", () => {
    const { document } = makeRelease();
    const none = new PackedDerivations(new Map());
    expect(checkClosure(document, none)).toMatchObject({ findings: [], complete: false });
  });
});

describe("what is missing", () => {
  it("names a reference, the root that leads to it, and what refers to it", () => {
    expect(findingsOf((document, { payload }) => without(document, payload), { tier: "runtime" })).toEqual([
      {
        code: "REFERENCE_MISSING",
        subject: makeRelease().named.payload,
        neededBy: ["root packages.x86_64-linux.default", `path ${makeRelease().named.pump}`],
      },
    ]);
  });

  it.each([
    ["pumpDrv", "DERIVATION_MISSING", "root packages.x86_64-linux.default"],
    ["codegenDrv", "DERIVATION_MISSING", "import from derivation "],
    ["codegen", "TIER_INCOMPLETE", "derivation "],
    ["vendored", "TIER_INCOMPLETE", "derivation "],
    ["pump", "TIER_INCOMPLETE", "root packages.x86_64-linux.default"],
    ["motor", "INPUT_MISSING", "input motor"],
    ["flake", "TIER_INCOMPLETE", "the top flake"],
    ["script", "TIER_INCOMPLETE", "derivation "],
  ] as const)("finds that %s is gone: %s", (name, code, neededBy) => {
    const findings = findingsOf((document, named) => without(document, named[name]));
    const subject = makeRelease().named[name];
    const finding = findings.find((candidate) => candidate.subject === subject);
    expect(finding).toMatchObject({ code });
    expect(finding?.neededBy?.some((by) => by.startsWith(neededBy))).toBe(true);
  });

  it("finds a lock node that is not listed, and one that is listed but not locked", () => {
    expect(findingsOf((document) => Object.assign(document.inputs[0]!, { node: "engine" }))).toEqual([
      { code: "INPUT_MISSING", subject: "input motor", expected: "a tree of its own" },
      { code: "INPUT_UNLISTED", subject: "input engine" },
    ]);
  });

  it("refuses an input that claims another's tree where the lock gives it its own", () => {
    const findings = findingsOf((document) => {
      Object.assign(document.inputs[0]!, { parent: "root", storePath: null, narHash: null });
    });
    expect(findings).toContainEqual({
      code: "INPUT_MISSING",
      subject: "input motor",
      expected: "a tree of its own",
      actual: "in the tree of root",
    });
  });

  it("answers for a lock that is none", () => {
    const findings = findingsOf((document) => Object.assign(document.flake, { lock: "{ }" }));
    expect(findings).toEqual([expect.objectContaining({ code: "FLAKE_LOCK_INVALID" })]);
  });
});

describe("what is too much", () => {
  it("finds a path that no root needs", () => {
    const storePath = `/nix/store/${"9".repeat(32)}-stowaway`;
    const findings = findingsOf((document, { payload }) =>
      document.paths.push({ ...pathOf(document, payload), storePath, kinds: ["output"] }),
    );
    expect(findings).toEqual([{ code: "PATH_UNNEEDED", subject: storePath, actual: "output" }]);
  });

  it("finds derivations in a bundle whose tier holds none", () => {
    const findings = findingsOf((document) => Object.assign(document, { tier: "runtime" }), {
      tier: "build",
    });
    const unneeded = findings.filter(({ code }) => code === "PATH_UNNEEDED").map(({ subject }) => subject);
    expect(unneeded).toContain(makeRelease().named.pumpDrv);
    expect(unneeded).toContain(makeRelease().named.codegen);
  });

  it.each(["flake", "codegen", "pumpDrv", "payload", "limits"] as const)(
    "finds that %s has other kinds than follow from the roots",
    (name) => {
      const { named } = makeRelease();
      const findings = findingsOf((document) => {
        pathOf(document, named[name]).kinds = name === "flake" ? ["flake", "input"] : ["evaluation"];
      });
      expect(findings).toEqual([expect.objectContaining({ code: "PATH_KINDS", subject: named[name] })]);
    },
  );
});

describe("what evaluation read", () => {
  it("misses the result of an import from derivation that is a root", () => {
    const findings = findingsOf((document, { parameters }) => {
      without(document, parameters);
    });
    expect(findings).toMatchObject([
      { code: "TIER_INCOMPLETE", neededBy: [expect.stringMatching(/import from derivation/)] },
    ]);
  });

  it.each(tiers)("refuses a fetched path without content address at tier %s", (tier) => {
    const { named } = makeRelease();
    const findings = findingsOf((document) => Object.assign(pathOf(document, named.selfish), { ca: null }), {
      tier,
    });
    expect(findings).toEqual([
      expect.objectContaining({ code: "EVALUATION_UNEXPLAINED", subject: named.selfish }),
    ]);
  });

  it("refuses an import from derivation that no root of purpose evaluation builds", () => {
    const { named } = makeRelease();
    const findings = findingsOf((document) =>
      Object.assign(pathOf(document, named.selfish), { cause: "import-from-derivation" }),
    );
    expect(findings).toEqual([
      expect.objectContaining({ code: "EVALUATION_UNEXPLAINED", subject: named.selfish }),
    ]);
  });
});

it("refuses a reason in advance for a derivation that no root has", () => {
  const drvPath = `/nix/store/${"9".repeat(32)}-other.drv`;
  const { named } = makeRelease();
  const findings = findingsOf((document) => {
    document.knownIrreproducible = [drvPath, named.pumpDrv].map((path) => ({
      drvPath: path,
      reason: "time",
    }));
  });
  expect(findings).toEqual([expect.objectContaining({ code: "DERIVATION_MISSING", subject: drvPath })]);
});

describe("size", () => {
  it("stays linear in a deep chain of references", () => {
    const { document, named } = makeRelease({ tier: "runtime" });
    const template = pathOf(document, named.payload);
    const chain = Array.from({ length: 20_000 }, (_, i) => `/nix/store/${String(i).padStart(32, "0")}-link`);
    pathOf(document, named.pump).references.push(chain[0]!);
    chain.forEach((storePath, i) => {
      document.paths.push({ ...template, storePath, references: chain.slice(i + 1, i + 2) });
    });
    const start = performance.now();
    expect(checkClosure(document, new PackedDerivations(new Map())).findings).toEqual([]);
    expect(performance.now() - start).toBeLessThan(3000);
  });
});
