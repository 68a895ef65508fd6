import { describe, expect, it } from "vitest";
import { UsageError } from "../../src/cli/command.js";
import { COMMANDS } from "../../src/cli/commands/index.js";
import { parseCommandLine, wantsJson } from "../../src/cli/parse.js";

function parse(...argv: string[]) {
  const parsed = parseCommandLine(argv, COMMANDS, 80);
  if (parsed.kind !== "run") throw new Error(parsed.text);
  return { name: parsed.command.name, ...parsed.args, common: parsed.common };
}

function given(...argv: string[]) {
  const { positionals, options } = parse(...argv);
  const set = Object.entries(options).filter(
    ([, value]) => value !== undefined && value !== false && !(Array.isArray(value) && value.length === 0),
  );
  return { positionals, ...Object.fromEntries(set) };
}

describe("a command line", () => {
  it.each([
    [["verify", "--public-key", "k", "B"], { positionals: ["B"], "public-key": ["k"] }],
    [["verify", "B", "--public-key", "k"], { positionals: ["B"], "public-key": ["k"] }],
    [
      ["verify", "--public-key", "k", "--public-key=l", "B"],
      { positionals: ["B"], "public-key": ["k", "l"] },
    ],
    [["verify", "--public-key", "-", "B"], { positionals: ["B"], "public-key": ["-"] }],
    [["verify", "--integrity-only", "B"], { positionals: ["B"], "integrity-only": true }],
    [["verify", "--", "--odd--"], { positionals: ["--odd--"] }],
    [["verify", "007"], { positionals: ["007"] }],
    [["sign", "--key", "-", "B"], { positionals: ["B"], key: "-" }],
    [["pack"], { positionals: [] }],
    [
      ["pack", ".#a", "--tier", "source", ".#b", "--sequence", "0"],
      { positionals: [".#a", ".#b"], tier: "source", sequence: 0 },
    ],
    [["pack", "--created", "2026-01-31T12:00:00Z"], { positionals: [], created: "2026-01-31T12:00:00Z" }],
    [
      ["restore", "--sandbox-path", "/bin", "--sandbox-path", "/lib", "B", "--store", "1"],
      { positionals: ["B"], "sandbox-path": ["/bin", "/lib"], store: "1" },
    ],
    [
      ["rebuild", "B", "--jobs=4", "--cores", "0", "--from", "build"],
      { positionals: ["B"], jobs: 4, cores: 0, from: "build" },
    ],
  ])("%j is understood", (argv, expected) => {
    expect(given(...argv)).toEqual(expected);
  });

  it.each([
    [[], "say what to do"],
    [["verfy", "B"], 'no command "verfy"; did you mean "verify"?'],
    [["vreify"], 'did you mean "verify"?'],
    [["frobnicate"], 'no command "frobnicate"'],
    [["verify"], "BUNDLE is missing"],
    [["verify", ""], "BUNDLE is empty"],
    [["verify", "B", "C"], 'unexpected argument "C"'],
    [["keygen", "C"], 'unexpected argument "C"'],
    [["verify", "B", "--public-key"], "--public-key needs a value"],
    [["verify", "--public-key", "--json", "B"], "--public-key needs a value"],
    [["verify", "--public-key=", "B"], "--public-key needs a value that is not empty"],
    [["pack", "--out", ""], "--out needs a value that is not empty"],
    [["verify", "B", "--publickey", "k"], "unknown option --publickey"],
    [["verify", "B", "--publicKey", "k"], "unknown option --publicKey"],
    [["verify", "B", "--no-json"], "unknown option --no-json"],
    [["verify", "B", "--json.x"], "unknown option --json.x"],
    [["verify", "B", "-v"], "unknown option -v"],
    [["verify", "B", "--integrity-only=false"], "--integrity-only takes no value"],
    [["verify", "B", "--json=no"], "--json takes no value"],
    [["pack", "--out", "a", "--out", "b"], "--out may be given only once"],
    [["pack", "--tier", "all"], '--tier takes runtime, build or source, not "all"'],
    [["pack", "--sequence", "-1"], "--sequence"],
    [["pack", "--sequence", "1.5"], "--sequence takes a whole number"],
    [["pack", "--sequence", "1e3"], "--sequence takes a whole number"],
    [["pack", "--sequence", "0x10"], "--sequence takes a whole number"],
    [["pack", "--sequence", "9007199254740992"], "--sequence takes a whole number"],
    [["pack", "--compression-level", "20"], "from 1 to 19"],
    [["pack", "--created", "2026-02-30T00:00:00Z"], "takes a time such as"],
    [["rebuild", "B", "--jobs", "0"], "from 1 to"],
  ])("%j is refused", (argv, message) => {
    const refusal = () => parse(...argv);
    expect(refusal).toThrow(UsageError);
    expect(refusal).toThrow(message);
  });

  it("says which command a usage error is about", () => {
    for (const argv of [["verify"], ["verify", "--json=1", "B"], ["verify", "B", "--public-key"]]) {
      expect(() => parse(...argv)).toThrow(expect.objectContaining({ command: "verify" }));
    }
  });

  it("takes the common options with every command", () => {
    expect(parse("inspect", "B", "--json", "--quiet", "--verbose").common).toEqual({
      json: true,
      quiet: true,
      verbose: true,
    });
  });
});

describe("help", () => {
  const help = (...argv: string[]) => {
    const parsed = parseCommandLine(argv, COMMANDS, 80);
    return parsed.kind === "text" ? parsed.text : "";
  };

  it("lists all commands", () => {
    for (const { name } of COMMANDS) {
      const [verb = "", second] = name.split(" ");
      expect(help("--help")).toContain(`nix-airgap ${verb} `);
      if (second !== undefined) expect(help(verb, "--help")).toContain(`nix-airgap ${name} `);
    }
  });

  it.each(COMMANDS.map((command) => [command.name, command] as const))(
    "of %s has every option and at least two examples that are understood",
    (name, command) => {
      const text = help(...name.split(" "), "--help");
      for (const option of Object.keys(command.options)) expect(text).toContain(`--${option} `);
      expect(text).toContain("--json");
      expect(command.examples.length).toBeGreaterThanOrEqual(2);
      for (const example of command.examples) {
        const [, line = ""] = /nix-airgap ((?:'[^']*'|[^>&|'])+)/.exec(example.command) ?? [];
        const words = [...line.matchAll(/'([^']*)'|(\S+)/g)].map(
          ([, quoted, plain]) => quoted ?? plain ?? "",
        );
        expect(parse(...words).name).toBe(name);
      }
    },
  );

  it("comes before the check of what is missing", () => {
    expect(help("verify", "--help", "--integrity-only")).toContain("Usage: nix-airgap verify");
  });

  it("gives the version", () => {
    expect(help("--version")).toMatch(/^\d+\.\d+\.\d+\n$/);
  });
});

it("JSON is asked for by an option, not by what follows --", () => {
  expect(wantsJson(["verify", "--nope", "--json"])).toBe(true);
  expect(wantsJson(["verify", "--", "--json"])).toBe(false);
});
