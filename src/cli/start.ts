/** One run of the program as a process: signals, exit code, last resort. Where it begins is main.ts's, or executable.ts's. */
import type { WorkerEntry } from "../host/program.js";

export async function start(workerEntry: WorkerEntry): Promise<void> {
  // Node would exit with 1, which here means "they differ".
  process.on("uncaughtException", (error) => {
    process.stderr.write(`nix-airgap: this is a bug, please report it\n${error.stack ?? String(error)}\n`);
    process.exit(70);
  });
  // A reader that goes away is no error; what else happens to output is seen where it is written.
  for (const stream of [process.stdout, process.stderr]) stream.on("error", () => {});

  const controller = new AbortController();
  const stop = (): void => {
    // A second Ctrl-C leaves at once.
    if (controller.signal.aborted) process.exit(130);
    process.stderr.write("\nnix-airgap: stopping; once more to leave at once\n");
    controller.abort();
  };
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, stop);

  const cwd = currentFolder();
  // Only now what takes time to load: a signal before it would end the program without a word.
  const { runMain } = await import("./run.js");

  process.exitCode = await runMain(process.argv.slice(2), {
    stdin: process.stdin,
    stdout: process.stdout,
    stderr: process.stderr,
    env: process.env,
    cwd,
    now: () => new Date(),
    signal: controller.signal,
    workerEntry,
  });
}

/** Null where it was removed; then the process moves to another one, since not even a module loads without. */
function currentFolder(): string | null {
  try {
    return process.cwd();
  } catch {
    process.chdir("/");
    return null;
  }
}
