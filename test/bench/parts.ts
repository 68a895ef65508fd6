/** What is compared with what: each part gives the rows of one goal. */
import { readdirSync } from "node:fs";
import { basename, join } from "node:path";
import { chunkArguments } from "../../src/host/nix/invoke.js";
import { loadServer } from "../support/load.js";
import { startServe } from "../support/serve-process.js";
import type { FlakeName } from "./flakes.js";
import { type Goal, peakResult, type Result, timeResult } from "./result.js";
import { scale } from "./scale.js";
import { type Arm, runTimed, takeTurns } from "./timing.js";
import type { Bundle, Workbench } from "./workbench.js";

export type Part = (bench: Workbench) => Promise<Result[]>;

/**
 * In the order in which they run. How time and memory grow with the number of a document's paths is measured without
 * Nix, and joins them here.
 */
export const PARTS: Readonly<Record<string, Part>> = { verify, memory, pack, restore, serve, help, scale };

/** The small one first: it makes thousands of files, which the removal of others slows down. */
const CACHES = ["small", "large"] as const;
/** Of Nix's time, for every check that Nix does not make; of many small paths its own speed. */
const VERIFY_GOAL = { large: 1.9, small: 1 };
const TAR_GOAL = 1.05;
const PACK_GOAL = 1.15;
const RESTORE_GOAL = { directory: 1.5, tar: 1.6 };
/** Of documents with many paths; else whatever the size of a NAR. */
const MEMORY_GOAL_MB = { small: 500, large: 200, huge: 200 };
/** No more than verification takes, whatever so many clients fetch for so long. */
const SERVE_LOAD = { clients: 200, seconds: 30 };
const HELP_GOAL_SECONDS = 0.2;
/** Memory differs little from run to run. */
const MEMORY_RUNS = 3;

async function verify(bench: Workbench): Promise<Result[]> {
  const results: Result[] = [];
  for (const flake of CACHES) {
    const bundle = await bench.bundle(flake);
    const { directory, tar, nix } = await takeTurns(
      {
        directory: { commands: () => [verifyCommand(bench, bundle.directory)] },
        nix: {
          commands: () => [
            bench.nix("store", "verify", "--all", "--no-trust", "--store", `file://${bundle.directory}`),
          ],
        },
        tar: { commands: () => [verifyCommand(bench, bundle.tar)] },
      },
      bench.options.runs,
    );
    const ours = { label: "verify", samples: directory };
    results.push(
      timeResult(`verify-${flake}`, `verify, ${bundle.about}`, {
        ours,
        against: { label: "nix store verify", samples: nix },
        goal: ratioOf(VERIFY_GOAL[flake]),
      }),
      timeResult(`verify-${flake}-tar`, `verify a tar, ${bundle.about}`, {
        ours: { label: "verify", samples: tar },
        against: { ...ours, label: "directory" },
        goal: ratioOf(TAR_GOAL),
      }),
    );
  }
  return results;
}

async function memory(bench: Workbench): Promise<Result[]> {
  const results: Result[] = [];
  const measure = async (flake: FlakeName, form: "directory" | "tar") => {
    const bundle = await bench.bundle(flake);
    const peaks: number[] = [];
    for (let run = 0; run < Math.min(MEMORY_RUNS, bench.options.runs); run++) {
      const { peak } = await runTimed(verifyCommand(bench, bundle[form]), { watchMemory: true });
      peaks.push(peak!);
    }
    const what = `memory of verify, ${form}, ${bundle.about}`;
    results.push(peakResult(`memory-${flake}-${form}`, what, peaks, MEMORY_GOAL_MB[flake]));
  };
  for (const flake of CACHES) await measure(flake, "directory");
  for (const form of ["directory", "tar"] as const) await measure("huge", form);
  return results;
}

async function pack(bench: Workbench): Promise<Result[]> {
  const results: Result[] = [];
  for (const flake of CACHES) {
    const bundle = await bench.bundle(flake);
    const { ours, nix } = await takeTurns(
      {
        ours: intoNew(bench, bundle, (out) => [bench.pack(flake, bundle.ref, out)], packedAll(bundle)),
        nix: intoNew(bench, bundle, (out) => nixPack(bench, bundle, out), packedAll(bundle)),
      },
      bench.options.runs,
    );
    results.push(
      timeResult(`pack-${flake}`, `pack, ${bundle.about}`, {
        ours: { label: "pack", samples: ours },
        against: { label: "archive and copies", samples: nix },
        goal: ratioOf(PACK_GOAL),
      }),
    );
  }
  return results;
}

/** The fixed script: what a shell would do for the same paths in the same compression. */
function nixPack(bench: Workbench, { ref, document }: Bundle, out: string) {
  const to = ["--to", `file://${out}?compression=zstd&compression-level=3`];
  const { derivations, others } = storePathsOf(document);
  return [
    bench.nix("flake", "archive", ...to, ref),
    ...chunkArguments(others).map((paths) => bench.nix("copy", ...to, ...paths)),
    ...chunkArguments(derivations).map((paths) => bench.nix("copy", "--derivation", ...to, ...paths)),
  ];
}

async function restore(bench: Workbench): Promise<Result[]> {
  const results: Result[] = [];
  for (const flake of CACHES) {
    const bundle = await bench.bundle(flake);
    const restored = (from: string) =>
      intoNew(
        bench,
        bundle,
        (store) => [bench.ours("restore", from, "--public-key", bench.publicKey, "--store", store)],
        restoredAll(bundle),
      );
    const samples = await takeTurns(
      {
        directory: restored(bundle.directory),
        nix: intoNew(bench, bundle, (store) => nixRestore(bench, bundle, store), restoredAll(bundle)),
        tar: restored(bundle.tar),
      },
      bench.options.runs,
    );
    for (const form of ["directory", "tar"] as const) {
      results.push(
        timeResult(`restore-${flake}-${form}`, `restore from a ${form}, ${bundle.about}`, {
          ours: { label: "restore", samples: samples[form] },
          against: { label: "nix copy", samples: samples.nix },
          goal: ratioOf(RESTORE_GOAL[form]),
        }),
      );
    }
  }
  return results;
}

/** Signatures on: those of the pack key. Derivations in a call of their own, without which Nix 2.8 takes neither. */
function nixRestore(bench: Workbench, { directory, document }: Bundle, store: string) {
  const ends = ["--from", `file://${directory}`, "--to", store];
  const trust = ["--option", "trusted-public-keys", bench.publicKey];
  const { derivations, others } = storePathsOf(document);
  return [
    ...chunkArguments(others).map((paths) => bench.nix("copy", ...ends, ...trust, ...paths)),
    ...chunkArguments(derivations).map((paths) =>
      bench.nix("copy", "--derivation", ...ends, ...trust, ...paths),
    ),
  ];
}

/** Every answer is compared with its hash: one that is wrong, or does not come, ends the run. */
async function serve(bench: Workbench): Promise<Result[]> {
  const { clients } = SERVE_LOAD;
  const seconds = SERVE_LOAD.seconds * Math.min(1, bench.options.scale);
  const results: Result[] = [];
  for (const [flake, form] of [
    ["small", "directory"],
    ["large", "tar"],
  ] as const) {
    const bundle = await bench.bundle(flake);
    const accessLog = bench.scratch("access");
    const server = await startServe(
      [bundle[form], "--public-key", bench.publicKey, "--access-log", accessLog],
      {
        node: bench.options.node,
        env: bench.environment(),
      },
    );
    const wanted = bundle.document.paths.flatMap(({ blob, storePath }) => [
      { path: `/blobs/sha256/${blob}`, sha256: blob },
      { path: `/${basename(storePath).split("-")[0]}.narinfo`, sha256: null },
    ]);
    const load = await loadServer(server.url, wanted, { clients, seconds });
    const peak = server.peak() * 1024;
    const { json } = await server.stop();
    if (load.errors.length > 0 || json.answers.broken > 0) {
      throw new Error(`serve: ${json.answers.broken} broken answers; ${load.errors.slice(0, 5).join("; ")}`);
    }
    const rate = `${Math.round(load.requests / seconds)} requests/s, ${Math.round(load.bytes / seconds / 1e6)} MB/s`;
    bench.options.say(`serve, ${form}, ${bundle.about}: ${rate}`);
    const what = `memory of serve, ${clients} clients for ${seconds} s, ${form}, ${bundle.about}`;
    results.push(peakResult(`serve-${flake}-${form}`, what, [peak], MEMORY_GOAL_MB[flake]));
  }
  return results;
}

async function help(bench: Workbench): Promise<Result[]> {
  const { ours, empty } = await takeTurns(
    {
      ours: { commands: () => [bench.ours("--help")] },
      empty: { commands: () => [{ argv: [bench.options.node, "-e", "0"], env: bench.environment() }] },
    },
    2 * bench.options.runs,
  );
  return [
    timeResult("help", "--help", {
      ours: { label: "--help", samples: ours },
      against: { label: "empty script", samples: empty },
      goal: { of: "ours", limit: HELP_GOAL_SECONDS },
    }),
  ];
}

function verifyCommand(bench: Workbench, bundle: string) {
  return bench.ours("verify", bundle, "--public-key", bench.publicKey);
}

/** Each run writes to a new place. */
function intoNew(
  bench: Workbench,
  { document: { totals } }: Bundle,
  commands: (place: string) => ReturnType<Arm["commands"]>,
  check: (place: string) => void,
): Arm {
  let place = "";
  return {
    before() {
      place = bench.scratch("new");
    },
    commands: () => commands(place),
    check: () => check(place),
    after: () => bench.discard(join(place, ".."), totals.narBytes),
  };
}

/** Both sides did the same work: every path of the document is in the cache. */
function packedAll({ document }: Bundle): (cache: string) => void {
  return requireAll(
    document.paths.map(({ storePath }) => `${basename(storePath).split("-")[0]}.narinfo`),
    "",
  );
}

function restoredAll({ document }: Bundle): (store: string) => void {
  return requireAll(
    document.paths.map(({ storePath }) => basename(storePath)),
    "nix/store",
  );
}

function requireAll(names: readonly string[], folder: string): (place: string) => void {
  return (place) => {
    const present = new Set(readdirSync(join(place, folder)));
    const missing = names.filter((name) => !present.has(name));
    if (missing.length > 0) throw new Error(`${place}: ${missing.length} paths are missing: ${missing[0]} …`);
  };
}

function storePathsOf({ paths }: Bundle["document"]) {
  const all = paths.map(({ storePath }) => storePath);
  return {
    derivations: all.filter((path) => path.endsWith(".drv")),
    others: all.filter((path) => !path.endsWith(".drv")),
  };
}

function ratioOf(limit: number): Goal {
  return { of: "ratio", limit };
}
