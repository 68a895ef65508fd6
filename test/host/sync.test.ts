import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, it } from "vitest";
import { runProgram } from "../support/cli.js";

it("syncs the file system of a folder by one system call, and says no of what is not there", async () => {
  const dir = mkdtempSync(join(tmpdir(), "sync-test-"));
  writeFileSync(join(dir, "file"), "text");
  const script = join(dir, "script.mjs");
  const trace = join(dir, "trace");
  writeFileSync(
    script,
    `import { syncFileSystem } from ${JSON.stringify(join(import.meta.dirname, "../../dist/host/sync.js"))};
     const { signal } = new AbortController();
     console.log(await syncFileSystem(${JSON.stringify(dir)}, signal), await syncFileSystem("/absent", signal));`,
  );
  const { stdout } = await runProgram([
    "strace",
    "-f",
    "-qq",
    "-e",
    "trace=syncfs",
    "-o",
    trace,
    process.execPath,
    script,
  ]);
  expect(stdout).toBe("true false\n");
  expect(execFileSync("grep", ["-c", "syncfs(.*= 0", trace], { encoding: "utf8" })).toBe("1\n");
  rmSync(dir, { recursive: true });
});
