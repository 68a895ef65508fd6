/** The machine's Nix behind scripts that note how long each command line is. */
import { chmodSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { basename, delimiter, join } from "node:path";

export interface NixCall {
  readonly program: string;
  /** Of the argument list, with a byte for the end of each argument. */
  readonly bytes: number;
}

export class WatchedNix {
  /** A PATH with the scripts in front. */
  readonly path: string;
  readonly #log: string;

  /** `dir`: an empty folder; nobody else may write it, or the program refuses such a Nix. */
  constructor(dir: string) {
    const bin = join(dir, "bin");
    this.#log = join(dir, "log");
    this.path = [bin, process.env["PATH"]].join(delimiter);
    mkdirSync(bin, { mode: 0o755 });
    for (const name of ["nix", "nix-store"]) {
      const script = join(bin, name);
      writeFileSync(script, scriptText(real(name), this.#log));
      chmodSync(script, 0o755);
    }
  }

  /** The calls since it was asked last. */
  take(): NixCall[] {
    if (!existsSync(this.#log)) return [];
    const lines = readFileSync(this.#log, "utf8").trimEnd().split("\n");
    rmSync(this.#log);
    return lines.map((line) => {
      const [program = "", bytes] = line.split(" ");
      return { program, bytes: Number(bytes) };
    });
  }
}

function scriptText(program: string, log: string): string {
  return `#!/bin/sh
bytes=${basename(program).length + 1}
for argument; do bytes=$((bytes + \${#argument} + 1)); done
echo "${basename(program)} $bytes" >> '${log}'
exec '${program}' "$@"
`;
}

function real(name: string): string {
  const folder = (process.env["PATH"] ?? "").split(delimiter).find((dir) => existsSync(join(dir, name)));
  if (folder === undefined) throw new Error(`${name} is not on PATH`);
  return join(folder, name);
}
