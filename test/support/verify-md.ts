/** The shell blocks of a VERIFY.md, so that tests run exactly what an auditor reads. */
import { spawnSync } from "node:child_process";

export interface ShellBlock {
  readonly heading: string;
  readonly script: string;
}

export function shellBlocks(markdown: string): ShellBlock[] {
  return [...markdown.matchAll(/^## (.+)\n\n(?:(?!^## )[\s\S])*?^```sh\n([\s\S]*?)^```$/gm)].map(
    ([, heading, script]) => ({ heading: heading!, script: script! }),
  );
}

/**
 * Runs blocks in one POSIX shell in the bundle's folder. `env` is added to the environment: `KEY`, `NIX_KEYS`.
 * `bad`: what the steps found, without the prefix.
 */
export function runBlocks(
  blocks: readonly ShellBlock[],
  bundle: string,
  env: Readonly<Record<string, string>>,
): { readonly status: number | null; readonly bad: string[]; readonly output: string } {
  const script = blocks.map((block) => block.script).join("\n");
  const { status, stdout, stderr } = spawnSync("sh", ["-c", `${script}\nexit $?`], {
    cwd: bundle,
    env: { ...process.env, ...env },
    encoding: "utf8",
  });
  const bad = [...stdout.matchAll(/^BAD: (.*)$/gm)].map(([, text]) => text!);
  return { status, bad: [...new Set(bad)], output: stdout + stderr };
}
