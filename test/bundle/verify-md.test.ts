import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import {
  appendFileSync,
  cpSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { narinfoOf } from "../../src/bundle/derived.js";
import { formatDocument } from "../../src/bundle/document.js";
import { narinfoName } from "../../src/bundle/layout.js";
import { verifyMd } from "../../src/bundle/verify-md.js";
import { finishDirectory } from "../../src/bundle/write.js";
import type { BundleDocument } from "../../src/generated/types.js";
import { fingerprint } from "../../src/nix/narinfo.js";
import { formatPublicKey, generateSecretKey, signFingerprint } from "../../src/nix/signature.js";
import { type SignOptions, sign } from "../../src/ops/sign.js";
import { makeApproval } from "../../src/trust/approval.js";
import { parseSigningKey, signingKey } from "../../src/trust/signing.js";
import { machineStatement } from "../../src/trust/statement.js";
import { testContext } from "../support/bundle.js";
import { sampleDocument } from "../support/document.js";
import { nixEnvironment } from "../support/fixtures.js";
import { makeRelease, type Release } from "../support/release.js";
import { readTree } from "../support/sample-bundle.js";
import { runBlocks, shellBlocks } from "../support/verify-md.js";

const secret = generateSecretKey("acme-1", Buffer.alloc(32, 1));
const KEY = formatPublicKey(secret.publicKey);
const other = generateSecretKey("other-1", Buffer.alloc(32, 2));
const blocks = shellBlocks(verifyMd(sampleDocument()));
const withoutNix = blocks.filter(({ heading }) => !heading.includes("stock Nix"));

let work: string;
let release: Release;
let whole: string;

beforeAll(async () => {
  work = mkdtempSync(join(tmpdir(), "verify-md-"));
  release = makeRelease({ wrapper: true });
  for (const path of release.document.paths)
    path.signatures = [signFingerprint(fingerprint(narinfoOf(path)), secret)];
  whole = await writeBundle("a b?c#d%20é", release.document);
});

afterAll(() => {
  execFileSync("chmod", ["-R", "u+w", work]); // Nix stores are read-only
  rmSync(work, { recursive: true });
});

async function writeBundle(name: string, document: BundleDocument): Promise<string> {
  const dir = join(work, name);
  mkdirSync(join(dir, "blobs/sha256"), { recursive: true });
  mkdirSync(join(dir, "docs"));
  for (const [sha256, bytes] of release.blobs) {
    const doc = document.docs.find((candidate) => candidate.sha256 === sha256);
    const known = document.paths.some(({ blob }) => blob === sha256);
    if (doc) writeFileSync(join(dir, "docs", doc.name), bytes);
    else if (known) writeFileSync(join(dir, "blobs/sha256", sha256), bytes);
  }
  const documentSha256 = createHash("sha256").update(formatDocument(document)).digest("hex");
  const statement = machineStatement({
    document,
    documentSha256,
    role: "packer",
    signedAt: document.created,
    keyName: "acme-1",
  });
  const approvals = [makeApproval(statement, signingKey(secret)), makeApproval(statement, signingKey(other))];
  await finishDirectory(
    dir,
    document,
    new Map(approvals.map(({ fileName, bytes }) => [`approvals/${fileName}`, bytes])),
  );
  return dir;
}

/** What these steps find in a copy of the whole bundle after a change. Step 2 gives the others their variables. */
function badAfter(steps: readonly number[], change: (dir: string) => unknown): string[] {
  const dir = join(work, "changed");
  cpSync(whole, dir, { recursive: true });
  change(dir);
  const chosen = blocks.filter(
    ({ heading }) => !/^\d/.test(heading) || [1, 2, ...steps].includes(Number.parseInt(heading, 10)),
  );
  const { bad, status } = runBlocks(chosen, dir, { KEY, TMPDIR: work });
  rmSync(dir, { recursive: true });
  expect(status).toBe(bad.length === 0 ? 0 : 1);
  return bad;
}

describe("VERIFY.md", () => {
  it("is a function of the document: only its first lines differ between bundles", () => {
    const text = verifyMd(sampleDocument());
    expect(verifyMd(sampleDocument())).toBe(text);
    expect(text.split("\n")[0]).toBe("# How to check acme-pump 1.4.0");
    const rest = (markdown: string) => markdown.split("\n\n").slice(2);
    expect(rest(verifyMd(release.document))).toEqual(rest(text));
  });

  it("marks every block of commands with a heading of its own", () => {
    expect(blocks.map(({ heading }) => heading)).toEqual([
      "1. Set up",
      "2. The signatures",
      "3. The document",
      "4. Files",
      "5. Blobs",
      "6. Derived files",
      "7. Closure and inputs",
      "8. Names, with stock Nix",
      "9. Restore, with stock Nix",
      "Result",
    ]);
    expect(verifyMd(sampleDocument()).match(/^```sh$/gm)).toHaveLength(blocks.length);
  });

  it("says of every step of verification what is covered", () => {
    const text = verifyMd(sampleDocument());
    for (let step = 1; step <= 11; step++)
      expect(text).toMatch(new RegExp(`^\\| V${step} .*\\|.*\\|.*\\|$`, "m"));
  });
});

describe("the commands of VERIFY.md", () => {
  it("find nothing in a whole bundle, and write nothing into it", () => {
    const before = readTree(whole);
    const { bad, output, status } = runBlocks(withoutNix, whole, { KEY, TMPDIR: work });
    expect(readTree(whole)).toEqual(before);
    expect(bad, output).toEqual([]);
    expect(output).toMatch(/^OK$/m);
    expect(status).toBe(0);
    expect(output.match(/^approved by acme-1 \(a machine\), role packer/gm)).toHaveLength(1);
  });

  it("find nothing at tier runtime", async () => {
    const dir = await writeBundle("runtime", makeRelease({ tier: "runtime", wrapper: true }).document);
    const { bad, output } = runBlocks(withoutNix, dir, { KEY, TMPDIR: work });
    expect(bad, output).toEqual([]);
  });

  it("find nothing with stock Nix either, which restores the roots with signatures required", () => {
    const env = { ...nixEnvironment(work), KEY, TMPDIR: work };
    const { bad, output } = runBlocks(blocks, whole, env);
    expect(bad, output).toEqual([]);
    expect(output).toContain(`copying path '${release.named.pump}'`);
  });

  it("want a key, and another's is not enough", () => {
    const stranger = formatPublicKey(generateSecretKey("x-1", Buffer.alloc(32, 3)).publicKey);
    const run = (key: string) => runBlocks(withoutNix, whole, { KEY: key, TMPDIR: work }).bad;
    expect(run("")).toContain("set KEYS or KEY first, and not from this bundle");
    expect(run(stranger)).toEqual(["no approval is signed by a key of yours"]);
  });

  it("print who approved, by keys of every kind, and find a rejection", async () => {
    const dir = await writeBundle("people", release.document);
    const keys = join(work, "keys");
    mkdirSync(keys);
    writeFileSync(join(keys, "acme.nix"), `${KEY}\n`);
    execFileSync("openssl", [
      ...["genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"],
      ...["-out", join(work, "bo.pem")],
    ]);
    execFileSync("openssl", ["pkey", "-in", join(work, "bo.pem"), "-pubout", "-out", join(keys, "bo.pem")]);
    const ssh = ["-q", "-t", "ed25519", "-N", "", "-f", join(work, "cleo")];
    execFileSync("ssh-keygen", ssh);
    cpSync(join(work, "cleo.pub"), join(keys, "cleo.pub"));
    const bo = parseSigningKey(readFileSync(join(work, "bo.pem"), "utf8"), "bo");
    const about = { documents: [], role: "qa", meaning: "tested", decision: "approved" as const };
    const options = { ...about, confirm: async () => true };
    const signBy = (
      name: string,
      means: SignOptions["means"],
      decision: "approved" | "rejected" = "approved",
    ) =>
      sign(dir, { ...options, decision, signer: { id: `${name}@example.org`, name }, means }, testContext());
    await signBy("Bo", { kind: "key", key: bo });
    await sign(
      dir,
      {
        ...options,
        signer: { id: "cleo@example.org", name: "Cleo" },
        means: { kind: "ssh", keyFile: join(work, "cleo") },
      },
      { ...testContext(), env: process.env },
    );
    const env = { KEYS: keys, TMPDIR: work };
    const { bad, output } = runBlocks(withoutNix, dir, env);
    expect(bad, output).toEqual([]);
    for (const name of ["Bo", "Cleo"]) {
      const id = `${name.toLowerCase()}@example.org`;
      expect(output.toLowerCase()).toContain(
        `approved by ${name} (${id}), role qa, 2024-03-02T00:00:00Z: tested`.toLowerCase(),
      );
    }
    expect(output).toContain("approved by acme-1 (a machine), role packer");

    await signBy("Bo", { kind: "key", key: bo }, "rejected");
    expect(runBlocks(withoutNix, dir, env).bad).toEqual([
      expect.stringMatching(/^approvals\/qa-[0-9a-f]{32}\.sigstore\.json rejects this bundle$/),
    ]);
  });

  const blob = () => `blobs/sha256/${release.document.paths[0]!.blob}`;
  const narinfo = () => narinfoName(release.document.paths[0]!.storePath);
  const replace = (dir: string, name: string, from: string | RegExp, to: string) =>
    writeFileSync(join(dir, name), readFileSync(join(dir, name), "utf8").replace(from, to));

  it("find a changed document", () => {
    expect(
      badAfter([], (dir) => replace(dir, "bundle.json", '"release": "1.0.0"', '"release": "1.0.1"')),
    ).toEqual(
      expect.arrayContaining([
        expect.stringMatching(/is for another bundle.json$/),
        expect.stringMatching(/names another release$/),
      ]),
    );
  });

  it("find a re-indented document", () => {
    const compact = (dir: string) =>
      writeFileSync(
        join(dir, "bundle.json"),
        JSON.stringify(JSON.parse(readFileSync(join(dir, "bundle.json"), "utf8"))),
      );
    expect(badAfter([3], compact)).toContain("bundle.json is not in the one encoding");
  });

  it("find that approvals are gone", () => {
    expect(badAfter([], (dir) => rmSync(join(dir, "approvals"), { recursive: true }))).toContain(
      "no approval is signed by a key of yours",
    );
  });

  it("find a blob that is missing, has one bit flipped, or has bytes behind it", () => {
    expect(badAfter([4, 5], (dir) => rmSync(join(dir, blob())))).toContain(`missing: ${blob()}`);
    const flip = (dir: string) => {
      const bytes = readFileSync(join(dir, blob()));
      bytes[bytes.length - 1]! ^= 1;
      writeFileSync(join(dir, blob()), bytes);
    };
    expect(badAfter([4, 5], flip)).toEqual(
      expect.arrayContaining(["a blob is not what its name says", `another NAR: ${blob()}`]),
    );
    expect(badAfter([4, 5], (dir) => appendFileSync(join(dir, blob()), "x"))).toEqual(
      expect.arrayContaining([`another size: ${blob()}`, `not one frame: ${blob()}`]),
    );
  });

  it("find files that are not listed, links and strange folders", () => {
    const found = badAfter([4], (dir) => {
      writeFileSync(join(dir, "docs/more"), "");
      mkdirSync(join(dir, "more"));
      renameSync(join(dir, blob()), join(dir, "more/blob"));
      symlinkSync("../../more/blob", join(dir, blob()));
    });
    expect(found).toEqual(
      expect.arrayContaining([
        "not listed: docs/more",
        "not listed: more/blob",
        `missing: ${blob()}`,
        `not a regular file: ./${blob()}`,
        "a folder that no bundle has: ./more",
      ]),
    );
  });

  it("find derived files that differ", () => {
    expect(
      badAfter([4, 6], (dir) =>
        replace(dir, narinfo(), /^References: /m, `References: ${"0".repeat(32)}-x `),
      ),
    ).toEqual(
      expect.arrayContaining([
        "a narinfo differs from bundle.json",
        `the tar of narinfos has another ${narinfo()}`,
      ]),
    );
    expect(badAfter([4, 6], (dir) => appendFileSync(join(dir, narinfo()), "NarHash: sha256:x\n"))).toContain(
      "a narinfo differs from bundle.json",
    );
    expect(badAfter([4, 6], (dir) => writeFileSync(join(dir, "roots.txt"), ""))).toContain(
      "roots.txt differs",
    );
    expect(badAfter([4, 6], (dir) => appendFileSync(join(dir, "nix-cache-info"), "x"))).toContain(
      "nix-cache-info differs",
    );
    expect(badAfter([4, 6], (dir) => writeFileSync(join(dir, "log/.keep"), "x"))).toContain(
      "a .keep file is not empty",
    );
    expect(badAfter([4, 6], (dir) => writeFileSync(join(dir, "index.json"), '{"manifests":[]}'))).toContain(
      "index.json names no manifest of this bundle",
    );
  });

  it("find a signed document that lacks a path, or whose inputs are not the lock's", async () => {
    const document = structuredClone(release.document);
    document.paths = document.paths.filter(({ storePath }) => storePath !== release.named.payload);
    document.inputs[0]!.node = "rotor";
    const dir = await writeBundle("lacking", document);
    const { bad } = runBlocks(withoutNix, dir, { KEY, TMPDIR: work });
    expect(bad).toEqual(
      expect.arrayContaining([
        "the totals do not add up",
        `not in the bundle: ${release.named.payload}`,
        "the inputs are not those of flake.lock",
      ]),
    );
  });
});
