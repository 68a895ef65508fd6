/** The keys that a site is given: bad ones, and ones that would go past its policy. */
import { generateKeyPairSync } from "node:crypto";
import { copyFileSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { ErrorReport, Policy } from "../../src/generated/types.js";
import { codesOf, keysOf, type MadePolicy, SiteTrust, verdictOf } from "../support/site-trust.js";
import { packerKey } from "../support/write-release.js";

let trust: SiteTrust;
let first: MadePolicy;
/** By form, approved as `first` asks. */
const bundles = new Map<string, string>();

beforeAll(async () => {
  trust = await SiteTrust.make();
  first = await trust.policy();
  for (const form of ["directory", "tar"] as const)
    bundles.set(form, await trust.approved(form, { sequence: 17 }));
});
afterAll(() => trust.remove());

describe("--public-key", () => {
  const inEtc = async (args: readonly string[]) => {
    const etc = trust.folder();
    mkdirSync(join(etc, "nix-airgap"));
    copyFileSync(first.path, join(etc, "nix-airgap/policy.json"));
    const user = process.getuid?.() === 0 ? [] : ["--user", "--map-root-user"];
    const script = 'mount --bind "$0" /etc && exec "$@"';
    const wrap = ["unshare", ...user, "--mount", "--propagation", "private", "sh", "-c", script, etc];
    return trust.ask(args, { wrap });
  };

  it("is refused on a machine that has a policy, unless told to leave it out", async () => {
    const bundle = bundles.get("directory")!;
    const key = ["--public-key", trust.publicKeys.packer];
    for (const verb of ["verify", "restore", "rebuild"]) {
      const { code, json } = await inEtc([verb, bundle, ...key]);
      expect([code, codesOf(json)], verb).toEqual([2, ["USAGE"]]);
      expect(JSON.stringify(json)).toContain("--no-policy");
    }
    expect(verdictOf(await inEtc(["verify", bundle, ...key, "--no-policy"]))).toEqual([0]);
    // The state is not there: that is not passed over either.
    expect(verdictOf(await inEtc(["verify", bundle]))).toEqual([12, "STATE_MISSING"]);
    expect(verdictOf(await inEtc(["verify", bundle, "--no-policy"]))).toEqual([12, "KEY_REQUIRED"]);
  });

  it("and --policy, or what only sites have, exclude each other", async () => {
    const bundle = bundles.get("directory")!;
    const key = ["--public-key", trust.publicKeys.packer];
    const site = await trust.site(first);
    for (const more of [
      site.place,
      ["--rollback", "x"],
      ["--accept-expired", "x"],
      [...site.place, "--no-policy"],
    ]) {
      expect(verdictOf(await trust.ask(["verify", bundle, ...key, ...more]))).toEqual([2, "USAGE"]);
    }
    expect(verdictOf(await site.verify(bundle, "--integrity-only"))).toEqual([2, "USAGE"]);
  });
});

describe("14 a bad key", () => {
  const hex = (text: string) => Buffer.from(text.padEnd(64, "0"), "hex");
  const ed25519 = (bytes: Uint8Array) => Buffer.from(bytes).toString("base64");
  const pem = (der: Uint8Array) =>
    `-----BEGIN PUBLIC KEY-----\n${Buffer.from(der)
      .toString("base64")
      .replace(/(.{64})(?=.)/g, "$1\n")}\n-----END PUBLIC KEY-----`;
  const strings = (...parts: (string | Uint8Array)[]) =>
    Buffer.concat(
      parts.flatMap((part) => {
        const length = Buffer.alloc(4);
        length.writeUInt32BE(Buffer.from(part).length);
        return [length, Buffer.from(part)];
      }),
    );
  const good = ed25519(packerKey.publicKey.bytes);
  const spki = (bytes: Uint8Array) => Buffer.concat([Buffer.from("302a300506032b6570032100", "hex"), bytes]);
  const p256 = generateKeyPairSync("ec", { namedCurve: "P-256" }).publicKey.export({
    format: "der",
    type: "spki",
  });
  const offCurve = Buffer.from(p256);
  offCurve[offCurve.length - 1]! ^= 1;
  const p384 = generateKeyPairSync("ec", { namedCurve: "P-384" }).publicKey.export({
    format: "der",
    type: "spki",
  });
  const rsa = generateKeyPairSync("rsa", { modulusLength: 2048 }).publicKey.export({
    format: "der",
    type: "spki",
  });
  /** Another text of the same bytes: the last letter has bits that stand for nothing. */
  const lax = (text: string) =>
    text.replace(/([A-Za-z0-9+/])(=+)$/, (_, letter: string, end: string) => {
      const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
      return `${letters[letters.indexOf(letter) + 1]}${end}`;
    });
  const ssh = (type: string, ...parts: Uint8Array[]) =>
    `${type} ${strings(type, ...parts).toString("base64")}`;

  const bad: readonly (readonly [string, string, Policy["signers"][0]["keys"][0]["scheme"]])[] = [
    ["of order 4", `x:${ed25519(hex("00"))}`, "ed25519"],
    ["of order 1", `x:${ed25519(hex("01"))}`, "ed25519"],
    ["of order 2", `x:${ed25519(hex(`ec${"ff".repeat(30)}7f`))}`, "ed25519"],
    ["of order 2, with the other sign", `x:${ed25519(hex(`ec${"ff".repeat(31)}`))}`, "ed25519"],
    [
      "of order 8",
      `x:${ed25519(hex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"))}`,
      "ed25519",
    ],
    [
      "of order 8, the other",
      `x:${ed25519(hex("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a"))}`,
      "ed25519",
    ],
    ["that is no point in its one form", `x:${ed25519(hex(`ee${"ff".repeat(30)}7f`))}`, "ed25519"],
    ["in lax base64", `x:${lax(good)}`, "ed25519"],
    ["in base64 without its end", `x:${good.replace("=", "")}`, "ed25519"],
    ["in base64 for addresses", `x:${good.replace(/[^=]/, "-")}`, "ed25519"],
    ["in base64 with a space", `x:${good.slice(0, 20)} ${good.slice(20)}`, "ed25519"],
    ["of 31 bytes", `x:${ed25519(packerKey.publicKey.bytes.subarray(1))}`, "ed25519"],
    ["of 33 bytes", `x:${ed25519(Buffer.concat([packerKey.publicKey.bytes, Buffer.alloc(1)]))}`, "ed25519"],
    ["of small order, in PEM", pem(spki(hex("00"))), "ed25519"],
    ["of 31 bytes, in PEM", pem(spki(packerKey.publicKey.bytes.subarray(1))), "ed25519"],
    ["in lax PEM", pem(p256).replace("\n-----END", "\n\n-----END"), "ecdsa-p256"],
    ["that is off its curve", pem(offCurve), "ecdsa-p256"],
    ["of another curve", pem(p384), "ecdsa-p256"],
    ["of RSA", pem(rsa), "ecdsa-p256"],
    ["of small order, of OpenSSH", ssh("ssh-ed25519", hex("01")), "ssh"],
    ["of small order, of FIDO", ssh("sk-ssh-ed25519@openssh.com", hex("00"), Buffer.from("ssh:")), "ssh"],
    ["of 31 bytes, of OpenSSH", ssh("ssh-ed25519", packerKey.publicKey.bytes.subarray(1)), "ssh"],
    [
      "of OpenSSH with bytes behind it",
      `ssh-ed25519 ${Buffer.concat([strings("ssh-ed25519", packerKey.publicKey.bytes), Buffer.alloc(1)]).toString("base64")}`,
      "ssh",
    ],
    [
      "of OpenSSH off its curve",
      ssh("ecdsa-sha2-nistp256", Buffer.from("nistp256"), offCurve.subarray(-65)),
      "ssh",
    ],
  ];

  it.each(bad)("%s is refused wherever it is given", async (_, text, scheme) => {
    const file = join(trust.folder(), "bad.pub");
    writeFileSync(file, `${text}\n`);
    const bundle = bundles.get("tar")!;
    const refused = [2, "KEY_INVALID"];
    expect(verdictOf(await trust.ask(["verify", bundle, "--public-key", file]))).toEqual(refused);
    const out = join(trust.folder(), "policy.json");
    const person = ["--person", `Eve Example <eve@example.org> policy ${file}`];
    const made = await trust.ask(["trust", "new", "--out", out, "--after", first.path, ...person]);
    expect(verdictOf(made)).toEqual(refused);

    const policy = trust.editPolicy(first, (document) => {
      Object.assign(keysOf(document, "ada")[0]!, { publicKey: text, scheme });
    });
    const pinned = await trust.pin(policy);
    expect(verdictOf(pinned)).toEqual([2, "POLICY_INVALID"]);
    expect((pinned.json as ErrorReport).error.expected).toMatch(/^key 1 of ada@example.org/);
    expect(verdictOf(await trust.ask(["verify", bundle, "--policy", policy.path, "--no-state"]))).toEqual([
      2,
      "POLICY_INVALID",
    ]);
  });
});
