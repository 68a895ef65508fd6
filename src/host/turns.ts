/** Many small steps, synchronous but for few: far quicker than as many that wait; in between others may run. */
import { setImmediate } from "node:timers/promises";

/** Steps between two looks at what else there is to do. */
const AT_ONCE = 200;

export async function inTurns<T>(
  items: Iterable<T>,
  action: (item: T) => void | Promise<void>,
): Promise<void> {
  let done = 0;
  for (const item of items) {
    if (done++ % AT_ONCE === 0) await setImmediate();
    await action(item);
  }
}
