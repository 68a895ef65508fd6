/**
 * The folder that a run works in, the flakes and bundles in it, and how our program and Nix are called there. Both see
 * the same store, settings and environment; every call of theirs has caches of its own.
 */
import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import type { BundleDocument } from "../../src/generated/types.js";
import { removeTree } from "../../src/host/files.js";
import { RELEASE } from "../support/cli.js";
import { nixEnvironment } from "../support/fixtures.js";
import { type FlakeName, makeFlake } from "./flakes.js";
import { type Command, runTimed } from "./timing.js";

export interface WorkbenchOptions {
  readonly dir: string;
  readonly scale: number;
  /** The Node.js that our program runs on. */
  readonly node: string;
  /** Of each comparison. */
  readonly runs: number;
  readonly say: (line: string) => void;
}

export interface Bundle {
  readonly flake: FlakeName;
  /** The flake's reference. */
  readonly ref: string;
  readonly directory: string;
  readonly tar: string;
  readonly document: BundleDocument;
  /** "303 paths, 1.4 GB of NARs". */
  readonly about: string;
}

/** Bytes of what is not needed any more, before it is removed. */
const MAX_DISCARDED = 16e9;

export class Workbench {
  readonly options: WorkbenchOptions;
  /** `name:base64`. */
  readonly publicKey: string;
  readonly #env: NodeJS.ProcessEnv;
  readonly #discarded: string[] = [];
  #discardedBytes = 0;
  readonly #bundles = new Map<FlakeName, Bundle>();

  private constructor(options: WorkbenchOptions, env: NodeJS.ProcessEnv, publicKey: string) {
    this.options = options;
    this.#env = env;
    this.publicKey = publicKey;
  }

  static async open(options: WorkbenchOptions): Promise<Workbench> {
    const { dir, node } = options;
    if (!existsSync(RELEASE)) throw new Error(`${RELEASE} is missing: run npm run release`);
    if (!/^[\w./+@,-]+$/.test(dir))
      throw new Error(`${dir}: letters, digits and ._+@,- only, for Nix's URLs`);
    mkdirSync(dir, { recursive: true });
    rmSync(join(dir, "scratch"), { recursive: true, force: true });
    const keys = join(dir, "keys");
    const TMPDIR = join(dir, "nix", "tmp");
    for (const folder of [join(dir, "nix", "home"), TMPDIR]) mkdirSync(folder, { recursive: true });
    const env = { ...nixEnvironment(join(dir, "nix")), LC_ALL: "C.UTF-8", TMPDIR };
    if (!existsSync(join(keys, "bench.pub"))) {
      await runTimed({ argv: [node, RELEASE, "keygen", "--name", "bench", "--out", keys], env });
    }
    return new Workbench(options, env, readFileSync(join(keys, "bench.pub"), "utf8").trim());
  }

  /** Our program; progress is not shown. */
  ours(...args: string[]): Command {
    return { argv: [this.options.node, RELEASE, ...args, "--quiet"], env: this.environment() };
  }

  /** Nix itself; it is as quiet. */
  nix(...args: string[]): Command {
    return { argv: ["nix", ...args, "--quiet"], env: this.environment() };
  }

  /** Nothing of evaluations and downloads before is known in it. */
  environment(): NodeJS.ProcessEnv {
    return { ...this.#env, XDG_CACHE_HOME: this.scratch("cache") };
  }

  /** A new path, not yet there; on the disk of the rest. */
  scratch(name: string): string {
    const folder = join(this.options.dir, "scratch");
    mkdirSync(folder, { recursive: true });
    return join(mkdtempSync(join(folder, `${name}-`)), name);
  }

  /** Packed before in this folder, or now. */
  async bundle(flake: FlakeName): Promise<Bundle> {
    const known = this.#bundles.get(flake);
    if (known !== undefined) return known;
    const { scale, say } = this.options;
    const dir = join(this.options.dir, flake);
    const ref = makeFlake(flake, dir, scale);
    const [directory, tar] = [join(dir, "bundle"), join(dir, "bundle.tar")];
    for (const out of [directory, tar]) {
      if (existsSync(out)) continue;
      say(`packing ${out}`);
      await runTimed(this.pack(flake, ref, out));
    }
    const text = readFileSync(join(directory, "bundle.json"), "utf8");
    const document = JSON.parse(text) as BundleDocument;
    const bundle = { flake, ref, directory, tar, document, about: aboutOf(document) };
    this.#bundles.set(flake, bundle);
    return bundle;
  }

  pack(flake: FlakeName, ref: string, out: string): Command {
    const key = join(this.options.dir, "keys", "bench.sec");
    const identity = ["--product", `bench-${flake}`, "--release", "1", "--tier", "source"];
    return this.ours("pack", ref, ...identity, "--key", key, "--out", out);
  }

  /**
   * A scratch path that is not needed any more, of so many bytes. It stays until there is much of them: for five minutes
   * after files were removed, ext4 makes new ones up to twenty times slower (fs/ext4/ialloc.c, `recently_deleted`).
   */
  async discard(path: string, bytes: number): Promise<void> {
    this.#discarded.push(path);
    this.#discardedBytes += bytes;
    if (this.#discardedBytes < MAX_DISCARDED) return;
    for (const old of this.#discarded.splice(0)) await removeTree(old);
    this.#discardedBytes = 0;
  }

  /** What runs left behind; the rest stays for the next one. */
  async cleanScratch(): Promise<void> {
    await removeTree(join(this.options.dir, "scratch"));
  }

  /** Takes out of the machine's store what was built there for the bench, as far as nothing else needs it. */
  removeFromStore(): void {
    const paths = [...this.#bundles.values()].flatMap(({ document }) =>
      document.paths.map(({ storePath }) => storePath),
    );
    if (paths.length === 0) return;
    // All at once: Nix deletes a path only together with what refers to it.
    const keep = ["keep-derivations", "keep-outputs"].flatMap((name) => ["--option", name, "false"]);
    try {
      execFileSync("nix-store", ["--delete", ...keep, ...paths], { env: this.#env, stdio: "ignore" });
    } catch {
      this.options.say("some of what was built stays in the store until Nix collects it");
    }
  }
}

function aboutOf({ totals }: BundleDocument): string {
  const bytes =
    totals.narBytes < 1e9
      ? `${Math.round(totals.narBytes / 1e6)} MB`
      : `${(totals.narBytes / 1e9).toFixed(1)} GB`;
  return `${totals.paths} paths, ${bytes}`;
}
