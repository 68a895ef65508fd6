/**
 * A tenth of the sizes that the bench runs at (test/bench/scale.ts): every command does its work, in little memory, and asks
 * Nix in few and short command lines. How long it takes is the bench's to say.
 */
import { mkdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type {
  InspectReport,
  PackReport,
  RebuildReport,
  RestoreReceipt,
  VerifyReport,
} from "../../src/generated/types.js";
import { formatPublicKey } from "../../src/nix/signature.js";
import { tempDir, writeBundle } from "../support/bundle.js";
import { type CliOptions, runProgram } from "../support/cli.js";
import { type Measured, measuredCli } from "../support/measure.js";
import { makeNixpkgs, type StandIn, scaledNixpkgs } from "../support/scale/nixpkgs.js";
import { CAN_HAVE_PRIVATE_NIX, PrivateNix } from "../support/scale/private-nix.js";
import { makeSparseFlake, makeSparseRelease } from "../support/scale/sparse.js";
import { makeSyntheticRelease } from "../support/scale/synthetic.js";
import { WatchedNix } from "../support/scale/watched-nix.js";
import { packerKey } from "../support/write-release.js";

const MAX_ARGUMENT_BYTES = 100_000;
/** MiB, whatever the size of a NAR. */
const MAX_PEAK = 200;
/** MiB, of the document of so many paths, and ten times as many. */
const MAX_PEAK_OF_DOCUMENT = 500;
const GIB = 1024 ** 3;

const TRUST = ["--public-key", formatPublicKey(packerKey.publicKey)];

const nix = new WatchedNix(tempDir());

/** The report of a command that said yes. */
async function ask<Report>(
  args: readonly string[],
  maxPeak: number,
  options: CliOptions = {},
): Promise<Report> {
  const env = { ...(options.env ?? process.env), PATH: nix.path };
  const { code, stdout, stderr, ownPeak }: Measured = await measuredCli([...args, "--json"], {
    ...options,
    env,
  });
  expect({ code, stderr: code === 0 ? "" : `${stderr}${stdout}` }).toEqual({ code: 0, stderr: "" });
  expect(ownPeak).toBeLessThan(maxPeak);
  return JSON.parse(stdout) as Report;
}

/** Nothing of a call grows with the number of paths, but for what one command line cannot hold. */
function expectFewCalls(paths: number, atLeast: number): void {
  const calls = nix.take();
  const longest = Math.max(...calls.map(({ bytes }) => bytes));
  expect(longest).toBeLessThanOrEqual(MAX_ARGUMENT_BYTES);
  expect(calls.length).toBeGreaterThanOrEqual(atLeast);
  expect(calls.length).toBeLessThan(40);
  expect(calls.length).toBeLessThan(paths / 20);
}

describe("a bundle of 2,000 paths", () => {
  const PATHS = 2000;
  const bundles: Record<string, string> = {};

  beforeAll(async () => {
    const release = makeSyntheticRelease(PATHS);
    bundles["tar"] = await writeBundle(release, { form: "tar" });
    bundles["directory"] = bundles["tar"].replace(/\.tar$/, "");
  });

  describe.each(["directory", "tar"])("as a %s", (form) => {
    it("is verified", async () => {
      const report = await ask<VerifyReport>(["verify", bundles[form]!, ...TRUST], MAX_PEAK_OF_DOCUMENT);
      expect(report).toMatchObject({ verdict: "verified", findings: [] });
    });

    it("is restored by few calls of Nix, and found there again", async () => {
      const store = join(tempDir(), "store");
      const restore = ["restore", bundles[form]!, ...TRUST, "--store", store];
      const planned = await ask<RestoreReceipt>([...restore, "--dry-run"], MAX_PEAK_OF_DOCUMENT);
      expect(planned).toMatchObject({ verdict: "planned", paths: { total: PATHS, present: 0 } });
      const receipt = await ask<RestoreReceipt>(restore, MAX_PEAK_OF_DOCUMENT);
      expect(receipt).toMatchObject({ verdict: "complete", paths: { imported: PATHS, checked: PATHS } });
      expectFewCalls(PATHS, 3);
      const again = await ask<RestoreReceipt>(restore, MAX_PEAK_OF_DOCUMENT);
      expect(again).toMatchObject({ verdict: "complete", paths: { imported: 0, checked: PATHS } });
      expectFewCalls(PATHS, 3);
      await runProgram(["chmod", "-R", "u+w", store]);
    });

    it("is planned to be rebuilt", async () => {
      const rebuild = ["rebuild", bundles[form]!, ...TRUST, "--dry-run"];
      const report = await ask<RebuildReport>(rebuild, MAX_PEAK_OF_DOCUMENT);
      expect(report).toMatchObject({ verdict: "planned", counts: { toBuild: 644 } });
    });

    it("is shown, with its tree and the sizes of its closures", async () => {
      const inspect = ["inspect", bundles[form]!, "--tree", "--sizes"];
      const report = await ask<InspectReport>(inspect, MAX_PEAK_OF_DOCUMENT);
      expect(report.document?.totals.paths).toBe(PATHS);
    });
  });
});

describe("NARs of gigabytes", () => {
  const BYTES = 4 * GIB;
  let bundle = "";

  beforeAll(async () => {
    bundle = await writeBundle(makeSparseRelease(BYTES));
  });

  it("are verified in little memory", async () => {
    const report = await ask<VerifyReport>(["verify", bundle, ...TRUST], MAX_PEAK);
    expect(report.verdict).toBe("verified");
  });

  it("are shown in little memory", async () => {
    const report = await ask<InspectReport>(["inspect", bundle], MAX_PEAK);
    expect(report.document?.totals.narBytes).toBeGreaterThan(BYTES);
  });

  it.skipIf(!CAN_HAVE_PRIVATE_NIX)("are packed in little memory", async () => {
    const machine = new PrivateNix();
    try {
      const ref = makeSparseFlake(machine.path("flake"), GIB);
      const pack = ["pack", ref, "--product", "sparse", "--release", "1", "--tier", "build"];
      const report = await ask<PackReport>(
        [...pack, "--out", machine.path("sparse.tar")],
        MAX_PEAK,
        machine.options,
      );
      expect(report.plan?.narBytes).toBeGreaterThan(GIB);
    } finally {
      machine.remove();
    }
  });
});

describe.skipIf(!CAN_HAVE_PRIVATE_NIX)("a flake with an input like nixpkgs, a tenth of its size", () => {
  let machine: PrivateNix;
  let standIn: StandIn;
  let pack: string[] = [];
  let key = "";

  beforeAll(async () => {
    nix.take();
    machine = new PrivateNix();
    mkdirSync(machine.path("flake"));
    standIn = makeNixpkgs(machine.path("flake"), scaledNixpkgs(1 / 10));
    const { json } = await keygen();
    key = json;
    pack = ["pack", standIn.ref, "--product", "stock", "--release", "1", "--key", machine.path("k-1.sec")];
  });
  afterAll(() => machine.remove());

  async function keygen(): Promise<{ json: string }> {
    await ask(["keygen", "--name", "k-1", "--out", machine.dir], MAX_PEAK);
    return { json: readFileSync(machine.path("k-1.pub"), "utf8").trim() };
  }

  it("is built and planned", async () => {
    const report = await ask<PackReport>(
      [...pack, "--tier", "source", "--dry-run"],
      MAX_PEAK_OF_DOCUMENT,
      machine.options,
    );
    expect(report.plan?.paths).toBe(standIn.paths);
    expectFewCalls(standIn.paths, 10);
  });

  it.each(["build", "source"])("is packed to tier %s, verified, planned to be restored", async (tier) => {
    const bundle = machine.path(`${tier}.tar`);
    const report = await ask<PackReport>(
      [...pack, "--tier", tier, "--out", bundle],
      MAX_PEAK_OF_DOCUMENT,
      machine.options,
    );
    expect(report.bundle?.path).toBe(bundle);
    expectFewCalls(standIn.paths, 10);
    const trust = ["--public-key", key];
    const verified = await ask<VerifyReport>(["verify", bundle, ...trust], MAX_PEAK_OF_DOCUMENT);
    expect(verified.verdict).toBe("verified");
    const rebuild = ["rebuild", bundle, ...trust, "--dry-run"];
    const planned = await ask<RebuildReport>(rebuild, MAX_PEAK_OF_DOCUMENT);
    expect(planned.counts?.toBuild).toBe(tier === "source" ? 601 : 1);
    const restore = ["restore", bundle, ...trust, "--store", machine.path("site"), "--dry-run"];
    const receipt = await ask<RestoreReceipt>(restore, MAX_PEAK_OF_DOCUMENT);
    expect(receipt.verdict).toBe("planned");
    rmSync(bundle);
  });
});

describe("the watch over Nix's command lines", () => {
  it("counts what it is given", async () => {
    nix.take();
    const env = { PATH: nix.path, HOME: tempDir() };
    await runProgram(["nix", "--version", "x".repeat(3000)], { env });
    expect(nix.take()).toEqual([{ program: "nix", bytes: "nix --version ".length + 3001 }]);
  });
});
