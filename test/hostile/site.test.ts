/**
 * Attacks on who approved, on a site with a policy: people with keys of several kinds in several roles. The attacks are in
 * site-approvals.ts; the same without a policy is trust.ts; what a site remembers is site-history.test.ts.
 */
import { readFileSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { keysOf, type MadePolicy, type Site, SiteTrust } from "../support/site-trust.js";
import { expectRefused, expectVerified } from "./on-site.js";
import { APPROVALS, type Change, documentSha256, drop, type Means, sshSign } from "./site-approvals.js";
import { type Form, Victim } from "./victim.js";

let trust: SiteTrust;
let means: Means;
/** As `sign` made them, each in its form. */
const approved = new Map<Form, string>();
const FORMS = ["directory", "tar"] as const;

/** Sites by what is special in their policy. */
const sites = new Map<string, Site>();
let policy: MadePolicy;

beforeAll(async () => {
  trust = await SiteTrust.make();
  for (const name of ["mallory", "trudy", "ada-2"]) await trust.keygen(name);
  for (const form of FORMS) approved.set(form, await trust.approved(form, { sequence: 17 }));
  means = {
    trust,
    good: Victim.read(approved.get("directory")!),
    older: Victim.read(await trust.approved("directory", { sequence: 16 })),
    other: Victim.read(await trust.approved("directory", { sequence: 18, product: "valve" })),
  };
  policy = await trust.policy();
  const { ada, bo, cy } = trust.publicKeys;
  const sha256 = documentSha256(means.good);
  const twice = { ada: [["qa,policy", ada] as const, ["qa", trust.key("ada-2.pub")] as const] };
  const manyRoles = { ada: [["qa,release,policy", ada] as const], bo: [["release,policy", bo] as const] };
  const policies: Record<string, Promise<MadePolicy>> = {
    plain: Promise.resolve(policy),
    "two of qa": trust.policyFor({ people: trust.people(twice), required: ["packer=1", "qa=2"] }),
    "two persons": trust.policyFor({
      people: trust.people({ ...manyRoles, cy: [["qa", cy]] }),
      required: ["packer=1", "qa=1", "release=1"],
    }),
    withdrawn: trust.policy("--withdraw", `${sha256}=pump stalls`),
    document: trust.policy("--required-document", "sbom.cdx.json"),
    small: edited(policy, ({ limits }) => {
      limits.maxPaths = 3;
    }),
    past: edited(policy, (document) => {
      keysOf(document, "ada")[0]!.validUntil = "2025-01-01T00:00:00Z";
    }),
    "lost by": edited(policy, (document) => {
      keysOf(document, "ada")[0]!.revoked = {
        at: "2030-01-01T00:00:00Z",
        keepEarlier: false,
        reason: "lost",
      };
      document.policySigners.persons = 1;
    }),
    "given back by": edited(policy, (document) => {
      keysOf(document, "ada")[0]!.revoked = { at: "2030-01-01T00:00:00Z", keepEarlier: true, reason: "left" };
      document.policySigners.persons = 1;
    }),
  };
  for (const [name, made] of Object.entries(policies)) sites.set(name, await trust.site(await made));
});
afterAll(() => trust.remove());

const edited = async (from: MadePolicy, change: Parameters<SiteTrust["editPolicy"]>[1]) =>
  trust.editPolicy(from, change);

/** The good bundle, after what is done to its files, and then to it. */
async function write(form: Form, change: Change): Promise<string> {
  const victim = means.good.clone();
  const after = change(victim, means);
  const bundle = victim.write(trust.folder(), form);
  if (typeof after === "function") await after(bundle);
  return bundle;
}

describe.each(FORMS)("as a %s", (form) => {
  it("a bundle that all have approved is taken, as sign made it and as it is written here", async () => {
    await expectVerified(sites.get("plain")!, approved.get(form)!);
    await expectVerified(sites.get("plain")!, await write(form, () => undefined));
  });

  it.each(APPROVALS.map((row) => [row[0], row[1], row] as const))("%s: %s", async (_, __, row) => {
    const [, , codes, change, site = "plain"] = row;
    const bundle = await write(form, change);
    await expectRefused(sites.get(site)!.clone(), bundle, codes);
  });

  it.each<readonly [string, string, Change]>([
    [
      "a stranger's word beside them",
      "plain",
      () => (bundle: string) =>
        trust.signWith(
          bundle,
          "qa",
          "Eve <eve@example.org>",
          "--key",
          trust.key("mallory.sec"),
          "--decision",
          "rejected",
        ),
    ],
    [
      "the rejection by a key outside of its role",
      "plain",
      () => (bundle: string) => trust.approve(bundle, "qa", "bo", "--decision", "rejected"),
    ],
    [
      "the rejection by a revoked key",
      "lost by",
      () => async (bundle: string) => {
        await trust.approve(bundle, "qa", "cy");
        await trust.approve(bundle, "qa", "ada", "--decision", "rejected");
      },
    ],
    ["an approval older than a revocation that lets these stand", "given back by", () => undefined],
    [
      "another holder of the role, with a key of OpenSSH",
      "lost by",
      () => (bundle: string) => trust.approve(bundle, "qa", "cy"),
    ],
    [
      "two persons, where two are asked for",
      "two of qa",
      (victim) => {
        drop(victim, "release", "safety");
        return (bundle: string) => trust.approve(bundle, "qa", "cy");
      },
    ],
  ])("what others approved stands with %s", async (_, site, change) => {
    await expectVerified(sites.get(site)!.clone(), await write(form, change));
  });
});

it("sign does not attach a signature of another namespace", async () => {
  const bundle = means.good.clone().write(trust.folder(), "directory");
  const file = await trust.prepare(bundle, "qa", "cy");
  sshSign(readFileSync(file), file, { trust, namespace: "file" });
  const { code, json } = await trust.ask([
    "sign",
    bundle,
    "--attach",
    `${file}.sig`,
    "--public-key",
    trust.publicKeys.cy,
  ]);
  expect([code, json]).toMatchObject([12, { error: { code: "ATTACH_REFUSED" } }]);
});
