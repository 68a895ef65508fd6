/** Bundles in parts through the real program: packed so, restored and rebuilt from several media, made whole, repaired. */
import { execFileSync } from "node:child_process";
import {
  copyFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type {
  ErrorReport,
  PackReport,
  PartsReport,
  RebuildReport,
  RepairReport,
  RestoreReceipt,
  VerifyReport,
} from "../../src/generated/types.js";
import { type CliOptions, cli, cliJson } from "../support/cli.js";
import { nixEnvironment } from "../support/fixtures.js";
import { FOLDING, makeImage, withImages } from "../support/images.js";
import { runUntil } from "../support/interrupted.js";
import { LEND, Packed } from "../support/packed.js";
import { CAN_MOUNT, Tmpfs } from "../support/tmpfs.js";
import { SIGN_WORDS } from "../support/trust.js";

const SIZE = 8000;
/** What packs call the parts. */
let tarName: string;
let packed: Packed;
let installable: string;
let tar: string;
let parts: string;
/** Two media: all parts between them. */
const discs = { first: "", second: "" };

const key = () => ["--public-key", packed.publicKey];
const onSite = (): CliOptions => ({ wrap: packed.site, env: packed.siteEnv });

beforeAll(async () => {
  packed = await Packed.make();
  installable = `${packed.fixtures.flakes["no-default"]}#primer`;
  tar = await packed.pack("whole.tar", [installable], "--tier", "source");
  parts = await packed.pack("parts", [installable], "--tier", "source", "--split", String(SIZE));
  tarName = readdirSync(parts)
    .find((name) => name.endsWith(".parts.json"))!
    .replace(".parts.json", "");
  for (const disc of ["first", "second"] as const) {
    discs[disc] = packed.path(`disc ${disc}: a b?c#d%20é`);
    mkdirSync(discs[disc]);
    for (const end of ["parts.json", "sha256"])
      copyFileSync(join(parts, `${tarName}.${end}`), join(discs[disc], `${tarName}.${end}`));
  }
  for (const [i, name] of partNames().entries()) {
    copyFileSync(join(parts, name), join(i % 2 === 0 ? discs.first : discs.second, name));
  }
});
afterAll(() => packed.remove());

function partNames(): string[] {
  return readdirSync(parts)
    .filter((name) => /\.[0-9]{3}$/.test(name))
    .sort();
}

async function run(args: readonly string[], options: CliOptions = {}): Promise<[number | null, string[]]> {
  const { code, json } = await cliJson<VerifyReport | ErrorReport>(args, { env: packed.siteEnv, ...options });
  return [code, "error" in json ? [json.error.code] : json.findings.map((finding) => finding.code)];
}

describe("a flake packed in parts", () => {
  it("is the tar that is packed of it else, in parts that others can check and join", async () => {
    expect(partNames().length).toBeGreaterThan(3);
    expect(execFileSync("sh", ["-c", `cat ${tarName}.0*`], { cwd: parts, maxBuffer: 1e9 })).toEqual(
      readFileSync(tar),
    );
    execFileSync("sha256sum", ["--quiet", "-c", `${tarName}.sha256`], { cwd: parts });
    expect(readdirSync(packed.dir).filter((name) => name.startsWith("."))).toEqual([]);
  });

  it("takes no name that is taken, and none of a tar", async () => {
    const env = nixEnvironment(packed.path("packer"));
    const pack = ["pack", installable, "--tier", "source", "--split", "1MiB", "--out"];
    expect(await run([...pack, parts], { env })).toEqual([2, ["OUT_EXISTS"]]);
    expect(await run([...pack, packed.path("x.tar")], { env })).toEqual([2, ["USAGE"]]);
    expect((await cli(["pack", "--split", "many"])).code).toBe(2);
  });

  it("and killed while its parts are written leaves none, and completes", async () => {
    const out = packed.path("killed");
    const args = ["pack", installable, "--tier", "source", "--split", String(SIZE), "--out", out];
    const more = ["--key", packed.path("packer-1.sec")];
    const options = { env: nixEnvironment(packed.path("packer")), cwd: packed.dir };
    const stage = join(packed.dir, ".killed.partial/parts", `${tarName}.002`);
    const seen = { at: "sight", what: "a second part", seen: () => existsSync(stage) } as const;
    await runUntil([...args, ...more], seen, { ...options, orphans: false });
    expect(existsSync(out)).toBe(false);
    const { code, json } = await cliJson<PackReport>([...args, ...more], options);
    expect([code, json.bundle?.kind]).toEqual([0, "parts"]);
    for (const name of readdirSync(parts)) {
      expect(readFileSync(join(out, name)).equals(readFileSync(join(parts, name))), name).toBe(true);
    }
  });
});

describe("from two media with odd names", () => {
  const both = () => [discs.first, "--parts", discs.second];

  it("a site verifies, restores and rebuilds", async () => {
    expect(await run(["verify", ...both(), ...key()], onSite())).toEqual([0, []]);
    const store = packed.path("store");
    const restored = await cliJson<RestoreReceipt>(
      ["restore", ...both(), ...key(), "--store", store],
      onSite(),
    );
    expect([restored.code, restored.json.verdict, restored.json.bundle?.kind]).toEqual([
      0,
      "complete",
      "parts",
    ]);
    const rebuilt = await cliJson<RebuildReport>(["rebuild", ...both(), ...key(), ...LEND], onSite());
    expect([rebuilt.code, rebuilt.json.verdict]).toEqual([0, "identical"]);
  });

  it("an auditor without this program joins and checks", () => {
    const script = `cat '${discs.first}'/*.001 '${discs.second}'/*.002 | head -c 16000 | cmp -n 16000 - '${tar}'`;
    execFileSync("sh", ["-c", script]);
    const check = ["--quiet", "--ignore-missing", "-c", `${tarName}.sha256`];
    for (const disc of Object.values(discs)) execFileSync("sha256sum", check, { cwd: disc });
  });

  it("says which medium to insert, and imports nothing", async () => {
    const store = packed.path("store-missing");
    const { code, stdout } = await cli(["restore", discs.first, ...key(), "--store", store], {
      env: packed.siteEnv,
    });
    expect(code).toBe(13);
    expect(stdout).toContain(`part 2 of ${partNames().length}: ${partNames()[1]}`);
    expect(stdout).toContain("Insert the medium that holds this part");
    expect(existsSync(store)).toBe(false);
    expect((await run(["verify", ...both(), ...key(), "--document-only"]))[0]).toBe(0);
    expect((await cli(["inspect", ...both()])).code).toBe(0);
  });

  it("they are joined, signed, and split again: only the end is new", async () => {
    expect(await run(["sign", discs.first, "--key", packed.path("packer-1.sec"), ...SIGN_WORDS])).toEqual([
      2,
      ["PARTS_SIGN"],
    ]);
    const whole = packed.path(`joined/${tarName}`);
    const joined = await cliJson<PartsReport>(["bundle", "join-parts", ...both(), "--out", whole]);
    expect([joined.code, joined.json.verdict]).toEqual([0, "joined"]);
    expect(readFileSync(whole).equals(readFileSync(tar))).toBe(true);
    expect(await run(["sign", whole, "--key", packed.path("packer-1.sec"), ...SIGN_WORDS])).toEqual([0, []]);
    const again = packed.path("again");
    const split = ["bundle", "split", whole, "--size", String(SIZE), "--out", again];
    expect((await cliJson<PartsReport>(split)).json).toMatchObject({ exit: 0, verdict: "split" });
    expect(await run(["verify", again, ...key()])).toEqual([0, []]);
    const same = partNames().filter((name) =>
      readFileSync(join(again, name)).equals(readFileSync(join(parts, name))),
    );
    expect(same.length).toBeGreaterThanOrEqual(partNames().length - 2);
  });

  it("of which both are damaged, with another copy, one good bundle is made", async () => {
    const [first, second] = partNames();
    for (const [disc, name] of [
      [discs.first, first!],
      [discs.second, second!],
    ] as const) {
      renameSync(join(disc, name), join(disc, `${name}.good`));
      const bytes = readFileSync(join(disc, `${name}.good`));
      bytes[bytes.length >> 1]! ^= 1;
      writeFileSync(join(disc, name), bytes);
    }
    expect(await run(["verify", ...both(), ...key()])).toEqual([11, ["PART_HASH", "PART_HASH"]]);
    const out = packed.path("repaired.tar");
    const command = ["repair", discs.first, "--parts", discs.second, "--from", tar, "--out", out, ...key()];
    const { code, json } = await cliJson<RepairReport>(command, { env: packed.siteEnv });
    expect([code, json.verdict]).toEqual([0, "repaired"]);
    expect(readFileSync(out).equals(readFileSync(tar))).toBe(true);
    for (const [disc, name] of [
      [discs.first, first!],
      [discs.second, second!],
    ] as const) {
      renameSync(join(disc, `${name}.good`), join(disc, name));
    }
  });
});

describe("on a medium whose names have no case", () => {
  it.runIf(CAN_MOUNT).for(FOLDING)("$what, mounted read-only, everything is read", async (kind, { skip }) => {
    const directory = packed.path("bundle-dir");
    mkdirSync(directory, { recursive: true });
    execFileSync("tar", ["-xf", tar, "-C", directory]);
    const image = makeImage(kind, packed.path(`image-${kind.mkfs[0]}`), [directory, tar, parts]);
    if (image === null) return skip("its tools are not installed, or this kernel does not know it");
    const at = packed.path(`medium-${kind.mkfs[0]}`);
    mkdirSync(at);
    const options = { env: packed.siteEnv, wrap: withImages([{ kind, image, at }]) };
    for (const name of ["bundle-dir", "whole.tar", "parts", "BUNDLE-DIR", "PARTS", `parts/${tarName}.002`]) {
      expect(await run(["verify", join(at, name), ...key()], options), name).toEqual([0, []]);
    }
    const store = packed.path(`store-${kind.mkfs[0]}`);
    expect((await run(["restore", join(at, "parts"), ...key(), "--store", store], options))[0]).toBe(0);
    rmSync(image);
  });
});

describe.runIf(CAN_MOUNT)("with too little room", () => {
  it("split and join say so before they start, and leave nothing", async () => {
    const disk = new Tmpfs(packed.path("small"), { size: "32k" });
    try {
      const split = ["bundle", "split", tar, "--size", "9000", "--out", join(disk.path, "parts")];
      expect(await run(split)).toEqual([22, ["NO_SPACE"]]);
      const join_ = ["bundle", "join-parts", parts, "--out", join(disk.path, "whole.tar")];
      expect(await run(join_)).toEqual([22, ["NO_SPACE"]]);
      expect(readdirSync(disk.path)).toEqual([]);
    } finally {
      disk.unmount();
    }
  });

  it("a medium that cannot be written is read all the same", async () => {
    const copy = packed.path("read-only");
    const disk = new Tmpfs(copy, { size: "16m" });
    try {
      cpSync(parts, join(copy, "parts"), { recursive: true });
      execFileSync("mount", ["-o", "remount,ro", copy]);
      expect(await run(["verify", join(copy, "parts"), ...key()])).toEqual([0, []]);
      const signing = ["sign", join(copy, "parts"), "--key", packed.path("packer-1.sec"), ...SIGN_WORDS];
      expect(await run(signing)).toEqual([2, ["PARTS_SIGN"]]);
    } finally {
      disk.unmount();
    }
  });
});
