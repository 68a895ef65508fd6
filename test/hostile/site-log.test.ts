/** 41: a site's records in the hands of somebody who may write there, and what the site does next. */
import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Code } from "../../src/errors.js";
import { type Site, SiteTrust, verdictOf } from "../support/site-trust.js";
import { expectVerified } from "./on-site.js";

const FORMS = ["directory", "tar"] as const;

let trust: SiteTrust;
/** Of six entries: init, verify, the two of a restore, verify, verify. */
let site: Site;
const bundles = new Map<string, string>();

beforeAll(async () => {
  trust = await SiteTrust.make();
  for (const form of FORMS) bundles.set(form, await trust.approved(form, { sequence: 17 }));
  site = await trust.site(await trust.policy());
  await site.verify(bundles.get("tar")!);
  await site.take(bundles.get("directory")!);
  for (const form of FORMS) await site.verify(bundles.get(form)!);
});
afterAll(() => trust.remove());

type Lines = readonly string[];

/** All entries still are one line each. */
function changeLog(of: Site, change: (lines: Lines) => Lines): void {
  const path = join(of.stateDir, "audit.jsonl");
  const lines = readFileSync(path, "utf8").split(/(?<=\n)/);
  writeFileSync(path, change(lines).join(""));
}

const without = (lines: Lines, at: number) => lines.filter((_, i) => i !== at - 1);
const edit = (lines: Lines, at: number, from: string, to: string) =>
  lines.map((line, i) => (i === at - 1 ? line.replace(from, to) : line));

/** `line`: the first that is named. `isEndWrong`: the site cannot tell where to go on. */
const changes: readonly (readonly [
  what: string,
  exit: number,
  code: Code,
  line: number,
  isEndWrong: boolean,
  change: (lines: Lines) => Lines,
])[] = [
  ["the first entry deleted", 11, "AUDIT_CHAIN", 1, false, (lines) => without(lines, 1)],
  ["an entry deleted", 11, "AUDIT_CHAIN", 3, false, (lines) => without(lines, 3)],
  ["an exit altered", 11, "AUDIT_ENTRY", 2, false, (lines) => edit(lines, 2, '"exit":0', '"exit":12')],
  ["a user altered", 11, "AUDIT_ENTRY", 4, false, (lines) => edit(lines, 4, '"uid":', '"uid":1')],
  ["a time altered", 11, "AUDIT_ENTRY", 5, false, (lines) => edit(lines, 5, '"at":"20', '"at":"19')],
  ["no entry any more", 11, "AUDIT_ENTRY", 3, false, (lines) => edit(lines, 3, "{", "[")],
  [
    "two entries in another order",
    11,
    "AUDIT_CHAIN",
    3,
    false,
    ([a, b, c, d, ...rest]) => [a!, b!, d!, c!, ...rest],
  ],
  ["an entry twice", 11, "AUDIT_CHAIN", 3, false, ([a, b, c, ...rest]) => [a!, b!, c!, c!, ...rest]],
  ["the last entry altered", 11, "AUDIT_ENTRY", 6, true, (lines) => edit(lines, 6, '"exit":0', '"exit":12')],
  ["the last entry cut off", 13, "AUDIT_TRUNCATED", 6, true, (lines) => lines.slice(0, -1)],
  ["three entries cut off", 13, "AUDIT_TRUNCATED", 4, true, (lines) => lines.slice(0, -3)],
  [
    "half of the last entry cut off",
    13,
    "AUDIT_TRUNCATED",
    6,
    true,
    (lines) => [...lines.slice(0, -1), lines.at(-1)!.slice(0, 50)],
  ],
  ["nothing left", 13, "AUDIT_TRUNCATED", 1, true, () => []],
];

it("holds as it was written, with one entry for each thing that was done", async () => {
  const { code, json } = await site.auditVerify();
  expect([code, json.entries, json.findings]).toEqual([0, 6, []]);
  expect((await site.log()).map(({ event, verdict }) => `${event} ${verdict}`)).toEqual([
    "trust init",
    "verify verified",
    "restore begun",
    "restore complete",
    "verify verified",
    "verify verified",
  ]);
});

describe("a log with", () => {
  it.each(changes)("%s is told by its line, and not exported", async (_, exit, code, line, __, change) => {
    const other = site.clone();
    changeLog(other, change);
    const { code: actual, json } = await other.auditVerify();
    expect(
      [actual, json.findings[0]?.code, json.findings[0]?.line],
      JSON.stringify(json.findings, null, 1),
    ).toEqual([exit, code, line]);
    const out = join(trust.folder(), "log.csv");
    const exported = await trust.ask([
      "audit",
      "export",
      "--state",
      other.stateDir,
      "--as",
      "csv",
      "--out",
      out,
    ]);
    expect(verdictOf(exported)[0]).toBe(exit);
    expect(() => readFileSync(out)).toThrow();
  });

  const cut = changes.filter(([, , , , isEndWrong]) => isEndWrong);
  it.each(
    FORMS.flatMap((form) =>
      // Only the last entry is looked at: what does not continue as remembered is a wrong chain.
      cut.map(([what, exit, code, , , change]) => {
        return [what, form, exit, code === "AUDIT_ENTRY" ? "AUDIT_CHAIN" : code, change] as const;
      }),
    ),
  )(
    "%s: a restore of a %s does not begin, nor does what changes trust",
    async (_, form, exit, code, change) => {
      const other = site.clone();
      changeLog(other, change);
      const log = readFileSync(join(other.stateDir, "audit.jsonl"));
      const { state } = other;
      const restored = await other.restore(bundles.get(form)!);
      expect(verdictOf(restored), JSON.stringify(restored.json, null, 1)).toEqual([exit, code]);
      expect(restored.json.verdict).toBe("failed");
      expect(other.isStoreEmpty).toBe(true);
      other.editState((edited) => {
        edited.lastSeen = "2099-01-01T00:00:00Z";
      });
      const reset = await other.ask(["trust", "reset-clock", "--reason", "x"]);
      expect(verdictOf(reset)).toEqual([exit, code]);
      expect(other.state).toEqual({ ...state, lastSeen: "2099-01-01T00:00:00Z" });
      // A torn line is what a crash leaves, and is removed before the next.
      const after = readFileSync(join(other.stateDir, "audit.jsonl"));
      expect(log.subarray(0, after.length)).toEqual(after);
    },
  );

  it("everything gone, the file too: a restore does not begin", async () => {
    const other = site.clone();
    rmSync(join(other.stateDir, "audit.jsonl"));
    expect(verdictOf(await other.auditVerify()).slice(0, 2)).toEqual([13, "AUDIT_TRUNCATED"]);
    expect(verdictOf(await other.restore(bundles.get("tar")!))).toEqual([13, "AUDIT_TRUNCATED"]);
    expect(other.isStoreEmpty).toBe(true);
  });

  it("an end that fits, written by somebody else, is not the one that the state remembers", async () => {
    const other = site.clone();
    const older = site.clone();
    changeLog(other, (lines) => lines.slice(0, -1));
    // One entry of the same number, by another run of the same program.
    const forged = site.clone();
    changeLog(forged, (lines) => lines.slice(0, -1));
    const head = (await forged.auditVerify()).json.head;
    forged.editState((state) => {
      state.audit = head;
    });
    await expectVerified(forged, bundles.get("tar")!);
    changeLog(older, () => readFileSync(join(forged.stateDir, "audit.jsonl"), "utf8").split(/(?<=\n)/));
    const { code, json } = await older.auditVerify();
    expect([code, json.findings[0]?.line]).toEqual([11, 6]);
    expect(verdictOf(await older.restore(bundles.get("directory")!))).toEqual([11, "AUDIT_CHAIN"]);
    expect(older.isStoreEmpty).toBe(true);
  });
});

it("what was refused is recorded as well, with its exit and its bundle", async () => {
  const other = site.clone();
  const older = await trust.approved("tar", { sequence: 16 });
  await other.verify(older);
  await other.restore(older);
  const last = (await other.log()).slice(-2);
  expect(last).toMatchObject([
    { event: "verify", verdict: "refused", exit: 12, bundle: { sequence: 16 } },
    { event: "restore", verdict: "refused", exit: 12 },
  ]);
});
