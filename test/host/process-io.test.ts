import { spawn } from "node:child_process";
import { once } from "node:events";
import { describe, expect, it } from "vitest";
import { type ProcessIo, watchIo } from "../../src/host/process-io.js";

describe("the bytes of a process", () => {
  it("are told while it runs, and not of one that has ended", async () => {
    const child = spawn("sh", ["-c", "head -c 5000000 /dev/zero; sleep 60 >/dev/null"]);
    child.stdout.resume();
    const seen: ProcessIo[] = [];
    const stop = watchIo(child.pid!, (io) => seen.push(io));
    while (seen.length === 0) await new Promise((resolve) => setTimeout(resolve, 50));
    stop();
    expect(seen[0]!.read).toBeGreaterThan(0);
    expect(seen[0]!.written).toBeGreaterThanOrEqual(0);
    const closed = once(child, "exit");
    child.kill("SIGKILL");
    await closed;
    const none: ProcessIo[] = [];
    const stopAgain = watchIo(child.pid!, (io) => none.push(io));
    await new Promise((resolve) => setTimeout(resolve, 700));
    stopAgain();
    expect(none).toEqual([]);
  });
});
