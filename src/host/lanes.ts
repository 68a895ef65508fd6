/** Runs tasks side by side, such as processes that each keep one processor busy. */

export type Task = (lane: number, signal: AbortSignal) => Promise<void>;

/**
 * `next`: the next task; null where none can begin before one that runs has ended, or where there are no more. Ends when
 * nothing runs and none is next. The first failure aborts the others' signal, and is thrown once they have ended.
 */
export async function inLanes(lanes: number, signal: AbortSignal, next: () => Task | null): Promise<void> {
  const abort = new AbortController();
  const onAbort = () => abort.abort();
  signal.addEventListener("abort", onAbort);
  if (signal.aborted) onAbort();
  const free = Array.from({ length: lanes }, (_, lane) => lane);
  const running = new Map<number, Promise<number>>();
  const begin = (): void => {
    while (free.length > 0) {
      const task = next();
      if (task === null) return;
      const lane = free.shift()!;
      running.set(
        lane,
        task(lane, abort.signal).then(() => lane),
      );
    }
  };
  try {
    for (begin(); running.size > 0; begin()) {
      const lane = await Promise.race(running.values());
      running.delete(lane);
      free.push(lane);
    }
  } catch (error) {
    abort.abort();
    await Promise.allSettled(running.values());
    throw error;
  } finally {
    signal.removeEventListener("abort", onAbort);
  }
}
