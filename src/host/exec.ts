/**
 * Runs one program to its end: the only place that starts processes. An argument list, never a shell; a fixed
 * environment, never ours. What the output means is for callers, and so is an exit code other than 0.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { StringDecoder } from "node:string_decoder";
import { AirgapError } from "../errors.js";
import { Silence } from "./silence.js";

/** Longest line of stderr handed on, in characters; the rest of a longer one is dropped. */
export const MAX_LINE = 1024 * 1024;
const STDERR_TAIL_LINES = 50;
const DEFAULT_MAX_OUTPUT = 64 * 1024 * 1024;
/** Between asking a program to end and ending it. */
const TERMINATION_GRACE_MS = 5000;

export interface RunOptions {
  /** All of the child's environment. */
  readonly env: Readonly<Record<string, string>>;
  readonly cwd: string;
  readonly signal: AbortSignal;
  /** Given on stdin, which is empty otherwise. */
  readonly input?: Uint8Array | string;
  /** It may ask whoever sits at the terminal: it stays in our session, and so in our process group. */
  readonly terminal?: boolean;
  /** Called when it runs. */
  readonly onStart?: (pid: number) => void;
  /** Called for every line as it comes, without its newline. */
  readonly onStderrLine?: (line: string) => void;
  /** Most bytes of stdout; 64 MiB unless given. */
  readonly maxOutput?: number;
  /** Ended when it gives no sign of life for so long; never unless given. */
  readonly silenceMs?: number;
}

export interface RunResult {
  readonly stdout: Buffer;
  /** The last 50 lines. */
  readonly stderr: readonly string[];
  /** Null where a signal ended the program. */
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

/**
 * Runs `argv` in a process group of its own, unless it may use the terminal, and resolves when it has ended. On abort, silence or too much output
 * the whole group is ended first.
 *
 * @throws NIX_MISSING where the program does not exist or may not be run, NIX_FAILED on silence or too much
 * output, DISK where `cwd` does not exist, INTERRUPTED on abort.
 */
export function run(argv: readonly string[], options: RunOptions): Promise<RunResult> {
  const [program = "", ...args] = argv;
  const { env, cwd, signal, input, onStderrLine, silenceMs } = options;
  const maxOutput = options.maxOutput ?? DEFAULT_MAX_OUTPUT;
  if (signal.aborted) return Promise.reject(new AirgapError("INTERRUPTED", { subject: program }));

  return new Promise((resolve, reject) => {
    let failure: unknown;
    const child = spawn(program, args, {
      cwd,
      env,
      detached: options.terminal !== true,
      stdio: [input === undefined ? "ignore" : "pipe", "pipe", "pipe"],
    });
    const group = new ProcessGroup(child, options.terminal !== true);
    if (child.pid !== undefined) options.onStart?.(child.pid);
    const stop = (reason: unknown): void => {
      failure ??= reason;
      group.end();
    };
    const onAbort = () => stop(new AirgapError("INTERRUPTED", { subject: program }));
    signal.addEventListener("abort", onAbort, { once: true });
    const silence =
      silenceMs === undefined || child.pid === undefined
        ? undefined
        : new Silence(child.pid, silenceMs, () => stop(hangs(program, silenceMs)));

    const stdout: Buffer[] = [];
    let stdoutSize = 0;
    child.stdout?.on("data", (chunk: Buffer) => {
      silence?.heard();
      stdoutSize += chunk.length;
      if (stdoutSize <= maxOutput) stdout.push(chunk);
      else
        stop(
          new AirgapError("NIX_FAILED", {
            subject: program,
            expected: `at most ${maxOutput} bytes of output`,
            actual: "more",
          }),
        );
    });

    const tail: string[] = [];
    const lines = new LineSplitter((line) => {
      // Nix's log says the progress of a download every second, also where there is none.
      if (!tail.includes(line)) silence?.heard();
      tail.push(line);
      if (tail.length > STDERR_TAIL_LINES) tail.shift();
      // An error in the callback is ours, and must not pass for one of the stream's.
      try {
        onStderrLine?.(line);
      } catch (error) {
        stop(error);
      }
    });
    child.stderr?.on("data", (chunk: Buffer) => lines.write(chunk));
    // A program may end without having read all of its input.
    child.stdin?.on("error", () => {});
    child.stdin?.end(input);

    const settle = (): void => {
      signal.removeEventListener("abort", onAbort);
      silence?.end();
      group.forget();
    };
    child.on("error", (error: NodeJS.ErrnoException) => {
      settle();
      reject(spawnError(error, program, cwd));
    });
    child.on("close", (code, signalName) => {
      settle();
      lines.end();
      if (failure !== undefined) reject(failure);
      else resolve({ stdout: Buffer.concat(stdout), stderr: tail, code, signal: signalName });
    });
  });
}

function hangs(program: string, silenceMs: number): AirgapError {
  return new AirgapError("NIX_FAILED", {
    subject: program,
    expected: `a sign of life within ${silenceMs / 1000} seconds`,
    actual: "it said nothing, moved nothing and computed nothing",
    hint: "It hangs: look for what it waits for (a lock, a daemon, a network), then run the command again.",
  });
}

function spawnError(error: NodeJS.ErrnoException, program: string, cwd: string): unknown {
  // Node says ENOENT for a missing working directory, too.
  if (!existsSync(cwd)) {
    return new AirgapError("DISK", { subject: cwd, actual: "no such directory" }, { cause: error });
  }
  if (error.code === "ENOENT" || error.code === "EACCES") {
    const actual = error.code === "ENOENT" ? "no such program" : "not allowed to run it";
    return new AirgapError("NIX_MISSING", { subject: program, actual }, { cause: error });
  }
  return error;
}

/** Groups that still run: they are ended with this process, however it ends. */
const running = new Set<ProcessGroup>();
process.on("exit", () => {
  for (const group of running) group.kill("SIGKILL");
});

/** A child that leads a process group, so that what it started can be ended with it; one at a terminal stands alone. */
class ProcessGroup {
  readonly #child: ChildProcess;
  readonly #leads: boolean;
  #grace: NodeJS.Timeout | undefined;

  constructor(child: ChildProcess, leads: boolean) {
    this.#child = child;
    this.#leads = leads;
    running.add(this);
    // What outlives its leader would hold our pipes open, and be nobody's.
    child.on("exit", () => this.kill("SIGKILL"));
  }

  end(): void {
    this.kill("SIGTERM");
    this.#grace ??= setTimeout(() => this.kill("SIGKILL"), TERMINATION_GRACE_MS);
  }

  kill(signal: NodeJS.Signals): void {
    const { pid } = this.#child;
    if (pid === undefined) return;
    try {
      process.kill(this.#leads ? -pid : pid, signal);
    } catch {
      // No such group: all of it has ended.
    }
  }

  forget(): void {
    clearTimeout(this.#grace);
    running.delete(this);
  }
}

/** Cuts bytes into lines of UTF-8, in linear time however they come. */
class LineSplitter {
  readonly #onLine: (line: string) => void;
  readonly #decoder = new StringDecoder("utf8");
  #parts: string[] = [];
  #length = 0;

  constructor(onLine: (line: string) => void) {
    this.#onLine = onLine;
  }

  write(chunk: Buffer): void {
    const pieces = this.#decoder.write(chunk).split("\n");
    for (const [i, piece] of pieces.entries()) {
      if (i > 0) this.#flush();
      this.#add(piece);
    }
  }

  end(): void {
    this.#add(this.#decoder.end());
    if (this.#length > 0) this.#flush();
  }

  #add(piece: string): void {
    const kept = piece.slice(0, MAX_LINE - this.#length);
    if (kept === "") return;
    this.#parts.push(kept);
    this.#length += kept.length;
  }

  #flush(): void {
    const line = this.#parts.join("");
    this.#parts = [];
    this.#length = 0;
    this.#onLine(line);
  }
}
