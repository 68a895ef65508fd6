/** How large a bundle may become, and what is in it that was in the one before. */
import { randomBytes } from "node:crypto";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { PackReport } from "../../src/generated/types.js";
import { type CliOptions, cli, cliJson } from "../support/cli.js";
import { nixEnvironment, SYSTEM } from "../support/fixtures.js";
import { documentOf } from "../support/packed.js";

const NOISE = 2_000_000;

let dir: string;
let options: CliOptions;

beforeAll(async () => {
  dir = mkdtempSync(join(tmpdir(), "airgap-pack-size-"));
  options = { cwd: dir, env: nixEnvironment(join(dir, "nix")) };
  mkdirSync(join(dir, "out"));
  mkdirSync(join(dir, "flake"));
  // Does not compress.
  writeFileSync(join(dir, "flake/noise"), randomBytes(NOISE));
  write("one");
  await pack("first.tar", "--release", "1", "--sequence", "100");
}, 60_000);
afterAll(() => rmSync(dir, { recursive: true, force: true }));

/** The flake, with an output that says so. */
function write(text: string): void {
  const script = `echo ${text} > $out; cat \${./noise} >> $out`;
  writeFileSync(
    join(dir, "flake/flake.nix"),
    `{ outputs = _: { packages.${SYSTEM}.default = derivation {
      name = "it"; system = "${SYSTEM}"; builder = "/bin/sh"; args = [ "-c" "export PATH=/bin:/usr/bin; ${script}" ];
    }; }; }\n`,
  );
}

async function pack(out: string, ...args: string[]) {
  const about = ["pack", `path:${dir}/flake`, "--product", "it", "--tier", "runtime", "--out", `out/${out}`];
  return cliJson<PackReport>([...about, ...args], options);
}

describe("pack --previous", () => {
  it("fills in the next sequence, names the bundle before, and counts what is reused", async () => {
    write("two");
    const before = documentOf(join(dir, "out/first.tar"));
    const { code, json } = await pack("second.tar", "--release", "2", "--previous", "out/first.tar");
    expect(code).toBe(0);
    const document = documentOf(join(dir, "out/second.tar"));
    // A flake without git has the time of its newest file, which is later.
    expect(document.sequence).toBeGreaterThan(before.sequence);
    expect(document.previous).toMatchObject({ sequence: 100 });

    const known = new Map(before.paths.map(({ storePath, narHash }) => [storePath, narHash]));
    const reused = document.paths.filter(({ storePath, narHash }) => known.get(storePath) === narHash);
    expect(reused.length).toBeGreaterThan(0);
    expect(json.plan?.previous).toMatchObject({
      sequence: 100,
      sha256: document.previous?.sha256,
      reused: { paths: reused.length, narBytes: reused.reduce((sum, { narSize }) => sum + narSize, 0) },
      new: { paths: document.paths.length - reused.length },
    });
  });

  it("is one more than the previous where the flake is not younger", async () => {
    const ahead = 2 ** 40;
    await pack("ahead.tar", "--release", "3", "--sequence", String(ahead));
    const { json } = await pack("x", "--release", "4", "--previous", "out/ahead.tar", "--dry-run");
    expect(json.plan?.sequence).toBe(ahead + 1);
    const text = await cli(
      [
        "pack",
        `path:${dir}/flake`,
        "--product",
        "it",
        "--release",
        "4",
        "--previous",
        "out/ahead.tar",
        "--dry-run",
      ],
      options,
    );
    expect(text.stdout).toMatch(
      new RegExp(`^after sequence ${ahead}: \\d+ paths?, .* as before; .* new$`, "m"),
    );
  });

  it("is refused for another product, before the flake is evaluated", async () => {
    const args = ["pack", `path:${dir}/flake#nothing`, "--product", "other", "--release", "1"];
    const { code, stderr } = await cli([...args, "--previous", "out/first.tar"], options);
    expect([code, stderr]).toEqual([2, expect.stringContaining("product other")]);
  });
});

describe("pack --max-size", () => {
  const left = () => readdirSync(join(dir, "out")).filter((name) => name.includes("large"));

  it("stops by the plan what is too large however well it compresses", async () => {
    const { code, json } = await pack("large.tar", "--release", "1", "--max-size", "20kB");
    expect([code, json.findings.map((finding) => finding.code), json.bundle]).toEqual([
      2,
      ["BUNDLE_TOO_LARGE"],
      null,
    ]);
    expect(json.plan!.size.least).toBeGreaterThan(20_000);
    expect(json.phases.map(({ phase }) => phase)).not.toContain("compress");
    expect(left()).toEqual([]);
  });

  it.each(["large.tar", "large"])("stops %s at the first byte too many, and leaves nothing", async (out) => {
    const { code, json } = await pack(out, "--release", "1", "--max-size", "1MB");
    expect([code, json]).toMatchObject([2, { error: { code: "BUNDLE_TOO_LARGE", subject: "--max-size" } }]);
    expect(left()).toEqual([]);
  });

  it("makes what is just small enough, and not with a byte less", async () => {
    const fits = await pack("fits.tar", "--release", "1");
    const size = readFileSync(join(dir, "out/fits.tar")).length;
    expect(fits.json.bundle?.bytes).toBe(size);
    expect((await pack("large.tar", "--release", "1", "--max-size", String(size - 1))).code).toBe(2);
    expect(left()).toEqual([]);
    expect((await pack("large.tar", "--release", "1", "--max-size", String(size))).code).toBe(0);
    expect(existsSync(join(dir, "out/large.tar"))).toBe(true);
  });
});
