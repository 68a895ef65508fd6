/** doctor: every check in every state from given facts; and the facts of this machine, with its real Nix. */
import { chmodSync, mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeEach, describe, expect, it } from "vitest";
import { validateDoctorReport } from "../../src/generated/report-validators.js";
import type { DoctorCheck, DoctorCheckId } from "../../src/generated/types.js";
import type { NixSettings } from "../../src/host/nix/settings.js";
import type { PathFacts } from "../../src/host/permissions.js";
import { type DoctorFacts, gatherFacts, type Place } from "../../src/ops/doctor/facts.js";
import { exitOfChecks, judge } from "../../src/ops/doctor/judge.js";
import { readSiteFacts } from "../../src/ops/doctor/site-facts.js";
import { type DoctorOptions, doctor } from "../../src/ops/doctor.js";
import { nodeContext } from "../../src/ops/node-context.js";
import { formatState, newState } from "../../src/trust/site-state.js";
import { tempDir, testContext } from "../support/bundle.js";
import { changedPolicy, firstPolicy, person, policyBytes } from "../support/people.js";

const IMPORT_KEY = "site-1:aW1wb3J0IGtleSBvZiB0aGUgc2l0ZSwgMzIgYnl0ZXM=";
const OTHER_KEY = "cache.nixos.org-1:6NCHdD59X431o0gWypbMrAURkbJ16ZPMQFGspcDShjY=";

const there = (type: "file" | "folder", mode: number, uid = 0): PathFacts => ({
  kind: "there",
  type,
  uid,
  mode,
});
const MISSING: PathFacts = { kind: "missing" };
const HIDDEN: PathFacts = { kind: "hidden", reason: "EACCES" };
const place = (path: string, itself: PathFacts, parent = there("folder", 0o755)): Place => ({
  path,
  itself,
  parent,
});

const GOOD_SETTINGS: NixSettings = {
  requireSigs: true,
  trustedPublicKeys: [IMPORT_KEY],
  secretKeyFiles: [],
  trustedUsers: ["root"],
  allowedUsers: ["*"],
  sandbox: true,
  sandboxFallback: false,
  sandboxPaths: [],
  system: "x86_64-linux",
  extraPlatforms: [],
  substitute: true,
  substituters: [],
};

/** A site where all is well. */
const GOOD: DoctorFacts = {
  nix: { kind: "usable", versionLine: "nix (Nix) 2.34.8", settings: GOOD_SETTINGS },
  hasDaemon: true,
  nixConf: place("/etc/nix/nix.conf", there("file", 0o644)),
  otherConfs: [],
  store: { path: "/nix/store", free: { bytes: 100e9, files: 5_000_000 } },
  stateSpace: { path: "/var/lib/nix-airgap", free: { bytes: 100e9, files: null } },
  now: "2026-06-01T00:00:00Z",
  state: { lastSeen: "2026-05-31T00:00:00Z" },
  policy: { version: 3, sha256: "ab".repeat(32), expires: "2027-06-01T00:00:00Z" },
  problem: null,
  importKey: IMPORT_KEY,
  policyFile: place("/etc/nix-airgap/policy.json", there("file", 0o644)),
  stateFolder: place("/var/lib/nix-airgap", there("folder", 0o755)),
  importKeyFile: place("/var/lib/nix-airgap/import.sec", there("file", 0o600)),
  uid: 0,
  serviceUid: null,
  node: "24.1.0",
  sshKeygen: "/usr/bin/ssh-keygen",
};

const settings = (some: Partial<NixSettings>): Partial<DoctorFacts> => ({
  nix: { kind: "usable", versionLine: "nix (Nix) 2.34.8", settings: { ...GOOD_SETTINGS, ...some } },
});
const version = (versionLine: string, some: Partial<NixSettings> = {}): Partial<DoctorFacts> => ({
  nix: { kind: "usable", versionLine, settings: { ...GOOD_SETTINGS, ...some } },
});
const UNSET: Partial<DoctorFacts> = {
  nix: {
    kind: "usable",
    versionLine: "nix (Nix) 2.34.8",
    settings: { code: "NIX_FAILED", message: "nix show-config: Nix failed" },
  },
};
const NO_NIX: Partial<DoctorFacts> = {
  nix: { kind: "unusable", failure: { code: "NIX_MISSING", message: "nix: Nix is not installed" } },
};
const NIX_CHECKS: readonly DoctorCheckId[] = [
  "nix-version",
  "nix-conf",
  "require-sigs",
  "trusted-public-keys",
  "trusted-users",
  "sandbox",
  "substituters",
];

function judged(some: Partial<DoctorFacts>): { checks: DoctorCheck[]; exit: number } {
  const facts = { ...GOOD, ...some };
  const checks = judge(facts);
  return { checks, exit: exitOfChecks(checks, facts) };
}

const checkOf = (id: DoctorCheckId, checks: readonly DoctorCheck[]) =>
  checks.find((check) => check.id === id)!;

describe("judging", () => {
  it("finds nothing where all is well", () => {
    const { checks, exit } = judged({});
    expect(exit).toBe(0);
    expect(checks.filter(({ state, advice }) => state !== "ok" || advice !== null)).toEqual([]);
    expect(checks).toHaveLength(16);
  });

  const cases: readonly [DoctorCheckId, DoctorCheck["state"], string, Partial<DoctorFacts>, RegExp][] = [
    ["nix-version", "ok", "a sound release", version("nix (Nix) 2.28.7"), /none of the holes/],
    [
      "nix-version",
      "bad",
      "holes where others may build",
      version("nix (Nix) 2.8.0"),
      /unless your distribution patched it, 7 known holes:\nCVE-2024-27297: [\s\S]*Other users can/,
    ],
    [
      "nix-version",
      "bad",
      "holes, and nobody says who may build",
      version("nix (Nix) 2.8.0", { allowedUsers: null }),
      /Other users/,
    ],
    [
      "nix-version",
      "bad",
      "holes, and a trusted user",
      version("nix (Nix) 2.8.0", { allowedUsers: ["root"], trustedUsers: ["root", "bob"] }),
      /Other users/,
    ],
    [
      "nix-version",
      "warn",
      "holes where only root may build",
      version("nix (Nix) 2.8.0", { allowedUsers: ["root"] }),
      /Only root can/,
    ],
    [
      "nix-version",
      "warn",
      "holes without a daemon",
      { ...version("nix (Nix) 2.8.0"), hasDaemon: false },
      /Only root can/,
    ],
    [
      "nix-version",
      "bad",
      "a hole that a crafted NAR uses, whoever builds",
      { ...version("nix (Nix) 2.24.5"), hasDaemon: false },
      /CVE-2024-45593/,
    ],
    ["nix-version", "unknown", "Lix", version("nix (Lix, like Nix) 2.91.1"), /not a release of Nix itself/],
    [
      "nix-version",
      "unknown",
      "Determinate Nix",
      version("nix (Determinate Nix 3.6.7) 2.29.1"),
      /Determinate/,
    ],
    ["nix-version", "unknown", "a pre-release", version("nix (Nix) 2.34.8pre20260501_abc"), /pre2026/],
    ["nix-version", "unknown", "words of another form", version("nixos 1"), /nixos 1/],
    [
      "nix-conf",
      "ok",
      "no nix.conf",
      { nixConf: place("/etc/nix/nix.conf", MISSING, MISSING) },
      /defaults hold/,
    ],
    [
      "nix-conf",
      "warn",
      "root's own settings",
      { otherConfs: [place("/root/.config/nix/nix.conf", there("file", 0o600))] },
      /\/root\/\.config\/nix\/nix\.conf/,
    ],
    ["nix-conf", "ok", "no other file", { otherConfs: [place("/root/nix.conf", MISSING)] }, /no other file/],
    [
      "nix-conf",
      "unknown",
      "a file that cannot be seen",
      { otherConfs: [place("/root/nix.conf", HIDDEN)] },
      /\/root\/nix\.conf cannot/,
    ],
    [
      "nix-conf",
      "bad",
      "a nix.conf that all may write",
      { nixConf: place("/etc/nix/nix.conf", there("file", 0o666)) },
      /everyone may write it \(mode 0666\)/,
    ],
    [
      "nix-conf",
      "bad",
      "a nix.conf of a user's",
      { nixConf: place("/etc/nix/nix.conf", there("file", 0o644, 1000)) },
      /belongs to user 1000/,
    ],
    ["nix-conf", "bad", "settings that Nix refuses", UNSET, /NIX_FAILED: nix show-config/],
    ["require-sigs", "bad", "no signatures", settings({ requireSigs: false }), /require-sigs = false/],
    ["require-sigs", "unknown", "a Nix that does not say", settings({ requireSigs: null }), /does not say/],
    ["require-sigs", "unknown", "settings that Nix refuses", UNSET, /NIX_FAILED/],
    ["trusted-public-keys", "ok", "the import key alone", {}, /only the site's import key/],
    [
      "trusted-public-keys",
      "ok",
      "no key kept and none trusted",
      { importKey: null, ...settings({ trustedPublicKeys: [] }) },
      /no key is trusted/,
    ],
    [
      "trusted-public-keys",
      "warn",
      "another key beside it",
      settings({ trustedPublicKeys: [IMPORT_KEY, OTHER_KEY] }),
      /\ncache\.nixos\.org-1:/,
    ],
    [
      "trusted-public-keys",
      "warn",
      "no key kept, but some trusted",
      { importKey: null, ...settings({ trustedPublicKeys: [OTHER_KEY] }) },
      /everything that one of these keys signed may enter:\ncache/,
    ],
    [
      "trusted-public-keys",
      "warn",
      "keys for signing, which count too",
      settings({ secretKeyFiles: ["/etc/k.sec"] }),
      /secret-key-files: \/etc\/k\.sec/,
    ],
    [
      "trusted-public-keys",
      "bad",
      "the import key not among them",
      settings({ trustedPublicKeys: [OTHER_KEY] }),
      /site-1:.* is not among the 1 trusted key:\ncache/,
    ],
    [
      "trusted-public-keys",
      "unknown",
      "a Nix that does not say",
      settings({ trustedPublicKeys: null }),
      /does not say/,
    ],
    ["trusted-users", "ok", "nobody at all", settings({ trustedUsers: [] }), /only root/],
    ["trusted-users", "warn", "a user", settings({ trustedUsers: ["root", "bob"] }), /beside root: bob/],
    ["trusted-users", "bad", "a group", settings({ trustedUsers: ["root", "@wheel"] }), /@wheel/],
    ["trusted-users", "bad", "everyone", settings({ trustedUsers: ["*"] }), /\*/],
    ["trusted-users", "unknown", "a Nix that does not say", settings({ trustedUsers: null }), /does not say/],
    [
      "sandbox",
      "warn",
      "a sandbox that may be left out",
      settings({ sandboxFallback: true }),
      /refuses a sandbox/,
    ],
    ["sandbox", "warn", "a relaxed one", settings({ sandbox: "relaxed" }), /may ask to leave/],
    ["sandbox", "bad", "none", settings({ sandbox: false }), /sandbox = false/],
    ["sandbox", "unknown", "a Nix that does not say", settings({ sandbox: null }), /what sandbox is/],
    [
      "sandbox",
      "unknown",
      "a Nix that does not say of the fallback",
      settings({ sandboxFallback: null }),
      /sandbox-fallback/,
    ],
    [
      "substituters",
      "warn",
      "some",
      settings({ substituters: ["https://cache.nixos.org/"] }),
      /cache\.nixos\.org/,
    ],
    [
      "substituters",
      "ok",
      "some, turned off",
      settings({ substituters: ["https://c/"], substitute: false }),
      /turns them off/,
    ],
    ["substituters", "unknown", "a Nix that does not say", settings({ substituters: null }), /does not say/],
    [
      "store-space",
      "ok",
      "the least that is well",
      { store: { path: "/s", free: { bytes: 10e9, files: 100_000 } } },
      /10\.0 GB free at \/s, room for 100000 files/,
    ],
    [
      "store-space",
      "warn",
      "little",
      { store: { path: "/s", free: { bytes: 10e9 - 1, files: null } } },
      /GB free/,
    ],
    [
      "store-space",
      "warn",
      "few files",
      { store: { path: "/s", free: { bytes: 10e9, files: 99_999 } } },
      /99999 files/,
    ],
    [
      "store-space",
      "bad",
      "next to none",
      { store: { path: "/s", free: { bytes: 999e6, files: null } } },
      /999\.0 MB/,
    ],
    [
      "store-space",
      "bad",
      "next to no files",
      { store: { path: "/s", free: { bytes: 10e9, files: 999 } } },
      /999 files/,
    ],
    ["store-space", "unknown", "a silent system", { store: { path: "/s", free: null } }, /does not say/],
    [
      "state-space",
      "warn",
      "little",
      { stateSpace: { path: "/v", free: { bytes: 500e6, files: null } } },
      /500\.0 MB free at \/v/,
    ],
    [
      "state-space",
      "bad",
      "next to none",
      { stateSpace: { path: "/v", free: { bytes: 49e6, files: null } } },
      /49\.0 MB/,
    ],
    ["state-space", "unknown", "a silent system", { stateSpace: { path: "/v", free: null } }, /does not say/],
    ["clock", "ok", "the very second", { state: { lastSeen: GOOD.now } }, /last seen/],
    [
      "clock",
      "bad",
      "a second too early",
      { state: { lastSeen: "2026-06-01T00:00:01Z" } },
      /has been seen already/,
    ],
    [
      "clock",
      "bad",
      "an empty battery",
      { now: "1970-01-01T00:01:40Z", state: null },
      /before this program was made/,
    ],
    ["clock", "unknown", "nothing seen yet", { state: { lastSeen: null } }, /no time is recorded/],
    [
      "clock",
      "unknown",
      "no state",
      { state: null, stateFolder: place("/v", MISSING) },
      /no state folder \/v/,
    ],
    ["clock", "unknown", "state that was not read", { state: null }, /was not read/],
    ["policy", "ok", "one without an end", { policy: { ...GOOD.policy!, expires: null } }, /does not expire/],
    [
      "policy",
      "ok",
      "61 days left",
      { policy: { ...GOOD.policy!, expires: "2026-08-01T00:00:00Z" } },
      /version 3/,
    ],
    [
      "policy",
      "warn",
      "60 days left",
      { policy: { ...GOOD.policy!, expires: "2026-07-31T00:00:00Z" } },
      /in 60 days/,
    ],
    [
      "policy",
      "warn",
      "a second left",
      { policy: { ...GOOD.policy!, expires: "2026-06-01T00:00:01Z" } },
      /in 0 days/,
    ],
    [
      "policy",
      "bad",
      "the second of its end",
      { policy: { ...GOOD.policy!, expires: GOOD.now } },
      /expired at/,
    ],
    ["policy", "warn", "none", { policy: null, policyFile: place("/p", MISSING) }, /no policy at \/p/],
    ["policy", "unknown", "a file that was not read", { policy: null }, /was not read/],
    [
      "policy-file",
      "ok",
      "the owner of the state folder's",
      {
        policyFile: place("/p", there("file", 0o640, 7)),
        stateFolder: place("/v", there("folder", 0o700, 7)),
        uid: 7,
      },
      /owner 7, mode 0640/,
    ],
    [
      "policy-file",
      "bad",
      "another's",
      { policyFile: place("/p", there("file", 0o644, 1000)) },
      /it belongs to user 1000/,
    ],
    [
      "policy-file",
      "bad",
      "one that its group may write",
      { policyFile: place("/p", there("file", 0o664)) },
      /its group may write it \(mode 0664\)/,
    ],
    [
      "policy-file",
      "bad",
      "one that all may write",
      { policyFile: place("/p", there("file", 0o646)) },
      /everyone may write it/,
    ],
    [
      "policy-file",
      "bad",
      "one that all may replace",
      { policyFile: place("/p", there("file", 0o644), there("folder", 0o777)) },
      /everyone may write its folder/,
    ],
    [
      "policy-file",
      "bad",
      "one that a user may replace",
      { policyFile: place("/p", there("file", 0o644), there("folder", 0o755, 1000)) },
      /its folder belongs to user 1000/,
    ],
    [
      "policy-file",
      "ok",
      "one in a folder like /tmp",
      { policyFile: place("/p", there("file", 0o644), there("folder", 0o1777)) },
      /mode 0644/,
    ],
    ["policy-file", "bad", "a folder", { policyFile: place("/p", there("folder", 0o755)) }, /not a file/],
    ["policy-file", "unknown", "none", { policyFile: place("/p", MISSING) }, /not there/],
    ["policy-file", "unknown", "one that cannot be seen", { policyFile: place("/p", HIDDEN) }, /EACCES/],
    [
      "state-folder",
      "ok",
      "that of who asks",
      { stateFolder: place("/v", there("folder", 0o700, 7)), uid: 7 },
      /owner 7/,
    ],
    [
      "state-folder",
      "ok",
      "that of the account that restores for operators",
      { stateFolder: place("/v", there("folder", 0o755, 999)), uid: 1000, serviceUid: 999 },
      /owner 999/,
    ],
    [
      "state-folder",
      "bad",
      "another's",
      { stateFolder: place("/v", there("folder", 0o700, 7)), uid: 8 },
      /belongs to user 7/,
    ],
    [
      "state-folder",
      "bad",
      "one that its group may write",
      { stateFolder: place("/v", there("folder", 0o775)) },
      /its group may write it/,
    ],
    ["state-folder", "bad", "a file", { stateFolder: place("/v", there("file", 0o600)) }, /not a folder/],
    ["state-folder", "unknown", "none", { stateFolder: place("/v", MISSING) }, /not there/],
    ["state-folder", "unknown", "one that cannot be seen", { stateFolder: place("/v", HIDDEN) }, /EACCES/],
    ["import-key-file", "ok", "none kept", { importKeyFile: null }, /keeps no import key/],
    [
      "import-key-file",
      "bad",
      "one that its group may read",
      { importKeyFile: place("/k", there("file", 0o640)) },
      /others than its owner may use it \(mode 0640\)/,
    ],
    [
      "import-key-file",
      "bad",
      "another's",
      { importKeyFile: place("/k", there("file", 0o600, 1000)) },
      /belongs to user 1000/,
    ],
    [
      "import-key-file",
      "bad",
      "a folder",
      { importKeyFile: place("/k", there("folder", 0o700)) },
      /not a file/,
    ],
    ["import-key-file", "unknown", "one that is gone", { importKeyFile: place("/k", MISSING) }, /not there/],
    [
      "import-key-file",
      "unknown",
      "one that cannot be seen",
      { importKeyFile: place("/k", HIDDEN) },
      /EACCES/,
    ],
    ["node", "bad", "one that is too old", { node: "18.20.8" }, /older than 20/],
    ["node", "bad", "no number", { node: "x" }, /x/],
    ["node", "ok", "one after its end", { node: "20.20.2" }, /no fixes any more since 2026-04-30/],
    [
      "node",
      "ok",
      "one on the day of its end",
      { node: "20.20.2", now: "2026-04-30T23:59:59Z" },
      /^Node\.js 20\.20\.2$/,
    ],
    ["node", "ok", "one that is not known yet", { node: "40.0.0" }, /^Node\.js 40\.0\.0$/],
    ["ssh-keygen", "ok", "none", { sshKeygen: null }, /not found/],
  ];

  it.each(cases)("%s is %s: %s", (id, state, _, some, found) => {
    const { checks, exit } = judged(some);
    const check = checkOf(id, checks);
    expect(check.state).toBe(state);
    expect(check.found).toMatch(found);
    expect(check.advice === null ? "" : check.advice).toMatch(state === "ok" ? /^/ : /\S/);
    if (some !== UNSET) expect(exit).toBe(checks.some((each) => each.state === "bad") ? 12 : 0);
  });

  it("keeps each warning to its own check", () => {
    const { checks } = judged(settings({ requireSigs: false }));
    expect(checks.filter(({ state }) => state !== "ok").map(({ id }) => id)).toEqual(["require-sigs"]);
  });

  it("says all that it can where Nix is missing, and exits 20", () => {
    const { checks, exit } = judged({ ...NO_NIX, state: { lastSeen: "2027-01-01T00:00:00Z" } });
    expect(exit).toBe(20);
    for (const id of NIX_CHECKS) {
      expect(checkOf(id, checks)).toMatchObject({
        state: "bad",
        advice: expect.stringContaining("Install Nix"),
      });
      expect(checkOf(id, checks).found).toMatch(/^NIX_MISSING: /);
    }
    expect(checkOf("clock", checks).state).toBe("bad");
    expect(checkOf("policy", checks).state).toBe("ok");
  });

  it("exits 20 where Nix does not answer", () => {
    expect(judged(UNSET).exit).toBe(20);
  });

  it("tells to restart a daemon only where there is one", () => {
    const advice = (hasDaemon: boolean) =>
      checkOf("substituters", judged({ ...settings({ substituters: ["x"] }), hasDaemon }).checks).advice;
    expect([advice(true), advice(false)]).toEqual([
      "Set substituters = in /etc/nix/nix.conf; then restart the daemon: systemctl restart nix-daemon.",
      "Set substituters = in /etc/nix/nix.conf.",
    ]);
  });
});

describe("on this machine", () => {
  let dir: string;
  let options: DoctorOptions;
  const context = nodeContext({ now: () => new Date("2026-06-01T00:00:00.999Z") });

  beforeEach(() => {
    dir = tempDir();
    for (const name of ["conf", "state", "etc"]) mkdirSync(join(dir, name), { mode: 0o755 });
    options = {
      stateDir: join(dir, "state"),
      policyPath: join(dir, "etc/policy.json"),
      state: null,
      policy: null,
      importKey: null,
      importKeyPath: null,
      nixConfDir: join(dir, "conf"),
    };
  });

  const conf = (text: string) => writeFileSync(join(dir, "conf/nix.conf"), text);
  const gather = () => gatherFacts(options, context);

  async function settingsOf(): Promise<NixSettings> {
    const { nix } = await gather();
    if (nix.kind === "unusable" || "code" in nix.settings) throw new Error(JSON.stringify(nix));
    return nix.settings;
  }

  it("reads the settings that a nix.conf gives", async () => {
    conf(
      [
        "require-sigs = false",
        "trusted-public-keys =",
        `extra-trusted-public-keys = ${IMPORT_KEY}`,
        "secret-key-files = /etc/k.sec",
        "trusted-users = root @wheel",
        "allowed-users = root",
        "sandbox = relaxed",
        "sandbox-fallback = false",
        "sandbox-paths = /bin/sh=/usr/bin/dash /usr",
        "extra-platforms = riscv64-linux",
        "system = x86_64-linux",
        "substitute = false",
        "substituters =",
        "",
      ].join("\n"),
    );
    expect(await settingsOf()).toEqual({
      requireSigs: false,
      trustedPublicKeys: [IMPORT_KEY],
      secretKeyFiles: ["/etc/k.sec"],
      trustedUsers: ["root", "@wheel"],
      allowedUsers: ["root"],
      sandbox: "relaxed",
      sandboxFallback: false,
      sandboxPaths: ["/bin/sh=/usr/bin/dash", "/usr"],
      system: "x86_64-linux",
      extraPlatforms: ["riscv64-linux"],
      substitute: false,
      substituters: [],
    });
  });

  it("reads Nix's defaults where there is none", async () => {
    expect(await settingsOf()).toMatchObject({
      requireSigs: true,
      trustedUsers: ["root"],
      allowedUsers: ["*"],
    });
  });

  it("lets neither the user's settings nor the environment have a say", async () => {
    conf("require-sigs = true\n");
    const home = join(dir, "home");
    mkdirSync(join(home, ".config/nix"), { recursive: true });
    const hostile = join(home, ".config/nix/nix.conf");
    writeFileSync(hostile, "require-sigs = false\nsandbox = false\n");
    const env = {
      ...process.env,
      HOME: home,
      XDG_CONFIG_HOME: join(home, ".config"),
      NIX_USER_CONF_FILES: hostile,
      NIX_CONF_DIR: join(home, ".config/nix"),
      NIX_CONFIG: "require-sigs = false",
    };
    const { nix } = await gatherFacts(options, { ...context, env });
    expect(nix).toMatchObject({ settings: { requireSigs: true } });
  });

  it("writes nothing", async () => {
    const tmp = join(dir, "tmp");
    mkdirSync(tmp);
    await doctor(options, { ...context, tmpDir: tmp, env: { ...process.env, TMPDIR: tmp, HOME: tmp } });
    expect(["tmp", "conf", "state", "etc"].map((name) => readdirSync(join(dir, name)))).toEqual([
      [],
      [],
      [],
      [],
    ]);
  });

  it("reports a nix.conf that Nix refuses in Nix's own words, and exits 20", async () => {
    conf("sandbox = maybe\n");
    const report = await doctor(options, context);
    expect(report.exit).toBe(20);
    expect(checkOf("nix-conf", report.checks)).toMatchObject({ state: "bad" });
    expect(checkOf("nix-conf", report.checks).found).toContain("invalid value 'maybe'");
    expect(checkOf("sandbox", report.checks).state).toBe("unknown");
    expect(report.tools.nix).toMatch(/^nix \(/);
  });

  it("looks at files, space, clock and programs", async () => {
    writeFileSync(options.policyPath, "{}");
    chmodSync(options.policyPath, 0o666);
    chmodSync(options.stateDir, 0o770);
    const key = join(dir, "state/import.sec");
    writeFileSync(key, "");
    chmodSync(key, 0o600);
    options = { ...options, importKeyPath: key };
    const uid = process.geteuid!();
    expect(await gather()).toMatchObject({
      policyFile: {
        path: options.policyPath,
        itself: { type: "file", mode: 0o666, uid },
        parent: { mode: 0o755 },
      },
      stateFolder: { itself: { type: "folder", mode: 0o770, uid } },
      importKeyFile: { path: key, itself: { mode: 0o600 } },
      nixConf: { path: join(dir, "conf/nix.conf"), itself: MISSING, parent: { kind: "there" } },
      store: { path: "/nix/store", free: { bytes: expect.any(Number) } },
      now: "2026-06-01T00:00:00Z",
      node: process.versions.node,
      uid,
    });
  });

  it("takes paths from where one stands, and keeps to its schema", async () => {
    const report = await doctor(
      { ...options, stateDir: "state", policyPath: "none" },
      { ...context, cwd: dir },
    );
    expect(validateDoctorReport(report)).toBe(true);
    expect(checkOf("state-folder", report.checks).found).toContain(join(dir, "state"));
    expect(checkOf("policy-file", report.checks).found).toContain(join(dir, "none"));
  });

  it("stops when it is told to", async () => {
    const controller = new AbortController();
    controller.abort();
    await expect(doctor(options, { ...context, signal: controller.signal })).rejects.toMatchObject({
      code: "INTERRUPTED",
    });
  });
});

describe("what policy, state and import key say", () => {
  const NOW = "2026-05-31T00:00:00Z";
  const policy = firstPolicy([person("ada", ["policy", "qa"])], { approvals: [{ persons: 1, role: "qa" }] });
  const bytes = policyBytes(policy, () => {});
  const place = () => {
    const dir = tempDir();
    return { policyPath: join(dir, "policy.json"), stateDir: join(dir, "state") };
  };

  it("is nothing where nothing was pinned", async () => {
    expect(await readSiteFacts(place())).toMatchObject({ state: null, policy: null, importKey: null });
  });

  it("is why they cannot be used, where one of them is gone or was changed", async () => {
    const { policyPath, stateDir } = place();
    mkdirSync(stateDir);
    expect((await readSiteFacts({ policyPath, stateDir })).problem).toContain("POLICY_MISSING");
    writeFileSync(policyPath, bytes);
    expect((await readSiteFacts({ policyPath, stateDir })).problem).toContain("STATE_MISSING");
    const { reference } = changedPolicy(policy, (document) => {
      document.name = "another";
    });
    writeFileSync(join(stateDir, "state.json"), formatState(newState(reference, NOW)));
    const facts = await readSiteFacts({ policyPath, stateDir });
    expect(facts.problem).toContain("POLICY_HASH");
    const { checks } = await doctor(facts, testContext());
    expect(checks.find(({ state, found }) => state === "bad" && found.includes("POLICY_HASH"))).toBeDefined();
  });

  it("is what was pinned", async () => {
    const { policyPath, stateDir } = place();
    mkdirSync(stateDir);
    writeFileSync(policyPath, bytes);
    writeFileSync(join(stateDir, "state.json"), formatState(newState(policy.reference, NOW)));
    const facts = await readSiteFacts({ policyPath, stateDir });
    expect(facts).toMatchObject({ state: { lastSeen: NOW, clockDriftSeconds: 300 }, policy: { version: 1 } });
  });
});
