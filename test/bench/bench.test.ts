/** The benchmark's parts that need no quiet machine, and one short run of the whole. */
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { readdirSync, readFileSync, rmSync } from "node:fs";
import { join, resolve } from "node:path";
import { describe, expect, it } from "vitest";
import { chunkArguments } from "../../src/host/nix/invoke.js";
import { tempDir } from "../support/bundle.js";
import { runProgram } from "../support/cli.js";
import { Random } from "../support/random.js";
import { Content } from "./content.js";
import { FLAKES, makeFlake } from "./flakes.js";
import { type Report, withReport } from "./report.js";
import { judge, peakResult, type Result, timeResult } from "./result.js";
import { spreadSizes } from "./sources.js";
import { formatTable } from "./table.js";
import { median, parseTimes, type Sample, takeTurns } from "./timing.js";

const ROOT = resolve(import.meta.dirname, "../..");

const took = (...seconds: number[]): Sample[] =>
  seconds.map((each) => ({ seconds: each, cpuSeconds: each, peak: null }));

describe("timing", () => {
  it("takes the middle of runs", () => {
    expect(median([3, 1, 2])).toBe(2);
    expect(median([4, 1, 2, 3])).toBe(2.5);
  });

  it("reads what shells say of their children's time", () => {
    expect(parseTimes("0m0.000000s 0m0.010000s\n0m1.500000s 1m0.250000s\n")).toBeCloseTo(61.75);
    expect(parseTimes("0m0.001s 0m0.000s\n0m0.100s 0m0.020s\n")).toBeCloseTo(0.12);
    expect(() => parseTimes("")).toThrow(/not what times prints/);
  });

  it("lets the ways take turns, after one that does not count", async () => {
    const turns: string[] = [];
    const arm = (name: string) => ({
      before: () => void turns.push(name),
      commands: () => [{ argv: ["true"], env: process.env }],
    });
    const samples = await takeTurns({ a: arm("a"), b: arm("b") }, 2);
    expect(turns).toEqual(["a", "b", "a", "b", "a", "b"]);
    expect([samples.a.length, samples.b.length]).toEqual([2, 2]);
  });

  it("looks once whether the work was done", async () => {
    let looked = 0;
    const arm = {
      commands: () => [{ argv: ["true"], env: process.env }],
      check: () => {
        looked += 1;
      },
    };
    await takeTurns({ arm }, 2);
    expect(looked).toBe(1);
  });

  it("is told of a command that fails, and cleans up after it", async () => {
    let cleaned = false;
    const arm = {
      commands: () => [{ argv: ["sh", "-c", "echo gone wrong; exit 3"], env: process.env }],
      after: async () => {
        cleaned = true;
      },
    };
    await expect(takeTurns({ arm }, 1)).rejects.toThrow(/exit 3\ngone wrong/);
    expect(cleaned).toBe(true);
  });
});

describe("results", () => {
  const parts = {
    ours: { label: "verify", samples: took(2, 4, 3) },
    against: { label: "nix", samples: took(1, 4, 1) },
  };

  it("compare what ran in the same turn", () => {
    const result = timeResult("id", "what", { ...parts, goal: { of: "ratio", limit: 1.6 } });
    expect(result.ratios).toEqual([2, 1, 3]);
    expect(result.ratio).toBe(2);
    expect(result.verdict).toEqual({ met: false, over: 0.25 });
  });

  it("count the largest of memory", () => {
    expect(peakResult("id", "what", [100e6, 190e6], 200).verdict?.met).toBe(true);
    expect(peakResult("id", "what", [100e6, 210e6], 200).verdict?.over).toBeCloseTo(0.05);
  });

  it("meet a limit that is just reached", () => {
    expect(judge(1.9, 1.9).met).toBe(true);
  });

  it("say in a table by how much a goal is missed", () => {
    const table = formatTable([
      timeResult("a", "verify", { ...parts, goal: { of: "ratio", limit: 1.6 } }),
      timeResult("b", "--help", {
        ours: { label: "", samples: took(0.1) },
        against: null,
        goal: { of: "ours", limit: 0.2 },
      }),
      timeResult("c", "no goal", parts),
    ]);
    const cells = table.split("\n").map((line) =>
      line
        .split("|")
        .slice(1, -1)
        .map((cell) => cell.trim()),
    );
    expect(cells[2]).toEqual([
      "verify",
      "3.00 s (CPU 3.00 s)",
      "nix: 1.00 s (CPU 1.00 s)",
      "2.00",
      "≤ 1.60",
      "missed by 25 %",
    ]);
    expect(cells[3]).toEqual(["--help", "100 ms (CPU 100 ms)", "–", "–", "≤ 200 ms", "met"]);
    expect(cells[4]?.slice(-2)).toEqual(["–", "–"]);
  });
});

describe("contents", () => {
  const POOL = 8 * 2 ** 20;

  it("are the same for the same seed, and others for another", () => {
    const bytes = (seed: number) => new Content(seed, 2 ** 20).bytes("code", 300_000, new Random(7));
    expect(bytes(1).equals(bytes(1))).toBe(true);
    expect(bytes(1).equals(bytes(2))).toBe(false);
  });

  it("are compressed as software is", () => {
    const content = new Content(1, POOL);
    const share = (kind: "text" | "code" | "noise") => {
      const input = content.bytes(kind, 4_000_000, new Random(3));
      return execFileSync("zstd", ["-3", "-c", "-q"], { input, maxBuffer: 1e8 }).length / input.length;
    };
    expect(share("text")).toBeGreaterThan(0.2);
    expect(share("text")).toBeLessThan(0.35);
    expect(share("code")).toBeGreaterThan(0.3);
    expect(share("code")).toBeLessThan(0.5);
    expect(share("noise")).toBeGreaterThan(0.7);
  });

  it("lie in few large paths and many small ones", () => {
    const sizes = spreadSizes(75, { median: 1000, spread: 1.1, max: 100_000 });
    expect(sizes[0]).toBe(100_000);
    expect(sizes[37]).toBe(1000);
    expect(sizes.at(-1)).toBeLessThan(10);
  });
});

describe("flakes", () => {
  it("are made the same again in the same folder", () => {
    const dir = tempDir();
    const make = () =>
      FLAKES.map((name) => {
        const place = join(dir, name);
        return [makeFlake(name, place, 0.02), digest(place)];
      });
    const first = make();
    for (const name of FLAKES) rmSync(join(dir, name), { recursive: true });
    expect(make()).toEqual(first);
  });
});

/** Of the revision and of what is fetched; git's index holds times. */
function digest(dir: string): string {
  const hasher = createHash("sha256").update(
    execFileSync("git", ["-C", `${dir}/flake`, "rev-parse", "HEAD"]),
  );
  for (const name of readdirSync(join(dir, "fetched")).sort()) {
    hasher.update(name).update(readFileSync(join(dir, "fetched", name)));
  }
  return hasher.digest("hex");
}

describe("paths on a command line", () => {
  it("are cut into as few pieces as fit", () => {
    expect(chunkArguments(["aa", "bb", "cc"], 6)).toEqual([["aa", "bb"], ["cc"]]);
    expect(chunkArguments([])).toEqual([]);
  });
});

describe("docs/performance.md", () => {
  const page = readFileSync(join(ROOT, "docs/performance.md"), "utf8");
  const reportOf = (...results: Result[]): Report => ({
    machine: { cpu: "a CPU", cores: 2, memoryGB: 4, kernel: "Linux", fileSystem: "ext4", load: 0 },
    node: "v20.0.0",
    nix: "nix (Nix) 2.8.0",
    program: "0.0.0",
    runs: 3,
    scale: 1,
    results,
  });
  const compared = peakResult("memory-huge-tar", "compared", [1e6], 200);
  const grown = peakResult("memory-paths", "grown", [1e6], 500);

  it("keeps what is written by hand", () => {
    const report = reportOf(compared, grown);
    const made = withReport(page, report);
    expect(made.split("a CPU, 2 cores").length).toBe(3);
    expect(withReport(made, report)).toBe(made);
    expect(made.split("<!--")[0]).toBe(page.split("<!--")[0]);
    expect(made.split("-->").at(-1)).toBe(page.split("-->").at(-1));
  });

  it("keeps what another run has made of what this one has not measured", () => {
    const made = withReport(withReport(page, reportOf(compared)), reportOf(grown));
    expect([made.match(/^\| compared /gm)?.length, made.match(/^\| grown /gm)?.length]).toEqual([1, 1]);
    expect(withReport(made, reportOf())).toBe(made);
  });
});

describe("npm run bench", () => {
  it("measures, and writes what it found as JSON", async () => {
    const json = join(tempDir(), "bench.json");
    const argv = [
      process.execPath,
      join(ROOT, "scripts/bench.mjs"),
      "--quick",
      "--only",
      "help",
      "--json",
      json,
    ];
    const { code, stdout, stderr } = await runProgram(argv);
    expect({ code, stderr }).toEqual({ code: 0, stderr: "bench: help\n" });
    expect(stdout).toMatch(/^\| --help +\|/m);
    const report = JSON.parse(readFileSync(json, "utf8")) as Report;
    expect(report.results.map(({ id }) => id)).toEqual(["help"]);
    expect(report.results[0]!.ours.median).toBeGreaterThan(0);
  });

  it("says what it takes", async () => {
    const { code, stderr } = await runProgram([
      process.execPath,
      join(ROOT, "scripts/bench.mjs"),
      "--only",
      "no",
    ]);
    expect({ code, usage: stderr.split(":")[0] }).toEqual({ code: 2, usage: "usage" });
  });
});
