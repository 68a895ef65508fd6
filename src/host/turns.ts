/** Many small synchronous steps, which are far quicker than as many that are waited for; in between others may run. */
import { setImmediate } from "node:timers/promises";

/** Steps between two looks at what else there is to do. */
const AT_ONCE = 200;

export async function inTurns<T>(items: Iterable<T>, action: (item: T) => void): Promise<void> {
  let done = 0;
  for (const item of items) {
    if (done++ % AT_ONCE === 0) await setImmediate();
    action(item);
  }
}
