/**
 * Attacks on the policy itself: how a site pins it, how it follows the next one, what formats it may have, and that nothing else is
 * ever taken for it. The keys in it are site-keys.test.ts.
 */
import { copyFileSync, cpSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { formatDocument } from "../../src/bundle/document.js";
import type { Code } from "../../src/errors.js";
import type { ErrorReport, Policy } from "../../src/generated/types.js";
import { parseVerificationKey } from "../../src/trust/keys.js";
import {
  type Answer,
  codesOf,
  keysOf,
  type MadePolicy,
  type PersonName,
  type Site,
  SiteTrust,
  verdictOf,
  who,
} from "../support/site-trust.js";
import { packerKey, strangerKey } from "../support/write-release.js";
import { expectRefused, expectVerified } from "./on-site.js";
import { Victim } from "./victim.js";

const FORMS = ["directory", "tar"] as const;

let trust: SiteTrust;
/** Version 1: Ada and Bo must both sign the next. */
let first: MadePolicy;
/** Asks for the packing machine alone: for what is refused after the approvals. */
let lenient: MadePolicy;
/** By form, approved as `first` asks. */
const bundles = new Map<string, string>();

beforeAll(async () => {
  trust = await SiteTrust.make();
  await trust.keygen("flo");
  first = await trust.policy();
  lenient = await trust.policyFor({ people: trust.people(), required: ["packer=1"] });
  for (const form of FORMS) bundles.set(form, await trust.approved(form, { sequence: 17 }));
});
afterAll(() => trust.remove());

const errorOf = ({ json }: Answer<unknown>) => (json as ErrorReport).error;

describe("12 the next policy", () => {
  /** Version 2: Cy and Flo sign policies from then on, not Ada and Bo. */
  let unsigned: MadePolicy;
  const flo = "Flo Example <flo@example.org>";

  beforeAll(async () => {
    const made = await trust.newPolicy([
      ...["--after", first.path, "--person", `${flo} policy ${trust.key("flo.pub")}`],
    ]);
    unsigned = trust.editPolicy(made, (document) => {
      keysOf(document, "ada")[0]!.roles = ["qa"];
      keysOf(document, "bo")[0]!.roles = ["release", "rollback"];
      keysOf(document, "cy")[0]!.roles = ["policy", "qa"];
    });
  });

  const signedBy = async (policy: MadePolicy, signers: readonly (PersonName | "flo")[]): Promise<string> => {
    const path = join(trust.folder(), "policy.json");
    copyFileSync(policy.path, path);
    for (const name of signers) {
      if (name === "flo") await trust.signWith(path, "policy", flo, "--key", trust.key("flo.sec"));
      else await trust.approve(path, "policy", name);
    }
    return path;
  };

  const expectKept = async (site: Site, update: Answer<unknown>, codes: readonly Code[]) => {
    expect(verdictOf(update), JSON.stringify(update.json, null, 1)).toEqual([12, ...codes]);
    expect(site.state.policy).toEqual({ sha256: first.sha256, version: 1 });
    expect(readFileSync(site.policyPath)).toEqual(readFileSync(first.path));
    expect((await site.log()).map(({ event }) => event)).toEqual(["trust"]);
  };

  it("is taken when those whom the old and the new one name have signed, and is recorded", async () => {
    const site = await trust.site(first);
    const { code, json } = await site.update(await signedBy(unsigned, ["ada", "bo", "cy", "flo"]));
    expect([code, json.verdict, json.after]).toEqual([0, "done", { sha256: unsigned.sha256, version: 2 }]);
    expect(readFileSync(site.policyPath)).toEqual(readFileSync(unsigned.path));
    const last = (await site.log()).at(-1)!;
    expect([last.event, last.verdict]).toEqual(["trust", "update"]);
    for (const name of ["Ada", "Bo", "Cy", "Flo"]) expect(last.details["signers"]).toContain(name);
    expect(last.details["from"]).toContain(first.sha256);
  });

  it.each<readonly [string, readonly (PersonName | "flo")[], readonly Code[]]>([
    ["by the old signers alone", ["ada", "bo"], ["APPROVAL_ROLE", "APPROVAL_THRESHOLD"]],
    ["by the new signers alone", ["cy", "flo"], ["APPROVAL_ROLE", "APPROVAL_THRESHOLD"]],
    ["by one of the old too few", ["ada", "cy", "flo"], ["APPROVAL_ROLE", "APPROVAL_THRESHOLD"]],
    ["by one of the new too few", ["ada", "bo", "flo"], ["APPROVAL_ROLE", "APPROVAL_THRESHOLD"]],
    ["by nobody", [], ["APPROVAL_MISSING", "APPROVAL_THRESHOLD"]],
  ])("is refused when signed %s", async (_, signers, codes) => {
    const site = await trust.site(first);
    await expectKept(site, await site.update(await signedBy(unsigned, signers)), codes);
  });

  it("is refused when one of those who must sign it rejects it", async () => {
    const site = await trust.site(first);
    const path = await signedBy(unsigned, ["ada", "cy", "flo"]);
    await trust.approve(path, "policy", "bo", "--decision", "rejected");
    const codes: Code[] = ["APPROVAL_REJECTED", "APPROVAL_ROLE", "APPROVAL_THRESHOLD"];
    await expectKept(site, await site.update(path), codes);
  });

  it("is refused when signed by strangers, or with the approvals of another", async () => {
    const site = await trust.site(first);
    const path = await signedBy(unsigned, []);
    await trust.keygen("eve");
    await trust.signWith(path, "policy", who("ada"), "--key", trust.key("eve.sec"));
    await expectKept(site, await site.update(path), ["APPROVAL_THRESHOLD", "APPROVAL_UNTRUSTED"]);

    const all = await signedBy(unsigned, ["ada", "bo", "cy", "flo"]);
    const other = trust.editPolicy(unsigned, (document) => {
      document.withdrawn = [];
      document.name = "another";
    });
    cpSync(`${all}.approvals`, `${other.path}.approvals`, { recursive: true });
    await expectKept(site, await site.update(other.path), ["APPROVAL_SUBJECT", "APPROVAL_THRESHOLD"]);
  });

  it("counts persons, not keys", async () => {
    await trust.keygen("ada-3");
    const { ada } = trust.publicKeys;
    const twice = trust.people({
      ada: [
        ["policy,qa", ada],
        ["policy,qa", trust.key("ada-3.pub")],
      ],
    });
    const site = await trust.site(await trust.policyFor({ people: twice, required: ["packer=1"] }));
    const next = await trust.newPolicy([
      "--after",
      site.policyPath,
      "--product",
      "pump",
      "--max-age-days",
      "9",
    ]);
    await trust.approve(next.path, "policy", "ada");
    await trust.signWith(next.path, "policy", who("ada"), "--key", trust.key("ada-3.sec"));
    expect(verdictOf(await site.update(next.path))).toEqual([12, "APPROVAL_THRESHOLD"]);
    await trust.approve(next.path, "policy", "bo");
    expect(verdictOf(await site.update(next.path))).toEqual([0]);
  });

  it("is the one that follows: no version is skipped, none comes twice, none comes back", async () => {
    const both: PersonName[] = ["ada", "bo"];
    const second = await trust.nextPolicy(first, ["--product", "pump", "--max-age-days", "3650"], both);
    const third = await trust.nextPolicy(second, ["--product", "pump", "--max-age-days", "3000"], both);
    const rival = await trust.nextPolicy(first, ["--product", "pump", "--max-age-days", "3651"], both);
    const chained = trust.editPolicy(third, (document) => {
      document.previous = rival.sha256;
    });
    for (const name of both) await trust.approve(chained.path, "policy", name);
    const site = await trust.site(first);
    await expectKept(site, await site.update(third.path), ["POLICY_CHAIN"]);
    await expectKept(site, await site.update(third.path, second.path), ["POLICY_CHAIN"]);
    await expectKept(site, await site.update(second.path, chained.path), ["POLICY_CHAIN"]);
    const unsignedThird = await trust.nextPolicy(
      second,
      ["--product", "pump", "--max-age-days", "3000"],
      ["ada"],
    );
    // All of them, or none.
    await expectKept(site, await site.update(second.path, unsignedThird.path), ["APPROVAL_THRESHOLD"]);

    expect(verdictOf(await site.update(second.path))).toEqual([0]);
    for (const { path } of [rival, first]) {
      expect(verdictOf(await site.update(path))).toEqual([12, "POLICY_CHAIN"]);
    }
    expect((await site.update(second.path)).json.verdict).toBe("already-done");
    expect(site.state.policy).toEqual({ sha256: second.sha256, version: 2 });
    expect(verdictOf(await site.update(third.path))).toEqual([0]);
    expect((await site.auditVerify()).code).toBe(0);
  });

  it.each(FORMS)("11 takes a key its weight, for what it signed before as well (%s)", async (form) => {
    const lost = parseVerificationKey(readFileSync(trust.key("ada.pub"), "utf8"), "ada").hash;
    const more = ["--revoke", `${lost}=lost`, "--policy-signers", "1"];
    const second = await trust.nextPolicy(first, more, ["ada", "bo"]);
    const site = await trust.site(first);
    const bundle = bundles.get(form)!;
    await expectVerified(site, bundle);
    // The old policy asks for two, and has not revoked the key yet.
    expect(verdictOf(await site.update(second.path))).toEqual([0]);
    await expectRefused(site, bundle, ["APPROVAL_REVOKED", "APPROVAL_THRESHOLD"]);
  });
});

describe("12 the policy of a site", () => {
  const verbs = (site: Site, bundle: string) => [
    ["verify", bundle],
    ["restore", bundle, "--store", site.storeDir],
    ["rebuild", bundle],
    ["trust", "status"],
    ["trust", "reset-clock", "--reason", "x"],
    ["trust", "update", first.path],
  ];

  it("is not the file that somebody puts in its place, in anything but its bytes", async () => {
    const site = await trust.site(first);
    const exchanged = [
      readFileSync(lenient.path),
      readFileSync(
        trust.editPolicy(first, (document) => {
          document.withdrawn = [{ sha256: "0".repeat(64), reason: "x" }];
        }).path,
      ),
      Buffer.from("{}\n"),
    ];
    for (const bytes of exchanged) {
      writeFileSync(site.policyPath, bytes);
      for (const args of verbs(site, bundles.get("tar")!)) {
        expect(verdictOf(await site.ask(args)), args.join(" ")).toEqual([12, "POLICY_HASH"]);
      }
    }
    rmSync(site.policyPath);
    expect(verdictOf(await site.verify(bundles.get("tar")!))).toEqual([12, "POLICY_MISSING"]);
    expect(site.isStoreEmpty).toBe(true);
  });

  it("is the one that the state has, though the one before is put back", async () => {
    const second = await trust.nextPolicy(
      first,
      ["--product", "pump", "--required-document", "sbom.cdx.json"],
      ["ada", "bo"],
    );
    const site = await trust.site(first);
    await site.update(second.path);
    copyFileSync(first.path, site.policyPath);
    await expectRefused(site, bundles.get("directory")!, ["DOCUMENT_REQUIRED"]);
    const state = await trust.ask(["trust", "status", ...site.place]);
    expect(state.json).toMatchObject({ isHalfUpdated: true, policy: { version: 2 } });
    rmSync(join(site.stateDir, "policies/2.json"));
    expect(verdictOf(await site.verify(bundles.get("directory")!))).toEqual([12, "POLICY_HASH"]);
  });

  it("is not the state's to change: one with another hash takes no policy", async () => {
    const site = await trust.site(first);
    site.editState((state) => {
      state.policy.sha256 = "0".repeat(64);
    });
    expect(verdictOf(await site.verify(bundles.get("tar")!))).toEqual([12, "POLICY_HASH"]);
  });

  it.each(FORMS)("is never one that a bundle brings along (%s)", async (form) => {
    // All that a stranger needs, in their own policy.
    const own = await trust.policyFor({
      people: trust.people().map((text) => text.replace(trust.publicKeys.packer, keyText(strangerKey))),
      required: ["packer=1"],
    });
    const bytes = readFileSync(own.path);
    const victim = Victim.read(await trust.release("directory", { sequence: 17 }));
    victim.addDoc("policy.json", bytes.toString());
    victim.forge(strangerKey);
    const bundle = victim.write(trust.folder(), form);
    const site = await trust.site(first);
    await expectRefused(site, bundle, ["APPROVAL_UNTRUSTED"]);
    for (const cwd of [dirname(bundle), ...(form === "directory" ? [bundle, join(bundle, "docs")] : [])]) {
      const { code, json } = await trust.ask(["verify", bundle], { cwd });
      expect([code, codesOf(json)]).toEqual([12, ["KEY_REQUIRED"]]);
    }
    // Beside the document, where the site's own lies in /etc, no bundle has one.
    const beside = victim.clone();
    beside.files.set("policy.json", bytes);
    const answer = await site.verify(beside.write(trust.folder(), form));
    expect(verdictOf(answer)).toEqual([12, "APPROVAL_UNTRUSTED", "NAME_ILLEGAL"]);
  });
});

const keyText = ({ publicKey }: typeof strangerKey) =>
  `${publicKey.name}:${Buffer.from(publicKey.bytes).toString("base64")}`;

describe("a policy that means less than it seems", () => {
  const pin = (policy: MadePolicy) => trust.pin(policy);

  it.each<readonly [string, (policy: Policy) => void]>([
    ["9 a threshold of 0", ({ products }) => (products[0]!.approvals[0]!.persons = 0)],
    ["9 a threshold of 0 for the next policy", ({ policySigners }) => (policySigners.persons = 0)],
    ["9 a threshold of 0 for a way back", (policy) => (policy.rollback = { persons: 0 })],
    ["9 no approvals at all", ({ products }) => (products[0]!.approvals = [])],
    ["9 more persons than there are", ({ products }) => (products[0]!.persons = 9)],
    ["9 one role twice", ({ products }) => products[0]!.approvals.push({ role: "qa", persons: 1 })],
    [
      "9 one key for two persons",
      (policy) => {
        keysOf(policy, "cy")[0]!.publicKey = keysOf(policy, "ada")[0]!.publicKey;
        keysOf(policy, "cy")[0]!.scheme = "ed25519";
      },
    ],
    ["9 a person in a machine's role", (policy) => keysOf(policy, "ada")[0]!.roles.unshift("packer")],
    [
      "13 a key that cannot say whether it was touched, where that is asked for",
      (policy) => {
        keysOf(policy, "ada")[0]!.roles.push("safety");
      },
    ],
    ["10 another scheme than the key's", (policy) => (keysOf(policy, "ada")[0]!.scheme = "ssh")],
    ["42 a field that this version does not know", (policy) => Object.assign(policy, { threshold: 1 })],
    ["42 the same, deep inside", ({ products }) => Object.assign(products[0]!, { optional: true })],
  ])("%s is refused when it is pinned", async (_, change) => {
    expect(verdictOf(await pin(trust.editPolicy(first, change)))).toEqual([2, "POLICY_INVALID"]);
  });

  it("9 of one key in two forms, for two persons, is refused", async () => {
    const text = readFileSync(trust.key("cy.pub"), "utf8");
    const [, base64 = ""] = text.split(" ");
    const own = `cy:${Buffer.from(base64, "base64").subarray(-32).toString("base64")}`;
    const policy = trust.editPolicy(first, (document) => {
      keysOf(document, "ada")[0]!.publicKey = own;
    });
    expect(verdictOf(await pin(policy))).toEqual([2, "POLICY_INVALID"]);
  });

  it("9 nor can it be written: --require takes no 0", async () => {
    const out = ["--out", join(trust.folder(), "p.json"), "--product", "pump", ...trust.people()];
    for (const more of [
      ["--require", "qa=0"],
      ["--require", "qa=1", "--policy-signers", "0"],
    ]) {
      expect(verdictOf(await trust.ask(["trust", "new", ...out, ...more]))).toEqual([2, "USAGE"]);
    }
  });

  it("whose rules would be for no product is not written", async () => {
    for (const more of [
      ["--max-age-days", "9"],
      ["--required-document", "sbom.cdx.json"],
      ["--require", "qa=2"],
      ["--persons", "2"],
    ]) {
      const out = join(trust.folder(), "policy.json");
      const made = await trust.ask(["trust", "new", "--out", out, "--after", first.path, ...more]);
      expect(verdictOf(made)).toEqual([2, "USAGE"]);
      expect(errorOf(made)).toMatchObject({
        subject: "--product",
        expected: expect.stringContaining(more[0]!),
      });
    }
  });

  it("42 of a newer format is refused, saying so", async () => {
    const newer = trust.editPolicy(first, (document) => {
      Object.assign(document, { formatVersion: "2.0", quorum: { kind: "weighted" } });
    });
    const answers = [
      await pin(newer),
      await (await trust.site(first)).update(newer.path),
      await trust.ask(["trust", "new", "--out", join(trust.folder(), "x"), "--after", newer.path]),
      await trust.ask(["trust", "show", newer.path]),
      await trust.ask(["verify", bundles.get("tar")!, "--policy", newer.path, "--no-state"]),
    ];
    for (const answer of answers) {
      expect(verdictOf(answer)).toEqual([2, "POLICY_INVALID"]);
      expect(errorOf(answer)).toMatchObject({
        expected: expect.stringContaining("formatVersion 1.0"),
        actual: '"2.0"',
        advice: expect.stringContaining("newer nix-airgap"),
      });
    }
  });

  it("42 with a field that is unknown names it", async () => {
    const policy = trust.editPolicy(first, (document) => void Object.assign(document, { quorum: 3 }));
    expect(JSON.stringify(errorOf(await pin(policy)))).toContain("quorum");
  });
});

describe.each(FORMS)("42 a bundle that is newer than this program (%s)", (form) => {
  it.each<readonly [string, Code, Readonly<Record<string, unknown>>]>([
    ["by its version", "VERSION_UNSUPPORTED", { version: "2.0" }],
    ["by a feature", "FEATURE_UNSUPPORTED", { features: ["deltas"] }],
    ["by what it builds on", "REQUIRES_UNSUPPORTED", { requires: ["0".repeat(64)] }],
  ])("%s is refused, saying so", async (_, code, change) => {
    const site = await trust.site(lenient);
    const victim = Victim.read(await trust.release("directory", { sequence: 17 }));
    const text = formatDocument({ ...victim.document, ...change } as typeof victim.document);
    victim.forgeText(text, packerKey);
    const bundle = victim.write(trust.folder(), form);
    const { code: exit, json } = await site.verify(bundle);
    expect([exit, codesOf(json)]).toEqual([10, [code]]);
    expect(json.findings[0]!.advice).toMatch(/newer nix-airgap/);
    expect(verdictOf(await site.restore(bundle))).toEqual([10, code]);
    expect(site.isStoreEmpty).toBe(true);
    expect(basename(bundle)).toMatch(/^bundle/);
  });
});
