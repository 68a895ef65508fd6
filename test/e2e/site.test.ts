/**
 * A site's machine as its administrator sets it up: people without privileges restore what is approved, by sudo, and can do
 * nothing else. Takes root, for users and mounts of its own.
 */
import { execFileSync } from "node:child_process";
import { chmodSync, copyFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type {
  AuditEntry,
  DoctorReport,
  ReleasesReport,
  RestoreReceipt,
  TrustStatusReport,
} from "../../src/generated/types.js";
import { cli, RELEASE } from "../support/cli.js";
import { installedNix, isOlder } from "../support/installed-nix.js";

const MACHINE = resolve(import.meta.dirname, "../support/site-machine");
const GOLDEN = resolve(import.meta.dirname, "../../fixtures/golden");

/** As an operator types it. */
const GATEWAY = "sudo -n -u nix-airgap /usr/local/sbin/nix-airgap-site";

/** Debian's older ones have holes. */
const DOCTORED = isOlder(installedNix(), "2.34.7") ? ["nix-version bad"] : [];

const SCENARIO = `
program="node $dir/nix-airgap.mjs"
step init $program trust init policy.json --sha256 "$(sha256sum < policy.json | cut -c 1-64)"
step no-key $program trust install
step import-key $program trust import-key init
step install $program trust install --program "$dir/nix-airgap.mjs"
step installed sh steps/install.out
step installed-again sh steps/install.out
step nixos $program trust install --nixos
step nixos-parses nix-instantiate --parse steps/nixos.out
start_daemon

step restore operator ${GATEWAY} restore "$dir/good.tar"
step status operator $program trust status --json
step use operator ${GATEWAY} use acme-pump-v1.4.0
step use-option operator ${GATEWAY} use --current
step releases operator $program releases --json
step run operator /nix/var/nix/nix-airgap/current/acme-pump/default/bin/acme-pump
step verify operator $program verify "$dir/good.tar" --json
step out operator test -e /nix/store/carm4qmvfdjyyxc7aginr71cind5hsrk-acme-pump-1.4.0/bin/acme-pump
step older operator ${GATEWAY} restore "$dir/unapproved.tar"

step options operator ${GATEWAY} restore "$dir/good.tar" --no-policy
step option-first operator ${GATEWAY} restore --state=/tmp "$dir/good.tar"
step another-verb operator ${GATEWAY} trust status
step another-command operator sudo -n -u nix-airgap cat /var/lib/nix-airgap/import-key.sec
step read-key operator cat /var/lib/nix-airgap/import-key.sec
step lower operator sh -c 'echo > /var/lib/nix-airgap/state.json'
step replace operator mv /var/lib/nix-airgap/state.json /var/lib/nix-airgap/old.json
step policy operator sh -c 'echo > /etc/nix-airgap/policy.json'
step directly operator $program restore "$dir/good.tar" --json

# Another closure, signed by another key: what stock Nix would import without signatures.
mkdir other
P=/nix/store/carm4qmvfdjyyxc7aginr71cind5hsrk-acme-pump-1.4.0
step forge tar -xf good.tar -C other
chmod -R a+rX other
step gc sh -c 'rm -rf /nix/var/nix/gcroots/nix-airgap/* && nix-store --delete $0' $P
step stock operator nix --extra-experimental-features nix-command copy --from "file://$dir/other" $P
step stock-no-sigs operator nix --extra-experimental-features nix-command copy --no-check-sigs --from "file://$dir/other" $P
step stock-own-key operator nix --extra-experimental-features nix-command copy --from "file://$dir/other" $P --option trusted-public-keys "$(cat packer.pub)" --option require-sigs false
step by-key operator $program restore "$dir/good.tar" --public-key "$dir/packer.pub" --no-policy --json
step gone operator test -e $P
step doctor $program doctor --json
step audit $program audit verify
step export $program audit export
`;

describe.runIf(process.getuid?.() === 0)("a site's machine", () => {
  const dir = mkdtempSync(join(tmpdir(), "airgap-machine-"));
  const file = (name: string) => join(dir, name);
  const step = (name: string) => ({
    exit: Number(readFileSync(file(`steps/${name}.exit`), "utf8")),
    out: readFileSync(file(`steps/${name}.out`), "utf8"),
    err: readFileSync(file(`steps/${name}.err`), "utf8"),
  });
  const json = <T>(name: string) => JSON.parse(step(name).out) as T;

  beforeAll(async () => {
    chmodSync(dir, 0o755);
    for (const name of ["good.tar", "unapproved.tar"]) copyFileSync(`${GOLDEN}/format-1.0.tar`, file(name));
    copyFileSync(`${GOLDEN}/format-1.0.pub`, file("packer.pub"));
    copyFileSync(RELEASE, file("nix-airgap.mjs"));
    const run = async (...args: string[]) => {
      const { code, stderr } = await cli(args, { cwd: dir });
      if (code !== 0) throw new Error(`${args.join(" ")}: exit ${code}: ${stderr}`);
    };
    await run("keygen", "--name", "ada", "--out", "keys");
    await run(
      ...["trust", "new", "--out", "policy.json", "--product", "acme-pump"],
      ...["--machine", "Packing machine <packer-1> packer packer.pub", "--require", "packer=1"],
      ...["--person", "Ada Example <ada@example.org> policy,qa keys/ada.pub", "--require", "qa=1"],
    );
    const words = ["--role", "qa", "--meaning", "tested", "--policy", "policy.json", "--yes"];
    await run("sign", "good.tar", ...words, "--key", "keys/ada.sec");
    writeFileSync(file("scenario"), SCENARIO);
    execFileSync(MACHINE, [dir, file("scenario")], { stdio: ["ignore", "inherit", "inherit"] });
  }, 120_000);
  afterAll(() => {
    execFileSync("chmod", ["-R", "u+w", dir]);
    rmSync(dir, { recursive: true, force: true });
  });

  it("is set up by the script that trust install prints, once or twice", () => {
    for (const name of ["init", "import-key", "install", "installed", "installed-again"]) {
      expect(step(name), name).toMatchObject({ exit: 0 });
    }
    const conf = readFileSync(file("machine/etc/nix/nix.conf"), "utf8");
    expect(conf.match(/^require-sigs = true$/gm)).toHaveLength(1);
    expect(conf.match(/^trusted-public-keys = nix-airgap-site-\S+$/gm)).toHaveLength(1);
    expect(step("no-key")).toMatchObject({ exit: 2, err: expect.stringContaining("IMPORT_KEY_MISSING") });
  });

  it("has a module for NixOS too, which Nix can read", () => {
    expect(step("nixos-parses").exit, step("nixos-parses").err).toBe(0);
  });

  it("lets an operator restore an approved bundle, through the daemon", () => {
    expect(step("restore").exit, step("restore").err).toBe(0);
    expect(step("restore").out).toContain("store      daemon");
    expect(step("out").exit).toBe(0);
    expect(json<TrustStatusReport>("status").products).toMatchObject([
      { product: "acme-pump", sequence: 1709294400 },
    ]);
  });

  it("lets an operator choose the current release, and everybody see and run it", () => {
    expect(step("use").exit, step("use").err).toBe(0);
    expect(step("use-option")).toMatchObject({ exit: 2, err: expect.stringContaining("--gc-root") });
    expect(json<ReleasesReport>("releases").releases).toMatchObject([
      { name: "acme-pump-v1.4.0", isCurrent: true, by: { user: "nix-airgap", sudoUser: "op" } },
    ]);
    expect(step("run").out).toMatch(/max-pressure = 120/);
  });

  it("refuses the operator what nobody approved", () => {
    expect(step("older")).toMatchObject({ exit: 12, out: expect.stringContaining("APPROVAL_THRESHOLD") });
  });

  it("lets everybody verify, and says that this is not in the log", () => {
    expect(step("verify").exit).toBe(0);
    expect(json<{ notes: { text: string }[] }>("verify").notes.map(({ text }) => text)).toContainEqual(
      expect.stringContaining("not recorded"),
    );
  });

  it("takes no option from the operator, and no other command", () => {
    expect(step("options").exit).not.toBe(0);
    expect(step("option-first").exit).not.toBe(0);
    expect(step("another-verb")).toMatchObject({ exit: 2, err: expect.stringContaining("usage") });
    expect(step("another-command")).toMatchObject({ exit: 1, err: expect.stringContaining("password") });
  });

  it("lets the operator neither read the key, nor lower the sequence, nor change the policy", () => {
    for (const name of ["read-key", "lower", "replace", "policy"]) {
      expect(step(name).exit, name).not.toBe(0);
      expect(step(name).err, name).toContain("ermission denied");
    }
    const state = file("machine/var-lib/nix-airgap/state.json");
    expect(JSON.parse(readFileSync(state, "utf8"))).toMatchObject({ products: [{ sequence: 1709294400 }] });
  });

  it("lets the operator import nothing by themselves: neither with our program nor with stock Nix", () => {
    expect(json<RestoreReceipt>("directly")).toMatchObject({ exit: 22, verdict: "failed" });
    expect(json<RestoreReceipt>("by-key")).toMatchObject({
      exit: 20,
      findings: [{ code: "DAEMON_KEY", advice: expect.stringContaining(GATEWAY.replace(" -n", "")) }],
    });
    expect(step("gc").exit, step("gc").err).toBe(0);
    for (const name of ["stock", "stock-no-sigs", "stock-own-key"]) {
      expect(step(name).exit, name).not.toBe(0);
      expect(step(name).err, name).toMatch(/lacks a (valid )?signature/);
    }
    expect(step("gone").exit).toBe(1);
  });

  it("is found good by doctor, but for what Nix's version lets its users do", () => {
    const checks = json<DoctorReport>("doctor").checks.filter(({ state }) => state !== "ok");
    expect(
      checks.map(({ id, state }) => `${id} ${state}`),
      step("doctor").out,
    ).toEqual(DOCTORED);
  });

  it("records who did it, and through whom", () => {
    expect(step("audit").exit).toBe(0);
    const { entries } = json<{ entries: AuditEntry[] }>("export");
    expect(entries.map(({ event, verdict }) => `${event} ${verdict}`)).toEqual([
      "trust init",
      "trust import-key",
      "restore begun",
      "restore complete",
      "release already",
      "restore refused",
    ]);
    expect(entries[3]).toMatchObject({ user: { name: "nix-airgap", sudoUser: "op" }, exit: 0 });
  });
});
