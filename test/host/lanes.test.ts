import { setTimeout } from "node:timers/promises";
import { expect, it } from "vitest";
import { inLanes, type Task } from "../../src/host/lanes.js";

const { signal } = new AbortController();

it("runs as many tasks side by side as there are lanes, until there are no more", async () => {
  let running = 0;
  let most = 0;
  const lanes: number[] = [];
  const tasks = Array.from(
    { length: 10 },
    (): Task => async (lane) => {
      most = Math.max(most, ++running);
      lanes.push(lane);
      await setTimeout(1);
      running -= 1;
    },
  );
  await inLanes(3, signal, () => tasks.shift() ?? null);
  expect({ most, count: lanes.length, lanes: [...new Set(lanes)].sort() }).toEqual({
    most: 3,
    count: 10,
    lanes: [0, 1, 2],
  });
});

it("asks again when a task has ended", async () => {
  const begun: string[] = [];
  let isFirstDone = false;
  const next = (): Task | null => {
    const name = begun.length === 0 ? "first" : "second";
    if (begun.length === 2 || (name === "second" && !isFirstDone)) return null;
    begun.push(name);
    return async () => {
      await setTimeout(1);
      isFirstDone = true;
    };
  };
  await inLanes(2, signal, next);
  expect(begun).toEqual(["first", "second"]);
});

it("aborts the others on the first failure, and throws it once they have ended", async () => {
  let ended = 0;
  const waiting: Task = async (_, own) => {
    await setTimeout(60_000, undefined, { signal: own }).catch(() => {});
    await setTimeout(5);
    ended += 1;
    throw new Error("only since it was told to end");
  };
  const failing: Task = () => Promise.reject(new Error("the first"));
  const tasks = [waiting, waiting, failing, waiting];
  await expect(inLanes(3, signal, () => tasks.shift() ?? null)).rejects.toThrow("the first");
  expect({ ended, left: tasks.length }).toEqual({ ended: 2, left: 1 });
});

it("hands on that all of it is to end", async () => {
  const abort = new AbortController();
  const task: Task = async (_, own) => {
    abort.abort();
    own.throwIfAborted();
  };
  const tasks = [task];
  await expect(inLanes(1, abort.signal, () => tasks.shift() ?? null)).rejects.toThrow("aborted");
});
