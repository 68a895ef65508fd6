/** One run of the program, as a function: a command line in, lines out, the exit code back. */
import type { Readable, Writable } from "node:stream";
import { AirgapError, EXIT, fail } from "../errors.js";
import { asDiskError, errorCode } from "../host/files.js";
import type { WorkerEntry } from "../host/program.js";
import { nodeContext } from "../ops/node-context.js";
import type { Answer, Session } from "./command.js";
import { UsageError } from "./command.js";
import { COMMANDS } from "./commands/index.js";
import { parseCommandLine, wantsJson } from "./parse.js";
import { showProgress } from "./render/show-progress.js";
import { formatLines, formatReport } from "./render/text.js";

export interface Terminal extends Writable {
  readonly isTTY?: boolean;
  readonly columns?: number;
}

export interface Io {
  readonly stdin: Readable;
  readonly stdout: Terminal;
  readonly stderr: Terminal;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Null where it does not exist any more. */
  readonly cwd: string | null;
  readonly now: () => Date;
  /** Ctrl-C. */
  readonly signal: AbortSignal;
  /** What worker threads begin in. */
  readonly workerEntry: WorkerEntry;
}

const DEFAULT_COLUMNS = 100;
const GONE = {
  subject: "the current folder",
  actual: "it was removed",
  hint: "Change to a folder that exists (cd), then run the command again.",
};

/** Never throws for anything that a command does: that is exit 70. */
export async function runMain(argv: readonly string[], io: Io): Promise<number> {
  let command: string | null = null;
  try {
    const parsed = parseCommandLine(argv, COMMANDS, io.stdout.columns || DEFAULT_COLUMNS);
    if (parsed.kind === "text") {
      await write(io.stdout, parsed.text);
      return EXIT.yes;
    }
    command = parsed.command.name;
    const { json, quiet, verbose } = parsed.common;
    const progress = await showProgress({
      stderr: io.stderr,
      style: quiet ? "none" : isLively(io) ? "spinner" : "lines",
      color: hasColor(io.stderr, io),
      verbose,
      now: io.now,
    });
    let answer: Answer;
    try {
      const { env, now, signal, workerEntry } = io;
      const cwd = io.cwd ?? fail("DISK", GONE);
      const context = nodeContext({ env, cwd, now, signal, workerEntry, report: progress.report });
      answer = await parsed.command.run(parsed.args, {
        context,
        stdin: io.stdin,
        ask: (lines, question) => ask(lines, question, io),
      });
    } finally {
      progress.close();
    }
    await write(io.stdout, json ? formatReport(answer.report) : renderAnswer(answer, io));
    return answer.report.exit;
  } catch (error) {
    return await explain(error, command, wantsJson(argv), io);
  }
}

function renderAnswer({ render }: Answer, io: Io): string {
  const color = hasColor(io.stdout, io);
  return formatLines(render({ color, isTerminal: io.stdout.isTTY === true }), color);
}

async function explain(thrown: unknown, command: string | null, json: boolean, io: Io): Promise<number> {
  const { errorReport, renderError } = await import("./render/error.js");
  const error = typed(thrown, io.signal);
  const report = errorReport(error, error instanceof UsageError ? (error.command ?? command) : command);
  await write(io.stderr, formatLines(renderError(report, error), hasColor(io.stderr, io))).catch(() => {});
  // Where stdout is what failed, the exit code still tells.
  if (json) await write(io.stdout, formatReport(report)).catch(() => {});
  return report.exit;
}

/** Being stopped is why anything else failed after it; and what the system refuses is no bug. */
function typed(error: unknown, signal: AbortSignal): unknown {
  if (error instanceof Error && error.name === "AbortError")
    return new AirgapError("INTERRUPTED", {}, { cause: error });
  if (signal.aborted && error instanceof AirgapError && error.code !== "INTERRUPTED") {
    return new AirgapError("INTERRUPTED", { actual: error.message }, { cause: error });
  }
  const path =
    error instanceof Error && "path" in error && typeof error.path === "string" ? error.path : "a file";
  return asDiskError(error, path);
}

/** Resolves when the text is with the system. A reader that went away (`| head`) is no error. @throws DISK, NO_SPACE */
function write(stream: Writable, text: string): Promise<void> {
  return new Promise((resolve, reject) => {
    stream.write(text, (error) => {
      if (error === null || error === undefined || errorCode(error) === "EPIPE") resolve();
      else reject(asDiskError(error, "the output"));
    });
  });
}

/** On stderr, since stdout is for the answer. */
async function ask(lines: Ask, question: string, io: Io): Promise<boolean> {
  const { stdin, stderr, signal } = io;
  const color = hasColor(stderr, io);
  const text = formatLines(lines({ color, isTerminal: stderr.isTTY === true }), color);
  await write(stderr, text);
  if (!("isTTY" in stdin) || stdin.isTTY !== true) return false;
  const { createInterface } = await import("node:readline/promises");
  const reader = createInterface({ input: stdin, output: stderr });
  try {
    return (await reader.question(`\n${question} `, { signal })).trim() === "yes";
  } finally {
    reader.close();
  }
}

type Ask = Parameters<Session["ask"]>[0];

/**
 * A person watches: lines may be redrawn. A serial console often has no width, or 0, which ora
 * cannot divide by.
 */
function isLively({ stderr, env }: Io): boolean {
  return stderr.isTTY === true && (stderr.columns ?? 0) > 0 && env["TERM"] !== "dumb" && !env["CI"];
}

/** https://no-color.org */
function hasColor(stream: Terminal, { env }: Io): boolean {
  return stream.isTTY === true && env["TERM"] !== "dumb" && !env["NO_COLOR"];
}
