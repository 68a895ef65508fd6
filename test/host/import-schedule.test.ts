import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  type Batch,
  ImportSchedule,
  isOfSmall,
  maxStaged,
  type SchedulePath,
} from "../../src/host/import-schedule.js";

const MIB = 1024 ** 2;
const KIB = 1024;

function path(storePath: string, narSize: number, references: readonly string[] = []): SchedulePath {
  return { storePath, narSize, references, stagedBytes: 0 };
}

function many(count: number, name: string, narSize: number): SchedulePath[] {
  return Array.from({ length: count }, (_, i) => path(`${name}-${i}`, narSize));
}

const namesOf = (batch: Batch | null) => batch?.map(({ storePath }) => storePath) ?? null;

describe("the law of an import's schedule", () => {
  /** In dependency order; each refers to itself and to some before it. */
  const anyPaths = fc
    .array(
      fc.record({
        isDerivation: fc.boolean(),
        size: fc.oneof(fc.nat(1000), fc.nat(MIB), fc.nat(100 * MIB)),
        staged: fc.nat(100 * MIB),
        refs: fc.array(fc.nat(1000), { maxLength: 4 }),
      }),
      { maxLength: 80 },
    )
    .map((items) => {
      const names = items.map(({ isDerivation }, i) => `p${i}${isDerivation ? ".drv" : ""}`);
      return items.map(({ size, staged, refs }, i): SchedulePath => {
        const references = [names[i]!, ...(i === 0 ? [] : refs.map((ref) => names[ref % i]!))];
        return {
          storePath: names[i]!,
          narSize: size,
          stagedBytes: staged,
          references: [...new Set(references)],
        };
      });
    });

  it("every path comes once, after what it refers to, and all of them come, whichever batch ends first", () => {
    fc.assert(
      fc.property(
        anyPaths,
        fc.array(fc.nat(10), { minLength: 1 }),
        fc.integer({ min: 1, max: 5 }),
        (paths, ends, lanes) => {
          const schedule = new ImportSchedule(paths);
          const limit = maxStaged(paths.map(({ stagedBytes }) => stagedBytes));
          const imported = new Set<string>();
          const running: Batch[] = [];
          for (let step = 0; ; step++) {
            while (running.length < lanes) {
              const batch = schedule.begin();
              if (batch === null) break;
              const own = new Set<string>();
              for (const { storePath, references } of batch) {
                expect(imported.has(storePath)).toBe(false);
                const before = (name: string) => name === storePath || imported.has(name) || own.has(name);
                expect(references.every(before)).toBe(true);
                own.add(storePath);
              }
              expect(new Set(batch.map(({ storePath }) => storePath.endsWith(".drv"))).size).toBe(1);
              const bytes = batch.reduce((sum, { narSize }) => sum + narSize, 0);
              expect(batch.length === 1 || bytes <= 64 * MIB).toBe(true);
              running.push(batch);
            }
            const staged = running.flat().reduce((sum, { stagedBytes }) => sum + stagedBytes, 0);
            expect(staged).toBeLessThanOrEqual(limit);
            if (running.length === 0) break;
            const [ended] = running.splice(ends[step % ends.length]! % running.length, 1);
            for (const { storePath } of ended!) imported.add(storePath);
            schedule.end(ended!);
          }
          expect(imported.size).toBe(paths.length);
        },
      ),
    );
  });
});

describe("an import's schedule", () => {
  it("begins with what takes longest by itself", () => {
    const schedule = new ImportSchedule([
      ...many(10, "small", 1),
      path("large", 65 * MIB),
      path("huge", 5e9),
    ]);
    expect([1, 2, 3].map(() => namesOf(schedule.begin())?.[0])).toEqual(["huge", "large", undefined]);
  });

  it("cuts batches by bytes and by number", () => {
    const heavy = new ImportSchedule(many(10, "p", 20 * MIB));
    expect([1, 2, 3, 4, 5].map(() => heavy.begin()?.length)).toEqual([3, 3, 3, 1, undefined]);
    const small = new ImportSchedule(many(2100, "p", KIB));
    expect(small.begin()?.length).toBe(1000);
  });

  it("has a second batch of small paths wait for the first, and no third; beside them come large ones only", () => {
    const schedule = new ImportSchedule([...many(4000, "small", KIB), ...many(3, "large", 30 * MIB)]);
    const batches = [1, 2, 3].map(() => schedule.begin()!);
    expect(batches.map(isOfSmall)).toEqual([true, true, false]);
    expect(namesOf(batches[2]!)).toEqual(["large-0", "large-1"]);
    expect(namesOf(schedule.begin())).toEqual(["large-2"]);
    expect(schedule.begin()).toBeNull();
    schedule.end(batches[0]!);
    expect(isOfSmall(schedule.begin()!)).toBe(true);
  });

  it("does not start a process for a few small paths while another one runs", () => {
    const schedule = new ImportSchedule([path("a", 30 * MIB), path("a.drv", KIB), path("b", 40 * MIB)]);
    const first = schedule.begin()!;
    expect(namesOf(first)).toEqual(["a"]);
    expect(namesOf(schedule.begin())).toEqual(["b"]);
    expect(schedule.begin()).toBeNull();
    schedule.end(first);
    expect(schedule.begin()).toBeNull();
  });

  it("takes a chain of any length at once", () => {
    const chain = Array.from({ length: 900 }, (_, i) => path(`p${i}`, KIB, i === 0 ? [] : [`p${i - 1}`]));
    expect(new ImportSchedule(chain).begin()?.length).toBe(900);
  });

  it("starts few processes for a closure where .drv files and outputs take turns", () => {
    const mixed = Array.from({ length: 3000 }, (_, i) =>
      path(
        i % 2 === 0 ? `p${i}` : `p${i}.drv`,
        10 * KIB,
        i < 2 ? [] : [`p${i - 2}${i % 2 === 0 ? "" : ".drv"}`],
      ),
    );
    const schedule = new ImportSchedule(mixed);
    let batches = 0;
    for (let batch = schedule.begin(); batch !== null; batch = schedule.begin()) {
      batches += 1;
      schedule.end(batch);
    }
    expect(batches).toBe(4);
  });

  it("keeps the bytes that are copied first within a bound, but for the largest", () => {
    expect(maxStaged([])).toBe(0);
    expect(maxStaged([10, 20])).toBe(30);
    expect(maxStaged([5e9, 5e9])).toBe(5e9 + 256 * MIB);
    const staged = many(4, "p", 200 * MIB).map((one) => ({ ...one, stagedBytes: one.narSize }));
    const schedule = new ImportSchedule(staged);
    expect([1, 2, 3].map(() => schedule.begin()?.length)).toEqual([1, 1, undefined]);
  });
});
