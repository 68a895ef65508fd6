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
import { curveResult, peakResult, type Result } from "./result.js";
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

const TRUST = ["--public-key", formatPublicKey(packerKey.publicKey)];

export async function scale(bench: Workbench): Promise<Result[]> {
  const curves = new Curves();
  const { seconds: start } = await measuredCli(["--help"]);
  for (const share of SHARES) {
    bench.options.say(`scale ${share}`);
    const at = share * bench.options.scale;
    await byPaths(bench, curves, Math.round(at * PATHS));
    await byBytes(bench, curves, Math.round(at * BYTES));
    if (CAN_HAVE_PRIVATE_NIX) await byFlake(curves, at);
  }
  const most = curves.of("verify, directory", "paths").points.at(-1)!;
  return [
    peakResult("memory-paths", `memory of verify, ${most.x} paths`, [most.peakMB * 1e6], MEMORY_GOAL_MB),
    ...curves.all.map((curve) => curveResult(curve, start)),
  ];
}

class Curves {
  readonly #points = new Map<
    string,
    { readonly name: string; readonly axis: Axis; readonly points: Point[] }
  >();

  get all(): Curve[] {
    return [...this.#points.values()];
  }

  of(name: string, axis: Axis): Curve {
    return this.#points.get(`${axis} ${name}`)!;
  }

  /** @throws Error of an exit that is none of `exits` */
  async measure(
    name: string,
    args: readonly string[],
    about: {
      readonly axis: Axis;
      readonly x: number;
      readonly exits?: readonly number[];
      readonly options?: CliOptions;
    },
  ): Promise<void> {
    const { axis, x, exits, options = {} } = about;
    const { seconds, ownPeak } = await run(args, options, exits);
    const key = `${axis} ${name}`;
    const curve = this.#points.get(key) ?? { name, axis, points: [] };
    curve.points.push({ x, seconds, peakMB: (ownPeak * 1024 ** 2) / 1e6 });
    this.#points.set(key, curve);
  }
}

async function byPaths(bench: Workbench, curves: Curves, x: number): Promise<void> {
  const directory = bench.scratch("synthetic");
  const tar = await writeRelease(directory, makeSyntheticRelease(x), { form: "tar" });
  const about = { axis: "paths", x } as const;
  for (const [form, bundle] of [
    ["directory", directory],
    ["tar", tar],
  ] as const) {
    const store = bench.scratch("store");
    await curves.measure(`verify, ${form}`, ["verify", bundle, ...TRUST], about);
    await curves.measure(`restore, ${form}`, ["restore", bundle, ...TRUST, "--store", store], about);
    await bench.discard(join(store, ".."), 0);
  }
  const store = bench.scratch("store");
  await curves.measure("restore --dry-run", ["restore", tar, ...TRUST, "--store", store, "--dry-run"], about);
  await curves.measure("rebuild --dry-run", ["rebuild", tar, ...TRUST, "--dry-run"], about);
  await curves.measure("inspect", ["inspect", tar], about);
  await bench.discard(join(directory, ".."), 0);
}

async function byBytes(bench: Workbench, curves: Curves, x: number): Promise<void> {
  const directory = bench.scratch("sparse");
  await writeRelease(directory, makeSparseRelease(x));
  const about = { axis: "bytes", x } as const;
  const store = bench.scratch("store");
  await curves.measure("verify", ["verify", directory, ...TRUST], about);
  await curves.measure("restore --dry-run", ["restore", directory, ...TRUST, "--store", store, "--dry-run"], {
    ...about,
    exits: [YES, NO_SPACE],
  });
  await curves.measure("inspect", ["inspect", directory], about);
  await bench.discard(join(directory, ".."), 0);
  if (!CAN_HAVE_PRIVATE_NIX) return;
  const machine = new PrivateNix();
  try {
    const bytes = Math.round((x / BYTES) * PACKED_BYTES);
    const ref = makeSparseFlake(machine.path("flake"), bytes);
    const pack = ["pack", ref, "--product", "sparse", "--release", "1", "--tier", "build"];
    const { options } = machine;
    // What is built first is Nix's time, not ours.
    await run([...pack, "--dry-run"], options);
    await curves.measure("pack", [...pack, "--out", machine.path("sparse.tar")], {
      axis: "bytes",
      x: bytes,
      options,
    });
  } finally {
    machine.remove();
  }
}

async function byFlake(curves: Curves, share: number): Promise<void> {
  const machine = new PrivateNix();
  try {
    mkdirSync(machine.path("flake"));
    const { ref, paths } = makeNixpkgs(machine.path("flake"), scaledNixpkgs(share));
    const pack = ["pack", ref, "--product", "stock", "--release", "1", "--tier", "source"];
    const about = { axis: "paths", x: paths, options: machine.options } as const;
    await run([...pack, "--dry-run"], machine.options);
    await curves.measure("pack --dry-run, like nixpkgs", [...pack, "--dry-run"], about);
    await curves.measure("pack, like nixpkgs", [...pack, "--out", machine.path("stock.tar")], about);
  } finally {
    machine.remove();
  }
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
