/**
 * The program as its users run it: the one-file release, in a process of its own. `bin/test` builds it first; where it
 * is missing these tests fail.
 */
import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { resolve } from "node:path";

export const RELEASE = resolve(import.meta.dirname, "../../dist/release/nix-airgap.mjs");

export interface Outcome {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface CliOptions {
  readonly cwd?: string;
  readonly env?: NodeJS.ProcessEnv;
  readonly input?: string;
  /** Put before the program: `unshare`, test/support/site, … */
  readonly wrap?: readonly string[];
  /** The Node.js that runs it; default: that of the tests. */
  readonly node?: string;
  /** Ends the program without warning after so many milliseconds. */
  readonly killAfter?: number;
  /** Told the process id as soon as there is one. */
  readonly onStart?: (pid: number) => void;
}

export function cli(args: readonly string[], options: CliOptions = {}): Promise<Outcome> {
  if (!existsSync(RELEASE)) throw new Error(`${RELEASE} is missing: run bin/setup, or npm run release`);
  const { wrap = [], node = process.execPath } = options;
  return runProgram([...wrap, node, RELEASE, ...args], options);
}

/** With `--json`: the document on stdout. */
export async function cliJson<T>(
  args: readonly string[],
  options: CliOptions = {},
): Promise<{ code: number | null; json: T; stderr: string }> {
  const { code, stdout, stderr } = await cli([...args, "--json"], options);
  try {
    return { code, json: JSON.parse(stdout) as T, stderr };
  } catch (cause) {
    throw new Error(`${args[0]}: no JSON on stdout (exit ${code}): ${stdout}\n${stderr}`, { cause });
  }
}

export function runProgram(
  argv: readonly string[],
  { cwd, env, input, killAfter, onStart }: CliOptions = {},
): Promise<Outcome> {
  return new Promise((done, reject) => {
    const [program = "", ...args] = argv;
    const child = spawn(program, args, { cwd, env: env ?? process.env, detached: true });
    const out: Buffer[] = [];
    const err: Buffer[] = [];
    child.stdout.on("data", (chunk: Buffer) => out.push(chunk));
    child.stderr.on("data", (chunk: Buffer) => err.push(chunk));
    child.stdin.on("error", () => undefined); // a program that does not read its input
    child.stdin.end(input ?? "");
    const timer =
      killAfter === undefined ? undefined : setTimeout(() => process.kill(-child.pid!, "SIGKILL"), killAfter);
    if (child.pid !== undefined) onStart?.(child.pid);
    const onExit = () => process.kill(-child.pid!, "SIGKILL");
    if (child.pid !== undefined) process.once("exit", onExit);
    child.on("error", reject);
    child.on("close", (code) => {
      clearTimeout(timer);
      process.off("exit", onExit);
      done({ code, stdout: Buffer.concat(out).toString(), stderr: Buffer.concat(err).toString() });
    });
  });
}
