import { chmodSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { validateDoctorReport } from "../../src/generated/report-validators.js";
import type { DoctorReport } from "../../src/generated/types.js";
import { judgeSite, type SiteFacts } from "../../src/ops/doctor/judge.js";
import { doctor } from "../../src/ops/doctor.js";
import { tempDir, testContext } from "../support/bundle.js";
import { cliJson } from "../support/cli.js";

const KEY = "site-1:AAAA";
/** A site on which everything is as it should be. */
const GOOD: SiteFacts = {
  now: "2026-11-25T12:00:00Z",
  node: "24.1.0",
  nix: {
    version: "2.34.8",
    settings: new Map<string, unknown>([
      ["require-sigs", true],
      ["trusted-public-keys", [KEY]],
      ["trusted-users", ["root"]],
      ["sandbox", true],
      ["sandbox-fallback", false],
      ["substituters", []],
    ]),
  },
  space: [{ what: "store", path: "/nix/store", freeBytes: 5e9 }],
  site: {
    lastSeen: "2026-11-25T11:00:00Z",
    policy: { version: 3, expires: "2036-01-01T00:00:00Z" },
    clockDriftSeconds: 300,
    problem: null,
  },
  importKey: KEY,
  files: [{ path: "/etc/nix-airgap/policy.json", uid: 998, mode: 0o644 }],
  importKeyFile: { path: "/var/lib/nix-airgap/import-key.sec", uid: 998, mode: 0o600 },
  sshKeygen: true,
};

const setting = (name: string, value: unknown): Partial<SiteFacts> => ({
  nix: { version: "2.34.8", settings: new Map([...GOOD.nix!.settings!, [name, value]]) },
});
const site = (change: Partial<NonNullable<SiteFacts["site"]>>): Partial<SiteFacts> => ({
  site: { ...GOOD.site!, ...change },
});

describe("what is judged of a site", () => {
  it("is good where all is as it should be, and then there is nothing to do", () => {
    const checks = judgeSite(GOOD);
    expect(checks.filter(({ state }) => state !== "ok")).toEqual([]);
    expect(checks.filter(({ advice }) => advice !== null)).toEqual([]);
  });

  it.each<[string, Partial<SiteFacts>, string, string]>([
    ["Nix missing", { nix: null }, "nix", "bad"],
    ["a Nix with holes", { nix: { ...GOOD.nix!, version: "2.8.0" } }, "nix-version", "warn"],
    ["another Nix", { nix: { ...GOOD.nix!, version: "2.93.0" } }, "nix-version", "unknown"],
    [
      "settings that cannot be read",
      { nix: { version: "2.34.8", settings: null } },
      "nix-settings",
      "unknown",
    ],
    ["signatures off", setting("require-sigs", false), "require-sigs", "bad"],
    ["another key trusted too", setting("trusted-public-keys", [KEY, "c:B"]), "trusted-public-keys", "warn"],
    ["the import key not trusted", setting("trusted-public-keys", ["c:B"]), "trusted-public-keys", "bad"],
    ["no import key", { importKey: null }, "trusted-public-keys", "warn"],
    ["an import key that is not ours to read", { importKey: undefined }, "trusted-public-keys", "unknown"],
    ["everybody trusted", setting("trusted-users", ["root", "*"]), "trusted-users", "bad"],
    ["a group trusted", setting("trusted-users", ["root", "@wheel"]), "trusted-users", "warn"],
    ["no sandbox", setting("sandbox", false), "sandbox", "warn"],
    ["a sandbox that gives way", setting("sandbox-fallback", true), "sandbox", "warn"],
    ["a substituter", setting("substituters", ["https://cache.example"]), "substituters", "warn"],
    ["a full disk", { space: [{ what: "store", path: "/", freeBytes: 1e6 }] }, "space-store", "warn"],
    ["a clock behind", { now: "2026-11-25T10:54:59Z" }, "clock", "bad"],
    ["no memory", site({ lastSeen: null }), "clock", "unknown"],
    ["no policy", { site: null }, "policy", "warn"],
    ["a policy that was exchanged", site({ policy: null, problem: "POLICY_HASH" }), "policy", "bad"],
    ["an expired policy", site({ policy: { version: 3, expires: "2026-11-25T11:59:59Z" } }), "policy", "bad"],
    [
      "a policy about to expire",
      site({ policy: { version: 3, expires: "2026-12-25T00:00:00Z" } }),
      "policy",
      "warn",
    ],
    [
      "a key that others can read",
      { importKeyFile: { ...GOOD.importKeyFile!, mode: 0o640 } },
      "import-key",
      "bad",
    ],
    ["a policy that others can write", { files: [{ ...GOOD.files[0]!, mode: 0o664 }] }, "permissions", "bad"],
    [
      "several owners",
      { files: [GOOD.files[0]!, { path: "/x", uid: 0, mode: 0o644 }] },
      "permissions",
      "warn",
    ],
    ["nothing pinned", { files: [] }, "permissions", "unknown"],
    ["an old Node.js", { node: "18.20.0" }, "node", "bad"],
  ])("tells of %s", (_, change, id, state) => {
    const found = judgeSite({ ...GOOD, ...change }).filter((check) => check.id === id);
    expect(found).toMatchObject([{ state, advice: expect.any(String) }]);
  });

  it("forgives a clock that drifts", () => {
    const checks = judgeSite({ ...GOOD, now: "2026-11-25T10:56:00Z" });
    expect(checks.find(({ id }) => id === "clock")?.state).toBe("ok");
  });
});

describe("doctor", () => {
  const nixConf = (text: string) => {
    const dir = tempDir();
    writeFileSync(join(dir, "nix.conf"), text);
    return dir;
  };
  const place = () => {
    const dir = tempDir();
    return { policyPath: join(dir, "policy.json"), stateDir: join(dir, "state") };
  };

  it("reads this machine's own Nix settings, and no user's", async () => {
    const conf = nixConf("require-sigs = false\ntrusted-users = root alice\nsubstituters =\n");
    const elsewhere = nixConf("require-sigs = true\n");
    const env = {
      PATH: process.env["PATH"],
      NIX_CONF_DIR: elsewhere,
      NIX_USER_CONF_FILES: join(elsewhere, "nix.conf"),
      NIX_CONFIG: "require-sigs = true",
    };
    const report = await doctor({ place: place(), nixConfDir: conf }, { ...testContext(), env });
    expect(validateDoctorReport(report), JSON.stringify(validateDoctorReport.errors)).toBe(true);
    expect(report.exit).toBe(12);
    const state = (id: string) => report.checks.find((check) => check.id === id)?.state;
    expect([state("require-sigs"), state("trusted-users"), state("substituters")]).toEqual([
      "bad",
      "warn",
      "ok",
    ]);
  });

  it("says so when there is no Nix, and tells the rest", async () => {
    const report = await doctor({ place: place() }, { ...testContext(), env: { PATH: "/nowhere" } });
    // Nix is looked for where installers put it, too.
    if (report.tools.nix === null) expect(report.exit).toBe(20);
    expect(report.checks.map(({ id }) => id)).toEqual(expect.arrayContaining(["clock", "policy", "node"]));
  });

  it("sees a policy that is not the one that was pinned", async () => {
    const { policyPath, stateDir } = place();
    mkdirSync(stateDir);
    writeFileSync(policyPath, "{}\n");
    chmodSync(policyPath, 0o666);
    const { code, json } = await cliJson<DoctorReport>([
      ...["doctor", "--policy", policyPath, "--state", stateDir],
    ]);
    expect(code).toBe(12);
    const bad = json.checks.filter(({ state }) => state === "bad").map(({ id }) => id);
    expect(bad).toEqual(expect.arrayContaining(["policy", "permissions"]));
  });
});
