/** Finds Nix and runs it with a fixed environment; turns its log into events and its failures into NIX_FAILED. */
import { access, constants, realpath, stat } from "node:fs/promises";
import { delimiter, dirname, isAbsolute, join } from "node:path";
import { AirgapError, fail } from "../../errors.js";
import type { Report } from "../../events.js";
import { run } from "../exec.js";
import { withDiskErrors } from "../files.js";
import { ownerVariable } from "../orphans.js";
import { type ProcessIo, watchIo } from "../process-io.js";
import { InternalLog, type NixLogEvent } from "./internal-log.js";
import { daemonTrouble, fullDiskLine } from "./words.js";

/**
 * Bytes of paths on one command line: with all options the list stays under 100,000, a third of what the oldest kernels
 * allow.
 */
const MAX_ARGUMENT_BYTES = 95_000;
/** A Nix that gives no sign of life for so long hangs. What evaluates computes, and what copies moves bytes. */
const SILENCE_MS = 15 * 60_000;
/** Where builders may work, whom we cannot see at work: some say nothing for hours. */
const BUILD_SILENCE_MS = 12 * 3_600_000;
/** Most of Nix's stdout that is kept: `path-info` of 100,000 paths is about 100 MB. */
const MAX_STDOUT = 512 * 1024 * 1024;

export interface NixContext {
  /** The folder with `nix` and `nix-store`. */
  readonly binDir: string;
  /** The whole environment of the child. */
  readonly env: Readonly<Record<string, string>>;
  /** Settings given on every command line. */
  readonly options: Readonly<Record<string, string>>;
  readonly cwd: string;
  readonly signal: AbortSignal;
  readonly report: Report;
  /** Replaces the time after which a Nix without a sign of life is ended. */
  readonly silenceMs?: number;
}

type Program = "nix" | "nix-store" | "nix-instantiate";

export interface InvokeOptions {
  readonly onEvent?: (event: NixLogEvent) => void;
  /** What Nix has read and written, now and then. */
  readonly onIo?: (io: ProcessIo) => void;
  /** It may build, or wait for those who do. */
  readonly mayBuild?: boolean;
  /** Replaces parts of the environment. */
  readonly env?: Readonly<Record<string, string>>;
}

export interface NixOutcome {
  readonly ok: boolean;
  readonly stdout: string;
  /** What Nix said at error level, then the last lines of what programs printed that it had started; else its last lines. */
  readonly message: string;
}

/**
 * The first folder on PATH that holds `nix`; entries that depend on where one stands do not count.
 *
 * @throws AirgapError NIX_MISSING; NIX_UNSAFE for one that anybody may replace; DISK
 */
export async function findNix(path: string | undefined): Promise<string> {
  for (const dir of (path ?? "").split(delimiter).filter((d) => isAbsolute(d))) {
    const found = await access(join(dir, "nix"), constants.X_OK).then(
      () => true,
      () => false,
    );
    if (!found) continue;
    await requireSafe(join(dir, "nix"));
    return dir;
  }
  return fail("NIX_MISSING", { subject: "nix", actual: `PATH is ${path ?? "empty"}` });
}

const WRITABLE_BY_ALL = 0o002;
const STICKY = 0o1000;

/** The program and its folder, and those that a symlink leads to. */
async function requireSafe(program: string): Promise<void> {
  const real = await withDiskErrors(program, () => realpath(program));
  const owners = [0, process.geteuid?.()];
  for (const file of new Set([program, real])) {
    const { mode, uid } = await withDiskErrors(file, () => stat(file));
    const folder = await withDiskErrors(file, () => stat(dirname(file)));
    const isOpen = (folder.mode & WRITABLE_BY_ALL) !== 0;
    // In a folder like /tmp everyone has files of their own.
    const isForeign = isOpen && !((folder.mode & STICKY) !== 0 && owners.includes(uid));
    if (isForeign || (mode & WRITABLE_BY_ALL) !== 0) fail("NIX_UNSAFE", { subject: file });
  }
}

/** Runs Nix; the outcome says whether it succeeded. @throws AirgapError INTERRUPTED, NIX_MISSING, NO_SPACE; NIX_FAILED where it was killed */
export async function tryNix(
  nix: NixContext,
  program: Program,
  args: readonly string[],
  { onEvent, onIo, mayBuild = false, env = {} }: InvokeOptions = {},
): Promise<NixOutcome> {
  const log = new InternalLog();
  const errors: string[] = [];
  const tail: string[] = [];
  /** Said by programs: those that Nix starts, such as git, and builders. */
  const others: string[] = [];
  const onStderrLine = (line: string): void => {
    const event = log.parse(line);
    if (event === undefined) return;
    if (event.type === "message") {
      const isOfNix = line.startsWith("@nix");
      keep(event.level === 0 && isOfNix ? errors : tail, event.text);
      if (!isOfNix) keep(others, event.text);
    }
    if (event.type === "build-line") {
      keep(tail, `> ${event.line}`);
      keep(others, event.line);
      nix.report({ type: "nix.log", line: event.line });
    }
    onEvent?.(event);
  };
  const options = Object.entries(nix.options).flatMap(([name, value]) => ["--option", name, value]);
  const common = program === "nix" ? ["--extra-experimental-features", "nix-command flakes"] : [];
  const argv = [join(nix.binDir, program), ...common, ...args, ...options, "--log-format", "internal-json"];
  const message = (): string => {
    if (errors.length === 0) return tail.slice(-20).join("\n");
    return [...errors, ...others.slice(-10).map((line) => `> ${line}`)].join("\n");
  };
  let stopWatching = (): void => {};
  const result = await run(argv, {
    env: { ...nix.env, ...env, ...ownerVariable() },
    cwd: nix.cwd,
    signal: nix.signal,
    onStart: (pid) => {
      if (onIo !== undefined) stopWatching = watchIo(pid, onIo);
    },
    onStderrLine,
    maxOutput: MAX_STDOUT,
    silenceMs: nix.silenceMs ?? (mayBuild ? BUILD_SILENCE_MS : SILENCE_MS),
  })
    .catch((error: unknown) => {
      throw withLastLines(error, `${program} ${subcommand(args)}`, message());
    })
    .finally(() => stopWatching());
  if (result.code !== 0) await refuseFullDisk(message(), args);
  if (result.signal !== null) {
    // As by a system that is short of memory: no answer to what was asked.
    fail("NIX_FAILED", {
      subject: `${program} ${subcommand(args)}`,
      actual: [`${program} was killed by ${result.signal}`, message()].join("\n").trim(),
      hint:
        result.signal === "SIGABRT"
          ? "Nix gave up on what it read, as on a narinfo that it does not understand. Verify the bundle."
          : "Look for what ended it (memory, a watchdog), then run the command again.",
    });
  }
  return { ok: result.code === 0, stdout: result.stdout.toString("utf8"), message: message() };
}

/** What ended Nix early, with what was being done and what it said last. */
function withLastLines(error: unknown, subject: string, message: string): unknown {
  if (!(error instanceof AirgapError) || error.code !== "NIX_FAILED") return error;
  const actual = [error.details.actual ?? "", message].join("\n").trim();
  return new AirgapError("NIX_FAILED", { ...error.details, subject, actual }, { cause: error });
}

/** A full disk says nothing about flake or bundle, whatever came of it. */
async function refuseFullDisk(message: string, args: readonly string[]): Promise<void> {
  const actual = fullDiskLine(message);
  if (actual === undefined) return;
  const option = (name: string) => (args.includes(name) ? args[args.indexOf(name) + 1] : undefined);
  const place = option("--to") ?? option("--store") ?? "/nix/store";
  // A cache is given by a link in TMPDIR.
  const folder = /^file:\/\/([^?]+)/.exec(place)?.[1];
  const subject = folder === undefined ? place : await realpath(folder);
  fail("NO_SPACE", {
    subject,
    actual,
    hint: `Free space on the disk of ${subject}, and of TMPDIR if that is another; then run the command again: what is complete is kept.`,
  });
}

/** Runs Nix and returns its stdout. @throws AirgapError NIX_FAILED with Nix's own words, INTERRUPTED, NIX_MISSING, NO_SPACE */
export async function invokeNix(
  nix: NixContext,
  program: Program,
  args: readonly string[],
  options: InvokeOptions = {},
): Promise<string> {
  const outcome = await tryNix(nix, program, args, options);
  if (outcome.ok) return outcome.stdout;
  return fail("NIX_FAILED", {
    subject: `${program} ${subcommand(args)}`,
    actual: outcome.message || "no message",
    ...daemonHint(outcome.message),
  });
}

const DAEMON_HINTS = {
  absent: "Nix's daemon does not run: start it (systemctl start nix-daemon), then run the command again.",
  "hangs-up":
    "Where /etc/nix/nix.conf has allowed-users, an administrator adds this user there (extra-allowed-users = NAME) and restarts nix-daemon; its log tells more (journalctl -u nix-daemon).",
} as const;

function daemonHint(message: string): { hint?: string } {
  const trouble = daemonTrouble(message);
  return trouble === null ? {} : { hint: DAEMON_HINTS[trouble] };
}

/** Cuts a long list of arguments into pieces that fit on a command line. */
export function chunkArguments(args: readonly string[], maxBytes = MAX_ARGUMENT_BYTES): string[][] {
  const chunks: string[][] = [];
  let size = 0;
  for (const arg of args) {
    const bytes = Buffer.byteLength(arg) + 1;
    const last = chunks.at(-1);
    if (last === undefined || size + bytes > maxBytes) {
      chunks.push([arg]);
      size = bytes;
    } else {
      last.push(arg);
      size += bytes;
    }
  }
  return chunks;
}

function keep(lines: string[], text: string): void {
  lines.push(text);
  if (lines.length > 200) lines.shift();
}

/** The words before the first option: enough to tell which command failed. */
function subcommand(args: readonly string[]): string {
  const end = args.findIndex((arg, i) => i > 0 && arg.startsWith("-"));
  return args
    .slice(0, end < 0 ? 2 : end)
    .slice(0, 2)
    .join(" ");
}
