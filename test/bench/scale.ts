/**
 * What each command takes as bundles grow, up to the size of nixpkgs: 20,000 paths made by hand, NARs of zeros that sum to
 * 100 GB, and a flake that evaluates like nixpkgs.
 */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { formatPublicKey } from "../../src/nix/signature.js";
import type { CliOptions } from "../support/cli.js";
import { type Measured, measuredCli } from "../support/measure.js";
import { makeNixpkgs, scaledNixpkgs } from "../support/scale/nixpkgs.js";
import { CAN_HAVE_PRIVATE_NIX, PrivateNix } from "../support/scale/private-nix.js";
import { makeSparseFlake, makeSparseRelease } from "../support/scale/sparse.js";
import { makeSyntheticRelease } from "../support/scale/synthetic.js";
import { packerKey, writeRelease } from "../support/write-release.js";
import type { Axis, Curve, Point } from "./curve.js";
import { curveResult, peakResult, type Result, sizeOf } from "./result.js";
import { figure } from "./table.js";
import { median } from "./timing.js";
import type { Workbench } from "./workbench.js";

const SHARES = [1 / 8, 1 / 4, 1 / 2, 1];
const PATHS = 20_000;
const BYTES = 100e9;
/** Of the flake, which Nix compresses: 1 GB takes two seconds. */
const PACKED_BYTES = 20e9;
/** For a document of `PATHS`. */
const MEMORY_GOAL_MB = 500;
const YES = 0;
/** A disk without room for it: refused before anything is written. */
const NO_SPACE = 22;

/** What takes longer runs once. */
const LONG_SECONDS = 10;
const MAX_RUNS = 3;

const TRUST = ["--public-key", formatPublicKey(packerKey.publicKey)];

export async function scale(bench: Workbench): Promise<Result[]> {
  const curves = new Curves(bench);
  if (!CAN_HAVE_PRIVATE_NIX)
    bench.options.say("pack is left out: it takes root, and a Nix that is not in /nix");
  for (const share of SHARES) {
    const at = share * bench.options.scale;
    await byPaths(bench, curves, Math.round(at * PATHS));
    await byBytes(bench, curves, Math.round(at * BYTES));
    if (CAN_HAVE_PRIVATE_NIX) {
      await bySparseFlake(curves, Math.round(at * PACKED_BYTES));
      await byFlake(curves, at);
    }
  }
  const { x, peakMB } = curves.of("verify, directory", "paths").points.at(-1)!;
  const what = `memory of verify, ${sizeOf(x, "paths")}`;
  return [peakResult("memory-paths", what, [peakMB * 1e6], MEMORY_GOAL_MB), ...curves.all.map(curveResult)];
}

interface Measuring {
  readonly axis: Axis;
  readonly x: number;
  /** Default: 0 only. */
  readonly exits?: readonly number[];
  readonly options?: CliOptions;
}

class Curves {
  readonly #bench: Workbench;
  readonly #points = new Map<
    string,
    { readonly name: string; readonly axis: Axis; readonly points: Point[] }
  >();

  constructor(bench: Workbench) {
    this.#bench = bench;
  }

  get all(): Curve[] {
    return [...this.#points.values()];
  }

  of(name: string, axis: Axis): Curve {
    return this.#points.get(`${axis} ${name}`)!;
  }

  /** `args`: of each run. @throws Error of an exit that is none of `exits` */
  async measure(
    name: string,
    args: () => readonly string[],
    { axis, x, exits, options }: Measuring,
  ): Promise<void> {
    const { runs, node, say } = this.#bench.options;
    const all: Measured[] = [];
    do all.push(await run(args(), { ...options, node }, exits));
    while (all.length < Math.min(runs, MAX_RUNS) && all[0]!.seconds < LONG_SECONDS);
    const seconds = median(all.map((each) => each.seconds));
    const peakMB = (Math.max(...all.map(({ ownPeak }) => ownPeak)) * 1024 ** 2) / 1e6;
    const refused = all[0]!.code === NO_SPACE ? ", which the disk has no room for" : "";
    say(`${name}, ${sizeOf(x, axis)}${refused}: ${figure(seconds, "s")}, ${figure(peakMB, "MB")}`);
    const key = `${axis} ${name}`;
    const curve = this.#points.get(key) ?? { name, axis, points: [] };
    curve.points.push({ x, seconds, peakMB });
    this.#points.set(key, curve);
  }
}

async function byPaths(bench: Workbench, curves: Curves, x: number): Promise<void> {
  const directory = bench.scratch("synthetic");
  const tar = await writeRelease(directory, makeSyntheticRelease(x), { form: "tar" });
  const about = { axis: "paths", x } as const;
  const newStore = () => ["--store", bench.scratch("store")];
  for (const [form, bundle] of [
    ["directory", directory],
    ["tar", tar],
  ] as const) {
    await curves.measure(`verify, ${form}`, () => ["verify", bundle, ...TRUST], about);
    await curves.measure(`restore, ${form}`, () => ["restore", bundle, ...TRUST, ...newStore()], about);
  }
  const dryRun = () => ["restore", tar, ...TRUST, ...newStore(), "--dry-run"];
  await curves.measure("restore --dry-run", dryRun, about);
  await curves.measure("rebuild --dry-run", () => ["rebuild", tar, ...TRUST, "--dry-run"], about);
  await curves.measure("inspect", () => ["inspect", tar], about);
  await bench.discard(join(directory, ".."), 0);
}

async function byBytes(bench: Workbench, curves: Curves, x: number): Promise<void> {
  const directory = bench.scratch("sparse");
  await writeRelease(directory, makeSparseRelease(x));
  const about = { axis: "bytes", x } as const;
  await curves.measure("verify", () => ["verify", directory, ...TRUST], about);
  const dryRun = () => ["restore", directory, ...TRUST, "--store", bench.scratch("store"), "--dry-run"];
  await curves.measure("restore --dry-run", dryRun, { ...about, exits: [YES, NO_SPACE] });
  await curves.measure("inspect", () => ["inspect", directory], about);
  await bench.discard(join(directory, ".."), 0);
}

async function bySparseFlake(curves: Curves, x: number): Promise<void> {
  const machine = new PrivateNix();
  try {
    const ref = makeSparseFlake(machine.path("flake"), x);
    await packIn(machine, { curves, name: "pack", ref, tier: "build", about: { axis: "bytes", x } });
  } finally {
    machine.remove();
  }
}

async function byFlake(curves: Curves, share: number): Promise<void> {
  const machine = new PrivateNix();
  try {
    mkdirSync(machine.path("flake"));
    const { ref, paths: x } = makeNixpkgs(machine.path("flake"), scaledNixpkgs(share));
    const about = { axis: "paths", x } as const;
    await packIn(machine, { curves, name: "pack, like nixpkgs", ref, tier: "source", about });
  } finally {
    machine.remove();
  }
}

interface Packing {
  readonly curves: Curves;
  readonly name: string;
  readonly ref: string;
  readonly tier: "build" | "source";
  readonly about: Measuring;
}

async function packIn(machine: PrivateNix, { curves, name, ref, tier, about }: Packing): Promise<void> {
  const pack = ["pack", ref, "--product", "scale", "--release", "1", "--tier", tier];
  const { options } = machine;
  // What is built first is Nix's time, not ours.
  await run([...pack, "--dry-run"], options);
  let packed = 0;
  const dryRun = () => [...pack, "--dry-run"];
  await curves.measure(name.replace("pack", "pack --dry-run"), dryRun, { ...about, options });
  await curves.measure(name, () => [...pack, "--out", machine.path(`${packed++}.tar`)], {
    ...about,
    options,
  });
}

/** @throws Error of an exit that is none of `exits` */
async function run(
  args: readonly string[],
  options: CliOptions,
  exits: readonly number[] = [YES],
): Promise<Measured> {
  const measured = await measuredCli([...args, "--quiet"], options);
  const { code, stderr } = measured;
  if (!exits.includes(code ?? -1)) throw new Error(`${args.join(" ")}: exit ${code}\n${stderr.slice(-4000)}`);
  return measured;
}
