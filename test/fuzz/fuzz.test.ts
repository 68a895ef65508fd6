/** A short run of the fuzzer, always the same, and every input that once failed. `npm run fuzz` is the long one. */
import { describe, expect, it } from "vitest";
import { fail } from "../../src/errors.js";
import { fuzz, judge, MAX_RUN_MS, type Refusal, type Target } from "./fuzz.js";
import { vectors } from "./seeds.js";
import { targets } from "./targets/index.js";

const INPUTS = 3000;

describe.each(targets)("the parser of $name", (target) => {
  it("accepts, or refuses by its own codes, and keeps its law", async () => {
    const inputs = Math.max(60, Math.round(INPUTS * target.share));
    const { failures, accepted, refused } = await fuzz(target, { inputs, seed: 1 });
    const again = `npm run fuzz -- --target ${target.name} --inputs ${INPUTS}`;
    expect(
      failures.map(({ reason }) => reason),
      `to see and keep the inputs: ${again}`,
    ).toEqual([]);
    // Mutations that reached nothing would prove nothing.
    expect(accepted).toBeGreaterThan(0);
    expect(refused.size).toBeGreaterThan(0);
  });

  it.each([...vectors(`fuzz/${target.name}`)])("has an answer for %s", async (_, bytes) => {
    expect((await judge(target, bytes)).failure).toBeUndefined();
  });
});

describe("the fuzzer", () => {
  const broken: Target = {
    name: "broken",
    share: 1,
    codes: new Set(["JSON_INVALID"]),
    seeds: [Buffer.from("abc")],
    words: [Buffer.from("def")],
    mutations: [],
    run: () => [],
  };
  const bytes = Buffer.from("abc");

  it.each<[string, Target["run"]]>([
    ["throws what is no AirgapError", () => JSON.parse("{")],
    ["refuses by a code of another's", () => fail("NAR_FIELD")],
    ["refuses at a place that the input lacks", () => fail("JSON_INVALID", { offset: 4 })],
    ["rejects later", () => Promise.reject(new RangeError("late"))],
    ["takes long", () => waitFor(MAX_RUN_MS + 50)],
  ])("sees a parser that %s", async (_, run) => {
    expect((await judge({ ...broken, run }, bytes)).failure).toBeDefined();
  });

  it("keeps what fails, and gives the same inputs for the same seed", async () => {
    const run = (seed: number) => {
      const inputs: string[] = [];
      const keep: Target["run"] = (input) => {
        inputs.push(input.toString("hex"));
        return [];
      };
      return fuzz({ ...broken, run: keep }, { inputs: 200, seed }).then(() => inputs);
    };
    expect(await run(1)).toEqual(await run(1));
    expect(await run(2)).not.toEqual(await run(1));
    const only = (input: Buffer) => (input.includes("def") ? JSON.parse("{") : []);
    const { failures } = await fuzz({ ...broken, run: only }, { inputs: 2000, seed: 1 });
    expect(failures.length).toBeGreaterThan(0);
    for (const failure of failures) expect(failure.bytes.toString("latin1")).toContain("def");
  });
});

function waitFor(ms: number): readonly Refusal[] {
  for (const end = performance.now() + ms; performance.now() < end; );
  return [];
}
