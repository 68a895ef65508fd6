import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { MAX_LINE, type RunOptions, run } from "../../src/host/exec.js";

const PATH = "/usr/bin:/bin";

function sh(script: string, options: Partial<RunOptions> = {}) {
  return run(["/bin/sh", "-c", script], {
    env: { PATH },
    cwd: "/",
    signal: new AbortController().signal,
    ...options,
  });
}

const refusal = (code: string) => expect.objectContaining({ code });

/** Of our own child only; a zombie counts as ended. */
function isRunning(pid: number): boolean {
  try {
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, "utf8"));
  } catch {
    return false;
  }
}

describe("run", () => {
  it("returns stdout as bytes, the lines of stderr, and the exit code", async () => {
    const result = await sh("printf '\\377\\000x'; echo one >&2; printf two >&2; exit 3");
    expect(result.stdout).toEqual(Buffer.from([0xff, 0, 0x78]));
    expect(result.stderr).toEqual(["one", "two"]);
    expect(result).toMatchObject({ code: 3, signal: null });
  });

  it("gives the child the given environment only", async () => {
    const result = await run(["/usr/bin/env"], {
      env: { A: "b c" },
      cwd: "/",
      signal: new AbortController().signal,
    });
    expect(result.stdout.toString()).toBe("A=b c\n");
  });

  it("starts no shell: arguments arrive as they are", async () => {
    const argument = "a; $(touch x) 'b' *";
    const result = await run(["/usr/bin/printf", "%s", argument], {
      env: {},
      cwd: "/",
      signal: new AbortController().signal,
    });
    expect(result.stdout.toString()).toBe(argument);
  });

  it("gives input on stdin, and bears a program that does not read it", async () => {
    const input = "x".repeat(1_000_000);
    expect((await sh("wc -c", { input })).stdout.toString().trim()).toBe("1000000");
    expect((await sh("exit 0", { input })).code).toBe(0);
    expect((await sh("cat")).stdout.length).toBe(0);
  });

  it("keeps the last 50 lines of stderr, and reports every one", async () => {
    const lines: string[] = [];
    const result = await sh("seq 1 200 >&2", { onStderrLine: (line) => lines.push(line) });
    expect(lines.length).toBe(200);
    expect(result.stderr).toEqual(lines.slice(150));
  });

  it("cuts a line of 10 MB, in linear time", async () => {
    const started = performance.now();
    const lines: string[] = [];
    await sh("head -c 10000000 /dev/zero | tr '\\0' x >&2; echo >&2; echo next >&2", {
      onStderrLine: (line) => lines.push(line),
    });
    expect(lines.map((line) => line.length)).toEqual([MAX_LINE, 4]);
    expect(performance.now() - started).toBeLessThan(5000);
  });

  it("keeps characters whole that are cut between two reads", async () => {
    const result = await sh("printf '\\303' >&2; sleep 0.1; printf '\\244\\n' >&2");
    expect(result.stderr).toEqual(["ä"]);
  });

  it("says which signal ended a program", async () => {
    expect(await sh("kill -ABRT $$")).toMatchObject({ code: null, signal: "SIGABRT" });
  });

  it("ends the whole group on abort", async () => {
    const controller = new AbortController();
    const pids: number[] = [];
    const running = sh("sleep 60 & echo $! >&2; wait", {
      signal: controller.signal,
      onStderrLine: (line) => {
        pids.push(Number(line));
        controller.abort();
      },
    });
    await expect(running).rejects.toThrow(refusal("INTERRUPTED"));
    expect(pids.length).toBe(1);
    expect(isRunning(pids[0]!)).toBe(false);
  });

  it("does not start after an abort", async () => {
    await expect(sh("exit 0", { signal: AbortSignal.abort() })).rejects.toThrow(refusal("INTERRUPTED"));
  });

  it("does not wait for what outlives the program", async () => {
    const started = performance.now();
    expect((await sh("sleep 60 & exit 0")).code).toBe(0);
    expect(performance.now() - started).toBeLessThan(10_000);
  });

  it("ends a program that gives no sign of life, or says too much", async () => {
    await expect(sh("sleep 60", { silenceMs: 200 })).rejects.toThrow(refusal("NIX_FAILED"));
    await expect(sh("yes", { maxOutput: 100_000 })).rejects.toThrow(refusal("NIX_FAILED"));
  });

  it("does not end one that speaks, moves bytes or computes", async () => {
    const silenceMs = 1000;
    for (const work of [
      "for i in 1 2 3 4 5 6 7 8; do echo $i >&2; sleep 0.25; done",
      "for i in 1 2 3 4 5 6 7 8; do echo $i > /dev/null; sleep 0.25; done",
      "i=0; while [ $i -lt 3000000 ]; do i=$((i + 1)); done",
    ]) {
      expect(await sh(work, { silenceMs }), work).toMatchObject({ code: 0 });
    }
  });

  it("names a program that is missing, and tells it from a missing directory", async () => {
    const options = { env: {}, cwd: "/", signal: new AbortController().signal };
    await expect(run(["/nowhere/nix"], options)).rejects.toThrow(refusal("NIX_MISSING"));
    await expect(run(["/etc/passwd"], options)).rejects.toThrow(refusal("NIX_MISSING"));
    await expect(run(["/bin/true"], { ...options, cwd: "/nowhere" })).rejects.toThrow(refusal("DISK"));
  });

  it("passes an error of the line callback on, and ends the program", async () => {
    const bug = new Error("bug");
    const running = sh("echo x >&2; sleep 60", {
      onStderrLine: () => {
        throw bug;
      },
    });
    await expect(running).rejects.toBe(bug);
  });
});
