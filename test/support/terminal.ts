/** A person at a terminal: the program on a real pseudo-terminal, which util-linux' `script` makes, and what they type. */
import { spawn } from "node:child_process";

/** What is waited for on the screen, behind what was waited for before, and what is typed then. */
export type Answer = readonly [awaited: RegExp, typed: string];

export const ENTER = "\r";
export const CTRL_C = "\x03";
export const CTRL_D = "\x04";

const TIMEOUT_MS = 60_000;

/** `screen`: all that was on it, with what the terminal echoed, and colours. */
export function atTerminal(
  argv: readonly string[],
  answers: readonly Answer[],
  { cwd, env = process.env }: { readonly cwd: string; readonly env?: NodeJS.ProcessEnv },
): Promise<{ readonly code: number | null; readonly screen: string }> {
  const command = `stty cols 80 rows 24; exec ${argv.map(quoted).join(" ")}`;
  return new Promise((done, reject) => {
    const child = spawn("script", ["-qec", command, "/dev/null"], {
      cwd,
      env: { ...env, SHELL: "/bin/sh", TERM: "xterm", CI: undefined },
      detached: true,
    });
    const hangUp = () => {
      try {
        process.kill(-child.pid!, "SIGKILL");
      } catch {
        // It has ended by itself.
      }
    };
    const timer = setTimeout(hangUp, TIMEOUT_MS);
    process.once("exit", hangUp);
    let screen = "";
    let read = 0;
    const left = [...answers];
    child.stdout.on("data", (chunk: Buffer) => {
      screen += chunk.toString();
      for (let [next] = left; next !== undefined; [next] = left) {
        const found = next[0].exec(screen.slice(read));
        if (found === null) break;
        read += found.index + found[0].length;
        left.shift();
        child.stdin.write(next[1]);
      }
    });
    child.stdin.on("error", () => undefined);
    child.on("error", reject);
    child.on("close", (code) => {
      clearTimeout(timer);
      process.off("exit", hangUp);
      if (left.length === 0) done({ code, screen });
      else reject(new Error(`never on the screen: ${left[0]![0]} (exit ${code}): ${screen}`));
    });
  });
}

function quoted(word: string): string {
  return `'${word.replaceAll("'", "'\\''")}'`;
}
