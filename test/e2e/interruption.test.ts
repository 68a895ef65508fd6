/**
 * pack, restore, rebuild and sign, ended without warning at any point: nothing that is half looks whole, what was there
 * before holds, and the next run completes. KILLS says how often (20 by default), SEED repeats a sequence, PRODUCT names
 * an output of the product to take in place of two small ones.
 */

import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { basename, dirname, join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type {
  ErrorReport,
  PackReport,
  RebuildReport,
  RestoreReceipt,
  VerifyReport,
} from "../../src/generated/types.js";
import { type CliOptions, cli, cliJson } from "../support/cli.js";
import { nixEnvironment } from "../support/fixtures.js";
import { type Interrupted, type Point, randomFrom, runUntil } from "../support/interrupted.js";
import { documentOf, LEND, Packed } from "../support/packed.js";
import { SIGN_WORDS } from "../support/trust.js";

const KILLS = Number(process.env["KILLS"] ?? 20);
const SEED = Number(process.env["SEED"] ?? Date.now() % 1e6);

type Form = "directory" | "tar";

/** A place of its own for one run and those that follow it. */
interface Place {
  readonly dir: string;
  readonly args: readonly string[];
  readonly options: CliOptions;
}

interface Operation {
  readonly name: string;
  /** Points that are tried first, one after the other; then random times. */
  readonly points: (place: Place) => Point[];
  readonly prepare: () => Place;
  /** After a kill: what must hold. */
  readonly interrupted: (place: Place, run: Interrupted) => Promise<void>;
  /** The next run, which was not stopped. */
  readonly complete: (place: Place) => Promise<void>;
}

let packed: Packed;
let installables: string[];
let packer: NodeJS.ProcessEnv;
const bundles: Record<Form, string> = { directory: "", tar: "" };
let places = 0;

beforeAll(async () => {
  packed = await Packed.make();
  installables = ["primer", "purger"].map((attr) => `${packed.fixtures.flakes["no-default"]}#${attr}`);
  if (process.env["PRODUCT"])
    installables = [`${packed.fixtures.flakes["acme-pump"]}#${process.env["PRODUCT"]}`];
  packer = nixEnvironment(packed.path("packer"));
  for (const form of ["directory", "tar"] as const) {
    bundles[form] = await packed.pack(`bundle${suffix(form)}`, installables, "--tier", "source");
  }
  expect((await cli(["keygen", "--name", "qa-1", "--out", packed.dir])).code).toBe(0);
});
afterAll(() => packed.remove());

const suffix = (form: Form) => (form === "tar" ? ".tar" : "");

function makePlace(args: (dir: string) => readonly string[], options: CliOptions): Place {
  const dir = packed.path(`place-${places++}`);
  mkdirSync(join(dir, "tmp"), { recursive: true });
  return { dir, args: args(dir), options: { ...options, env: { ...options.env, TMPDIR: join(dir, "tmp") } } };
}

const onSite = (): CliOptions => ({ wrap: packed.site, env: packed.siteEnv });
const line = (text: string): Point => ({ at: "line", text, ms: 0 });
const sight = (what: string, seen: () => boolean): Point => ({ at: "sight", what, seen });

async function verify(bundle: string, ...keys: string[]): Promise<{ code: number | null; codes: string[] }> {
  const args = (keys.length > 0 ? keys : [packed.publicKey]).flatMap((key) => ["--public-key", key]);
  const { code, stdout } = await cli(["verify", bundle, ...args, "--json"]);
  const { findings = [] } = JSON.parse(stdout) as Partial<VerifyReport>;
  return { code, codes: findings.map((finding) => finding.code) };
}

/** By name in the bundle. */
function hashes(bundle: string): Record<string, string> {
  const hash = (file: string) => createHash("sha256").update(readFileSync(file)).digest("hex");
  if (statSync(bundle).isFile()) return { "": hash(bundle) };
  const files = readdirSync(bundle, { recursive: true, encoding: "utf8" }).sort();
  return Object.fromEntries(
    files
      .filter((name) => statSync(join(bundle, name)).isFile())
      .map((name) => [name, hash(join(bundle, name))]),
  );
}

function pack(form: Form): Operation {
  const out = ({ dir }: Place) => join(dir, "out", `bundle${suffix(form)}`);
  const stage = (place: Place) => join(dirname(out(place)), `.${basename(out(place))}.partial`);
  return {
    name: `pack to a ${form}`,
    points: (place) => [
      ...[
        "evaluate as a site will ...",
        "compress ...",
        "compress: done",
        "write ...",
        "write: done",
        "verify: done",
      ].map(line),
      sight("a blob that was taken over", () => {
        const blobs = join(stage(place), "bundle/blobs/sha256");
        return existsSync(blobs) && readdirSync(blobs).length > 0;
      }),
      sight("the final name", () => existsSync(out(place))),
    ],
    prepare: () =>
      makePlace(
        (dir) => [
          "pack",
          ...installables,
          "--key",
          packed.path("packer-1.sec"),
          "--tier",
          "source",
          "--out",
          join(dir, "out", `bundle${suffix(form)}`),
        ],
        { env: packer },
      ),
    async interrupted(place) {
      if (existsSync(out(place))) expect(await verify(out(place))).toEqual({ code: 0, codes: [] });
      for (const partial of [join(stage(place), "bundle"), join(stage(place), "bundle.tar")]) {
        if (!existsSync(partial)) continue;
        const { code } = await verify(partial);
        if (code === 0) expect(hashes(partial)).toEqual(hashes(bundles[form]));
        else expect([2, 10, 12, 13]).toContain(code);
      }
    },
    async complete(place) {
      const wasThere = existsSync(out(place));
      const { code, stderr } = await cli(place.args, place.options);
      expect([code, wasThere], stderr).toEqual([wasThere ? 2 : 0, wasThere]);
      expect(await verify(out(place))).toEqual({ code: 0, codes: [] });
      expect(hashes(out(place))).toEqual(hashes(bundles[form]));
      expect(readdirSync(dirname(out(place)))).toEqual([basename(out(place))]);
    },
  };
}

function restore(form: Form): Operation {
  const store = ({ dir }: Place) => join(dir, "store");
  const receipt = ({ dir }: Place) => join(dir, "receipts", "receipt.json");
  const paths = () => documentOf(bundles[form]).paths.map(({ storePath }) => storePath);
  return {
    name: `restore from a ${form}`,
    points: (place) => [
      ...["blobs: done", "import ...", "import: done"].map(line),
      sight(
        "a path in the store",
        () =>
          existsSync(join(store(place), "nix/store")) &&
          readdirSync(join(store(place), "nix/store")).length > 1,
      ),
      sight("the receipt", () => existsSync(receipt(place))),
    ],
    prepare: () =>
      makePlace((dir) => {
        mkdirSync(join(dir, "receipts"));
        return [
          "restore",
          bundles[form],
          "--public-key",
          packed.publicKey,
          "--store",
          join(dir, "store"),
          "--receipt",
          join(dir, "receipts/receipt.json"),
          "--out-link",
          join(dir, "links"),
        ];
      }, onSite()),
    async interrupted(place) {
      if (!existsSync(receipt(place))) return;
      const { verdict } = JSON.parse(readFileSync(receipt(place), "utf8")) as RestoreReceipt;
      expect(verdict).toBe("complete");
      expect(await packed.valid(store(place))).toEqual(paths());
    },
    async complete(place) {
      const { code, json, stderr } = await cliJson<RestoreReceipt>(place.args, place.options);
      expect(
        [code, json.verdict, json.paths?.checked],
        `${JSON.stringify(json.findings)}\n${stderr}`,
      ).toEqual([0, "complete", paths().length]);
      expect(JSON.parse(readFileSync(receipt(place), "utf8"))).toEqual(json);
      expect(await packed.valid(store(place))).toEqual(paths());
      const state = join(store(place), "nix/var/nix");
      expect(readdirSync(join(state, "gcroots/nix-airgap"))).toEqual([basename(json.gcRoots!)]);
      expect(readdirSync(join(state, "nix-airgap"))).toEqual(["current", "releases"]);
      expect(readdirSync(dirname(receipt(place)))).toEqual(["receipt.json"]);
      expect(readdirSync(join(place.dir, "links")).filter((name) => name.startsWith("."))).toEqual([]);
    },
  };
}

function rebuild(): Operation {
  const scratch = ({ dir }: Place) => join(dir, "scratch");
  return {
    name: "rebuild in a scratch store",
    points: () =>
      ["blobs: done", "import ...", "import: done", "build ...", "build: done", "compare: done"].map(line),
    prepare: () =>
      makePlace(
        (dir) => [
          "rebuild",
          bundles.tar,
          "--public-key",
          packed.publicKey,
          "--scratch",
          join(dir, "scratch"),
          ...LEND,
        ],
        onSite(),
      ),
    async interrupted(_place, { stdout, phase }) {
      // After the last phase the verdict is known, and may have been said.
      if (phase !== "compare: done") expect(stdout).not.toMatch(/IDENTICAL/);
    },
    async complete(place) {
      const { code, json, stderr } = await cliJson<RebuildReport>(place.args, place.options);
      expect([code, json.verdict], `${JSON.stringify(json.findings)}\n${stderr}`).toEqual([0, "identical"]);
      expect(json.counts?.identical).toBe(json.counts?.toBuild);
      expect(readdirSync(scratch(place)).sort()).toEqual(["nix", "nix-airgap-rebuild"]);
    },
  };
}

function sign(form: Form): Operation {
  const bundle = ({ dir }: Place) => join(dir, "out", `bundle${suffix(form)}`);
  const beside = (place: Place) => readdirSync(dirname(bundle(place)));
  const sees = (what: string, name: RegExp) => (place: Place) =>
    sight(what, () => beside(place).some((entry) => name.test(entry)));
  const sights =
    form === "tar"
      ? [
          sees("the lock", /\.lock$/),
          sees("the tail being written", /\.tail\.partial$/),
          sees("the tail", /\.tail$/),
        ]
      : [sees("the lock", /\.lock$/), sees("the staging folder", /\.sign/)];
  return {
    name: `sign a ${form}`,
    points: (place) => [
      line("derived files ..."),
      line("derived files: done"),
      ...sights.map((point) => point(place)),
    ],
    prepare: () => {
      const place = makePlace(
        (dir) => [
          "sign",
          ...SIGN_WORDS,
          join(dir, "out", `bundle${suffix(form)}`),
          "--key",
          packed.path("qa-1.sec"),
        ],
        { env: packer },
      );
      mkdirSync(join(place.dir, "out"));
      execFileSync("cp", ["-R", bundles[form], bundle(place)]);
      return place;
    },
    async interrupted(place) {
      const { code, codes } = await verify(bundle(place));
      if (code === 0) return;
      // Half a signature is seen as such: by the end of a tar, by the index of a directory.
      expect(["TAR_TRUNCATED", "TAR_END", "INDEX_MANIFEST", "FILE_UNLISTED", "DERIVED_MISSING"]).toContain(
        codes[0],
      );
      expect([10, 11, 12, 13]).toContain(code);
    },
    async complete(place) {
      const { code, stderr } = await cli(place.args, place.options);
      expect(code, stderr).toBe(0);
      const qa = readFileSync(packed.path("qa-1.pub"), "utf8").trim();
      expect(await verify(bundle(place))).toEqual({ code: 0, codes: [] });
      expect(await verify(bundle(place), qa)).toEqual({ code: 0, codes: [] });
      expect(beside(place)).toEqual([basename(bundle(place))]);
    },
  };
}

const OPERATIONS: readonly [operation: Operation, share: number][] = [
  [pack("tar"), 4],
  [pack("directory"), 3],
  [restore("tar"), 3],
  [restore("directory"), 3],
  [rebuild(), 3],
  [sign("tar"), 2],
  [sign("directory"), 2],
];

describe(`killed without warning (SEED=${SEED})`, () => {
  it.each(OPERATIONS)(
    "$name",
    async (operation, share) => {
      const random = randomFrom(SEED + operation.name.length);
      const wanted = Math.max(1, Math.round((KILLS * share) / 20));
      const whole = operation.prepare();
      const startedAt = Date.now();
      expect((await cli(whole.args, whole.options)).code).toBe(0);
      const duration = Date.now() - startedAt;
      const met = new Map<string, number>();
      let [kills, longest] = [0, 0];
      // A run that ended before its point, or never came by it, is tried again at another.
      for (let attempt = 0; kills < wanted && attempt < 3 * wanted; attempt++) {
        const place = operation.prepare();
        const point = choosePoint(operation.points(place), { attempt, duration, random });
        const orphans = random() < 0.5;
        const run = await runUntil(place.args, point, { ...place.options, orphans });
        if (!run.killed) continue;
        kills += 1;
        met.set(run.phase, (met.get(run.phase) ?? 0) + 1);
        try {
          await operation.interrupted(place, run);
          const again = Date.now();
          await operation.complete(place);
          longest = Math.max(longest, Date.now() - again);
          // But what Nix keeps there by itself, and leaves where it is killed.
          const left = readdirSync(join(place.dir, "tmp")).filter(
            (name) => !/^nix(-\d+-\d+|\.\w+)$/.test(name),
          );
          expect(left).toEqual([]);
        } catch (cause) {
          const label = `${describePoint(point)}${orphans ? ", Nix went on" : ""}, in the phase "${run.phase}"`;
          throw new Error(`killed at ${label}`, { cause });
        }
      }
      const phases = [...met].map(([phase, count]) => `${phase} ${count}`).join(", ");
      console.info(
        `${operation.name}: ${kills} kills over ${duration} ms, next run at most ${longest} ms: ${phases}`,
      );
      expect(kills).toBe(wanted);
    },
    120_000 + KILLS * 5_000,
  );
});

/** Every second one is one of the named points, in turn from anywhere among them; the others are times. */
function choosePoint(
  points: readonly Point[],
  { attempt, duration, random }: { attempt: number; duration: number; random: () => number },
): Point {
  if (attempt % 2 === 1) return { at: "time", ms: Math.round(random() * duration) };
  return points[(SEED + attempt / 2) % points.length]!;
}

describe("what a killed pack left", () => {
  /** `text`: the line after which it was killed. */
  async function killedAfter(text: string): Promise<{ place: Place; out: string; stage: string }> {
    const operation = pack("directory");
    const place = operation.prepare();
    const point = { at: "line", text, ms: 0 } as const;
    expect((await runUntil(place.args, point, { ...place.options, orphans: false })).killed).toBe(true);
    const out = join(place.dir, "out/bundle");
    return { place, out, stage: join(place.dir, "out/.bundle.partial") };
  }

  it("of a path that was built anew since is not packed", async () => {
    const { place, out, stage } = await killedAfter("compress: done");
    const [one, other] = readdirSync(join(stage, "cache/0"))
      .filter((name) => name.endsWith(".narinfo"))
      .map((name) => join(stage, "cache/0", name));
    const narHash = /NarHash: .*/.exec(readFileSync(other!, "utf8"))![0];
    writeFileSync(one!, readFileSync(one!, "utf8").replace(/NarHash: .*/, narHash));
    const { code, stderr } = await cli(place.args, place.options);
    expect(code, stderr).toBe(0);
    expect(hashes(out)).toEqual(hashes(bundles.directory));
  });

  it("and the disk lost in a power cut is refused once, and then made anew", async () => {
    const { place, out, stage } = await killedAfter("take over: done");
    const blob = join(stage, "bundle/blobs/sha256", documentOf(bundles.directory).paths[0]!.blob);
    writeFileSync(blob, Buffer.alloc(statSync(blob).size));
    const { code, json } = await cliJson<PackReport>(place.args, place.options);
    expect([code, json.findings.some((finding) => finding.code === "BLOB_HASH")]).toEqual([11, true]);
    expect(existsSync(out)).toBe(false);
    expect((await cli(place.args, place.options)).code).toBe(0);
    expect(hashes(out)).toEqual(hashes(bundles.directory));
  });
});

it("Nix that the system killed is no fault of the flake", async () => {
  const operation = pack("tar");
  const { args, options, dir } = operation.prepare();
  // Stands for the kernel that is out of memory, while it evaluates in the scratch store.
  const real = execFileSync("sh", ["-c", "command -v nix"], { encoding: "utf8" }).trim();
  const script = `case " $* " in *" eval "*" --store "*) kill -9 $$ ;; esac\nexec ${real} "$@"`;
  writeFileSync(join(dir, "nix"), `#!/bin/sh\n${script}\n`, { mode: 0o755 });
  symlinkSync(join(dirname(real), "nix-store"), join(dir, "nix-store"));
  const env = { ...options.env, PATH: `${dir}:${process.env["PATH"]}` };
  const { code, json } = await cliJson<ErrorReport>(args, { ...options, env });
  expect([code, json.error.code]).toEqual([20, "NIX_FAILED"]);
  expect(json.error.actual).toMatch(/^nix was killed by SIGKILL/);
});

function describePoint(point: Point): string {
  if (point.at === "time") return `${point.ms} ms`;
  return point.at === "line" ? `"${point.text}"` : `sight of ${point.what}`;
}
