/**
 * A site's machine with a Nix daemon, and somebody on it without privileges who restores through it: what the daemon must
 * be told first, and that it then works whole. Takes root, for users and mounts of its own.
 */
import { execFileSync } from "node:child_process";
import { chmodSync, copyFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { ErrorReport, ReleasesReport, RestoreReceipt } from "../../src/generated/types.js";
import { RELEASE } from "../support/cli.js";

const MACHINE = resolve(import.meta.dirname, "../support/site-machine");
const GOLDEN = resolve(import.meta.dirname, "../../fixtures/golden");

const SCENARIO = `
program="node $dir/nix-airgap.mjs"
restore="$program restore $dir/pump.tar --public-key $dir/packer.pub --json"
daemon() {
  start_daemon
  daemon_pid=$!
}
stop_daemon() {
  kill "$daemon_pid"
  rm -f /nix/var/nix/daemon-socket/socket
}

step absent operator $restore --store daemon
daemon
step refused operator $restore
step nothing sh -c 'ls /nix/store/*.drv'

# The administrator does what the refusal says, word for word, but for the restart at first.
mkdir -p /etc/nix
node -e '
  const { findings } = JSON.parse(require("fs").readFileSync("steps/refused.out"));
  process.stdout.write(/extra-trusted-public-keys = \\S+/.exec(findings[0].advice)[0] + "\\n");
' >> /etc/nix/nix.conf
step not-restarted operator $restore
stop_daemon
daemon
step restored operator $restore --out-link "$dir/home/pump"
step again operator $restore --store unix:///nix/var/nix/daemon-socket/socket

step commands operator node -e '
  const { roots } = JSON.parse(require("fs").readFileSync("steps/restored.out"));
  for (const { shell } of roots.flatMap(({ commands }) => commands)) console.log(shell);
'
step ran operator sh -e steps/commands.out
step linked operator cat "$dir/home/pump/default/etc/pump.conf"
step collected nix-store --option keep-derivations false --gc
step kept operator $restore
step locally operator $restore --store local

corrupted=$(ls -d /nix/store/*-licence.txt)
chmod u+w "$corrupted"
echo evil >> "$corrupted"
step wrong operator $restore
node -e '
  const { findings } = JSON.parse(require("fs").readFileSync("steps/wrong.out"));
  console.log(/nix-store .*/.exec(findings[0].advice)[0]);
' > repair
step repaired sh -e repair
step as-root $restore --store daemon
step listed operator $program releases --json
step removed operator $program releases remove acme-pump-v1.4.0 --current --json
step root-collected nix-store --gc
step root-kept $restore --store daemon
step gone sh -c 'rm -rf /nix/var/nix/gcroots/nix-airgap && nix-store --gc && ls /nix/store/*.drv'
step root-anew $restore --store daemon

stop_daemon
echo 'allowed-users = root' >> /etc/nix/nix.conf
daemon
step not-allowed operator $restore
`;

describe.runIf(process.getuid?.() === 0)("somebody without privileges, on a machine with a daemon", () => {
  const dir = mkdtempSync(join(tmpdir(), "airgap-daemon-"));
  const file = (name: string) => join(dir, name);
  const step = (name: string) => ({
    exit: Number(readFileSync(file(`steps/${name}.exit`), "utf8")),
    out: readFileSync(file(`steps/${name}.out`), "utf8"),
    err: readFileSync(file(`steps/${name}.err`), "utf8"),
  });
  const json = <T = RestoreReceipt>(name: string) => JSON.parse(step(name).out) as T;
  const key = readFileSync(`${GOLDEN}/format-1.0.pub`, "utf8").trim();

  beforeAll(() => {
    chmodSync(dir, 0o755);
    copyFileSync(`${GOLDEN}/format-1.0.tar`, file("pump.tar"));
    copyFileSync(`${GOLDEN}/format-1.0.pub`, file("packer.pub"));
    copyFileSync(RELEASE, file("nix-airgap.mjs"));
    writeFileSync(file("scenario"), SCENARIO);
    execFileSync(MACHINE, [dir, file("scenario")], { stdio: ["ignore", "inherit", "inherit"] });
  }, 120_000);
  afterAll(() => {
    execFileSync("chmod", ["-R", "u+w", dir]);
    rmSync(dir, { recursive: true, force: true });
  });

  it("is told which line nix.conf lacks, before anything is imported", () => {
    const { exit, verdict, findings } = json("refused");
    expect([exit, verdict]).toEqual([20, "refused"]);
    expect(findings).toMatchObject([{ code: "DAEMON_KEY" }]);
    expect(findings[0]?.advice).toContain(`/etc/nix/nix.conf`);
    expect(findings[0]?.advice).toMatch(/Or root sets up a command for operators/);
    expect(readFileSync(file("machine/etc/nix/nix.conf"), "utf8")).toContain(
      `extra-trusted-public-keys = ${key}\n`,
    );
    expect(step("nothing").exit).not.toBe(0);
  });

  it("is told to have the daemon restarted, once the line is there", () => {
    expect(json("not-restarted").findings).toMatchObject([
      {
        code: "DAEMON_KEY",
        advice: expect.stringMatching(/has golden-1:\S+ already: root restarts the daemon/),
      },
    ]);
  });

  it("then restores all of it", () => {
    for (const name of ["restored", "again"]) {
      expect(step(name).exit, step(name).out).toBe(0);
      expect(json(name)).toMatchObject({
        verdict: "complete",
        paths: { total: 49, checked: 49 },
        store: { kind: "daemon" },
        gcRoots: file("home/.local/state/nix-airgap/gcroots/acme-pump-v1.4.0"),
      });
    }
    expect(json("restored").paths?.imported).toBeGreaterThan(40);
    expect(json("again").store.uri).toBe("unix:///nix/var/nix/daemon-socket/socket");
  });

  it("has links and commands that work", () => {
    expect(step("ran").exit, step("ran").err).toBe(0);
    expect(step("ran").out).toMatch(/max-pressure = 120/);
    expect(step("linked").out).toMatch(/max-pressure = 120/);
  });

  it("keeps every path from the collector, .drv files too, until the roots are removed", () => {
    expect(step("collected").exit, step("collected").err).toBe(0);
    expect(json("kept").paths).toMatchObject({ present: 49, imported: 0, checked: 49 });
    expect(json<ReleasesReport>("listed")).toMatchObject({
      exit: 0,
      releases: ["op", "root"].map((user) => ({
        name: "acme-pump-v1.4.0",
        isCurrent: true,
        by: { user },
        ownNarBytes: 0,
      })),
    });
    expect(step("removed").exit, step("removed").err).toBe(0);
    expect(step("root-collected").exit).toBe(0);
    expect(json("root-kept").paths).toMatchObject({ present: 49, imported: 0 });
    expect(step("gone").exit).not.toBe(0);
  });

  it("hears from wrong content how root repairs it, which a daemon cannot", () => {
    expect(json("wrong").findings).toMatchObject([
      { code: "STORE_CONTENT", advice: expect.stringContaining("root runs: nix-store --store local") },
    ]);
    expect(step("repaired").exit, step("repaired").err).toBe(0);
    expect(json("as-root").paths).toMatchObject({ checked: 49, imported: 0 });
  });

  it("is not let into the store itself, and told why", () => {
    expect(json<ErrorReport>("locally")).toMatchObject({ exit: 2, error: { code: "USAGE" } });
    expect(json<ErrorReport>("locally").error.advice).toMatch(/Leave out --store/);
    expect(json<ErrorReport>("absent").error.advice).toMatch(/Start the daemon/);
    const [finding] = json("not-allowed").findings;
    expect(finding).toMatchObject({
      code: "NIX_FAILED",
      advice: expect.stringContaining("extra-allowed-users"),
    });
  });

  it("root restores through the daemon as well, and roots in the store's state", () => {
    for (const name of ["as-root", "root-anew"]) {
      expect(json(name)).toMatchObject({
        exit: 0,
        gcRoots: "/nix/var/nix/gcroots/nix-airgap/acme-pump-v1.4.0",
      });
    }
    expect(json("root-anew").paths?.imported).toBe(49);
  });
});
