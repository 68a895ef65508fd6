import { createHash } from "node:crypto";
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { validateBundleJoinReport } from "../../../src/generated/report-validators.js";
import { bundleJoin, type JoinOptions } from "../../../src/ops/bundle/join.js";
import { verify } from "../../../src/ops/verify.js";
import { ed25519Key } from "../../../src/trust/keys.js";
import { packerKey, strangerKey, tempDir, testContext, writeBundle } from "../../support/bundle.js";
import { makeParts, type RootName } from "../../support/parts.js";

const made = makeParts();
const trust = { by: "keys", keys: [ed25519Key(packerKey.publicKey)] } as const;

function part(
  roots: readonly RootName[],
  form: "directory" | "tar" = "tar",
  keys = [packerKey],
): Promise<string> {
  return writeBundle({ document: made.documentOf(roots), blobs: made.blobs }, { form, keys });
}

async function joined(bundles: readonly string[], out: string, more: Partial<JoinOptions> = {}) {
  const report = await bundleJoin({ bundles, trust, out, ...more }, testContext());
  expect(validateBundleJoinReport(report), JSON.stringify(validateBundleJoinReport.errors)).toBe(true);
  return report;
}

const sha256 = (file: string) => createHash("sha256").update(readFileSync(file)).digest("hex");

describe.each(["tar", "directory"] as const)("into a %s", (form) => {
  const name = form === "tar" ? "new.tar" : "new";

  it("parts in any form and order give the same bundle, which verifies, and leave nothing else", async () => {
    const [a, b] = [await part(["a"], "directory"), await part(["b", "c"])];
    const ids: string[] = [];
    for (const bundles of [
      [a, b],
      [b, a],
    ]) {
      const dir = tempDir();
      const out = join(dir, name);
      const report = await joined(bundles, out, { secretKey: packerKey });
      expect([report.exit, report.findings, report.signedBy]).toEqual([0, [], packerKey.publicKey.name]);
      expect(report.bundle).toMatchObject({ path: out, kind: form, systems: ["x86_64-linux"] });
      const { verdict } = await verify(out, { trust, documentOnly: false, allowExtra: false }, testContext());
      expect(verdict).toBe("verified");
      expect(readdirSync(dir)).toEqual([name]);
      ids.push(form === "tar" ? sha256(out) : sha256(join(out, "bundle.json")));
    }
    expect(ids[0]).toBe(ids[1]);
  });

  it("nobody has approved it unless a key is given", async () => {
    const out = join(tempDir(), name);
    const report = await joined([await part(["a"]), await part(["b"])], out);
    expect([report.exit, report.signedBy]).toEqual([0, null]);
    const { findings } = await verify(out, { trust, documentOnly: false, allowExtra: false }, testContext());
    expect(findings.map(({ code }) => code)).toEqual(["APPROVAL_MISSING"]);
  });
});

describe("nothing is written", () => {
  it("where a part is not approved by whom is trusted, or was changed", async () => {
    const good = await part(["a"]);
    const damaged = await part(["b"], "directory");
    const blob = readdirSync(join(damaged, "blobs/sha256"))[0]!;
    writeFileSync(join(damaged, "blobs/sha256", blob), "evil");
    for (const [bad, exit] of [
      [await part(["b"], "tar", [strangerKey]), 12],
      [damaged, 11],
    ] as const) {
      const dir = tempDir();
      const report = await joined([good, bad], join(dir, "new.tar"), { secretKey: packerKey });
      expect([report.exit, report.bundle]).toEqual([exit, null]);
      expect(readdirSync(dir)).toEqual([]);
    }
  });

  it("where the parts contradict each other", async () => {
    const other = made.documentOf(["b"]);
    other.release = "2.0.0";
    const dir = tempDir();
    const report = await joined(
      [await part(["a"]), await writeBundle({ document: other, blobs: made.blobs })],
      join(dir, "new"),
    );
    expect([report.exit, report.findings[0]?.code, readdirSync(dir)]).toEqual([2, "BUNDLES_DIFFER", []]);
  });

  it("over what is there, or of one bundle twice", async () => {
    const [a, b] = [await part(["a"]), await part(["b"])];
    const out = join(tempDir(), "new.tar");
    writeFileSync(out, "precious");
    await expect(joined([a, b], out)).rejects.toMatchObject({ code: "OUT_EXISTS" });
    expect(readFileSync(out, "utf8")).toBe("precious");
    const never = join(tempDir(), "never.tar");
    await expect(joined([a, await part(["a"], "directory")], never)).rejects.toMatchObject({ code: "USAGE" });
    expect(existsSync(never)).toBe(false);
  });
});
