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

/** `attacks("5", [name, exit, code or codes, change], …)`: one line an attack. */
export function attacks(
  threat: string,
  ...list: (readonly [name: string, exit: number, codes: Codes, change: Attack["change"]])[]
): Attack[] {
  return list.map(([name, exit, codes, change]) => ({
    form: "both",
    ...refusal(threat, name, exit, codes),
    change,
  }));
}

export function directoryAttacks(
  threat: string,
  ...list: (readonly [name: string, exit: number, codes: Codes, change: DirectoryAttack["change"]])[]
): DirectoryAttack[] {
  return list.map(([name, exit, codes, change]) => ({
    form: "directory",
    ...refusal(threat, name, exit, codes),
    change,
  }));
}

export function tarAttacks(
  threat: string,
  ...list: (readonly [name: string, exit: number, codes: Codes, change: TarAttack["change"]])[]
): TarAttack[] {
  return list.map(([name, exit, codes, change]) => ({
    form: "tar",
    ...refusal(threat, name, exit, codes),
    change,
  }));
}

function refusal(threat: string, name: string, exit: number, codes: Codes): Refusal {
  return { threat, name, exit, codes: typeof codes === "string" ? [codes] : [...codes].sort() };
}
