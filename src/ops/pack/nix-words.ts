/** What Nix's words about an evaluation that failed mean for a packer. */
import type { Finding } from "../../errors.js";
import { UNSUPPORTED_PROGRAM } from "./evaluate-installable.js";

/** Lines of Nix's words that a finding repeats. */
const MAX_LINES = 12;

/** On this machine, with its network. `subject`: the attribute. */
export function evaluationFinding(subject: string, message: string): Finding {
  const actual = firstLines(message);
  const found = RULES.find(({ words }) => words.test(message));
  const { code, hint } = found ?? { code: "EVALUATION_FAILED", hint: undefined };
  return { code, subject, actual, ...(hint === undefined ? {} : { hint }) };
}

/** As a site does it, with nothing but the bundle. `expected`: the derivation that this machine evaluated. */
export function siteFinding(subject: string, message: string, expected: string): Finding {
  const actual = firstLines(message);
  if (FETCHING.test(message)) return { code: "EVALUATION_FETCHES", subject, actual };
  return { code: "EVALUATION_DIFFERS", subject, expected, actual };
}

/** Whether a pure evaluation was refused what no variable can stand for: a path outside of the flake, the search path, the time. */
export function readsMachine(message: string): boolean {
  return /access to (absolute )?path|cannot look up '<|'builtins\.storePath' is not allowed|'currentTime' missing/.test(
    message,
  );
}

function firstLines(message: string): string {
  return message.split("\n").slice(0, MAX_LINES).join("\n");
}

/** The words of a fetcher that has neither network nor programs. */
const FETCHING =
  /executing '|program '|unable to download|Could(n't| not) resolve|cannot (fetch|download)|while fetching the input/i;

interface Rule {
  readonly words: RegExp;
  readonly code: Finding["code"];
  readonly hint?: string;
}

/** The first that fits holds. */
const RULES: readonly Rule[] = [
  { words: new RegExp(`^${UNSUPPORTED_PROGRAM}`), code: "ATTR_UNSUPPORTED" },
  {
    words: /feature '(ca|impure|dynamic)-derivations'|invalid value '\w+' for 'outputHashMode'/,
    code: "DERIVATION_FLOATING",
  },
  {
    words: /devenv was not able to determine the current directory/,
    code: "EVALUATION_IMPURE",
    hint: "devenv asks the environment for its folder. Name one that every site will have: pack --env PWD=/FOLDER. Or give devenv.root a fixed value in the flake.",
  },
  {
    words: /'(fetchGit|fetchTree|getFlake|fetchMercurial)'.*(locked|rev|immutable)|unlocked flake reference/,
    code: "EVALUATION_FETCHES",
  },
  { words: /\bhg failed|program 'hg'|executing 'hg'/, code: "EVALUATION_FETCHES" },
  {
    words: /'(fetchurl|fetchTarball)' requires a 'sha256'/,
    code: "EVALUATION_IMPURE",
    hint: "Give it a sha256: nix-prefetch-url (--unpack for fetchTarball) prints it.",
  },
  {
    words: /unable to download|Couldn't (read|resolve)|error while downloading/i,
    code: "SOURCE_UNAVAILABLE",
  },
  { words: /while fetching the input/, code: "SOURCE_UNAVAILABLE" },
  {
    words: /attribute 'current(System|Time)' missing/,
    code: "EVALUATION_IMPURE",
    hint: "A flake says itself for which systems it is: write the system's name instead of builtins.currentSystem, and self.lastModified instead of builtins.currentTime.",
  },
  {
    words: / in pure (evaluation )?mode|pure eval|--impure|was not found in the Nix search path/,
    code: "EVALUATION_IMPURE",
  },
];
