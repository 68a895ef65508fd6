/**
 * Lays a family of fixture flakes out (a folder of fixtures/ with one folder for each member), as git repositories that the
 * real Nix locks. What is in @PLACEHOLDERS@ is filled in.
 */
import { execFileSync } from "node:child_process";
import { cpSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { commitAll } from "./git.js";

export class Family {
  /** Where the members lie; mask this on the site. */
  readonly dir: string;
  readonly #from: string;
  readonly #env: NodeJS.ProcessEnv;
  readonly #values: Map<string, string>;

  /** `env`: of the packer's Nix. */
  constructor(name: string, dir: string, env: NodeJS.ProcessEnv, values: Readonly<Record<string, string>>) {
    this.dir = dir;
    this.#from = resolve(import.meta.dirname, "../../fixtures", name);
    this.#env = env;
    this.#values = new Map(Object.entries({ ...values, DIR: dir }));
    mkdirSync(dir, { recursive: true });
    // Submodules are fetched from this disk.
    mkdirSync(env["HOME"]!, { recursive: true });
    writeFileSync(join(env["HOME"]!, ".gitconfig"), '[protocol "file"]\n\tallow = always\n');
  }

  path(member: string): string {
    return join(this.dir, member);
  }

  fill(name: string, value: string): void {
    this.#values.set(name, value);
  }

  /** A plain folder. */
  place(member: string): string {
    const to = this.path(member);
    cpSync(join(this.#from, member), to, { recursive: true });
    for (const name of readdirSync(to, { recursive: true, encoding: "utf8" })) {
      if (name.endsWith(".nix"))
        writeFileSync(join(to, name), this.#substitute(readFileSync(join(to, name), "utf8")));
    }
    return to;
  }

  /** A repository of one commit; its revision. */
  commit(member: string): string {
    commitAll(this.place(member), `Add ${member}`);
    return this.git(member, "rev-parse", "HEAD");
  }

  git(member: string, ...args: string[]): string {
    const env = { ...this.#env, GIT_CONFIG_NOSYSTEM: "1" };
    return execFileSync("git", ["-C", this.path(member), ...args], { env, encoding: "utf8" }).trim();
  }

  /** `env`: further variables. */
  nix(args: readonly string[], env: Readonly<Record<string, string>> = {}): string {
    const output = execFileSync("nix", args, {
      env: { ...this.#env, ...env },
      encoding: "utf8",
      stdio: ["ignore", "pipe", "pipe"],
    });
    return output.trim();
  }

  #substitute(text: string): string {
    return text.replace(/@([A-Z_]+)@/g, (_, name: string) => {
      const value = this.#values.get(name);
      if (value === undefined) throw new Error(`no value for @${name}@`);
      return value;
    });
  }
}

/** "2.8.0". */
export function nixVersion(): string {
  return /(\d\S*)\s*$/.exec(execFileSync("nix", ["--version"], { encoding: "utf8" }))?.[1] ?? "";
}
