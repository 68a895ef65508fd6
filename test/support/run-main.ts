/** The program as a function: a command line in, its exit code and what it printed back. */
import { PassThrough, Readable } from "node:stream";
import { type Io, runMain } from "../../src/cli/run.js";

export interface Ran {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface RunOptions {
  readonly cwd?: string;
  readonly stdin?: string;
  readonly now?: () => Date;
  readonly signal?: AbortSignal;
}

export async function run(argv: readonly string[], options: RunOptions = {}): Promise<Ran> {
  const stdout = collector();
  const stderr = collector();
  const io: Io = {
    stdin: Readable.from(options.stdin === undefined ? [] : [Buffer.from(options.stdin)]),
    stdout: stdout.stream,
    stderr: stderr.stream,
    env: {},
    cwd: options.cwd ?? process.cwd(),
    now: options.now ?? (() => new Date("2026-02-03T04:05:06.789Z")),
    signal: options.signal ?? new AbortController().signal,
    workerEntry: new URL("../../src/host/worker-main.ts", import.meta.url),
  };
  const code = await runMain(argv, io);
  return { code, stdout: stdout.text(), stderr: stderr.text() };
}

function collector() {
  const stream = new PassThrough();
  const chunks: Buffer[] = [];
  stream.on("data", (chunk: Buffer) => chunks.push(chunk));
  return { stream, text: () => Buffer.concat(chunks).toString() };
}
