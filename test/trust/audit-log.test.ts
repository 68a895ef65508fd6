import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { formatEntry, type Head, headOf, lineSha256, MAX_LINE, START } from "../../src/trust/audit-entry.js";
import { checkLog, MAX_FINDINGS } from "../../src/trust/audit-log.js";
import { headAt, makeEntry, makeLines, someLines } from "../support/audit-log.js";

const check = (lines: readonly Uint8Array[], head: Head | null) => checkLog([Buffer.concat(lines)], head);
/** `CODE line`, in order. */
const found = async (lines: readonly Uint8Array[], head: Head | null) =>
  (await check(lines, head)).findings.map(({ code, line }) => `${code} ${line}`);

/** One pass over logs of this many lines takes milliseconds. */
const LINES = 12;
const log = someLines(LINES);
const head = headAt(log);
const at = (max = LINES) => fc.integer({ min: 1, max });
const without = (position: number) => log.toSpliced(position - 1, 1);

describe("a log as it was written", () => {
  it("holds, in pieces of any size", async () => {
    const event = fc.constantFrom("verify", "restore", "rebuild", "release", "approval", "trust");
    const text = fc.string({ unit: fc.constantFrom("a", "=", '"', "\\", "é", "\u{1F600}"), maxLength: 60 });
    const entry = fc.record({
      event,
      exit: fc.nat(255),
      details: fc.dictionary(fc.stringMatching(/^[a-z][A-Za-z0-9]{0,9}$/), text, { maxKeys: 10 }),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(entry, { maxLength: 20 }), at(5000), async (entries, size) => {
        const lines = makeLines(entries);
        const bytes = Buffer.concat(lines);
        const pieces = Array.from({ length: Math.ceil(bytes.length / size) }, (_, i) =>
          bytes.subarray(i * size, (i + 1) * size),
        );
        const seen: number[] = [];
        const result = await checkLog(pieces, headAt(lines), ({ number }) => void seen.push(number));
        expect(result).toMatchObject({ entries: lines.length, head: headAt(lines), findings: [], notes: [] });
        expect(seen).toEqual(lines.map((_, i) => i + 1));
      }),
      { numRuns: 50 },
    );
  });

  it("may be one entry ahead of the head, no more", async () => {
    expect(await check(log, headAt(log.slice(0, -1)))).toMatchObject({
      findings: [],
      notes: [{ line: LINES, text: expect.stringContaining("does not know this entry yet") }],
    });
    expect(await found(log, headAt(log.slice(0, -2)))).toEqual([`AUDIT_CHAIN ${LINES - 1}`]);
  });

  it("says that its end is not known without a head", async () => {
    expect(await check(log, null)).toMatchObject({
      findings: [],
      notes: [{ line: null, text: expect.stringContaining("no head is known") }],
    });
    expect(await check([], null)).toEqual({
      entries: 0,
      head: null,
      firstAt: null,
      lastAt: null,
      findings: [],
      notes: [],
    });
  });

  it("tells its first and last time, and where the clock went back", async () => {
    const times = ["2026-02-01T00:00:00Z", "2026-03-01T00:00:00Z", "2026-02-15T00:00:00Z"];
    const lines = makeLines(times.map((time) => ({ at: time })));
    expect(await check(lines, headAt(lines))).toMatchObject({
      firstAt: times[0],
      lastAt: times[2],
      findings: [],
      notes: [{ line: 3, text: expect.stringContaining("clock") }],
    });
  });

  it("may end in what a crash left of a line", async () => {
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 1, max: log[LINES - 1]!.length - 1 }), async (size) => {
        const torn = [...log.slice(0, -1), log[LINES - 1]!.subarray(0, size)];
        expect(await check(torn, headAt(log.slice(0, -1)))).toMatchObject({
          entries: LINES - 1,
          head: headAt(log.slice(0, -1)),
          findings: [],
          notes: [{ line: LINES, text: expect.stringMatching(/^torn:/) }],
        });
        // Not what the state remembers.
        expect(await found(torn, head)).toEqual([`AUDIT_TRUNCATED ${LINES}`]);
      }),
      { numRuns: 30 },
    );
  });
});

describe("a line that was altered", () => {
  /** Changes one byte, keeping the line an entry: a letter of its verdict. */
  const altered = (line: Buffer) => Buffer.from(line.toString().replace('"verified"', '"verifiee"'));

  it("in any byte is named", async () => {
    const bytes = Buffer.concat(log);
    const ends = log.map(
      (
        (sum) => (line: Buffer) =>
          (sum += line.length)
      )(0),
    );
    await fc.assert(
      fc.asyncProperty(fc.nat(bytes.length - 1), fc.integer({ min: 1, max: 255 }), async (offset, flip) => {
        const copy = Buffer.from(bytes);
        copy[offset]! ^= flip;
        const line = ends.findIndex((end) => offset < end) + 1;
        const { findings } = await checkLog([copy], head);
        expect(findings.map((finding) => finding.line)).toContain(line);
        // Nothing but what stands beside it.
        for (const finding of findings) expect(Math.abs(finding.line - line)).toBeLessThanOrEqual(2);
      }),
      { numRuns: 1000 },
    );
  });

  it("and still is an entry is the only one that is named", async () => {
    for (let line = 1; line <= LINES; line++) {
      const copy = log.with(line - 1, altered(log[line - 1]!));
      expect(await found(copy, head)).toEqual([`AUDIT_ENTRY ${line}`]);
    }
  });

  it("in what it says of the line before, or in its number, is the only one that is named", async () => {
    const changes = [
      (line: Buffer) => line.toString().replace(/"previous":"[0-9a-f]{8}/, '"previous":"00000000'),
      (line: Buffer) => line.toString().replace(/"number":\d+/, '"number":77'),
    ];
    for (const change of changes) {
      for (let line = 2; line <= LINES; line++) {
        const copy = log.with(line - 1, Buffer.from(change(log[line - 1]!)));
        expect(await found(copy, head)).toEqual([`AUDIT_ENTRY ${line}`]);
        if (line < LINES)
          expect(await found(copy, headAt(log.slice(0, -1)))).toEqual([`AUDIT_ENTRY ${line}`]);
      }
    }
  });

  it("is named where the head is one behind, and where none is known", async () => {
    const one = (line: number) => log.with(line - 1, altered(log[line - 1]!));
    for (let line = 1; line < LINES; line++) {
      expect(await found(one(line), headAt(log.slice(0, -1)))).toEqual([`AUDIT_ENTRY ${line}`]);
      expect(await found(one(line), null)).toEqual([`AUDIT_ENTRY ${line}`]);
    }
    const previous = log[LINES - 1]!.toString().replace(/"previous":"[0-9a-f]{8}/, '"previous":"00000000');
    expect(await found(log.with(-1, Buffer.from(previous)), headAt(log.slice(0, -1)))).toEqual([
      `AUDIT_ENTRY ${LINES}`,
    ]);
  });

  it("hides no other", async () => {
    const copy = log.with(2, altered(log[2]!)).with(7, Buffer.from("x\n"));
    expect(await found(copy, head)).toEqual(["AUDIT_ENTRY 3", "AUDIT_ENTRY 8"]);
    // Nothing is left that could tell whether line 3 is as it was.
    const both = log.with(2, altered(log[2]!)).with(3, altered(log[3]!));
    expect((await check(both, head)).findings).toMatchObject([
      { code: "AUDIT_ENTRY", line: 4, hint: expect.stringContaining("Line 3 may have been altered too") },
    ]);
  });

  it("is noticed where all after it was written anew", async () => {
    let last = headOf(log[3]!);
    const forged = log.slice(4).map((_, i) => {
      const line = formatEntry(makeEntry(last, { verdict: "forged", details: { run: String(i) } }));
      last = headOf(line);
      return line;
    });
    expect((await check([...log.slice(0, 4), ...forged], head)).findings).toMatchObject([
      { code: "AUDIT_ENTRY", line: LINES, actual: "the site's state remembers another one" },
    ]);
  });

  it("and is too long for a line is named, in little memory", async () => {
    const piece = Buffer.alloc(MAX_LINE, "a");
    function* pieces() {
      yield Buffer.concat(log.slice(0, 3));
      for (let i = 0; i < 5000; i++) yield piece;
      yield Buffer.from("\n");
      yield Buffer.concat(log.slice(4));
    }
    const result = await checkLog(pieces(), head);
    expect(result.findings).toMatchObject([{ code: "AUDIT_ENTRY", line: 4, actual: "a longer one" }]);
    const { findings } = await checkLog([...log, piece, piece], head);
    expect(findings).toMatchObject([{ code: "AUDIT_ENTRY", line: LINES + 1 }]);
  });
});

describe("lines that are not where they were written", () => {
  it("are named where one was deleted", async () => {
    await fc.assert(
      fc.asyncProperty(at(), async (line) => {
        const code = line === LINES ? "AUDIT_TRUNCATED" : "AUDIT_CHAIN";
        expect(await found(without(line), head)).toEqual([`${code} ${line}`]);
      }),
    );
    expect((await check(without(3), head)).findings).toMatchObject([
      { expected: "entry 3", actual: expect.stringMatching(/^entry 4: those between are missing/) },
    ]);
  });

  it("are named where two were swapped", async () => {
    await fc.assert(
      fc.asyncProperty(fc.uniqueArray(at(), { minLength: 2, maxLength: 2 }), async (pair) => {
        const [one, other] = pair.sort((a, b) => a - b) as [number, number];
        const swapped = log.with(one - 1, log[other - 1]!).with(other - 1, log[one - 1]!);
        // The last two swapped look as if the last had been moved before the other.
        const named = one === LINES - 1 ? [one] : [one, other];
        expect(await found(swapped, head)).toEqual(named.map((line) => `AUDIT_CHAIN ${line}`));
      }),
    );
  });

  it("are named where a copy of one was inserted", async () => {
    await fc.assert(
      fc.asyncProperty(at(), at(), async (position, copied) => {
        const copy = log.toSpliced(position - 1, 0, log[copied - 1]!);
        // Of two equal lines either may be the one that was inserted.
        const equal = copied === position || copied === position - 1 ? [copied, copied + 1] : [position];
        const lines = (await check(copy, head)).findings.map(({ line }) => line);
        expect(lines).toHaveLength(1);
        expect(equal).toContain(lines[0]);
      }),
    );
  });

  it("are named where one that fits was inserted", async () => {
    await fc.assert(
      fc.asyncProperty(at(), async (position) => {
        const before = position === 1 ? START : headOf(log[position - 2]!);
        const forged = formatEntry(makeEntry(before, { verdict: "forged" }));
        expect(await found(log.toSpliced(position - 1, 0, forged), head)).toEqual([
          `AUDIT_CHAIN ${position}`,
        ]);
      }),
    );
  });

  it("are named where something else was inserted, and at the end", async () => {
    const junk = Buffer.from("junk\n");
    for (let position = 1; position <= LINES + 1; position++) {
      expect(await found(log.toSpliced(position - 1, 0, junk), head)).toEqual([`AUDIT_ENTRY ${position}`]);
    }
    expect(await found([...log, log[4]!], head)).toEqual([`AUDIT_CHAIN ${LINES + 1}`]);
  });

  it("are noticed whatever was done with them", async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(at(), { maxLength: 2 * LINES }), async (positions) => {
        const lines = positions.map((position) => log[position - 1]!);
        fc.pre(!Buffer.concat(lines).equals(Buffer.concat(log)));
        expect(await found(lines, head)).not.toEqual([]);
      }),
      { numRuns: 1000 },
    );
  });

  it("are missing at the end, by the head", async () => {
    for (let left = 0; left < LINES; left++) {
      const { findings } = await check(log.slice(0, left), head);
      expect(findings).toMatchObject([
        {
          code: "AUDIT_TRUNCATED",
          line: left + 1,
          expected: `entries up to ${LINES}`,
          actual: `up to ${left}`,
        },
      ]);
    }
  });
});

it("keeps a number of findings, and counts all", async () => {
  const { findings, notes, entries } = await check(Array(5000).fill(Buffer.from("x\n")), head);
  expect(entries).toBe(5000);
  expect(findings).toHaveLength(MAX_FINDINGS);
  expect(notes).toContainEqual({ line: null, text: "4000 more findings are not listed" });
  expect(lineSha256(Buffer.from("x\n"))).toMatch(/^[0-9a-f]{64}$/);
});
