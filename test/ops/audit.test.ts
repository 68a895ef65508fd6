import { spawnSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { formatJson } from "../../src/canonical-json.js";
import { renderAuditExport, renderAuditVerify } from "../../src/cli/render/audit.js";
import { formatLines } from "../../src/cli/render/text.js";
import {
  validateAuditExportReport,
  validateAuditVerifyReport,
} from "../../src/generated/report-validators.js";
import type { AuditEntry } from "../../src/generated/types.js";
import { auditPath } from "../../src/host/audit-file.js";
import { appendEntry } from "../../src/ops/audit/append.js";
import { type AuditExportOptions, auditExport } from "../../src/ops/audit/export.js";
import { csvCell } from "../../src/ops/audit/formats.js";
import { auditVerify } from "../../src/ops/audit/verify.js";
import { type Head, headOf, parseEntry } from "../../src/trust/audit-entry.js";
import { headAt, makeEntry, makeLines, someLines } from "../support/audit-log.js";
import { tempDir } from "../support/bundle.js";
import { CAN_MOUNT, Tmpfs } from "../support/tmpfs.js";

const signal = new AbortController().signal;
const view = { color: false, isTerminal: false };

interface Site {
  readonly state: string;
  readonly head: Head | null;
}

function siteWith(lines: readonly Buffer[], head = headAt(lines)): Site {
  const state = tempDir();
  writeFileSync(auditPath(state), Buffer.concat(lines));
  return { state, head };
}

const textOf = ({ state }: Site) => readFileSync(auditPath(state), "utf8");
const entriesOf = (site: Site) =>
  textOf(site)
    .split(/(?<=\n)/)
    .map((line) => parseEntry(Buffer.from(line)));
const append = (state: string, head: Head | null, given: Partial<AuditEntry> = {}) =>
  appendEntry(state, { head, makeEntry: (previous) => makeEntry(previous, given) });

async function verify(site: Site) {
  const report = await auditVerify(site, { cwd: "/", signal });
  expect(validateAuditVerifyReport(report)).toBe(true);
  return { report, text: formatLines(renderAuditVerify(report, view), false) };
}

async function exported(site: Site, options: Omit<AuditExportOptions, keyof Site>, cwd = "/") {
  const report = await auditExport({ ...site, ...options }, { cwd, signal });
  expect(validateAuditExportReport(report)).toBe(true);
  return { report, text: formatLines(renderAuditExport(report, view), false) };
}

describe("an entry that is appended", () => {
  it("continues the log, and is its new head", async () => {
    const state = tempDir();
    const one = await append(state, null, { event: "trust", verdict: "adopted" });
    const two = await append(state, one);
    expect(two.number).toBe(2);
    const site = { state, head: two };
    expect(entriesOf(site).map(({ number, event }) => [number, event])).toEqual([
      [1, "trust"],
      [2, "verify"],
    ]);
    expect((await verify(site)).report).toMatchObject({
      exit: 0,
      entries: 2,
      head: two,
      findings: [],
      notes: [],
    });
  });

  it("follows what a crash left: a torn line, or an entry that the state does not know", async () => {
    const lines = someLines(3);
    const torn = siteWith([...lines, Buffer.from('{"at":"20')], headAt(lines));
    expect((await verify(torn)).report).toMatchObject({ exit: 0, notes: [{ line: 4 }] });
    const four = await append(torn.state, torn.head);
    expect((await verify({ ...torn, head: four })).report).toMatchObject({ exit: 0, entries: 4, notes: [] });
    // The head was not written.
    const five = await append(torn.state, four);
    const six = await append(torn.state, four);
    expect([five.number, six.number]).toEqual([5, 6]);
    expect((await verify({ ...torn, head: six })).report).toMatchObject({ exit: 0, entries: 6 });
  });

  it.each<[string, string, (lines: Buffer[]) => Buffer[]]>([
    ["lacks its end", "AUDIT_TRUNCATED", (lines) => lines.slice(0, -1)],
    ["is gone", "AUDIT_TRUNCATED", () => []],
    ["ends otherwise", "AUDIT_CHAIN", (lines) => makeLines(lines.map(() => ({ verdict: "forged" })))],
    ["goes on by more", "AUDIT_CHAIN", (lines) => [...lines, ...someLines(5).slice(3)]],
    ["ends in no entry", "AUDIT_ENTRY", (lines) => [...lines, Buffer.from("{}\n")]],
    [
      "lost the line feed at its end",
      "AUDIT_TRUNCATED",
      (lines) => [...lines.slice(0, -1), lines.at(-1)!.subarray(0, -1)],
    ],
  ])("does not cover up that the log %s", async (_, code, change) => {
    const lines = someLines(3);
    const site = siteWith(change(lines), headAt(lines));
    const before = textOf(site);
    await expect(append(site.state, site.head)).rejects.toMatchObject({
      code,
      details: { subject: auditPath(site.state) },
    });
    expect(textOf(site)).toBe(before);
  });

  it("must be one, in its place", async () => {
    const state = tempDir();
    await expect(append(state, null, { machine: "a\nb" })).rejects.toMatchObject({ code: "AUDIT_ENTRY" });
    await expect(append(state, null, { number: 2 })).rejects.toThrow(TypeError);
    expect(readdirSync(state)).toEqual([]);
  });
});

describe("audit verify", () => {
  it("says how far the log goes", async () => {
    const lines = makeLines([{ at: "2026-01-01T00:00:00Z" }, {}, { at: "2026-04-01T00:00:00Z" }]);
    const site = siteWith(lines);
    const { report, text } = await verify(site);
    expect(report).toEqual({
      format: "nix-airgap-audit-verify",
      exit: 0,
      log: auditPath(site.state),
      entries: 3,
      head: headAt(lines),
      firstAt: "2026-01-01T00:00:00Z",
      lastAt: "2026-04-01T00:00:00Z",
      findings: [],
      notes: [],
    });
    expect(text).toMatch(/^INTACT: 3 entries, as they were written\n/);
  });

  it("names the line that is wrong, and why", async () => {
    const lines = someLines(5);
    const altered = Buffer.from(lines[1]!.toString().replace('"exit":0', '"exit":1'));
    const { report, text } = await verify(siteWith(lines.with(1, altered), headAt(lines)));
    expect(report).toMatchObject({
      exit: 11,
      findings: [{ code: "AUDIT_ENTRY", line: 2, actual: "line 3 continues another one" }],
    });
    expect(text).toMatch(/^REFUSED: 1 finding \(exit 11\)/);
    expect(text).toContain("audit.jsonl, line 2");
    const cut = await verify(siteWith(lines.slice(0, 2), headAt(lines)));
    expect(cut.report).toMatchObject({ exit: 13, findings: [{ code: "AUDIT_TRUNCATED", line: 3 }] });
    const both = await verify(siteWith(lines.slice(0, 3).with(1, altered), headAt(lines)));
    expect(both.report.exit).toBe(11);
  });

  it("tells an empty record from none", async () => {
    const state = tempDir();
    const { report, text } = await verify({ state, head: null });
    expect(report).toMatchObject({ exit: 0, entries: 0, head: null });
    expect(text).toMatch(/^EMPTY: /);
    await expect(verify({ state: join(state, "gone"), head: null })).rejects.toMatchObject({ code: "DISK" });
    expect((await verify({ state, head: headAt(someLines(1)) })).report).toMatchObject({
      exit: 13,
      findings: [{ code: "AUDIT_TRUNCATED", line: 1 }],
    });
  });

  it("reads a log of years in little memory", { timeout: 120_000 }, async () => {
    const state = tempDir();
    const lines = someLines(100_000);
    writeFileSync(auditPath(state), Buffer.concat(lines));
    const head = headAt(lines);
    lines.length = 0;
    const before = process.memoryUsage.rss();
    const { report } = await verify({ state, head });
    expect(report).toMatchObject({ exit: 0, entries: 100_000 });
    expect(process.memoryUsage.rss() - before).toBeLessThan(200e6);
  });
});

describe("audit export", () => {
  const site = siteWithDetails();

  function siteWithDetails(): Site {
    return siteWith(
      makeLines([
        { details: { reason: '=cmd|"/c calc"!A1', path: "/media/a, b" } },
        { machine: "=HYPERLINK(1)", user: { name: "@sum", sudoUser: "-1+1", uid: 7 }, bundle: null },
        { event: "trust", policy: null, tools: { nix: null, nixAirgap: "+1" }, exit: 12, verdict: "refused" },
      ]),
    );
  }

  it("writes all entries as one JSON document, in its one encoding", async () => {
    const { report, text } = await exported(site, { as: "json" });
    expect(text).toBe(report.content);
    expect(report).toMatchObject({
      exit: 0,
      as: "json",
      out: null,
      entries: 3,
      head: site.head,
      findings: [],
    });
    const document = { entries: entriesOf(site), format: "nix-airgap-audit-log", head: site.head };
    expect(report.content).toBe(formatJson(document));
    const jq = spawnSync("jq", ["-r", ".entries[] | select(.exit != 0) | .number"], { input: text });
    expect(jq.stdout.toString()).toBe("3\n");
    const empty = await exported(siteWith([]), { as: "json" });
    expect(empty.report.content).toBe(
      formatJson({ entries: [], format: "nix-airgap-audit-log", head: null }),
    );
  });

  it("prints JSON that stays JSON, and inert on a terminal", async () => {
    const hidden = siteWith(makeLines([{ details: { name: "a\u200b\u202eb\u{e0001}" } }]));
    const { report, text } = await exported(hidden, { as: "json" });
    expect(text).not.toMatch(/[\p{Cf}]/u);
    expect(JSON.parse(text)).toEqual(JSON.parse(report.content!));
  });

  it("writes CSV that a spreadsheet takes for text", async () => {
    const { report, text } = await exported(site, { as: "csv" });
    const rows = report.content!.split("\r\n");
    expect(rows[0]).toBe(
      "number,at,event,verdict,exit,product,release,sequence,systems,tier,bundleSha256,policyVersion,policySha256,machine,userName,userUid,userSudoUser,nix,nixAirgap,details,previous",
    );
    expect(rows).toHaveLength(5);
    expect(rows[4]).toBe("");
    expect(rows[1]).toContain(',"{""path"":""/media/a, b"",""reason"":""=cmd|\\""/c calc\\""!A1""}",');
    expect(rows[2]).toContain(",verify,verified,0,,,,,,,3,");
    expect(rows[2]).toContain(",'=HYPERLINK(1),'@sum,7,'-1+1,");
    expect(rows[3]).toContain(",,,line-4,root,0,meier,,'+1,");
    for (const row of rows) expect(row).not.toMatch(/(^|,)"?[=+\-@\t\r]/);
    expect(text).toBe(report.content!.replaceAll("\r\n", "\n"));
  });

  it.each([
    ["=1", "'=1"],
    ["+1", "'+1"],
    ["-1", "'-1"],
    ["@a", "'@a"],
    ["\tx", "'\tx"],
    ["\rx", '"\'\rx"'],
    ["a=1", "a=1"],
    ['a"b', '"a""b"'],
    ["=a,b", '"\'=a,b"'],
    ["a\nb", '"a\nb"'],
    [" a", '" a"'],
    ["", ""],
    [null, ""],
    [-1, "-1"],
  ])("writes %j as the cell %j", (value, cell) => {
    expect(csvCell(value)).toBe(cell);
  });

  it("writes a file that others cannot read, and leaves nothing else", async () => {
    const cwd = tempDir();
    const many = siteWith(someLines(2000));
    const { report, text } = await exported(many, { as: "csv", out: "a.csv" }, cwd);
    expect(report).toMatchObject({ exit: 0, out: join(cwd, "a.csv"), content: null, entries: 2000 });
    expect(text).toMatch(/^EXPORTED: 2,000 entries/);
    expect(readFileSync(join(cwd, "a.csv"), "utf8")).toBe(
      (await exported(many, { as: "csv" })).report.content,
    );
    expect(statSync(join(cwd, "a.csv")).mode & 0o777).toBe(0o640);
    expect(readdirSync(cwd)).toEqual(["a.csv"]);
  });

  it("never replaces a file", async () => {
    const cwd = tempDir();
    writeFileSync(join(cwd, "a.json"), "old");
    await expect(exported(site, { as: "json", out: "a.json" }, cwd)).rejects.toMatchObject({
      code: "OUT_EXISTS",
      details: { subject: join(cwd, "a.json") },
    });
    await expect(exported(site, { as: "json", out: auditPath(site.state) })).rejects.toMatchObject({
      code: "OUT_EXISTS",
    });
    expect(readdirSync(cwd)).toEqual(["a.json"]);
    expect(readFileSync(join(cwd, "a.json"), "utf8")).toBe("old");
  });

  it("writes nothing of a log that does not hold", async () => {
    const cwd = tempDir();
    const lines = someLines(5);
    const broken = siteWith(lines.toSpliced(2, 1), headAt(lines));
    for (const as of ["json", "csv"] as const) {
      const toFile = await exported(broken, { as, out: "out" }, cwd);
      expect(toFile.report).toMatchObject({
        exit: 11,
        out: null,
        content: null,
        findings: [{ code: "AUDIT_CHAIN", line: 3 }],
      });
      expect(toFile.text).toMatch(/^REFUSED: 1 finding \(exit 11\): nothing was exported\n/);
      expect((await exported(broken, { as })).report).toMatchObject({ exit: 11, content: null });
    }
    expect(readdirSync(cwd)).toEqual([]);
  });

  it("leaves nothing where it is stopped, or there is no folder", async () => {
    const cwd = tempDir();
    const stopped = { cwd, signal: AbortSignal.abort() };
    await expect(auditExport({ ...site, as: "csv", out: "a" }, stopped)).rejects.toMatchObject({
      code: "INTERRUPTED",
    });
    expect(readdirSync(cwd)).toEqual([]);
    await expect(exported(site, { as: "csv", out: "gone/a" }, cwd)).rejects.toMatchObject({
      code: "DISK",
      details: { subject: join(cwd, "gone/a") },
    });
  });

  describe.runIf(CAN_MOUNT)("on a full disk", () => {
    let disk: Tmpfs;
    beforeAll(() => {
      disk = new Tmpfs(join(tempDir(), "disk"), { size: "64k" });
    });
    afterAll(() => disk.unmount());

    it("says so, and leaves nothing", async () => {
      const many = siteWith(someLines(1000));
      const out = join(disk.path, "a.json");
      await expect(exported(many, { as: "json", out })).rejects.toMatchObject({
        code: "NO_SPACE",
        details: { subject: out },
      });
      expect(existsSync(out)).toBe(false);
      expect(readdirSync(disk.path)).toEqual([]);
    });
  });
});

it("names an entry by its line's hash, as sha256sum gives it", () => {
  const [line] = someLines(1);
  const { stdout } = spawnSync("sha256sum", { input: line });
  expect(stdout.toString()).toBe(`${headOf(line!).sha256}  -\n`);
});
