/** What a command is: its words for people, its options with their types, and what it runs. */
import type { Readable } from "node:stream";
import type { Context } from "../ops/context.js";
import type { Line, View } from "./render/text.js";

export type OptionSpec =
  | { readonly kind: "flag"; readonly describe: string }
  | { readonly kind: "text"; readonly describe: string; readonly check?: (value: string) => string | null }
  /** May be given several times, each with one value. */
  | { readonly kind: "texts"; readonly describe: string }
  | { readonly kind: "choice"; readonly describe: string; readonly choices: readonly string[] }
  /** A whole number in decimals. */
  | { readonly kind: "number"; readonly describe: string; readonly min: number; readonly max: number }
  /** Bytes, at least one; with a unit or without: see `parseSize`. `names`: words that stand for some. */
  | { readonly kind: "size"; readonly describe: string; readonly names?: ReadonlyMap<string, number> };

export type OptionSpecs = Readonly<Record<string, OptionSpec>>;

type ValueOf<S extends OptionSpec> = S extends { kind: "flag" }
  ? boolean
  : S extends { kind: "texts" }
    ? readonly string[]
    : S extends { kind: "number" | "size" }
      ? number | undefined
      : S extends { kind: "choice"; choices: readonly (infer C)[] }
        ? C | undefined
        : string | undefined;

export type OptionValues<S extends OptionSpecs> = { readonly [K in keyof S]: ValueOf<S[K]> };

export interface Args<S extends OptionSpecs> {
  readonly positionals: readonly string[];
  readonly options: OptionValues<S>;
}

export interface Session {
  readonly context: Context;
  readonly stdin: Readable;
  /** Shows lines to a person, and asks them. True: they typed yes. @throws NOT_CONFIRMED where nobody is there */
  ask(lines: (view: View) => readonly Line[], question: string): Promise<boolean>;
}

/** What a command has to say: `report` is the one document of --json. */
export interface Answer {
  readonly report: { readonly exit: number };
  readonly render: (view: View) => readonly Line[];
}

export interface CommandSpec<S extends OptionSpecs> {
  readonly name: string;
  /** A line in the list of commands. */
  readonly summary: string;
  /** A paragraph for --help. */
  readonly description: string;
  readonly positional: { readonly name: string; readonly count: "none" | "one" | "any" };
  readonly options: S;
  readonly examples: readonly { readonly what: string; readonly command: string }[];
  run(args: Args<S>, session: Session): Promise<Answer>;
}

export type Command = CommandSpec<OptionSpecs>;

/** Keeps the options' own types for `run`. */
export function command<const S extends OptionSpecs>(spec: CommandSpec<S>): Command {
  return spec;
}

/** What was typed is not understood: exit 2. */
export class UsageError extends Error {
  override readonly name = "UsageError";
  /** The command that it was about, if it came so far. */
  readonly command: string | null;

  constructor(message: string, command: string | null = null) {
    super(message);
    this.command = command;
  }
}

/** `{ [name]: value }`, or nothing where there is no value: for options that must not be there as undefined. */
export function given<K extends string, V>(name: K, value: V | undefined): { [P in K]?: V } {
  // TypeScript widens a computed key to string.
  return value === undefined ? {} : ({ [name]: value } as { [P in K]: V });
}
