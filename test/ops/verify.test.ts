import {
  closeSync,
  mkdirSync,
  openSync,
  readSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { formatDocument } from "../../src/bundle/document.js";
import { blobName, narinfoName } from "../../src/bundle/layout.js";
import { type MediumFile, openMedium } from "../../src/bundle/medium.js";
import { tarBytes } from "../../src/bundle/tar.js";
import type { Code } from "../../src/errors.js";
import { validateVerifyReport } from "../../src/generated/report-validators.js";
import type { VerifyReport } from "../../src/generated/types.js";
import { formatHex, hashOf, parseSri } from "../../src/nix/hash.js";
import { type NarNode, writeNar } from "../../src/nix/nar-writer.js";
import { fingerprint } from "../../src/nix/narinfo.js";
import { signFingerprint } from "../../src/nix/signature.js";
import { type VerifyOptions, verify, verifyToBundle } from "../../src/ops/verify.js";
import { makeApproval } from "../../src/trust/approval.js";
import { signingKey } from "../../src/trust/signing.js";
import { machineStatement } from "../../src/trust/statement.js";
import {
  packerKey,
  strangerKey,
  tempDir,
  testContext,
  type WriteOptions,
  writeBundle,
} from "../support/bundle.js";
import { describeNar, file, makeRelease, pathOf, type Release, seal, tree } from "../support/release.js";
import { trusting } from "../support/trust.js";

const packersWord: VerifyOptions = {
  trust: trusting(packerKey),
  documentOnly: false,
  allowExtra: false,
};
const forms = ["directory", "tar"] as const;
const tiers = ["runtime", "build", "source"] as const;

async function verified(path: string, options: Partial<VerifyOptions> = {}): Promise<VerifyReport> {
  const report = await verify(path, { ...packersWord, ...options }, testContext());
  expect(validateVerifyReport(report), JSON.stringify(validateVerifyReport.errors)).toBe(true);
  return report;
}

const codesOf = (report: VerifyReport) => [...new Set(report.findings.map(({ code }) => code))];
const stateOf = (report: VerifyReport, step: string) => report.steps.find((one) => one.step === step)?.state;

/** A release with one change, sealed, written and approved: its packer lies, or errs. */
async function bundleOf(
  change: (release: Release & { blobs: Map<string, Buffer> }) => void,
  options: WriteOptions & { tier?: (typeof tiers)[number]; wrapper?: boolean } = {},
): Promise<string> {
  const made = makeRelease({ tier: options.tier ?? "source", wrapper: options.wrapper ?? false });
  const release = { ...made, blobs: new Map(made.blobs) };
  change(release);
  seal(release.document);
  return writeBundle(release, options);
}

/** Other contents under the same path, consistent in all that the document says of the NAR. */
function replace(release: Release & { blobs: Map<string, Buffer> }, storePath: string, node: NarNode): void {
  const { fields, blob } = describeNar(writeNar(node));
  release.blobs.set(fields.blob, blob);
  Object.assign(pathOf(release.document, storePath), fields);
}

async function fileIn(bundle: string, name: string): Promise<MediumFile> {
  const { medium } = await openMedium(bundle, { allowExtra: false });
  return medium.files.get(name)!;
}

/** Flips one bit of a file, in either form. */
function flip({ segments: [first], size }: MediumFile): void {
  const { path, offset } = first!;
  const fd = openSync(path, "r+");
  const byte = Buffer.alloc(1);
  const at = offset + Math.floor(size / 2);
  readSync(fd, byte, 0, 1, at);
  byte[0]! ^= 1;
  writeSync(fd, byte, 0, 1, at);
  closeSync(fd);
}

describe.each(forms)("a whole bundle as %s", (form) => {
  it.each(tiers)("passes every step at tier %s", async (tier) => {
    const path = await writeBundle(makeRelease({ tier }), { form });
    const { report, bundle } = await verifyToBundle(path, packersWord, testContext());
    expect(report.findings).toEqual([]);
    expect(report).toMatchObject({ verdict: "verified", exit: 0 });
    expect(report.steps.map(({ state }) => state)).toEqual([
      ...Array(3).fill("passed"),
      "not-run",
      ...Array(7).fill("passed"),
    ]);
    expect(bundle?.document.tier).toBe(tier);
    expect(bundle?.documentSha256).toBe(report.bundle.sha256);
    expect(bundle?.derivations.size).toBe(tier === "runtime" ? 0 : 5);
  });

  it("passes with a wrapper", async () => {
    expect(await verified(await writeBundle(makeRelease({ wrapper: true }), { form }))).toMatchObject({
      verdict: "verified",
    });
  });

  it("is found damaged by one bit in any of its files", async () => {
    const path = await writeBundle(makeRelease({ tier: "runtime" }), { form });
    const { medium } = await openMedium(path, { allowExtra: false });
    for (const damaged of medium.files.values()) {
      if (damaged.size === 0) continue;
      flip(damaged);
      const report = await verified(path);
      expect(report.findings, damaged.name).not.toEqual([]);
      if (/^(bundle\.json|approvals)/.test(damaged.name)) expect(report.exit).toBe(12);
      else if (damaged.name !== "index.json") expect([10, 11], damaged.name).toContain(report.exit);
      flip(damaged);
    }
    expect(await verified(path)).toMatchObject({ verdict: "verified" });
  });
});

describe("origin", () => {
  it("is not taken on trust: without a key nothing is looked at", async () => {
    const report = await verified("/nowhere/at/all", { trust: trusting() });
    expect(report).toMatchObject({ verdict: "refused", exit: 12 });
    expect(codesOf(report)).toEqual(["KEY_REQUIRED"]);
    expect(report.steps.filter(({ state }) => state === "not-run")).toHaveLength(10);
  });

  it("can be left out, and then is said to be unproven", async () => {
    const path = await writeBundle(makeRelease(), { keys: [] });
    const options = { ...packersWord, trust: { by: "nobody" as const } };
    const { report, bundle } = await verifyToBundle(path, options, testContext());
    expect(report).toMatchObject({ verdict: "integrity-only", exit: 0 });
    expect(report.steps[1]).toMatchObject({ step: "V2", state: "not-run" });
    expect(report.steps[1]?.note).toContain("origin is unproven");
    expect(bundle).toBeNull();
  });

  it("is unproven even when the bundle is signed", async () => {
    const report = await verified(await writeBundle(makeRelease()), { trust: { by: "nobody" as const } });
    expect(report.approvals).toMatchObject([{ state: "unknown" }]);
  });

  it.each<[string, Code, readonly (typeof packerKey)[]]>([
    ["nobody signed", "APPROVAL_MISSING", []],
    ["only a stranger signed", "APPROVAL_UNTRUSTED", [strangerKey]],
  ])("is refused when %s: %s, and nothing after is run", async (_, code, keys) => {
    const report = await verified(await writeBundle(makeRelease(), { keys }));
    expect(codesOf(report)).toEqual([code]);
    expect(report.exit).toBe(12);
    expect(report.steps.slice(2).map(({ state }) => state)).toEqual(Array(9).fill("not-run"));
    expect(report.bundle.product).toBeNull();
  });

  it("holds with a stranger's approval beside the trusted one", async () => {
    const report = await verified(await writeBundle(makeRelease(), { keys: [packerKey, strangerKey] }));
    expect(report).toMatchObject({ verdict: "verified" });
    expect(report.approvals.map(({ state }) => state).sort()).toEqual(["unknown", "valid"]);
  });

  it("is refused when a trusted approval names another product", async () => {
    const release = makeRelease();
    const path = await writeBundle(release);
    const documentSha256 = formatHex(hashOf("sha256", formatDocument(release.document)));
    const about = { documentSha256, role: "packer", signedAt: "2024-03-01T12:00:00Z", keyName: "packer-1" };
    const statement = machineStatement({ ...about, document: { ...release.document, product: "other" } });
    const { fileName, bytes } = makeApproval(statement, signingKey(packerKey));
    writeFileSync(join(path, "approvals", fileName), bytes);
    const report = await verified(path);
    expect(codesOf(report)).toEqual(["APPROVAL_BINDING"]);
    expect(report).toMatchObject({ exit: 12, approvals: [{ state: "bad" }] });
    expect(stateOf(report, "V5")).toBe("not-run");
  });

  it("is refused for an approval of another document", async () => {
    const other = makeRelease();
    other.document.release = "2.0.0";
    const path = await writeBundle(makeRelease());
    const approvals = join(path, "approvals");
    const foreign = await writeBundle(other);
    const name = (await verified(foreign)).approvals[0]!.file;
    rmSync(approvals, { recursive: true });
    symlinkSync(join(foreign, "approvals"), approvals);
    expect(codesOf(await verified(path))).toEqual(expect.arrayContaining(["FILE_TYPE", "APPROVAL_MISSING"]));
    rmSync(approvals);
    const { medium } = await openMedium(foreign, { allowExtra: false });
    const bytes = await medium.read(name, 1e6);
    mkdirSync(approvals);
    writeFileSync(join(path, name), bytes);
    expect(codesOf(await verified(path))).toEqual(["APPROVAL_SUBJECT"]);
  });
});

describe("files that changed on the way", () => {
  let names: Record<string, string>;
  const { document, named } = makeRelease();
  beforeAll(() => {
    names = {
      "a blob": blobName(pathOf(document, named.payload).blob),
      "a narinfo": narinfoName(named.pump),
      "the document": "bundle.json",
      "a doc": "docs/notice.txt",
      "index.json": "index.json",
    };
  });

  it.each<[string, Code, number]>([
    ["a blob", "BLOB_MISSING", 13],
    ["a narinfo", "DERIVED_MISSING", 13],
    ["the document", "DOCUMENT_MISSING", 13],
    ["a doc", "BLOB_MISSING", 13],
    ["index.json", "DERIVED_MISSING", 13],
  ])("%s is gone: %s", async (what, code, exit) => {
    const path = await writeBundle(makeRelease());
    rmSync(join(path, names[what]!));
    const report = await verified(path);
    expect(codesOf(report)).toEqual([code]);
    expect(report.exit).toBe(exit);
  });

  it("names, for a blob that is gone, the path, the root and what refers to it", async () => {
    const path = await writeBundle(makeRelease());
    rmSync(join(path, blobName(pathOf(document, named.payload).blob)));
    const { findings } = await verified(path);
    expect(findings).toMatchObject([
      {
        code: "BLOB_MISSING",
        step: "V8",
        subject: named.payload,
        expected: blobName(pathOf(document, named.payload).blob),
        neededBy: [`derivation ${named.pumpDrv}`, `derivation ${named.payloadDrv}`],
      },
    ]);
  });

  it.each<[string, Code]>([
    ["a blob", "BLOB_SIZE"],
    ["a narinfo", "DERIVED_DIFFERS"],
    ["a doc", "BLOB_SIZE"],
  ])("%s has more bytes: %s", async (what, code) => {
    const path = await writeBundle(makeRelease());
    writeFileSync(join(path, names[what]!), "\n", { flag: "a" });
    const report = await verified(path);
    expect(codesOf(report)).toEqual([code]);
    expect(report.exit).toBe(11);
  });

  it.each<[string, Code]>([
    [`blobs/sha256/${"0".repeat(64)}`, "FILE_UNLISTED"],
    [`${"0".repeat(32)}.narinfo`, "FILE_UNLISTED"],
    ["docs/extra.txt", "FILE_UNLISTED"],
    ["extra.txt", "NAME_ILLEGAL"],
  ])("%s was added: %s", async (name, code) => {
    const path = await writeBundle(makeRelease());
    writeFileSync(join(path, name), "extra");
    expect(codesOf(await verified(path))).toEqual([code]);
  });

  it("does not read an index.json over its cap, since nobody signed it, and says so once", async () => {
    const path = await writeBundle(makeRelease());
    truncateSync(join(path, "index.json"), 4 * 1024 ** 2 + 1);
    const report = await verified(path);
    expect(codesOf(report)).toEqual(["FILE_TOO_LARGE"]);
    expect(report).toMatchObject({ verdict: "refused", exit: 10 });
    expect(stateOf(report, "V11")).toBe("passed");
  });

  it("takes an index.json that an OCI tool rewrote, as long as it names the manifest", async () => {
    const path = await writeBundle(makeRelease());
    const { medium } = await openMedium(path, { allowExtra: false });
    const index = JSON.parse((await medium.read("index.json", 1e6)).toString());
    writeFileSync(join(path, "index.json"), JSON.stringify(index));
    expect(await verified(path)).toMatchObject({ verdict: "verified" });
    index.manifests[0].digest = `sha256:${"0".repeat(64)}`;
    writeFileSync(join(path, "index.json"), JSON.stringify(index));
    expect(codesOf(await verified(path))).toEqual(["INDEX_MANIFEST"]);
  });

  it("finds members of a tar out of order", async () => {
    const release = makeRelease({ tier: "runtime" });
    const directory = await writeBundle(release);
    const { medium } = await openMedium(directory, { allowExtra: false });
    const all = [...medium.files.keys()].sort();
    const members: [string, Buffer][] = [];
    for (const name of all) members.push([name, await medium.read(name, 1e8)]);
    const path = join(tempDir(), "bundle.tar");
    writeFileSync(path, tarBytes(members));
    expect(codesOf(await verified(path))).toEqual(["TAR_ORDER"]);
  });
});

describe("a packer that lies, or errs, under a trusted signature", () => {
  const { named } = makeRelease();
  type Change = Parameters<typeof bundleOf>[0];

  const lies: [string, Code, number, Change][] = [
    ["a source has other contents", "CA_CONTENT", 11, (r) => replace(r, named.script, file("evil\n"))],
    ["a text has other contents", "CA_CONTENT", 11, (r) => replace(r, named.limits, file("evil\n"))],
    [
      "a tree that refers to itself has other contents",
      "CA_CONTENT",
      11,
      (r) => replace(r, named.selfish, tree({ me: `I was ${named.selfish}\n` })),
    ],
    ["a flat output has other contents", "CA_CONTENT", 11, (r) => replace(r, named.payload, file("evil\n"))],
    [
      "a flat output is executable",
      "CA_CONTENT",
      11,
      (r) => replace(r, named.payload, file("payload\n", true)),
    ],
    ["a flat output is a tree", "CA_CONTENT", 11, (r) => replace(r, named.payload, tree({}))],
    [
      "a fixed output has other contents, and no content address",
      "FIXED_OUTPUT_HASH",
      11,
      (r) => {
        replace(r, named.vendored, tree({ "lib.txt": "evil\n" }));
        pathOf(r.document, named.vendored).ca = null;
      },
    ],
    [
      "a derivation has other contents",
      "DRV_PATH",
      11,
      (r) => {
        const bytes = Buffer.from(
          `Derive([("out","${named.codegen}","","")],[],["${named.script}"],"x","/bin/sh",[],[])`,
        );
        replace(r, named.codegenDrv, file(bytes.toString()));
      },
    ],
    [
      "a .drv is no derivation",
      "DERIVATION_INVALID",
      10,
      (r) => replace(r, named.codegenDrv, file("evil\n")),
    ],
    [
      "an input is another",
      "CA_CONTENT",
      11,
      (r) => {
        replace(r, named.motor, tree({ "motor.nix": "evil\n" }));
        r.document.inputs[0]!.narHash = pathOf(r.document, named.motor).narHash;
      },
    ],
    [
      "an input is not the one that is locked",
      "INPUT_NAR_HASH",
      11,
      (r) => {
        replace(r, named.motor, tree({ "motor.nix": "evil\n" }));
        r.document.inputs[0]!.narHash = pathOf(r.document, named.motor).narHash;
      },
    ],
    [
      "the lock is not the flake's",
      "LOCK_DIFFERS",
      11,
      (r) => {
        r.document.flake.lock = `${r.document.flake.lock} `;
      },
    ],
    [
      "an output hides a reference",
      "REFERENCE_UNDECLARED",
      11,
      (r) => replace(r, named.codegen, file(`codegen ${named.script}\n`)),
    ],
    [
      "an output claims a reference",
      "REFERENCE_NOT_FOUND",
      11,
      (r) => {
        pathOf(r.document, named.codegen).references = [named.script];
      },
    ],
    [
      "a NAR is not sorted",
      "NAR_ENTRY_ORDER",
      10,
      (r) => {
        const nar = Buffer.from(writeNar(tree({ aa: "x", bb: "y" })));
        const swapped = Buffer.from(
          nar.toString("latin1").replace("bb", "@@").replace("aa", "bb").replace("@@", "aa"),
          "latin1",
        );
        const { fields, blob } = describeNar(swapped);
        r.blobs.set(fields.blob, blob);
        Object.assign(pathOf(r.document, named.codegen), fields);
      },
    ],
    [
      "bytes follow the frame",
      "ZSTD_TRAILING",
      11,
      (r) => {
        const path = pathOf(r.document, named.codegen);
        const blob = Buffer.concat([r.blobs.get(path.blob)!, Buffer.from("x")]);
        Object.assign(path, { blob: formatHex(hashOf("sha256", blob)), blobSize: blob.length });
        r.blobs.set(path.blob, blob);
      },
    ],
    [
      "a NAR is larger than it says",
      "NAR_SIZE",
      11,
      (r) => {
        pathOf(r.document, named.codegen).narSize -= 8;
      },
    ],
    [
      "a NAR has another hash",
      "NAR_HASH",
      11,
      (r) => {
        pathOf(r.document, named.codegen).narHash = pathOf(r.document, named.script).narHash;
      },
    ],
    [
      "a path is not needed",
      "PATH_UNNEEDED",
      11,
      (r) => {
        const storePath = `/nix/store/${"9".repeat(32)}-stowaway`;
        r.document.paths.push({ ...pathOf(r.document, named.codegen), storePath, deriver: null });
      },
    ],
    [
      "a build input is left out",
      "TIER_INCOMPLETE",
      13,
      (r) => {
        r.document.paths = r.document.paths.filter(({ storePath }) => storePath !== named.vendored);
      },
    ],
    [
      "kinds are wrong",
      "PATH_KINDS",
      11,
      (r) => {
        pathOf(r.document, named.codegen).kinds = ["output"];
      },
    ],
    [
      "a signature by the trusted key does not hold",
      "PATH_SIGNATURE",
      12,
      (r) => {
        pathOf(r.document, named.pump).signatures = [signFingerprint("1;other", packerKey)];
      },
    ],
  ];

  it.each(lies)("is found: %s: %s", async (_, code, exit, change) => {
    const report = await verified(await bundleOf(change));
    expect(codesOf(report)).toContain(code);
    expect(report).toMatchObject({
      verdict: "refused",
      exit,
    });
  });

  it("is found in the tar form too", async () => {
    const path = await bundleOf((r) => replace(r, named.script, file("evil\n")), { form: "tar" });
    expect(codesOf(await verified(path))).toEqual(["CA_CONTENT"]);
  });

  it("is found when the wrapper is another", async () => {
    const { wrapper } = makeRelease({ wrapper: true }).named;
    const path = await bundleOf((r) => replace(r, wrapper, tree({ "flake.nix": "{ }\n" })), {
      wrapper: true,
    });
    expect(codesOf(await verified(path))).toEqual(["CA_CONTENT", "WRAPPER_DIFFERS"]);
  });

  it("is only noted where a path may hold another's name", async () => {
    const path = await bundleOf((r) => replace(r, named.parameters, file(`[ "${named.motor}" ]\n`)), {
      tier: "runtime",
    });
    const report = await verified(path);
    expect(report.verdict).toBe("verified");
    expect(report.notes).toMatchObject([{ subject: named.parameters }]);
    expect(report.notProven.count).toBe(3);
  });
});

it("tells of names that another file system would take for one, and goes on", async () => {
  const { named } = makeRelease();
  const path = await bundleOf((r) => replace(r, named.codegen, tree({ README: "", readme: "" })));
  const report = await verified(path);
  expect(report.verdict).toBe("verified");
  expect(report.notes).toEqual([
    { subject: named.codegen, text: "names that differ only in case or Unicode form: README and readme" },
  ]);
});

describe("what several paths share", () => {
  it("is reported for each of them", async () => {
    const storePath = `/nix/store/${"9".repeat(32)}-twin`;
    const { named } = makeRelease();
    const path = await bundleOf((r) => {
      r.document.paths.push({ ...pathOf(r.document, named.script), storePath });
    });
    flip(await fileIn(path, blobName(pathOf(makeRelease().document, named.script).blob)));
    const { findings } = await verified(path);
    const damaged = findings.filter(({ code }) => code === "BLOB_HASH").map(({ subject }) => subject);
    expect(damaged).toEqual([storePath, named.script]);
  });
});

describe("signatures on store paths", () => {
  it("are counted by key, checked for the keys that were given", async () => {
    const { named } = makeRelease();
    const path = await bundleOf((r) => {
      const pump = pathOf(r.document, named.pump);
      const text = fingerprint({ ...pump, narHash: parseSri(pump.narHash) });
      pump.signatures = [signFingerprint(text, packerKey), signFingerprint("1;junk", strangerKey)].sort();
    });
    const { signatures, verdict } = await verified(path);
    expect(verdict).toBe("verified");
    expect(signatures).toEqual({
      local: 3,
      perKey: [
        { keyName: "packer-1", trusted: true, paths: 1 },
        { keyName: "stranger-1", trusted: false, paths: 1 },
      ],
    });
  });
});

describe("without contents", () => {
  const { document, named } = makeRelease();
  const blob = blobName(pathOf(document, named.payload).blob);

  it("says what was not looked at, and gives no bundle to go on with", async () => {
    const path = await writeBundle(makeRelease());
    flip(await fileIn(path, blob));
    const { report, bundle } = await verifyToBundle(
      path,
      { ...packersWord, documentOnly: true },
      testContext(),
    );
    expect(report).toMatchObject({ verdict: "document-only", exit: 0 });
    const states = Object.fromEntries(report.steps.map(({ step, state }) => [step, state]));
    expect(states).toMatchObject({ V6: "partly", V7: "partly", V8: "partly", V9: "not-run", V10: "not-run" });
    expect(bundle).toBeNull();
  });

  it("still finds blobs that are absent or of another size, and names that do not fit", async () => {
    const path = await writeBundle(makeRelease());
    rmSync(join(path, blob));
    expect(codesOf(await verified(path, { documentOnly: true }))).toEqual(["BLOB_MISSING"]);
    const lie = await bundleOf((r) => {
      pathOf(r.document, named.limits).references = [];
    });
    expect(codesOf(await verified(lie, { documentOnly: true }))).toContain("CA_PATH");
  });
});

describe("the work itself", () => {
  it("stops when it is asked to", async () => {
    const path = await writeBundle(makeRelease());
    const stop = new AbortController();
    stop.abort();
    await expect(verify(path, packersWord, testContext(stop.signal))).rejects.toMatchObject({
      code: "INTERRUPTED",
    });
  });

  it("says that there is no bundle", async () => {
    await expect(verify(join(tempDir(), "none"), packersWord, testContext())).rejects.toMatchObject({
      code: "BUNDLE_NOT_FOUND",
    });
  });

  it("tells of every blob, and writes nothing", async () => {
    const path = await writeBundle(makeRelease());
    const { medium } = await openMedium(path, { allowExtra: false });
    const times = () => [...medium.files.values()].map((one) => statSync(one.segments[0]!.path).mtimeMs);
    const before = times();
    const context = testContext();
    await verify(path, packersWord, context);
    expect(times()).toEqual(before);
    const last = context.events.findLast(
      (event) => event.type === "phase.progress" && event.phase === "blobs",
    );
    const started = context.events.find((event) => event.type === "phase.started" && event.phase === "blobs");
    expect(last).toMatchObject({ items: (started as { items: number }).items });
  });
});
