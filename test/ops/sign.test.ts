import { execFileSync } from "node:child_process";
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { describe, expect, it } from "vitest";
import { setApprovals } from "../../src/bundle/set-approvals.js";
import type { SecretKey } from "../../src/nix/signature.js";
import { sign } from "../../src/ops/sign.js";
import { verify } from "../../src/ops/verify.js";
import { packerKey, strangerKey, testContext, writeBundle } from "../support/bundle.js";
import { makeRelease } from "../support/release.js";
import { readTree } from "../support/sample-bundle.js";
import { signedBy, trusting } from "../support/trust.js";

const options = signedBy(strangerKey);
const check = (bundle: string, ...keys: SecretKey[]) =>
  verify(bundle, { trust: trusting(...keys), documentOnly: false, allowExtra: false }, testContext());
const bytesOf = (bundle: string) =>
  bundle.endsWith(".tar") ? new Map([["tar", readFileSync(bundle)]]) : readTree(bundle);

const mkdirIn = (bundle: string, name: string) => {
  const folder = join(dirname(bundle), name);
  mkdirSync(folder);
  return folder;
};

describe.each(["directory", "tar"] as const)("sign of a %s", (form) => {
  it("makes an unsigned bundle one that verifies by that key", async () => {
    const bundle = await writeBundle(makeRelease(), { form, keys: [] });
    expect((await check(bundle, strangerKey)).exit).toBe(12);
    const report = await sign(bundle, options, testContext());
    expect(report).toMatchObject({
      verdict: "signed",
      exit: 0,
      subject: { kind: "bundle", form, product: "pump" },
    });
    expect(report.approval).toMatchObject({ keyName: "stranger-1", signedAt: "2024-03-02T00:00:00Z" });
    expect((await check(bundle, strangerKey)).verdict).toBe("verified");
  });

  it("adds to the approvals that are there, and leaves the document", async () => {
    const bundle = await writeBundle(makeRelease(), { form });
    const before = await check(bundle, packerKey);
    await sign(bundle, options, testContext());
    await sign(bundle, { ...options, role: "qa" }, testContext());
    const after = await check(bundle, packerKey, strangerKey);
    expect(after.verdict).toBe("verified");
    expect(after.approvals.map(({ role }) => role)).toEqual(["approver", "packer", "qa"]);
    expect(after.bundle.sha256).toBe(before.bundle.sha256);
  });

  it("changes no byte the second time", async () => {
    const bundle = await writeBundle(makeRelease(), { form });
    await sign(bundle, options, testContext());
    const before = bytesOf(bundle);
    const later = { ...testContext(), now: () => new Date("2030-01-01T00:00:00Z") };
    const report = await sign(bundle, options, later);
    expect(report).toMatchObject({ verdict: "already-signed", exit: 0 });
    expect(report.approval?.signedAt).toBe("2024-03-02T00:00:00Z");
    expect(bytesOf(bundle)).toEqual(before);
  });

  it("leaves nothing beside the bundle", async () => {
    const bundle = await writeBundle(makeRelease(), { form });
    const before = readdirSync(dirname(bundle)).sort();
    await sign(bundle, options, testContext());
    expect(readdirSync(dirname(bundle)).sort()).toEqual(before);
  });

  it("lets one of two at once through, or both, and breaks nothing", async () => {
    const bundle = await writeBundle(makeRelease(), { form });
    const outcomes = await Promise.allSettled(
      ["one", "two"].map((role) => sign(bundle, { ...options, role }, testContext())),
    );
    for (const outcome of outcomes) {
      if (outcome.status === "rejected") expect(outcome.reason).toMatchObject({ code: "LOCKED" });
    }
    expect(outcomes.some(({ status }) => status === "fulfilled")).toBe(true);
    expect((await check(bundle, packerKey)).verdict).toBe("verified");
  });

  it("does not sign when it was stopped before", async () => {
    const bundle = await writeBundle(makeRelease(), { form });
    const before = bytesOf(bundle);
    await expect(sign(bundle, options, testContext(AbortSignal.abort()))).rejects.toMatchObject({
      code: "INTERRUPTED",
    });
    expect(bytesOf(bundle)).toEqual(before);
  });
});

describe("sign prepares", () => {
  it.each(["to sign.bin", "it's.json"])(
    "%j, and says how it is signed, in words for a shell",
    async (name) => {
      const bundle = await writeBundle(makeRelease());
      const out = join(mkdirIn(bundle, "on its way"), name);
      const report = await sign(
        bundle,
        { ...options, means: { kind: "prepare", out, key: null } },
        testContext(),
      );
      expect(report.next.length).toBeGreaterThan(1);
      for (const command of report.next) {
        const words = execFileSync(
          "sh",
          ["-c", `set -- ${command.replace(/^.*: +| > digest .*/g, "")}; printf '%s\\n' "$@"`],
          { encoding: "utf8" },
        );
        expect(words.split("\n")).toContainEqual(expect.stringContaining(out.replace(/\.json$/, "")));
      }
    },
  );
});

describe("sign refuses", () => {
  const changed = async (change: (bundle: string) => void) => {
    const bundle = await writeBundle(makeRelease());
    change(bundle);
    const before = readTree(bundle);
    const report = await sign(bundle, options, testContext());
    expect(report).toMatchObject({ verdict: "refused", approval: null });
    expect([...readTree(bundle).keys()].filter((name) => name.includes("approver"))).toEqual([]);
    expect(readTree(bundle).get("bundle.json")).toEqual(before.get("bundle.json"));
    return { exit: report.exit, codes: report.findings.map(({ code }) => code) };
  };
  const edit = (bundle: string, name: string, from: string, to: string) => {
    const path = join(bundle, name);
    writeFileSync(path, readFileSync(path, "utf8").replace(from, to));
  };

  it("a document that does not hold together", async () => {
    const { exit, codes } = await changed((bundle) =>
      edit(bundle, "bundle.json", '"paths": 16', '"paths": 17'),
    );
    expect({ exit, codes }).toEqual({ exit: 10, codes: ["DOCUMENT_TOTALS"] });
  });

  it("a derived file that was changed", async () => {
    const { exit, codes } = await changed((bundle) => writeFileSync(join(bundle, "roots.txt"), "x"));
    expect({ exit, codes }).toEqual({ exit: 11, codes: ["DERIVED_DIFFERS"] });
  });

  it("a bundle without one of its NARs", async () => {
    const release = makeRelease();
    const { codes } = await changed((bundle) =>
      rmSync(join(bundle, "blobs/sha256", release.document.paths[0]!.blob)),
    );
    expect(codes).toEqual(["BLOB_MISSING"]);
  });

  it("an unlisted blob that no signature left", async () => {
    const { codes } = await changed((bundle) =>
      writeFileSync(join(bundle, "blobs/sha256", "a".repeat(64)), "x"),
    );
    expect(codes).toEqual(["FILE_UNLISTED"]);
  });

  it("its own earlier approval when that was changed", async () => {
    const bundle = await writeBundle(makeRelease());
    const { approval } = await sign(bundle, options, testContext());
    const other = await writeBundle(makeRelease({ tier: "build" }));
    const { approval: foreign } = await sign(other, options, testContext());
    await setApprovals(bundle, new Map([[approval!.file!, readFileSync(join(other, foreign!.file!))]]));
    expect(await sign(bundle, options, testContext())).toMatchObject({
      verdict: "refused",
      exit: 12,
      findings: [{ code: "APPROVAL_SUBJECT" }],
    });
  });

  it.each(["", "Packer", "a/b", "-a", "x".repeat(33)])("the role %j", async (role) => {
    const bundle = await writeBundle(makeRelease());
    await expect(sign(bundle, { ...options, role }, testContext())).rejects.toMatchObject({ code: "USAGE" });
  });

  it("what is no bundle", async () => {
    await expect(sign("/nowhere/b.tar", options, testContext())).rejects.toMatchObject({
      code: "BUNDLE_NOT_FOUND",
    });
  });
});

describe("sign completes", () => {
  it("what an OCI tool or an interruption made of index.json", async () => {
    const bundle = await writeBundle(makeRelease());
    writeFileSync(join(bundle, "index.json"), '{"schemaVersion":2,"manifests":[]}\n');
    expect(await sign(bundle, options, testContext())).toMatchObject({ verdict: "signed", completed: true });
    expect((await check(bundle, packerKey)).verdict).toBe("verified");
  });

  it("an approval whose blob and manifest were not written any more", async () => {
    const bundle = await writeBundle(makeRelease());
    const other = await writeBundle(makeRelease());
    const { approval } = await sign(other, options, testContext());
    writeFileSync(join(bundle, approval!.file!), readFileSync(join(other, approval!.file!)));
    expect(await sign(bundle, options, testContext())).toMatchObject({
      verdict: "already-signed",
      completed: true,
    });
    expect((await check(bundle, strangerKey)).verdict).toBe("verified");
  });

  it("a tar that was cut, by the journal beside it", async () => {
    const bundle = await writeBundle(makeRelease(), { form: "tar" });
    const cut = tailOf(bundle);
    const whole = readFileSync(bundle);
    const id = (await check(bundle, packerKey)).bundle.sha256;
    const journal = Buffer.concat([Buffer.from(`nix-airgap-tail 1 ${cut} ${id}\n`), whole.subarray(cut)]);
    writeFileSync(`${bundle}.tail`, journal);
    writeFileSync(bundle, whole.subarray(0, cut + 100));
    const report = await sign(bundle, signedBy(packerKey, "packer"), testContext());
    expect(report).toMatchObject({ verdict: "already-signed", completed: true });
    expect(readFileSync(bundle)).toEqual(whole);
    expect(readdirSync(dirname(bundle))).not.toContain(`${basename(bundle)}.tail`);
  });
});

/** Where the part of a tar begins that signing changes: at the first approval. */
function tailOf(tar: string): number {
  const bytes = readFileSync(tar);
  for (let at = 0; at < bytes.length; at += 512) {
    const name = bytes.toString("latin1", at, at + 100).replace(/\0.*$/s, "");
    if (name.startsWith("approvals/")) return at;
  }
  throw new Error("no approval in the tar");
}
