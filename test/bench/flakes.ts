/**
 * The flakes that are packed, restored and compared, each a git repository with what it fetches beside it. The same
 * folder and scale give the same revisions and bytes every time; a folder that is complete is left as it is.
 */
import { copyFileSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { commitAll } from "../support/git.js";
import { Random } from "../support/random.js";
import { Content } from "./content.js";
import { spreadSizes, treeOf, writeNarFile, writePlainFile } from "./sources.js";

export const FLAKES = ["large", "small", "huge"] as const;
export type FlakeName = (typeof FLAKES)[number];

const ROOT = resolve(import.meta.dirname, "../..");
/** Of what is generated: another number makes what lies in a kept folder anew. */
const REVISION = 1;
const SEED = 20_240_301;

/** `scale`: 1, or the part of it that is wanted. Returns the flake's reference. */
export function makeFlake(name: FlakeName, dir: string, scale: number): string {
  const flake = join(dir, "flake");
  const recipe = JSON.stringify({ revision: REVISION, scale });
  const seal = join(dir, "complete.json");
  const url = `git+file://${flake}`;
  if (existsSync(seal) && readFileSync(seal, "utf8") === recipe) return url;
  // What was packed of another flake goes as well.
  rmSync(dir, { recursive: true, force: true });
  for (const folder of [flake, join(dir, "fetched")]) mkdirSync(folder, { recursive: true });
  const parts = MAKERS[name]({ flake, fetched: join(dir, "fetched"), scale, content: contentOf() });
  writeFileSync(join(flake, "parts.json"), `${JSON.stringify(parts, null, 1)}\n`);
  copyFileSync(join(ROOT, "test/bench", `${name}.nix`), join(flake, "flake.nix"));
  commitAll(flake, "Make the benchmark's flake");
  writeFileSync(seal, recipe);
  return url;
}

interface Place {
  readonly flake: string;
  readonly fetched: string;
  readonly scale: number;
  readonly content: Content;
}

const MAKERS: Readonly<Record<FlakeName, (place: Place) => unknown>> = { large, small, huge };

const MB = 1_000_000;
/** With derivation, source, and the source's derivation each is four paths. */
const LARGE_PACKAGES = 75;
const LARGE_SIZES = { median: 1.7 * MB, spread: 1.1, max: 148 * MB };

function large({ fetched, scale, content }: Place) {
  const random = new Random(SEED);
  return spreadSizes(scaled(LARGE_PACKAGES, scale), LARGE_SIZES).map((size, i) => {
    const name = `part-${i}`;
    const file = join(fetched, `${name}.nar`);
    const narHash = writeNarFile(file, treeOf(i, size, random), content, random);
    return { name, url: `file://${file}`, narHash, dependencies: some(random, i) };
  });
}

/** Together about 5,000 paths, derivations among them. */
const SMALL = { texts: 945, fetched: 700, packages: 1300, group: 50 };
const SMALL_SIZES = { median: 1500, spread: 0.5, max: 20_000 };

function small({ flake, fetched, scale, content }: Place) {
  const random = new Random(SEED + 1);
  const counts = { texts: scaled(SMALL.texts, scale), fetched: scaled(SMALL.fetched, scale) };
  const packages = scaled(SMALL.packages, scale);
  const write = (file: string, size: number) => writePlainFile(file, "text", size, { content, random });
  mkdirSync(join(flake, "texts"));
  return {
    texts: spreadSizes(counts.texts, SMALL_SIZES).map((size, i) => {
      const name = `text-${i}`;
      write(join(flake, "texts", name), size);
      return { name, place: i % 2 === 0 ? "store" : "tree" };
    }),
    fetched: spreadSizes(counts.fetched, SMALL_SIZES).map((size, i) => {
      const name = `fetched-${i}`;
      const file = join(fetched, name);
      return { name, sha256: write(file, size), url: `file://${file}` };
    }),
    packages: Array.from({ length: packages }, (_, i) => ({
      name: `package-${i}`,
      texts: [i % counts.texts],
      fetched: [i % counts.fetched],
      dependencies: some(random, i),
    })),
    groups: Array.from({ length: Math.ceil(packages / SMALL.group) }, (_, i) => {
      const from = i * SMALL.group;
      const length = Math.min(SMALL.group, packages - from);
      return { name: `group-${i}`, packages: Array.from({ length }, (_, n) => from + n) };
    }),
  };
}

const HUGE_PIECE = 32 * MB;
const HUGE_TIMES = 64;

/** The piece is larger than zstd's window: that it returns does not help to compress it. */
function huge({ fetched, scale, content }: Place) {
  const [file, random] = [join(fetched, "piece"), new Random(SEED + 2)];
  const sha256 = writePlainFile(file, "code", HUGE_PIECE, { content, random });
  return { name: "piece", url: `file://${file}`, sha256, times: scaled(HUGE_TIMES, scale) };
}

function scaled(count: number, scale: number): number {
  return Math.max(1, Math.round(count * scale));
}

/** Up to three of those before `index`, most often near ones. */
function some(random: Random, index: number): number[] {
  if (index === 0) return [];
  const chosen = Array.from({ length: random.below(4) }, () => {
    const back = 1 + random.below(random.below(index) + 1);
    return index - back;
  });
  return [...new Set(chosen)].sort((a, b) => a - b);
}

let made: Content | undefined;

function contentOf(): Content {
  made ??= new Content(SEED);
  return made;
}
