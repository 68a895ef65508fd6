/**
 * Derivations: the .drv file (an ATerm) as a value, and printed back byte for byte.
 *
 * Source of the format: libstore/derivations.cc (`parseDerivation`, `unparse`). Only what Nix prints is
 * accepted: sorted, unique, its five escapes, nothing between tokens. Paths are text here; which path follows
 * from a derivation is derivation-hash.ts.
 *
 * A .drv is bytes, not text. All strings here are latin1: one character a byte. `Buffer.from(s, "latin1")`
 * gives the bytes, and comparing by code unit is comparing bytewise, as Nix sorts.
 */
import { AirgapError, type Details, fail } from "../errors.js";
import { excerpt } from "./excerpt.js";
import { formatHex, type Hash, type HashAlgorithm, parseHashAlgorithm, parseHex } from "./hash.js";
import { type FileIngestionMethod, parseStorePath, type StoreDir } from "./store-path.js";

/** Bytes of one .drv. The largest of nixpkgs are under 2 MB. */
export const MAX_DERIVATION = 64 * 1024 * 1024;
/** Members of all lists of one .drv together. */
export const MAX_MEMBERS = 1_000_000;

export interface Derivation {
  readonly kind: DerivationKind;
  /** By output name, sorted. */
  readonly outputs: ReadonlyMap<string, DerivationOutput>;
  /** Path of the input's .drv to the names of its outputs that are used; all sorted. */
  readonly inputDrvs: ReadonlyMap<string, readonly string[]>;
  readonly inputSrcs: readonly string[];
  readonly system: string;
  readonly builder: string;
  readonly args: readonly string[];
  /** Sorted by name. */
  readonly env: ReadonlyMap<string, string>;
}

/**
 * - `input-addressed`, `fixed`: every output's path is known, and follows from the derivation.
 * - `floating`: content-addressed, the path is known only when built. `deferred`: depends on such a one.
 * - `impure`: content-addressed, with network, and built anew every time.
 */
export type DerivationKind = DerivationOutput["kind"];

export type DerivationOutput =
  | { readonly kind: "input-addressed"; readonly path: string }
  | { readonly kind: "fixed"; readonly path: string; readonly method: OutputMethod; readonly hash: Hash }
  | { readonly kind: "floating" | "impure"; readonly method: OutputMethod; readonly algorithm: HashAlgorithm }
  | { readonly kind: "deferred" };

/** `text` and `git` belong to experimental features; a bundle cannot carry them. */
export type OutputMethod = FileIngestionMethod | "text" | "git";

/** Printed before the algorithm in an output. */
const METHOD_PREFIX: Readonly<Record<OutputMethod, string>> = {
  flat: "",
  nar: "r:",
  text: "text:",
  git: "git:",
};

/**
 * Parses the bytes of a .drv; `formatDerivation` of the result gives the same bytes.
 * `subject` names it in errors (its store path, say).
 *
 * @throws AirgapError DERIVATION_INVALID with `details.offset`; DERIVATION_UNSUPPORTED for a versioned
 * (dynamic) derivation.
 */
export function parseDerivation(bytes: Uint8Array, subject?: string): Derivation {
  if (bytes.length > MAX_DERIVATION) {
    const sizes = { expected: `at most ${MAX_DERIVATION} bytes`, actual: `${bytes.length}` };
    fail("DERIVATION_INVALID", { ...(subject === undefined ? {} : { subject }), ...sizes });
  }
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString("latin1");
  return new Reader(text, subject).derivation();
}

/** The bytes Nix writes for a derivation. */
export function formatDerivation(derivation: Derivation): Uint8Array {
  return Buffer.from(printDerivation(derivation), "latin1");
}

/**
 * The ATerm as latin1 text. `inputs` stands for the input derivations (the hash modulo puts hashes there),
 * `maskOutputs` empties the output paths and the variables of their names.
 */
export function printDerivation(
  derivation: Derivation,
  { inputs = derivation.inputDrvs, maskOutputs = false }: PrintOptions = {},
): string {
  const outputs = list(derivation.outputs, ([name, output]) => {
    const [path, algorithm, hash] = outputFields(output);
    return `(${quote(name)},${quote(maskOutputs ? "" : path)},${quote(algorithm)},${quote(hash)})`;
  });
  const inputDrvs = list(inputs, ([path, names]) => `(${quote(path)},${list(names, quote)})`);
  const env = list(derivation.env, ([name, value]) => {
    const masked = maskOutputs && derivation.outputs.has(name);
    return `(${quote(name)},${quote(masked ? "" : value)})`;
  });
  const { inputSrcs, system, builder, args } = derivation;
  return `Derive(${outputs},${inputDrvs},${list(inputSrcs, quote)},${quote(system)},${quote(builder)},${list(args, quote)},${env})`;
}

export interface PrintOptions {
  /** Sorted by key. */
  readonly inputs?: ReadonlyMap<string, readonly string[]>;
  readonly maskOutputs?: boolean;
}

/**
 * The derivation's name: that of its .drv's store path, without ".drv".
 *
 * @throws AirgapError STORE_PATH_INVALID; DERIVATION_INVALID where it is no .drv, or `env.name` says otherwise.
 */
export function derivationName(drvPath: string, derivation: Derivation, storeDir?: StoreDir): string {
  const { name } = parseStorePath(drvPath, storeDir);
  if (!name.endsWith(".drv") || name === ".drv") {
    fail("DERIVATION_INVALID", { subject: drvPath, expected: "a store path that ends in .drv" });
  }
  const bare = name.slice(0, -".drv".length);
  const inEnv = derivation.env.get("name");
  if (inEnv !== undefined && inEnv !== bare) {
    fail("DERIVATION_INVALID", { subject: drvPath, expected: `the name ${bare}`, actual: excerpt(inEnv) });
  }
  return bare;
}

/**
 * The structured attributes (`__structuredAttrs`) as JSON text in UTF-8 bytes, or undefined.
 * Parsing it is the reader's: Nix allows fractions there.
 */
export function structuredAttributes(derivation: Derivation): Uint8Array | undefined {
  const json = derivation.env.get("__json");
  return json === undefined ? undefined : Buffer.from(json, "latin1");
}

/** The paths of the outputs that are known before building, by output name. */
export function declaredOutputPaths(derivation: Derivation): Map<string, string> {
  const paths = new Map<string, string>();
  for (const [name, output] of derivation.outputs) {
    if (output.kind === "input-addressed" || output.kind === "fixed") paths.set(name, output.path);
  }
  return paths;
}

class Reader {
  readonly #text: string;
  readonly #subject: string | undefined;
  #at = 0;
  #members = 0;

  constructor(text: string, subject: string | undefined) {
    this.#text = text;
    this.#subject = subject;
  }

  derivation(): Derivation {
    if (this.#text.startsWith("DrvWithVersion(")) this.#unsupported("a versioned (dynamic) derivation");
    this.#expect("Derive(");
    const outputs = this.#map(() => this.#output());
    const kind = this.#kind(outputs);
    this.#expect(",");
    const inputDrvs = this.#map(() => this.#inputDrv());
    this.#expect(",");
    const inputSrcs = this.#sorted(() => this.#path());
    this.#expect(",");
    const system = this.#string();
    this.#expect(",");
    const builder = this.#string();
    this.#expect(",");
    const args = this.#list(() => this.#string());
    this.#expect(",");
    const env = this.#map(() => this.#variable());
    this.#expect(")");
    if (this.#at !== this.#text.length) this.#refuse("the end", this.#shown());
    return { kind, outputs, inputDrvs, inputSrcs, system, builder, args, env };
  }

  /** Nix never mixes kinds, and a fixed derivation has one output, `out`. */
  #kind(outputs: ReadonlyMap<string, DerivationOutput>): DerivationKind {
    const [first, ...others] = outputs.values();
    if (first === undefined) this.#refuse("at least one output", "none");
    const other = others.find(({ kind }) => kind !== first.kind);
    if (other !== undefined) this.#refuse("outputs of one kind", `${first.kind} and ${other.kind}`);
    if (first.kind === "fixed" && (others.length > 0 || !outputs.has("out"))) {
      this.#refuse('a fixed output alone, and named "out"', excerpt([...outputs.keys()].join(" ")));
    }
    return first.kind;
  }

  /** `("name","path","algorithm","hash")`, of which Nix leaves empty what does not apply. */
  #output(): [string, DerivationOutput] {
    this.#expect("(");
    const name = this.#string();
    this.#expect(",");
    const at = this.#at;
    const path = this.#string();
    this.#expect(",");
    const prefixed = this.#string();
    this.#expect(",");
    const hash = this.#string();
    this.#expect(")");
    if (name === "") this.#refuse("the name of an output", "none", at);
    if (path !== "" && !path.startsWith("/")) this.#refuse("an absolute path", excerpt(path), at);
    return [name, this.#outputOf(path, prefixed, hash, at)];
  }

  #outputOf(path: string, prefixed: string, hash: string, at: number): DerivationOutput {
    if (prefixed === "") {
      if (hash !== "") this.#refuse("no hash without its algorithm", excerpt(hash), at);
      return path === "" ? { kind: "deferred" } : { kind: "input-addressed", path };
    }
    const method = methodOf(prefixed);
    const algorithm = this.#convert(at, () =>
      parseHashAlgorithm(prefixed.slice(METHOD_PREFIX[method].length)),
    );
    if (hash === "" || hash === "impure") {
      if (path !== "") this.#refuse("no path where the hash is not known", excerpt(path), at);
      return { kind: hash === "" ? "floating" : "impure", method, algorithm };
    }
    if (path === "") this.#refuse("the path of a fixed output", "none", at);
    return { kind: "fixed", path, method, hash: this.#convert(at, () => parseHex(algorithm, hash)) };
  }

  #inputDrv(): [string, readonly string[]] {
    this.#expect("(");
    const path = this.#path();
    this.#expect(",");
    const names = this.#sorted(() => this.#string());
    this.#expect(")");
    return [path, names];
  }

  #variable(): [string, string] {
    this.#expect("(");
    const name = this.#string();
    this.#expect(",");
    const value = this.#string();
    this.#expect(")");
    return [name, value];
  }

  #path(): string {
    const at = this.#at;
    const path = this.#string();
    if (!path.startsWith("/")) this.#refuse("an absolute path", excerpt(path), at);
    return path;
  }

  /** A list of pairs whose first parts are sorted and unique. */
  #map<T>(read: () => [string, T]): Map<string, T> {
    const map = new Map<string, T>();
    let last: string | undefined;
    this.#list(() => {
      const at = this.#at;
      const [key, value] = read();
      this.#above(key, last, at);
      last = key;
      map.set(key, value);
    });
    return map;
  }

  #sorted(read: () => string): string[] {
    let last: string | undefined;
    return this.#list(() => {
      const at = this.#at;
      const value = read();
      this.#above(value, last, at);
      last = value;
      return value;
    });
  }

  #above(value: string, last: string | undefined, at: number): void {
    if (last !== undefined && value <= last)
      this.#refuse(`a string above ${excerpt(last)}`, excerpt(value), at);
  }

  #list<T>(read: () => T): T[] {
    const values: T[] = [];
    this.#expect("[");
    if (this.#text[this.#at] !== "]") {
      do {
        if (++this.#members > MAX_MEMBERS) this.#refuse(`at most ${MAX_MEMBERS} members`, "more");
        values.push(read());
      } while (this.#accept(","));
    }
    this.#expect("]");
    return values;
  }

  #string(): string {
    this.#expect('"');
    let value = "";
    for (let from = this.#at; ; ) {
      SPECIAL.lastIndex = this.#at;
      const end = SPECIAL.exec(this.#text)?.index ?? this.#text.length;
      value += this.#text.slice(from, end);
      this.#at = end;
      const special = this.#text[end];
      if (special === '"') break;
      const character = special === "\\" ? UNESCAPED.get(this.#text[end + 1] ?? "") : undefined;
      if (character === undefined) this.#refuse("a string as Nix escapes it", this.#shown());
      value += character;
      this.#at = from = end + 2;
    }
    this.#at++;
    return value;
  }

  #accept(token: string): boolean {
    if (!this.#text.startsWith(token, this.#at)) return false;
    this.#at += token.length;
    return true;
  }

  #expect(token: string): void {
    if (!this.#accept(token)) this.#refuse(token, this.#shown());
  }

  #shown(): string {
    return this.#at >= this.#text.length ? "the end" : excerpt(this.#text.slice(this.#at, this.#at + 16));
  }

  /** Runs a parser of hash.ts; its refusal becomes one of this file, at its place. */
  #convert<T>(at: number, parse: () => T): T {
    try {
      return parse();
    } catch (error) {
      if (!(error instanceof AirgapError) || error.code !== "HASH_INVALID") throw error;
      return fail("DERIVATION_INVALID", { ...error.details, ...this.#where(at) }, { cause: error });
    }
  }

  #refuse(expected: string, actual: string, at = this.#at): never {
    fail("DERIVATION_INVALID", { expected, actual, ...this.#where(at) });
  }

  #unsupported(actual: string): never {
    fail("DERIVATION_UNSUPPORTED", { actual, ...this.#where(this.#at) });
  }

  #where(offset: number): Details {
    return this.#subject === undefined ? { offset } : { offset, subject: this.#subject };
  }
}

/** What ends a run of plain characters in a string: the quote, an escape, or what must be escaped. */
const SPECIAL = /["\\\n\r\t]/g;
const UNESCAPED = new Map([
  ['"', '"'],
  ["\\", "\\"],
  ["n", "\n"],
  ["r", "\r"],
  ["t", "\t"],
]);
const ESCAPED: Readonly<Record<string, string>> = {
  '"': '\\"',
  "\\": "\\\\",
  "\n": "\\n",
  "\r": "\\r",
  "\t": "\\t",
};

function quote(text: string): string {
  return `"${text.replace(SPECIAL, (character) => ESCAPED[character]!)}"`;
}

function list<T>(values: Iterable<T>, print: (value: T) => string): string {
  return `[${Array.from(values, print).join(",")}]`;
}

function methodOf(prefixed: string): OutputMethod {
  if (prefixed.startsWith("r:")) return "nar";
  if (prefixed.startsWith("text:")) return "text";
  if (prefixed.startsWith("git:")) return "git";
  return "flat";
}

function outputFields(output: DerivationOutput): [path: string, algorithm: string, hash: string] {
  switch (output.kind) {
    case "input-addressed":
      return [output.path, "", ""];
    case "deferred":
      return ["", "", ""];
    case "fixed":
      return [output.path, METHOD_PREFIX[output.method] + output.hash.algorithm, formatHex(output.hash)];
    case "floating":
      return ["", METHOD_PREFIX[output.method] + output.algorithm, ""];
    case "impure":
      return ["", METHOD_PREFIX[output.method] + output.algorithm, "impure"];
  }
}
