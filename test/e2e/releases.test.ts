/** Two releases of one product side by side in one store: listed, one of them current, the way back, removed; real Nix. */
import { execFileSync } from "node:child_process";
import {
  appendFileSync,
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  realpathSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { basename, join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import {
  validateReleaseChangeReport,
  validateReleasesReport,
  validateRestoreReceipt,
} from "../../src/generated/report-validators.js";
import type {
  ReleaseChangeReport,
  ReleasesReport,
  RestoreReceipt,
  RollbackReport,
} from "../../src/generated/types.js";
import { formatHex, hashOf } from "../../src/nix/hash.js";
import { formatPublicKey } from "../../src/nix/signature.js";
import { cli } from "../support/cli.js";
import { nixEnvironment } from "../support/fixtures.js";
import { makeRelease } from "../support/release.js";
import { codesOf, SiteTrust, who } from "../support/site-trust.js";
import { packerKey, writeRelease } from "../support/write-release.js";

let trust: SiteTrust;
const key = formatPublicKey(packerKey.publicKey);

beforeAll(async () => {
  trust = await SiteTrust.make();
});
afterAll(() => trust.remove());

/** What every Nix imports. */
const MATERIAL = { selfReferring: false } as const;

describe("without a policy", () => {
  const release = makeRelease(MATERIAL);
  const pump = release.named.pump;
  let [older, newer, store] = ["", "", ""];

  beforeAll(async () => {
    // The older one lacks derivations and sources.
    const runtime = makeRelease({ ...MATERIAL, tier: "runtime" });
    Object.assign(runtime.document, { release: "1.3.0", sequence: 16 });
    Object.assign(release.document, { release: "1.4.0", sequence: 17 });
    const folder = trust.folder();
    older = await writeRelease(join(folder, "older"), runtime, { form: "directory", keys: [packerKey] });
    newer = await writeRelease(join(folder, "newer"), release, { form: "tar", keys: [packerKey] });
    await makeStore();
  });
  const makeStore = async () => {
    store = join(trust.folder(), "store");
    await restore(older, "--out-link", join(store, "../old"));
    await restore(newer, "--out-link", join(store, "../new"));
  };

  async function restore(bundle: string, ...more: string[]): Promise<RestoreReceipt> {
    const json = await trust.do<RestoreReceipt>([
      ...["restore", bundle, "--public-key", key, "--store", store],
      ...more,
    ]);
    expect(validateRestoreReceipt(json), JSON.stringify(validateRestoreReceipt.errors)).toBe(true);
    return json;
  }
  async function list() {
    const answer = await trust.ask<ReleasesReport>(["releases", "--store", store]);
    expect(validateReleasesReport(answer.json), JSON.stringify(validateReleasesReport.errors)).toBe(true);
    return answer;
  }
  async function change(verb: "use" | "remove", ...args: string[]) {
    const answer = await trust.ask<ReleaseChangeReport>(["releases", verb, ...args, "--store", store]);
    expect(validateReleaseChangeReport(answer.json), JSON.stringify(validateReleaseChangeReport.errors)).toBe(
      true,
    );
    return answer;
  }
  const state = (...names: string[]) => join(store, "nix/var/nix", ...names);
  const kept = (...names: string[]) => state("nix-airgap", ...names);
  const gc = () =>
    execFileSync("nix-store", ["--store", store, "--gc"], {
      env: nixEnvironment(trust.folder()),
      stdio: "pipe",
    });

  it("lists both: when, by whom, how large, with which roots, and which is current", async () => {
    const { code, json } = await list();
    expect(code).toBe(0);
    expect(json.releases).toMatchObject([
      { name: "pump-1.3.0", sequence: 16, tier: "runtime", isCurrent: true, outLink: join(store, "../old") },
      { name: "pump-1.4.0", sequence: 17, tier: "source", isCurrent: false, outLink: join(store, "../new") },
    ]);
    const [first, second] = json.releases;
    expect(first?.by).toMatchObject({ uid: process.getuid?.(), machine: expect.stringMatching(/./) });
    expect(Date.now() - Date.parse(first!.at)).toBeLessThan(3_600_000);
    for (const { gcRoots, paths } of [first!, second!]) {
      expect(gcRoots).toMatchObject({ count: paths, expected: paths });
    }
    expect(second?.narBytes).toBe(release.document.totals.narBytes);
    // What the older one holds, the newer one holds as well.
    expect(first?.ownNarBytes).toBe(0);
    expect(second?.ownNarBytes).toBe(second!.narBytes - first!.narBytes);
    expect(json.current).toEqual([{ product: "pump", name: "pump-1.3.0", link: kept("current/pump") }]);
    const { stdout } = await cli(["releases", "list", "--store", store]);
    expect(stdout).toMatch(/pump-1\.3\.0 \(current\)/);
  });

  it("the one link is exchanged, and what follows it with it; back again in one command; both recorded", async () => {
    const link = kept("current/pump");
    const followed = join(store, "../pump");
    expect(realpathSync(join(link, "default"))).toBe(join(store, pump));
    const used = await change("use", "pump-1.4.0", "--out-link", followed);
    expect([used.code, used.json.verdict, used.json.from]).toEqual([0, "done", "pump-1.3.0"]);
    expect(used.json.checked).toBe(release.document.paths.length);
    expect(realpathSync(followed)).toBe(kept("releases/pump-1.4.0/links"));
    const back = await change("use", "pump-1.3.0");
    expect([back.code, back.json.from, back.json.link]).toEqual([0, "pump-1.4.0", link]);
    expect(realpathSync(followed)).toBe(kept("releases/pump-1.3.0/links"));
    expect((await change("use", "pump-1.3.0")).json.verdict).toBe("already");

    const { entries } = await log();
    expect(
      entries.map(({ event, verdict, details }) => [event, verdict, details["from"], details["name"]]),
    ).toEqual([
      ["release", "used", "pump-1.3.0", "pump-1.4.0"],
      ["release", "used", "pump-1.4.0", "pump-1.3.0"],
      ["release", "already", "pump-1.3.0", "pump-1.3.0"],
    ]);
    expect(entries[0]?.user.uid).toBe(process.getuid?.());
    expect(entries[1]?.bundle).toMatchObject({ release: "1.3.0", sequence: 16 });
  });

  async function log() {
    const { content } = await trust.do<{ content: string }>(["audit", "export", "--state", kept()]);
    return JSON.parse(content) as {
      entries: {
        event: string;
        verdict: string;
        details: Record<string, string>;
        user: { uid: number };
        bundle: object;
      }[];
    };
  }

  it("does not make a link where a folder is", async () => {
    const { code, json } = await trust.ask([
      ...["releases", "use", "pump-1.4.0", "--store", store],
      ...["--out-link", join(store, "../old")],
    ]);
    expect([code, codesOf(json)]).toEqual([2, ["OUT_EXISTS"]]);
    expect(readlinkSync(kept("current/pump"))).toBe("../releases/pump-1.3.0/links");
  });

  it("a name that is not there makes nothing, not even a folder", async () => {
    const nowhere = join(trust.folder(), "nowhere");
    for (const verb of ["use", "remove"]) {
      const { code, json } = await trust.ask(["releases", verb, "pump-9", "--store", nowhere]);
      expect([code, codesOf(json)]).toEqual([2, ["RELEASE_UNKNOWN"]]);
    }
    expect((await trust.ask(["releases", "use", "../x", "--store", nowhere])).code).toBe(2);
    expect(existsSync(nowhere)).toBe(false);
  });

  it("waits for nobody: while another run is at work in the store it says so", async () => {
    mkdirSync(kept(), { recursive: true });
    writeFileSync(kept("store.lock"), "elsewhere\n");
    const { code, json } = await trust.ask(["releases", "use", "pump-1.4.0", "--store", store]);
    expect([code, codesOf(json)]).toEqual([22, ["LOCKED"]]);
    rmSync(kept("store.lock"));
  });

  it("does not go to what is not whole any more", async () => {
    const victim = join(store, pump, "bin/pump");
    const bytes = readFileSync(victim);
    chmodSync(victim, 0o644);
    appendFileSync(victim, "evil");
    const { code, json } = await change("use", "pump-1.4.0");
    expect([code, json.verdict, codesOf(json)]).toEqual([11, "refused", ["STORE_CONTENT"]]);
    expect(readlinkSync(kept("current/pump"))).toBe("../releases/pump-1.3.0/links");
    writeFileSync(victim, bytes);
    chmodSync(victim, 0o444);

    const roots = state("gcroots/nix-airgap/pump-1.4.0");
    rmSync(join(roots, readdirSync(roots)[0]!));
    const without = await change("use", "pump-1.4.0");
    expect([without.code, codesOf(without.json)]).toEqual([13, ["RELEASE_ROOTS"]]);
    const { code: listed, json: report } = await list();
    expect([listed, codesOf(report)]).toEqual([13, ["RELEASE_ROOTS"]]);
  });

  it("removes roots and links, and no path; the current one only when told; then a collection frees its own", async () => {
    await makeStore();
    const refused = await change("remove", "pump-1.3.0");
    expect([refused.code, refused.json.verdict, codesOf(refused.json)]).toEqual([
      2,
      "refused",
      ["RELEASE_CURRENT"],
    ]);
    expect((await list()).json.releases).toHaveLength(2);

    writeFileSync(join(store, "../new/notes.txt"), "ours\n");
    const { json } = await change("remove", "pump-1.4.0");
    expect([json.verdict, json.collect]).toEqual(["done", `nix-store --store ${store} --gc`]);
    expect(readdirSync(join(store, "../new"))).toEqual(["notes.txt"]);
    const source = join(store, release.named.codegenDrv);
    expect(existsSync(source)).toBe(true);
    gc();
    expect([existsSync(source), existsSync(join(store, pump))]).toEqual([false, true]);

    expect((await change("remove", "pump-1.3.0", "--current")).json.link).toBeNull();
    expect(existsSync(join(store, "../old"))).toBe(false);
    gc();
    expect(existsSync(join(store, pump))).toBe(false);
    const { json: none } = await list();
    expect([none.releases, none.current, none.unlisted]).toEqual([[], [], []]);
    expect(readdirSync(kept())).toEqual(["audit.jsonl", "current", "releases"]);
  });

  it("lists and removes roots of which no record tells, and a record that was altered", async () => {
    await makeStore();
    renameSync(kept("releases/pump-1.4.0"), kept("away"));
    appendFileSync(kept("releases/pump-1.3.0/record.json"), " ");
    const { code, json } = await list();
    expect([code, codesOf(json), json.releases]).toEqual([11, ["RELEASE_RECORD"], []]);
    expect(json.unlisted).toEqual(["pump-1.3.0", "pump-1.4.0"]);
    for (const name of json.unlisted) expect((await change("remove", name)).json.verdict).toBe("done");
    expect(readdirSync(state("gcroots/nix-airgap"))).toEqual([]);
    expect((await list()).code).toBe(0);
  });
});

describe("by a policy", () => {
  let [at16, at17] = ["", ""];

  beforeAll(async () => {
    const bundleOf = (about: { release: string; sequence: number }) => {
      const { document, blobs } = makeRelease(MATERIAL);
      const folder = join(trust.folder(), "bundle");
      return writeRelease(folder, { document: { ...document, ...about }, blobs }, { form: "tar" });
    };
    at16 = await bundleOf({ release: "1.3.0", sequence: 16 });
    at17 = await bundleOf({ release: "1.4.0", sequence: 17 });
  });

  const policyOf = () =>
    trust.policyFor({ people: trust.people(), required: ["packer=1"], more: ["--rollback-signers", "1"] });

  it("the way back needs the authorization that restore needs, and is in the site's log", async () => {
    const site = await trust.site(await policyOf());
    await site.take(at16);
    await site.take(at17);
    const change = (verb: string, name: string, ...more: string[]) =>
      site.ask<ReleaseChangeReport>(["releases", verb, name, "--store", site.storeDir, ...more]);
    expect((await change("use", "pump-1.4.0")).json.verdict).toBe("done");
    const refused = await change("use", "pump-1.3.0");
    expect([refused.code, refused.json.verdict, codesOf(refused.json)]).toEqual([
      12,
      "refused",
      ["ROLLBACK"],
    ]);
    expect(site.state.products[0]?.sequence).toBe(17);

    const { file } = await trust.do<RollbackReport>([
      ...["trust", "authorize-rollback", at16, "--from", "17", "--expires", "2999-01-01T00:00:00Z"],
      ...["--reason", "recall", "--signer", who("bo"), "--key", trust.key("bo.sec"), "--out", trust.folder()],
    ]);
    const back = await change("use", "pump-1.3.0", "--rollback", file!);
    expect([back.code, back.json.from]).toEqual([0, "pump-1.4.0"]);
    expect(site.state.products[0]?.sequence).toBe(16);
    expect((await change("remove", "pump-1.4.0")).json.verdict).toBe("done");

    const entries = (await site.log()).filter(({ event }) => event === "release");
    expect(entries.map(({ verdict, details }) => [verdict, details["from"], details["name"]])).toEqual([
      ["begun", "pump-1.3.0", "pump-1.4.0"],
      ["used", "pump-1.3.0", "pump-1.4.0"],
      ["refused", "pump-1.4.0", "pump-1.3.0"],
      ["begun", "pump-1.4.0", "pump-1.3.0"],
      ["used", "pump-1.4.0", "pump-1.3.0"],
      ["removed", "pump-1.3.0", "pump-1.4.0"],
    ]);
    expect(entries[4]?.details["rollback"]).toBe(basename(file!));
    expect((await site.auditVerify()).code).toBe(0);
  });

  it("what the site did not take, or its policy called back, does not become current", async () => {
    const sha256 = formatHex(hashOf("sha256", execFileSync("tar", ["-xOf", at17, "bundle.json"])));
    const policy = trust.editPolicy(await policyOf(), (document) => {
      document.withdrawn = [{ reason: "recall", sha256 }];
    });
    const site = await trust.site(policy);
    const unchecked = ["--public-key", key, "--no-policy", "--store", site.storeDir];
    for (const bundle of [at16, at17]) await trust.do(["restore", bundle, ...unchecked]);
    const { code, json } = await site.ask(["releases", "use", "pump-1.4.0", "--store", site.storeDir]);
    expect([code, codesOf(json)]).toEqual([12, ["BUNDLE_WITHDRAWN", "RELEASE_NOT_TAKEN"]]);
  });
});
