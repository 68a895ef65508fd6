/** `--env NAME=VALUE`: the variables that an evaluation is given by name. */
import { type Finding, fail } from "../../errors.js";
import { secretByContent } from "../../evidence/secrets.js";
import { MAX_VARIABLES, type Variable, variableProblem } from "../../nix/environment.js";

/** Sorted by name. @throws AirgapError USAGE */
export function parseVariables(texts: readonly string[]): Variable[] {
  const variables = texts.map((text) => {
    const at = text.indexOf("=");
    const variable = {
      name: text.slice(0, at < 0 ? undefined : at),
      value: at < 0 ? "" : text.slice(at + 1),
    };
    const problem = at < 0 ? "NAME=VALUE" : variableProblem(variable);
    // The value may be a secret, given by mistake.
    if (problem !== null) refuse(problem, JSON.stringify(variable.name.slice(0, 200)));
    return variable;
  });
  if (variables.length > MAX_VARIABLES)
    refuse(`at most ${MAX_VARIABLES} variables`, String(variables.length));
  variables.sort((a, b) => (a.name < b.name ? -1 : 1));
  const twice = variables.find(({ name }, i) => variables[i - 1]?.name === name);
  if (twice !== undefined) refuse("each name once", twice.name);
  return variables;
}

function refuse(expected: string, actual: string): never {
  fail("USAGE", { subject: "--env", expected, actual });
}

const SECRET_NAME = /SECRET|TOKEN|PASSW|CREDENTIAL|(API|PRIVATE|ACCESS)_?KEY/i;

/** Values are written in the bundle, where everybody can read them. `allowed`: as findings name them. */
export function variableSecrets(variables: readonly Variable[], allowed: readonly string[]): Finding[] {
  return variables.flatMap(({ name, value }): Finding[] => {
    const what = SECRET_NAME.test(name) ? "one by its name" : secretByContent(Buffer.from(value));
    const subject = `env:${name}`;
    if (what === null || allowed.includes(subject)) return [];
    return [
      {
        code: "SECRET_FOUND",
        subject,
        actual: `looks like ${what}`,
        hint: `Leave it out of --env. If it is no secret: --allow-secret ${subject}.`,
      },
    ];
  });
}
