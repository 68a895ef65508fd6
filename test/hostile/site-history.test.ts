/**
 * Attacks on what a site remembers: no way back to an older release, no second bundle of one sequence, nothing that has expired,
 * and no clock that is set back. Bundles here are all approved as the policy asks.
 */
import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { formatDocument } from "../../src/bundle/document.js";
import type { Code } from "../../src/errors.js";
import type { RollbackReport, SiteState } from "../../src/generated/types.js";
import { formatHex, hashOf } from "../../src/nix/hash.js";
import { makeApproval } from "../../src/trust/approval.js";
import { signingKey } from "../../src/trust/signing.js";
import { type PersonalWord, rollbackStatement } from "../../src/trust/statement.js";
import { documentOf } from "../support/packed.js";
import { type MadePolicy, type Site, SiteTrust, verdictOf, who } from "../support/site-trust.js";
import { expectRefused, expectVerified } from "./on-site.js";

const FORMS = ["directory", "tar"] as const;
const DAY = 24 * 60 * 60 * 1000;
const day = (days: number) => `${new Date(Date.now() + days * DAY).toISOString().slice(0, 19)}Z`;

let trust: SiteTrust;
let policy: MadePolicy;
/** Of a site that has taken nothing, and of one that has taken sequence 17. */
let fresh: Site;
let at17: Site;

beforeAll(async () => {
  trust = await SiteTrust.make();
  await trust.keygen("mallory");
  // Ada may authorize a way back too, with a key of which the program's own form is at hand.
  const { ada } = trust.publicKeys;
  const people = trust.people({ ada: [["qa,policy,rollback", ada]] });
  const required = ["packer=1", "qa=1", "release=1", "safety=1"];
  policy = await trust.policyFor({ people, required, more: ["--rollback-signers", "1"] });
  fresh = await trust.site(policy);
  at17 = await trust.site(policy);
  await at17.take(await trust.approved("directory", { sequence: 17 }));
});
afterAll(() => trust.remove());

interface Authorization {
  readonly from?: number;
  readonly expires?: string;
  readonly by?: readonly string[];
}

/** By the program. */
async function authorize(
  bundle: string,
  {
    from = 17,
    expires = day(1),
    by = ["--key", trust.key("bo.sec"), "--signer", who("bo")],
  }: Authorization = {},
): Promise<string> {
  const words = ["--from", String(from), "--expires", expires, "--reason", "recall of 17"];
  const out = ["--out", trust.folder()];
  const report = await trust.do<RollbackReport>([
    "trust",
    "authorize-rollback",
    bundle,
    ...words,
    ...by,
    ...out,
  ]);
  return report.file!;
}

interface Saying {
  readonly from?: number;
  readonly expires?: string;
  readonly decision?: PersonalWord["decision"];
}

/** By the library, for what the program does not sign. */
function sayRollback(bundle: string, { from = 17, expires = day(1), decision = "approved" }: Saying): string {
  const document = documentOf(bundle);
  const word: PersonalWord = {
    signer: { id: "ada@example.org", name: "Ada Example" },
    role: "rollback",
    meaning: "recall of 17",
    decision,
    signedAt: "2024-01-01T00:00:00Z",
    policy: null,
    documents: [],
  };
  const sha256 = formatHex(hashOf("sha256", formatDocument(document)));
  const statement = rollbackStatement(word, document, { sha256, fromSequence: from, expires });
  const { fileName, bytes } = makeApproval(statement, signingKey(trust.secret("ada")));
  const path = join(trust.folder(), fileName);
  writeFileSync(path, bytes);
  return path;
}

function changed(file: string, name: string, change: (text: string) => string): string {
  const path = join(trust.folder(), name);
  writeFileSync(path, change(readFileSync(file, "utf8")));
  return path;
}

describe.each(FORMS)("2 a way back, of a %s", (form) => {
  let at16: string;
  beforeAll(async () => {
    at16 = await trust.approved(form, { sequence: 16 });
  });

  it("is refused", async () => {
    await expectVerified(fresh.clone(), at16);
    await expectRefused(at17.clone(), at16, ["ROLLBACK"]);
  });

  it("is taken by a signed authorization, which is recorded; so is the newer one afterwards", async () => {
    const site = at17.clone();
    const file = await authorize(at16);
    const verified = await site.verify(at16, "--rollback", file);
    expect([verified.code, verified.json.notes.map(({ text }) => text)]).toEqual([
      0,
      expect.arrayContaining(["taken back from sequence 17 to 16, as authorized"]),
    ]);
    expect((await site.log()).at(-1)).toMatchObject({
      event: "verify",
      details: { rollback: basename(file) },
    });
    // That it was looked at takes nothing.
    await expectRefused(site, at16, ["ROLLBACK"]);
    await site.take(at16, "--rollback", file);
    expect(site.state.products).toMatchObject([
      { product: "pump", sequence: 16, accepted: [{ sequence: 17 }, { sequence: 16 }] },
    ]);
    const entries = (await site.log()).filter(({ event }) => event === "restore").slice(-2);
    for (const { bundle, details } of entries) {
      expect([bundle?.sequence, details["rollback"]]).toEqual([16, basename(file)]);
    }
    expect(entries.map(({ verdict }) => verdict)).toEqual(["begun", "complete"]);
    expect((await site.auditVerify()).code).toBe(0);
    await expectVerified(site, at16);
    await expectVerified(site, await trust.approved(form, { sequence: 17 }));
  });

  const all: Code[] = ["APPROVAL_THRESHOLD", "ROLLBACK"];
  it.each<readonly [string, readonly Code[], () => string | Promise<string>]>([
    [
      "that has expired",
      ["ROLLBACK_REFUSED", ...all],
      () => sayRollback(at16, { expires: "2024-02-01T00:00:00Z" }),
    ],
    [
      "for sites that took less",
      ["ROLLBACK_REFUSED", ...all],
      // The program signs none from the bundle's own sequence.
      () => sayRollback(at16, { from: 16 }),
    ],
    [
      "for another bundle",
      ["APPROVAL_SUBJECT", ...all],
      async () => authorize(await trust.approved(form, { sequence: 15 })),
    ],
    [
      "by somebody without the role",
      ["APPROVAL_ROLE", ...all],
      () => authorize(at16, { by: ["--ssh-key", trust.key("cy"), "--signer", who("cy")] }),
    ],
    [
      "by a stranger in another's name",
      ["APPROVAL_UNTRUSTED", ...all],
      () => authorize(at16, { by: ["--key", trust.key("mallory.sec"), "--signer", who("bo")] }),
    ],
    [
      "in another's name",
      ["APPROVAL_SIGNER", ...all],
      () => authorize(at16, { by: ["--key", trust.key("ada.sec"), "--signer", who("bo")] }),
    ],
    ["that says no", ["APPROVAL_REJECTED", ...all], () => sayRollback(at16, { decision: "rejected" })],
    [
      "under another name",
      ["APPROVAL_NAME", ...all],
      async () => changed(await authorize(at16), "recall.json", (text) => text),
    ],
    [
      "that was changed",
      ["APPROVAL_SIGNATURE", ...all],
      async () => {
        const file = await authorize(at16);
        return changed(file, basename(file), (text) =>
          text.replace(/"payload": "([^"]+)"/, (_, payload: string) => {
            const statement = Buffer.from(payload, "base64").toString();
            const longer = statement.replace(/"expires": "[^"]+"/, `"expires": "${day(900)}"`);
            return `"payload": "${Buffer.from(longer).toString("base64")}"`;
          }),
        );
      },
    ],
    [
      "that is the bundle's own approval",
      ["APPROVAL_MALFORMED", ...all],
      async () => {
        const made = await trust.release("directory", { sequence: 16 });
        const { approval } = await trust.approve(made, "release", "bo");
        return join(made, approval!.file!);
      },
    ],
    [
      "of no content",
      ["APPROVAL_MALFORMED", ...all],
      () => changed(trust.key("ada.pub"), "rollback", () => ""),
    ],
  ])("is refused with an authorization %s", async (_, codes, make) => {
    await expectRefused(at17.clone(), at16, codes, "--rollback", await make());
  });

  it("takes as many persons as the policy asks for, whatever keys they have", async () => {
    const { ada } = trust.publicKeys;
    await trust.keygen(`ada-${form}`);
    const second = trust.key(`ada-${form}.pub`);
    const people = trust.people({
      ada: [
        ["qa,policy,rollback", ada],
        ["rollback", second],
      ],
    });
    const required = ["packer=1", "qa=1", "release=1", "safety=1"];
    const two = await trust.policyFor({ people, required, more: ["--rollback-signers", "2"] });
    const site = await trust.site(two);
    await site.take(await trust.approved(form, { sequence: 17 }));
    const other = site.clone();
    const by = (key: string) => ["--key", trust.key(key), "--signer", who("ada")];
    const adas = [
      ...["--rollback", await authorize(at16, { by: by("ada.sec") })],
      ...["--rollback", await authorize(at16, { by: by(`ada-${form}.sec`) })],
    ];
    await expectRefused(other, at16, all, ...adas);
    await expectVerified(other, at16, ...adas, "--rollback", await authorize(at16));
  });

  it("is refused where the policy lets nobody authorize it", async () => {
    const people = trust.people();
    const required = ["packer=1", "qa=1", "release=1", "safety=1"];
    const site = await trust.site(await trust.policyFor({ people, required }));
    await site.take(await trust.approved(form, { sequence: 17 }));
    const other = site.clone();
    await expectRefused(other, at16, ["ROLLBACK", "ROLLBACK_REFUSED"], "--rollback", await authorize(at16));
  });
});

describe.each(FORMS)("as a %s", (form) => {
  it("3 another bundle of a sequence that was taken is refused, also after the way back", async () => {
    const other = await trust.approved(form, { sequence: 17, release: "1.0.1" });
    await expectVerified(fresh.clone(), other);
    await expectRefused(at17.clone(), other, ["EQUIVOCATION"]);
    const back = at17.clone();
    const at16 = await trust.approved(form, { sequence: 16 });
    await back.take(at16, "--rollback", await authorize(at16));
    await expectRefused(back.clone(), other, ["EQUIVOCATION"]);
    await expectVerified(at17.clone(), await trust.approved(form, { sequence: 17 }));
  });

  it("4 a bundle that is too old is refused, and all that holds is told; a reason takes it, and is recorded", async () => {
    const site = await trust.site(await trust.policy("--max-age-days", "30"));
    const old = await trust.approved(form, { sequence: 17, created: day(-31) });
    await expectRefused(site, old, ["BUNDLE_EXPIRED"]);
    const { json } = await site.verify(old);
    const states = Object.fromEntries(json.steps.map(({ step, state }) => [step, state]));
    expect(states).toEqual({
      ...Object.fromEntries(Object.keys(states).map((step) => [step, "passed"])),
      V4: "failed",
    });
    expect(json.approvals.map(({ state }) => state)).toEqual(["valid", "valid", "valid", "valid"]);

    expect(verdictOf(await site.verify(old, "--accept-expired", ""))).toEqual([2, "USAGE"]);
    expect(verdictOf(await site.ask(["verify", old, "--accept-expired"]))[0]).toBe(2);
    const accepted = await site.verify(old, "--accept-expired", "line 4 stands still");
    expect([accepted.code, accepted.json.notes.map(({ text }) => text).join()]).toEqual([
      0,
      expect.stringMatching(/expired.*30 days.*line 4 stands still/),
    ]);
    await site.take(old, "--accept-expired", "line 4 stands still");
    const last = (await site.log()).slice(-2);
    expect(last.map(({ event, verdict, details }) => [event, verdict, details["acceptExpired"]])).toEqual([
      ["restore", "begun", "line 4 stands still"],
      ["restore", "complete", "line 4 stands still"],
    ]);
    await expectVerified(site.clone(), await trust.approved(form, { sequence: 18, created: day(-29) }));
  });

  it("4 nothing is taken by a policy that has expired, but for a reason", async () => {
    const expired = trust.editPolicy(policy, (document) => {
      Object.assign(document, { created: "2024-01-01T00:00:00Z", expires: "2025-01-01T00:00:00Z" });
    });
    const site = await trust.site(expired);
    const bundle = await trust.approved(form, { sequence: 17 });
    await expectRefused(site, bundle, ["POLICY_EXPIRED"]);
    await expectVerified(site, bundle, "--accept-expired", "the signers are on their way");
    expect((await site.log()).at(-1)).toMatchObject({
      event: "verify",
      verdict: "verified",
      details: { acceptExpired: "the signers are on their way" },
    });
  });

  it("4 a reason for what has expired takes nothing else", async () => {
    const bundle = await trust.approved(form, { sequence: 16 });
    await expectRefused(at17.clone(), bundle, ["ROLLBACK"], "--accept-expired", "hurry");
  });

  it("2 a sequence below the policy's own is refused on a site that has taken nothing", async () => {
    const site = await trust.site(
      trust.editPolicy(policy, ({ products }) => {
        products[0]!.minSequence = 18;
      }),
    );
    await expectRefused(site, await trust.approved(form, { sequence: 17 }), ["SEQUENCE_MINIMUM"]);
  });

  it("15 a clock behind what the site has seen is refused, until somebody says why, which is recorded", async () => {
    const site = fresh.clone();
    const seen = day(10);
    site.editState((state) => {
      state.lastSeen = seen;
    });
    const bundle = await trust.approved(form, { sequence: 17 });
    await expectRefused(site, bundle, ["CLOCK_BEHIND"]);
    // Being refused does not set it back.
    expect(site.state.lastSeen).toBe(seen);
    await expectRefused(site, bundle, ["CLOCK_BEHIND"], "--accept-expired", "hurry");
    expect((await site.ask(["trust", "reset-clock"])).code).toBe(2);
    const reset = await site.ask(["trust", "reset-clock", "--reason", "the battery was changed"]);
    expect([reset.code, reset.json.verdict]).toEqual([0, "done"]);
    expect((await site.log()).at(-1)).toMatchObject({
      event: "trust",
      verdict: "reset-clock",
      details: { from: seen, reason: "the battery was changed" },
    });
    await expectVerified(site, bundle);
    await site.take(bundle);
  });
});

describe("what a site remembers", () => {
  let bundle: string;
  beforeAll(async () => {
    bundle = await trust.approved("tar", { sequence: 18 });
  });

  const verbs = ["verify", "restore", "rebuild"] as const;
  const askAll = async (site: Site) => {
    const answers: unknown[] = [];
    for (const verb of verbs) {
      const target = verb === "restore" ? ["--store", site.storeDir] : [];
      const answer = await site.ask([verb, bundle, ...target]);
      answers.push(verdictOf(answer));
    }
    expect(site.isStoreEmpty).toBe(true);
    return answers;
  };

  it("is not begun anew where it is gone: only an auditor may go without", async () => {
    const site = at17.clone();
    rmSync(join(site.stateDir, "state.json"));
    expect(await askAll(site)).toEqual(verbs.map(() => [12, "STATE_MISSING"]));
    rmSync(site.stateDir, { recursive: true });
    expect(await askAll(site)).toEqual(verbs.map(() => [12, "STATE_MISSING"]));

    const older = await trust.approved("tar", { sequence: 16 });
    const audited = await site.verify(older, "--no-state");
    expect([audited.code, audited.json.steps[3]]).toMatchObject([0, { step: "V4", state: "partly" }]);
    for (const verb of ["restore", "rebuild"]) {
      expect(verdictOf(await site.ask([verb, older, "--no-state"]))).toEqual([2, "USAGE"]);
    }
  });

  it.each<readonly [string, (text: string) => string]>([
    ["nothing in it", () => ""],
    ["a digit changed into a letter", (text) => text.replace('"sequence": 17', '"sequence": "l7"')],
    ["a field left out", (text) => text.replace(/ {2}"lastSeen": .*\n/, "")],
    ["a field more", (text) => text.replace('"format"', '"forced": true,\n  "format"')],
    ["other spaces", (text) => JSON.stringify(JSON.parse(text))],
    ["a time that does not exist", (text) => text.replace(/"lastSeen": "[^T]+/, '"lastSeen": "2026-02-30')],
    ["a newer format", (text) => text.replace('"formatVersion": "1.0"', '"formatVersion": "2.0"')],
    ["its end cut", (text) => text.slice(0, -2)],
  ])("is refused when it was edited: %s", async (_, change) => {
    const site = at17.clone();
    const path = join(site.stateDir, "state.json");
    const text = readFileSync(path, "utf8");
    expect(change(text)).not.toBe(text);
    writeFileSync(path, change(text));
    expect(await askAll(site)).toEqual(verbs.map(() => [12, "STATE_INVALID"]));
    for (const args of [
      ["trust", "status"],
      ["trust", "reset-clock", "--reason", "x"],
    ]) {
      expect(verdictOf(await site.ask(args))).toEqual([12, "STATE_INVALID"]);
    }
    expect(readFileSync(path, "utf8")).toBe(change(text));
  });

  it("is of one policy: trust init neither pins another nor forgets what was taken", async () => {
    const site = at17.clone();
    const other = await trust.policy("--max-age-days", "9");
    const pin = (from: MadePolicy) => site.ask(["trust", "init", from.path, "--sha256", from.sha256]);
    expect(verdictOf(await pin(other))).toEqual([2, "STATE_EXISTS"]);
    const before: SiteState = site.state;
    expect((await pin(policy)).json.verdict).toBe("already-done");
    expect(site.state.products).toEqual(before.products);
    expect(verdictOf(await site.ask(["trust", "init", policy.path, "--sha256", other.sha256]))).toEqual([
      12,
      "POLICY_HASH",
    ]);
  });
});
