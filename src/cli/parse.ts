/**
 * A command line as a command with checked options. yargs splits it and lays out the help; that every value is there,
 * once, and in its form is checked here, so that nothing is guessed.
 */
import yargs, { type Argv } from "yargs";
import { VERSION } from "../generated/version.js";
import {
  type Args,
  type Command,
  type OptionSpec,
  type OptionSpecs,
  type OptionValues,
  UsageError,
} from "./command.js";
import { parseSize } from "./size.js";

export type Parsed =
  | { readonly kind: "text"; readonly text: string }
  | {
      readonly kind: "run";
      readonly command: Command;
      readonly args: Args<OptionSpecs>;
      readonly common: CommonOptions;
    };

export interface CommonOptions {
  readonly json: boolean;
  readonly quiet: boolean;
  readonly verbose: boolean;
}

const COMMON: OptionSpecs = {
  json: { kind: "flag", describe: "Print one JSON document on stdout, also when the answer is no" },
  quiet: { kind: "flag", describe: "Show no progress" },
  verbose: { kind: "flag", describe: "Show what Nix and builders print" },
};

const MAX_WIDTH = 110;

/** Throws UsageError. `columns`: width for help. */
export function parseCommandLine(
  argv: readonly string[],
  commands: readonly Command[],
  columns: number,
): Parsed {
  // Before yargs, which would take `--json=no` for a boolean.
  refuseFlagValues(argv, commands);
  const { words, options, help } = split(argv, commands, columns);
  if (help !== null) return { kind: "text", text: `${help}\n` };
  const command = findCommand(words, commands);
  const positionals = words.slice(command.name.split(" ").length);

  const refuse = (message: string): never => {
    throw new UsageError(message, command.name);
  };
  const specs = { ...command.options, ...COMMON };
  for (const name of options.keys())
    if (!Object.hasOwn(specs, name)) refuse(`unknown option ${dashed(name)}`);
  // Each is in the form that its spec says: that is what checkValue is for.
  const values = Object.fromEntries(
    Object.entries(specs).map(([name, spec]) => [
      name,
      checkValue(spec, options.get(name), (problem) => refuse(`--${name} ${problem}`)),
    ]),
  ) as OptionValues<OptionSpecs>;
  const { name, count } = command.positional;
  if (count === "one" && positionals.length === 0) refuse(`${name} is missing`);
  const extra = count === "one" ? positionals[1] : count === "none" ? positionals[0] : undefined;
  if (extra !== undefined) refuse(`unexpected argument "${extra}"`);
  if (positionals.includes("")) refuse(`${name} is empty`);
  return {
    kind: "run",
    command,
    args: { positionals, options: values },
    common: {
      json: values["json"] === true,
      quiet: values["quiet"] === true,
      verbose: values["verbose"] === true,
    },
  };
}

/** By its first word, or its first two. A group alone lists, where it can. */
function findCommand(words: readonly string[], commands: readonly Command[]): Command {
  const [verb, second] = words;
  if (verb === undefined) throw new UsageError(`say what to do: ${verbsOf(commands).join(", ")}`);
  const group = commands.filter(({ name }) => name.startsWith(`${verb} `));
  const name = group.length > 0 ? `${verb} ${second ?? "list"}` : verb;
  const command = commands.find((one) => one.name === name);
  if (command !== undefined) return command;
  if (group.length > 0 && second === undefined) {
    throw new UsageError(`say what to do: ${group.map((one) => one.name).join(", ")}`);
  }
  throw new UsageError(`there is no command "${name}"${suggestion(name, commands)}`);
}

/** First words, each once. */
function verbsOf(commands: readonly Command[]): string[] {
  return [...new Set(commands.map(({ name }) => name.split(" ")[0]!))];
}

/** Whether the command line asks for JSON, also one that is not understood. */
export function wantsJson(argv: readonly string[]): boolean {
  const end = argv.indexOf("--");
  return argv.slice(0, end < 0 ? undefined : end).includes("--json");
}

function refuseFlagValues(argv: readonly string[], commands: readonly Command[]): void {
  const flags = new Set<string>();
  for (const specs of [COMMON, ...commands.map(({ options }) => options)]) {
    for (const [name, { kind }] of Object.entries(specs)) if (kind === "flag") flags.add(name);
  }
  for (const word of argv) {
    if (word === "--") return;
    const name = /^--([^=]+)=/.exec(word)?.[1];
    if (name !== undefined && flags.has(name))
      throw new UsageError(`--${name} takes no value`, commandOf(argv, commands));
  }
}

interface Split {
  /** What is no option: the command first. */
  readonly words: readonly string[];
  readonly options: ReadonlyMap<string, unknown>;
  readonly help: string | null;
}

function split(argv: readonly string[], commands: readonly Command[], columns: number): Split {
  let result: Split = { words: [], options: new Map(), help: null };
  const parser = yargs([])
    .scriptName("nix-airgap")
    .exitProcess(false)
    .detectLocale(false)
    .parserConfiguration({
      "boolean-negation": false,
      "camel-case-expansion": false,
      "dot-notation": false,
      "greedy-arrays": false,
      "parse-numbers": false,
      "parse-positional-numbers": false,
    })
    .wrap(Math.min(columns, MAX_WIDTH))
    .usage(
      [
        "Usage: nix-airgap COMMAND [OPTION…]",
        "",
        "Carries a Nix flake across an air gap, and proves on the other side that nothing changed.",
      ].join("\n"),
    )
    .epilogue("nix-airgap COMMAND --help tells about a command, with examples.")
    .help("help", "Show this help")
    .version("version", "Show the version", VERSION)
    .showHelpOnFail(false)
    .fail((message, error) => {
      // Its own errors are about what was typed; any other is a bug, or ours.
      if (error !== undefined && error.name !== "YError") throw error;
      throw new UsageError(translate(message ?? error.message), commandOf(argv, commands));
    });
  for (const verb of verbsOf(commands)) {
    const group = commands.filter(({ name }) => name.startsWith(`${verb} `));
    const [command] = group.length > 0 ? [] : commands.filter(({ name }) => name === verb);
    if (command !== undefined) parser.command(verb, command.summary, (of) => describe(of, command));
    else parser.command(verb, GROUPS[verb] ?? "", (of) => describeGroup(of, verb, group));
  }
  parser.parse([...argv], {}, (error, parsed: Record<string, unknown>, output) => {
    if (error) throw error;
    const { _: words, $0: _script, help, version, ...options } = parsed;
    result = {
      words: Array.isArray(words) ? words.map(String) : [],
      options: new Map(Object.entries(options)),
      help: help === true || version === true ? output : null,
    };
  });
  return result;
}

/** What commands of two words have in common. */
const GROUPS: Readonly<Record<string, string>> = {
  bundle: "Cut a bundle into parts for media and make it whole again; join those of several systems",
  audit: "Check and export the record of what a site did",
  releases: "List what was restored, choose the current release, remove one",
  trust: "Say whom a site trusts, and what it may go back to",
};

function describeGroup(parser: Argv, verb: string, group: readonly Command[]): Argv {
  parser
    .usage(`Usage: nix-airgap ${verb} COMMAND [OPTION…]\n\n${GROUPS[verb] ?? ""}.`)
    .epilogue(`nix-airgap ${verb} COMMAND --help tells about a command, with examples.`)
    .version(false);
  for (const command of group) {
    parser.command(command.name.slice(verb.length + 1), command.summary, (of) => describe(of, command));
  }
  return parser;
}

function describe(parser: Argv, { name, positional, description, options, examples }: Command): Argv {
  const operand = { none: "", one: ` ${positional.name}`, any: ` [${positional.name}…]` }[positional.count];
  const shown = examples.map(({ what, command }) => `  # ${what}\n  ${command}`).join("\n\n");
  parser
    .usage(`Usage: nix-airgap ${name} [OPTION…]${operand}\n\n${description}`)
    .epilogue(`Examples:\n${shown}`)
    .version(false);
  for (const [group, specs] of [
    ["Options:", options],
    ["Common options:", { ...COMMON, help: null }],
  ] as const) {
    for (const [option, spec] of Object.entries(specs)) {
      if (spec !== null) parser.option(option, yargsOption(spec));
    }
    parser.group(Object.keys(specs), group);
  }
  return parser;
}

function yargsOption(spec: OptionSpec) {
  if (spec.kind === "flag") return { describe: spec.describe, boolean: true } as const;
  const describe = spec.kind === "choice" ? `${spec.choices.join("|")}  ${spec.describe}` : spec.describe;
  return { describe, nargs: 1, string: true } as const;
}

/** A value that `run` may rely on; `refuse` ends it. */
function checkValue(spec: OptionSpec, raw: unknown, refuse: (problem: string) => never): unknown {
  if (spec.kind === "flag") return raw === true;
  const values = raw === undefined ? [] : Array.isArray(raw) ? raw.map(String) : [String(raw)];
  if (values.includes("")) refuse("needs a value that is not empty");
  if (spec.kind === "texts") return values;
  if (values.length > 1) refuse("may be given only once");
  const [value] = values;
  if (value === undefined) return undefined;
  if (spec.kind === "choice") {
    return spec.choices.includes(value)
      ? value
      : refuse(`takes ${spec.choices.slice(0, -1).join(", ")} or ${spec.choices.at(-1)}, not "${value}"`);
  }
  if (spec.kind === "number") {
    const number = /^(0|[1-9][0-9]{0,15})$/.test(value) ? Number(value) : Number.NaN;
    return number >= spec.min && number <= spec.max
      ? number
      : refuse(`takes a whole number from ${spec.min} to ${spec.max}, not "${value}"`);
  }
  if (spec.kind === "size") {
    const names = [...(spec.names?.keys() ?? [])];
    const named = names.length > 0 ? `, or ${names.join(", ")}` : "";
    return (
      spec.names?.get(value) ??
      parseSize(value) ??
      refuse(
        `takes a size of one byte or more, such as 4700000000, 4.7GB, 4GiB or 650M${named}, not "${value}"`,
      )
    );
  }
  const problem = spec.check?.(value) ?? null;
  return problem === null ? value : refuse(problem);
}

function translate(message: string): string {
  const missing = /^Not enough arguments following: (.+)$/.exec(message);
  return missing === null ? message : `${dashed(missing[1]!)} needs a value`;
}

function commandOf(argv: readonly string[], commands: readonly Command[]): string | null {
  return (
    commands.find(({ name }) => name === argv[0] || name === `${argv[0]} ${argv[1]}`)?.name ??
    verbsOf(commands).find((verb) => verb === argv[0]) ??
    null
  );
}

function dashed(name: string): string {
  return name.length === 1 ? `-${name}` : `--${name}`;
}

/** The command that was meant, where one letter is too many, too few, wrong or in the other's place. */
function suggestion(verb: string, commands: readonly Command[]): string {
  const meant = commands.find(({ name }) => isNear(verb, name));
  return meant === undefined ? "" : `; did you mean "${meant.name}"?`;
}

function isNear(a: string, b: string): boolean {
  const [short, long] = a.length <= b.length ? [a, b] : [b, a];
  if (long.length - short.length > 1) return false;
  let at = 0;
  while (at < short.length && short[at] === long[at]) at++;
  if (short.length < long.length) return short.slice(at) === long.slice(at + 1);
  if (short.slice(at + 1) === long.slice(at + 1)) return true;
  return (
    short[at] === long[at + 1] && short[at + 1] === long[at] && short.slice(at + 2) === long.slice(at + 2)
  );
}
