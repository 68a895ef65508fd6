/**
 * No connection is attempted on the site's side: what verify, restore, rebuild, the choice of a release and the printed
 * commands ask of the system is traced by strace, children included, where there is a network, where there is none, and where
 * there is one that leads nowhere. Who connects to nothing and looks up no name waits for no network, whatever the route.
 */
import { readFileSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { RestoreReceipt } from "../../src/generated/types.js";
import { cliJson, runProgram } from "../support/cli.js";
import { SYSTEM } from "../support/fixtures.js";
import { LEND, Packed } from "../support/packed.js";

let packed: Packed;
let runs = 0;
const bundles = { directory: "", tar: "" };

beforeAll(async () => {
  packed = await Packed.make();
  const attrs = ["default", `devShells.${SYSTEM}.default`];
  bundles.directory = await packed.pack("bundle", attrs, "--tier", "source");
  bundles.tar = await packed.pack("bundle.tar", attrs, "--tier", "source");
});
afterAll(() => packed.remove());

interface Trace {
  readonly wrap: string[];
  /** What goes, or could go, further than this machine's kernel. */
  attempts(): string[];
}

function trace(): Trace {
  const log = packed.path(`trace-${runs++}`);
  const calls = "connect,bind,sendto,sendmsg,sendmmsg,socket,open,openat";
  return {
    wrap: ["strace", "-f", "-qq", "-e", `trace=${calls}`, "-e", "signal=none", "-o", log, "--"],
    attempts() {
      const lines = readFileSync(log, "utf8").split("\n");
      // A trace of nothing would prove nothing.
      expect(lines.length).toBeGreaterThan(20);
      return lines.map((line) => line.replace(/^\d+ +/, "")).filter((line) => !isHarmless(line));
    },
  };
}

function isHarmless(line: string): boolean {
  // The resolver's own files: nobody opens them but to look up a name. (Nix has its sandbox's /etc/hosts made.)
  if (/^open(at)?\(/.test(line)) return !/"\/etc\/(resolv\.conf|host\.conf|gai\.conf)"/.test(line);
  // The C library asks the name cache daemon, if there is one, for users and groups.
  if (line.startsWith("connect(")) return /AF_UNIX, sun_path="\/(var\/)?run\/nscd\/socket"/.test(line);
  // Nix brings a sandbox's loopback up, by an ioctl on a socket that is used for nothing else.
  if (line.startsWith("socket(AF_INET")) return line.startsWith("socket(AF_INET, SOCK_DGRAM, IPPROTO_IP)");
  // The kernel is asked which interfaces there are.
  if (/^(bind|send(to|msg|mmsg))\(/.test(line))
    return line.includes("AF_NETLINK") || !line.includes("sa_family=");
  if (line.startsWith("socket(")) return /^socket\(AF_(UNIX|NETLINK),/.test(line);
  return true;
}

describe.each([
  ["with a network", "tar", () => [] as string[]],
  ["in an empty network namespace", "directory", () => packed.site],
  ["with a route that leads nowhere", "tar", () => packed.nowhere],
] as const)("%s, from a %s", (_, form, place) => {
  const key = () => ["--public-key", packed.publicKey];

  it("verify, restore and the printed commands connect to nothing", async () => {
    const verified = trace();
    const { code } = await cliJson(["verify", bundles[form], ...key()], {
      wrap: [...place(), ...verified.wrap],
      env: packed.siteEnv,
    });
    expect([code, verified.attempts()]).toEqual([0, []]);

    const restored = trace();
    const store = packed.path(`store-${runs}`);
    const { json } = await cliJson<RestoreReceipt>(
      ["restore", bundles[form], ...key(), "--store", store, ...LEND],
      { wrap: [...place(), ...restored.wrap], env: packed.siteEnv },
    );
    expect([json.verdict, restored.attempts()]).toEqual(["complete", []]);

    const commands = json.roots.flatMap((root) => root.commands);
    expect(commands.map(({ purpose }) => purpose).sort()).toEqual(["build", "build", "enter", "run"]);
    for (const { purpose, shell } of commands) {
      const ran = trace();
      const line = shell + (purpose === "enter" ? " -c true" : "");
      const outcome = await runProgram([...place(), ...ran.wrap, "/bin/sh", "-c", line], {
        env: packed.siteEnv,
      });
      expect(outcome.code, outcome.stderr).toBe(0);
      expect(ran.attempts(), shell).toEqual([]);
    }
  });

  it("listing, choosing and removing a release connects to nothing", async () => {
    const store = packed.path(`store-${runs}`);
    await cliJson(["restore", bundles[form], ...key(), "--store", store], {
      wrap: place(),
      env: packed.siteEnv,
    });
    const release = "acme-pump-v1.4.0";
    for (const args of [["list"], ["use", release], ["remove", release, "--current"]]) {
      const traced = trace();
      const { code } = await cliJson(["releases", ...args, "--store", store], {
        wrap: [...place(), ...traced.wrap],
        env: packed.siteEnv,
      });
      expect([args[0], code, traced.attempts()]).toEqual([args[0], 0, []]);
    }
  });

  it("rebuild connects to nothing", async () => {
    const rebuilt = trace();
    const { code } = await cliJson(["rebuild", bundles[form], ...key(), ...LEND], {
      wrap: [...place(), ...rebuilt.wrap],
      env: packed.siteEnv,
    });
    expect([code, rebuilt.attempts()]).toEqual([0, []]);
  });
});

it("a route that leads nowhere lets who asks wait, and is told of by the site", async () => {
  const ask = (line: string) =>
    runProgram([...packed.nowhere, "/bin/bash", "-c", line], { env: packed.siteEnv });
  expect(await ask("true")).toMatchObject({ code: 0 });
  // Elsewhere it is refused at once.
  const { code, stderr } = await ask(
    `timeout 1 bash -c ': > /dev/tcp/198.51.100.1/443'; echo "status $?" >&2`,
  );
  expect(stderr).toMatch(/status 124\n/);
  expect([code, stderr]).toEqual([125, expect.stringMatching(/site: \d+ packets were sent/)]);
  const lookUp = await ask("timeout 1 getent hosts cache.nixos.org");
  expect([lookUp.code, lookUp.stderr]).toEqual([125, expect.stringMatching(/packets were sent/)]);
});

it("sees a connection, a datagram and a look-up", async () => {
  const traced = trace();
  const script = `
    require("dns").lookup("site.example.invalid", () => {});
    require("net").connect(9, "127.0.0.1").on("error", () => {});
    require("net").connect("/nix/var/nix/daemon-socket/socket").on("error", () => {});
    const socket = require("dgram").createSocket("udp4");
    socket.send("x", 9, "127.0.0.1", () => socket.close());
  `;
  await runProgram([...traced.wrap, process.execPath, "-e", script], { env: packed.siteEnv });
  const seen = traced.attempts().join("\n");
  for (const pattern of [
    /resolv\.conf/,
    /connect\(.*AF_INET/,
    /connect\(.*daemon-socket/,
    /send(to|m?msg)\(.*AF_INET/,
  ])
    expect(seen).toMatch(pattern);
});
