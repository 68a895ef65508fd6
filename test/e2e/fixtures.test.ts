import { execFileSync, spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { makeFixtures, nixEnvironment, SANDBOX_PATHS, SITE, SYSTEM } from "../support/fixtures.js";

let work: string;
let dir: string;

beforeAll(() => {
  work = mkdtempSync(join(tmpdir(), "fixtures-"));
  dir = join(work, "flakes");
});

afterAll(() => {
  execFileSync("chmod", ["-R", "u+w", work]); // Nix stores are read-only
  rmSync(work, { recursive: true });
});

const revision = (repository: string) =>
  execFileSync("git", ["-C", repository, "rev-parse", "HEAD"], { encoding: "utf8" });

describe("the fixture flakes", () => {
  it("have the same revisions each time they are laid out in the same folder, under any umask", () => {
    const first = revision(join(makeFixtures(dir).originals, "acme-pump"));
    rmSync(dir, { recursive: true });
    const before = process.umask(0o077);
    const second = revision(join(makeFixtures(dir).originals, "acme-pump"));
    process.umask(before);
    expect(second).toBe(first);
  });

  it("are not laid out over something else", () => {
    expect(() => makeFixtures(work)).toThrow(/status 2|Command failed/);
  });

  it("build the product, its check and its shell in a sandbox", () => {
    const attributes = ["default", `checks.${SYSTEM}.self-test`, `devShells.${SYSTEM}.default`];
    const result = execFileSync(
      "nix",
      [
        "build",
        "--json",
        "--no-link",
        "--no-update-lock-file",
        ...["--store", join(work, "store")],
        ...["--option", "sandbox-paths", SANDBOX_PATHS],
        ...attributes.map((attribute) => `git+file://${dir}/acme-pump#${attribute}`),
      ],
      { env: nixEnvironment(work), encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] },
    );
    expect(JSON.parse(result)).toHaveLength(attributes.length);
  });
});

describe("the site", () => {
  const site = (...argv: string[]) => spawnSync(SITE, argv, { encoding: "utf8" });

  it("shows a masked folder and a masked file as empty, and passes the exit status on", () => {
    const file = join(work, "file");
    writeFileSync(file, "original");
    const run = site("--mask", dir, file, "--", "sh", "-c", `ls -A ${dir}; cat ${file}; exit 7`);
    expect([run.stdout, run.status]).toEqual(["", 7]);
  });

  it("has no interface but a loopback that is down", () => {
    const run = site("--", "sh", "-c", "tail -n +3 /proc/self/net/dev | cut -d: -f1");
    expect(run.stdout.trim()).toBe("lo");
    expect(site("--", "bash", "-c", ": > /dev/udp/127.0.0.1/9").status).not.toBe(0);
  });

  it("refuses to run without a command", () => {
    expect(site("--mask", dir, "--").status).toBe(125);
  });
});
