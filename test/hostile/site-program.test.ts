/** 38 and 43: nothing of Nix runs for a bundle that a site refuses, and the program itself is known by its hash on paper. */
import { createHash } from "node:crypto";
import { appendFileSync, copyFileSync, existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import type { PolicyReport } from "../../src/generated/types.js";
import { RELEASE, runProgram } from "../support/cli.js";
import { type MadePolicy, SiteTrust, verdictOf } from "../support/site-trust.js";
import { Victim } from "./victim.js";

let trust: SiteTrust;
let policy: MadePolicy;

beforeAll(async () => {
  trust = await SiteTrust.make();
  policy = await trust.policy();
});
afterAll(() => trust.remove());

it.each(["directory", "tar"] as const)(
  "38 no program of Nix is run for a %s that the site refuses",
  async (form) => {
    const site = await trust.site(policy);
    const bin = join(trust.folder(), "bin");
    const ran = join(bin, "ran");
    mkdirSync(bin);
    for (const name of ["nix", "nix-store", "nix-build", "nix-instantiate"]) {
      writeFileSync(join(bin, name), `#!/bin/sh\necho "$0 $*" >> ${ran}\nexit 1\n`, { mode: 0o755 });
    }
    const env = { ...process.env, PATH: `${bin}:${process.env["PATH"]}` };
    const unapproved = await trust.release(form, { sequence: 17 });
    const damaged = Victim.read(await trust.approved("directory", { sequence: 17 }));
    damaged.edit(damaged.name(/^blobs\/sha256\/0/), (text) => `${text}x`);
    for (const bundle of [unapproved, damaged.write(trust.folder(), form)]) {
      for (const args of [
        ["verify"],
        ["rebuild"],
        ["restore", "--store", site.storeDir],
        ["restore", "--dry-run"],
      ]) {
        const [code] = verdictOf(await site.ask([...args, bundle], { env }));
        expect([11, 12]).toContain(code);
      }
    }
    expect(existsSync(ran)).toBe(false);
    // The trap works: it is what would have been run.
    await site.ask(["restore", await trust.approved(form, { sequence: 17 }), "--store", site.storeDir], {
      env,
    });
    expect(readFileSync(ran, "utf8")).toContain(bin);
  },
);

const sha256Of = (file: string) => createHash("sha256").update(readFileSync(file)).digest("hex");

it("43 the card has the hash of the program, by which one that was changed is told from it", async () => {
  const card = await trust.do<PolicyReport>(["trust", "show", policy.path]);
  expect(card.card.program.sha256).toBe(sha256Of(RELEASE));
  const changed = join(trust.folder(), "nix-airgap.mjs");
  copyFileSync(RELEASE, changed);
  appendFileSync(changed, "\n//\n");
  const { stdout } = await runProgram(["sha256sum", changed]);
  expect(stdout.split(" ")[0]).not.toBe(card.card.program.sha256);
});

it("43 nothing tells anybody to run what came with the bundle", async () => {
  const bundle = await trust.approved("directory", { sequence: 17 });
  const text = readFileSync(join(bundle, "VERIFY.md"), "utf8");
  expect(text).not.toMatch(/\.\/nix-airgap|node .*nix-airgap|nix-airgap\.mjs/);
  for (const name of ["nix-airgap.mjs", "bin/nix-airgap"]) {
    const victim = Victim.read(bundle);
    victim.files.set(name, readFileSync(RELEASE).subarray(0, 1000));
    const site = await trust.site(policy);
    const answer = await site.verify(victim.write(trust.folder(), "directory"));
    expect(verdictOf(answer)).toEqual([10, "NAME_ILLEGAL"]);
  }
});
