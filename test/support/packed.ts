/** What end-to-end tests of the site's half start from: the fixtures packed by the real program, and the site that gets them. */
import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { BundleDocument, RestoreReceipt } from "../../src/generated/types.js";
import { cli, cliJson, type Outcome, runProgram } from "./cli.js";
import { type Fixtures, makeFixtures, nixEnvironment, SANDBOX_PATHS, SITE } from "./fixtures.js";

export class Packed {
  readonly dir = mkdtempSync(join(tmpdir(), "airgap-site-"));
  readonly fixtures: Fixtures;
  /** `name:base64`. */
  publicKey = "";
  /** The packer's. */
  readonly env: NodeJS.ProcessEnv;

  private constructor() {
    this.fixtures = makeFixtures(this.path("originals"));
    this.env = nixEnvironment(this.path("packer"));
    for (const name of ["home", "tmp"]) mkdirSync(this.path(name));
  }

  static async make(): Promise<Packed> {
    const packed = new Packed();
    await packed.#run(["keygen", "--name", "packer-1", "--out", packed.dir]);
    packed.publicKey = readFileSync(packed.path("packer-1.pub"), "utf8").trim();
    return packed;
  }

  path(name: string): string {
    return join(this.dir, name);
  }

  /** The file of the key that bundles are signed with. */
  get secretKey(): string {
    return this.path("packer-1.sec");
  }

  /** Packs into `out` of this folder; `installables` as flake references, or attributes of the product. */
  async pack(out: string, installables: readonly string[], ...args: string[]): Promise<string> {
    const refs = installables.map((text) =>
      text.includes(":") ? text : `${this.fixtures.flakes["acme-pump"]}#${text}`,
    );
    await this.#run(["pack", ...refs, "--key", this.secretKey, "--out", this.path(out), ...args]);
    return this.path(out);
  }

  /** Put before a command: no network, and nothing left of the originals, the packer's caches and its store. */
  get site(): string[] {
    return [SITE, "--mask", this.fixtures.originals, this.path("packer"), "/nix", "--"];
  }

  /** The same, but with a network that leads nowhere, where who asks waits; it fails if anybody does. */
  get nowhere(): string[] {
    const [site = "", ...rest] = this.site;
    return [site, "--route", ...rest];
  }

  /** Restores on the site, into `store` of this folder. */
  async restore(bundle: string, store: string): Promise<RestoreReceipt> {
    const args = ["restore", bundle, "--public-key", this.publicKey, "--store", this.path(store), ...LEND];
    return (await cliJson<RestoreReceipt>(args, { wrap: this.site, env: this.siteEnv })).json;
  }

  /** The environment of somebody who has just logged in on site. */
  get siteEnv(): NodeJS.ProcessEnv {
    return { PATH: process.env["PATH"], HOME: mkdtempSync(join(this.path("home"), "user-")), TERM: "dumb" };
  }

  /** Runs a line in sh on site. */
  sh(line: string): Promise<Outcome> {
    return runProgram([...this.site, "/bin/sh", "-c", line], { env: this.siteEnv });
  }

  /** Everything that is valid in a chroot store. */
  async valid(store: string): Promise<string[]> {
    const { code, stdout, stderr } = await runProgram(
      [...this.site, "nix", ...FEATURES, "path-info", "--all", "--store", store],
      { env: this.siteEnv },
    );
    if (code !== 0) throw new Error(stderr);
    return stdout.trim().split("\n").sort();
  }

  async #run(args: readonly string[]): Promise<void> {
    const { code, stdout, stderr } = await cli(args, { cwd: this.dir, env: this.env });
    if (code !== 0) throw new Error(`${args[0]} exited ${code}: ${stdout}${stderr}`);
  }

  remove(): void {
    execFileSync("chmod", ["-R", "u+w", this.dir]); // Nix stores are read-only
    rmSync(this.dir, { recursive: true, force: true });
  }
}

export const FEATURES = ["--extra-experimental-features", "nix-command flakes"];

/** The options that lend builders of the fixtures the host's shell. */
export const LEND = SANDBOX_PATHS.split(" ").flatMap((path) => ["--sandbox-path", path]);

/** The document of a bundle in either form. */
export function documentOf(bundle: string): BundleDocument {
  const bytes = bundle.endsWith(".tar")
    ? execFileSync("tar", ["-xOf", bundle, "bundle.json"], { maxBuffer: 1e9 })
    : readFileSync(join(bundle, "bundle.json"));
  return JSON.parse(bytes.toString()) as BundleDocument;
}
