/** What an attack is: a name, what must come of it, and a function that turns a good bundle into a bad one. */
import type { Code } from "../../src/errors.js";
import type { SecretKey } from "../../src/nix/signature.js";
import type { Victim } from "./victim.js";

/** What an attacker has besides the bundle. */
export interface Means {
  /** The key that the site trusts, for attacks by whoever holds it. */
  readonly packer: SecretKey;
  readonly stranger: SecretKey;
  /** Another release of the product, by the same packer. */
  readonly other: Victim;
}

interface Refusal {
  /** Of the list of threats; several attacks are made of one. */
  readonly threat: string;
  readonly name: string;
  readonly exit: number;
  /** Of all findings, each once, sorted. */
  readonly codes: readonly Code[];
}

export interface Attack extends Refusal {
  readonly form: "both";
  readonly change: (victim: Victim, means: Means) => void;
}

/** On the folder of a bundle in directory form. */
export interface DirectoryAttack extends Refusal {
  readonly form: "directory";
  readonly change: (bundle: string) => void;
}

/** On the bytes of a tar. */
export interface TarAttack extends Refusal {
  readonly form: "tar";
  readonly change: (tar: Buffer, victim: Victim) => Buffer;
}

type Codes = Code | readonly Code[];

/** One line: name, exit, code or codes, and what it does. */
type Row<A extends { readonly change: unknown }> = readonly [
  name: string,
  exit: number,
  codes: Codes,
  change: A["change"],
];

/** `attacks("5 mix and match", [name, exit, codes, change], …)`: on the files of a bundle of either form. */
export const attacks = (threat: string, ...rows: Row<Attack>[]): Attack[] => made(threat, "both", rows);

export const directoryAttacks = (threat: string, ...rows: Row<DirectoryAttack>[]): DirectoryAttack[] =>
  made(threat, "directory", rows);

export const tarAttacks = (threat: string, ...rows: Row<TarAttack>[]): TarAttack[] =>
  made(threat, "tar", rows);

function made<F extends string, C>(
  threat: string,
  form: F,
  rows: readonly (readonly [name: string, exit: number, codes: Codes, change: C])[],
): (Refusal & { readonly form: F; readonly change: C })[] {
  return rows.map(([name, exit, codes, change]) => ({
    threat,
    name,
    exit,
    codes: typeof codes === "string" ? [codes] : [...codes].sort(),
    form,
    change,
  }));
}
