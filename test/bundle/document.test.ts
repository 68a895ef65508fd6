import { describe, expect, it } from "vitest";
import { formatDocument, parseDocument } from "../../src/bundle/document.js";
import { formatJson } from "../../src/canonical-json.js";
import type { BundleDocument } from "../../src/generated/types.js";
import {
  DRV_PATH,
  FLAKE_PATH,
  INPUT_PATH,
  OUT_PATH,
  sampleDocument,
  samplePath,
} from "../support/document.js";

/** `code subject` of every finding on the sample after a change. */
function findingsAfter(change: (document: BundleDocument) => unknown): string[] {
  const document = sampleDocument();
  change(document);
  const parsed = parseDocument(formatDocument(document));
  expect(parsed.document === null).toBe(parsed.findings.length > 0);
  return parsed.findings.map(({ code, subject }) => `${code} ${subject}`);
}

const raw = (value: unknown) =>
  parseDocument(Buffer.from(formatJson(value))).findings.map(({ code, subject }) => `${code} ${subject}`);

describe("a document's bytes", () => {
  it("accepts a right document and prints the same bytes", () => {
    const bytes = formatDocument(sampleDocument());
    const { document, findings } = parseDocument(bytes);
    expect(findings).toEqual([]);
    expect(document && formatDocument(document)).toEqual(bytes);
  });

  it("refuses other JSON and other encodings", () => {
    const compact = Buffer.from(JSON.stringify(sampleDocument()));
    expect(parseDocument(compact).findings).toMatchObject([
      { code: "JSON_NOT_CANONICAL", subject: "bundle.json", line: 1 },
    ]);
    expect(parseDocument(Buffer.from("{")).findings).toMatchObject([
      { code: "JSON_INVALID", subject: "bundle.json" },
    ]);
  });

  it("names a newer document as newer before asking its schema", () => {
    expect(raw({ ...sampleDocument(), version: "2.0", surprise: 1 })).toEqual([
      "VERSION_UNSUPPORTED /version",
    ]);
    expect(
      raw({ ...sampleDocument(), version: "1.7", features: ["deltas", "x"], requires: ["y"], surprise: 1 }),
    ).toEqual([
      "FEATURE_UNSUPPORTED /features/0",
      "FEATURE_UNSUPPORTED /features/1",
      "REQUIRES_UNSUPPORTED /requires/0",
    ]);
    expect(raw({ ...sampleDocument(), version: "1.7" })).toEqual([]);
  });

  it("says where and how a value does not fit the schema", () => {
    const { findings } = parseDocument(Buffer.from(formatJson({ ...sampleDocument(), tier: "gold" })));
    expect(findings).toEqual([
      {
        code: "DOCUMENT_SCHEMA",
        subject: "/tier",
        expected: 'one of ["runtime","build","source"]',
        actual: '"gold"',
      },
    ]);
    const { product: _, ...without } = sampleDocument();
    expect(raw(without)).toEqual(["DOCUMENT_SCHEMA /product"]);
    expect(raw({ ...sampleDocument(), "a/b": 1 })).toEqual(["DOCUMENT_SCHEMA /a~1b"]);
    expect(raw({ ...sampleDocument(), format: "other" })).toEqual(["DOCUMENT_SCHEMA /format"]);
    expect(raw([])).toEqual(["DOCUMENT_SCHEMA bundle.json"]);
    const nullable = sampleDocument();
    nullable.paths[1]!.deriver = "/nix/store/x";
    const [finding] = parseDocument(formatDocument(nullable)).findings;
    expect(finding).toMatchObject({
      code: "DOCUMENT_SCHEMA",
      subject: "/paths/1/deriver",
      actual: '"/nix/store/x"',
    });
    expect(finding?.expected).toMatch(/pattern.* or null$/);
  });
});

describe("a document's meaning", () => {
  const cases: [string, (d: BundleDocument) => unknown, string[]][] = [
    [
      "systems unsorted",
      (d) => {
        d.systems.push("aarch64-linux");
        d.roots.push({ ...d.roots[0]!, attr: "packages.aarch64-linux.x", system: "aarch64-linux" });
        d.roots.sort((a, b) => (a.attr < b.attr ? -1 : 1));
      },
      ["DOCUMENT_ORDER /systems/1"],
    ],
    ["a system that no root has", (d) => d.systems.push("y86-linux"), ["DOCUMENT_VALUE /systems/1"]],
    ["systems repeated", (d) => d.systems.push("x86_64-linux"), ["DOCUMENT_DUPLICATE /systems/1"]],
    ["inputs repeated", (d) => d.inputs.push({ ...d.inputs[0]! }), ["DOCUMENT_DUPLICATE /inputs/1"]],
    ["roots repeated", (d) => d.roots.push({ ...d.roots[0]! }), ["DOCUMENT_DUPLICATE /roots/1"]],
    [
      "roots sorted by attribute first",
      (d) => d.roots.push({ ...d.roots[0]!, purpose: "evaluation", attr: "" }),
      ["DOCUMENT_ORDER /roots/1"],
    ],
    [
      "a root's outputs unsorted",
      (d) => d.roots[0]!.outputs.push({ name: "dev", path: OUT_PATH }),
      ["DOCUMENT_ORDER /roots/0/outputs/1"],
    ],
    ["paths unsorted", (d) => d.paths.reverse(), [1, 2, 3].map((i) => `DOCUMENT_ORDER /paths/${i}`)],
    [
      "references unsorted",
      (d) => d.paths[3]!.references.reverse(),
      ["DOCUMENT_ORDER /paths/3/references/1"],
    ],
    [
      "signatures repeated",
      (d) => d.paths[3]!.signatures.push(d.paths[3]!.signatures[0]!),
      ["DOCUMENT_DUPLICATE /paths/3/signatures/1"],
    ],
    ["kinds unsorted", (d) => d.paths[1]!.kinds.reverse(), ["DOCUMENT_ORDER /paths/1/kinds/1"]],
    [
      "irreproducible derivations repeated",
      (d) =>
        d.knownIrreproducible.push({ drvPath: DRV_PATH, reason: "a" }, { drvPath: DRV_PATH, reason: "b" }),
      ["DOCUMENT_DUPLICATE /knownIrreproducible/1"],
    ],
    ["docs unsorted", (d) => d.docs.push({ ...d.docs[0]!, name: "a" }), ["DOCUMENT_ORDER /docs/1"]],
    [
      "totals",
      (d) => {
        d.totals = { blobBytes: 400, blobs: 4, narBytes: 1, paths: 5 };
      },
      ["paths", "narBytes", "blobs", "blobBytes"].map((field) => `DOCUMENT_TOTALS /totals/${field}`),
    ],
    [
      "a root of another system",
      (d) => (d.roots[0]!.system = "riscv"),
      ["DOCUMENT_VALUE /roots/0/system", "DOCUMENT_VALUE /systems/0"],
    ],
    ["previous not smaller", (d) => (d.previous!.sequence = 5), ["DOCUMENT_VALUE /previous/sequence"]],
    ["a day that does not exist", (d) => (d.created = "2026-02-30T00:00:00Z"), ["DOCUMENT_VALUE /created"]],
    ["a version with zeros", (d) => (d.version = "1.00"), ["DOCUMENT_VALUE /version"]],
    ["an old minimum Nix", (d) => (d.minimumNix = "2.7.9"), ["DOCUMENT_VALUE /minimumNix"]],
    ["a minimum Nix without numbers", (d) => (d.minimumNix = "new"), ["DOCUMENT_VALUE /minimumNix"]],
    ["a flake directory that climbs", (d) => (d.flake.dir = "a/../.."), ["DOCUMENT_VALUE /flake/dir"]],
    ["inputs without a lock", (d) => (d.flake.lock = null), ["DOCUMENT_VALUE /flake/lock"]],
    ["an input with half a tree", (d) => (d.inputs[0]!.narHash = null), ["DOCUMENT_VALUE /inputs/0"]],
    [
      "an input with a tree and a parent",
      (d) => (d.inputs[0]!.parent = "root"),
      ["DOCUMENT_VALUE /inputs/0"],
    ],
    [
      "an input that is its own parent",
      (d) => d.inputs.push({ narHash: null, node: "n", parent: "n", storePath: null }),
      ["DOCUMENT_VALUE /inputs/1/parent"],
    ],
    ["a line feed in a node's name", (d) => (d.inputs[0]!.node = "a\nb"), ["DOCUMENT_VALUE /inputs/0/node"]],
    [
      "a wrapper with method topq",
      (d) => (d.evaluation.wrapper = INPUT_PATH),
      ["DOCUMENT_VALUE /evaluation/wrapper"],
    ],
    [
      "method wrapper without a wrapper",
      (d) => (d.evaluation.method = "wrapper"),
      ["DOCUMENT_VALUE /evaluation/wrapper"],
    ],
    ["a cause without its kind", (d) => (d.paths[1]!.cause = "fetched"), ["DOCUMENT_VALUE /paths/1/cause"]],
    [
      "a hash with left-over bits",
      (d) => (d.paths[3]!.narHash = `sha256-${"B".repeat(43)}=`),
      ["DOCUMENT_VALUE /paths/3/narHash"],
    ],
    [
      "a signature with left-over bits",
      (d) => (d.paths[3]!.signatures = [`k:${"B".repeat(86)}==`]),
      ["DOCUMENT_VALUE /paths/3/signatures/0"],
    ],
    [
      "a content address that is none",
      (d) => (d.paths[3]!.ca = "text:md5:0"),
      ["DOCUMENT_VALUE /paths/3/ca"],
    ],
    [
      "an empty NAR",
      (d) => {
        d.paths[3]!.narSize = 0;
        d.totals.narBytes -= 200;
      },
      ["DOCUMENT_VALUE /paths/3/narSize"],
    ],
    [
      "one blob with two sizes",
      (d) => {
        d.paths[1]!.blobSize = 101;
        d.totals.blobBytes += 1;
      },
      ["DOCUMENT_VALUE /paths/1/blobSize"],
    ],
    [
      "two paths with one narinfo",
      (d) => {
        d.paths.splice(1, 0, samplePath({ storePath: `${FLAKE_PATH}2`, blob: "a".repeat(64) }));
        d.totals.paths += 1;
        d.totals.narBytes += 200;
      },
      ["DOCUMENT_DUPLICATE /paths/1/storePath"],
    ],
    ["an output without an attribute", (d) => (d.roots[0]!.attr = ""), ["DOCUMENT_VALUE /roots/0/attr"]],
  ];
  it.each(cases)("refuses %s", (_, change, expected) => {
    expect(findingsAfter(change)).toEqual(expected);
  });

  it("reports everything that is wrong, not the first", () => {
    const found = findingsAfter((d) => {
      d.created = "2026-02-30T00:00:00Z";
      d.systems.push("aarch64-linux");
      d.totals.paths = 1;
    });
    expect(found).toEqual([
      "DOCUMENT_VALUE /created",
      "DOCUMENT_ORDER /systems/1",
      "DOCUMENT_VALUE /systems/1",
      "DOCUMENT_TOTALS /totals/paths",
    ]);
  });

  it("takes a runtime bundle without derivations, an extra without cause, a relative input", () => {
    const found = findingsAfter((d) => {
      d.tier = "runtime";
      d.paths = d.paths.filter(({ storePath }) => storePath !== DRV_PATH);
      d.paths[2]!.deriver = null;
      d.paths[2]!.kinds = ["evaluation", "output"];
      d.totals = { blobBytes: 200, blobs: 2, narBytes: 600, paths: 3 };
      d.inputs.push({ narHash: null, node: "sub", parent: "motor", storePath: null });
    });
    expect(found).toEqual([]);
  });

  it("takes under a second for 20,000 paths with 20 references each", () => {
    const document = sampleDocument();
    const digits = "0123456789abcdfghijklmnpqrsvwxyz";
    const big = Array.from({ length: 20_000 }, (_, i) => {
      const [a, b, c] = [i >> 10, (i >> 5) & 31, i & 31].map((digit) => digits[digit]);
      return samplePath({
        storePath: `/nix/store/z${a}${b}${c}${"0".repeat(28)}-path-${i}`,
        blob: i.toString(16).padStart(64, "0"),
      });
    });
    big.forEach((path, i) => {
      path.references = big.slice(i, i + 20).map(({ storePath }) => storePath);
    });
    document.paths.push(...big);
    document.totals = { blobBytes: 2_000_300, blobs: 20_003, narBytes: 4_000_800, paths: 20_004 };
    const bytes = formatDocument(document);
    const start = performance.now();
    expect(parseDocument(bytes).findings).toEqual([]);
    const took = performance.now() - start;

    expect(took).toBeLessThan(4000);
  });
});

describe("the environment of an evaluation", () => {
  const named =
    (env: BundleDocument["evaluation"]["env"], more: Partial<BundleDocument> = {}) =>
    (document: BundleDocument) => {
      const evaluation = { ...document.evaluation, env, pure: false };
      Object.assign(document, { version: "1.2", features: ["approvals", "environment"], evaluation }, more);
    };

  it("is named behind a feature of 1.2, which a reader of 1.1 does not know", () => {
    expect(findingsAfter(named([{ name: "PUMP_VARIANT", value: 'it\'s "$HOME"' }]))).toEqual([]);
    const document = { ...sampleDocument(), version: "1.2", features: ["approvals", "environment", "later"] };
    expect(raw({ ...document, surprise: 1 })).toEqual(["FEATURE_UNSUPPORTED /features/2"]);
  });

  it.each<[what: string, change: (document: BundleDocument) => unknown, findings: string[]]>([
    ["without a variable", named([]), ["DOCUMENT_VALUE /evaluation/env"]],
    [
      "in another order",
      named([
        { name: "B", value: "" },
        { name: "A", value: "" },
      ]),
      ["DOCUMENT_ORDER /evaluation/env/1"],
    ],
    [
      "twice",
      named([
        { name: "A", value: "1" },
        { name: "A", value: "2" },
      ]),
      ["DOCUMENT_DUPLICATE /evaluation/env/1"],
    ],
    [
      "that changes a program of the site",
      named([{ name: "LD_PRELOAD", value: "/x" }]),
      ["DOCUMENT_VALUE /evaluation/env/0"],
    ],
    ["that Nix goes by", named([{ name: "NIX_PATH", value: "x" }]), ["DOCUMENT_VALUE /evaluation/env/0"]],
    ["of two lines", named([{ name: "A", value: "1\n2" }]), ["DOCUMENT_SCHEMA /evaluation/env/0/value"]],
    ["of no name", named([{ name: "A=B", value: "" }]), ["DOCUMENT_SCHEMA /evaluation/env/0/name"]],
    [
      "in a pure evaluation",
      (d) => (d.evaluation.env = [{ name: "A", value: "" }]),
      ["DOCUMENT_VALUE /evaluation/env"],
    ],
    ["in version 1.1", named([{ name: "A", value: "" }], { version: "1.1" }), ["DOCUMENT_VALUE /features"]],
    [
      "without the feature",
      named([{ name: "A", value: "" }], { features: ["approvals"] }),
      ["DOCUMENT_VALUE /evaluation/pure"],
    ],
    [
      "with the feature alone",
      named([], { evaluation: sampleDocument().evaluation }),
      ["DOCUMENT_VALUE /evaluation/pure"],
    ],
  ])("is refused %s", (_, change, findings) => {
    expect(findingsAfter(change)).toEqual(findings);
  });
});
