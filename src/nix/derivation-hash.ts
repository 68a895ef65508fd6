/**
 * Names that follow from derivations: the hash modulo fixed outputs, output paths, and the path of a .drv.
 *
 * Source: libstore/derivations.cc (`hashDerivationModulo`), and "Store path generation" in store-api.cc.
 * Recomputing these proves that an output's path belongs to its derivation; nothing here reads a store.
 */
import { fail } from "../errors.js";
import { type Derivation, declaredOutputPaths, derivationName, printDerivation } from "./derivation.js";
import { excerpt } from "./excerpt.js";
import { formatHex, type Hash, hashOf } from "./hash.js";
import {
  DEFAULT_STORE_DIR,
  type FileIngestionMethod,
  makeFixedOutputPath,
  makeOutputPath,
  makeTextPath,
  type StoreDir,
} from "./store-path.js";

/** The derivation at a .drv's store path, or undefined where it is not at hand. */
export type DerivationLookup = (drvPath: string) => Derivation | undefined;

/**
 * Computes output paths over one set of derivations, each of which is hashed once. Graphs of any depth: it
 * does not recurse.
 */
export class DerivationHasher {
  readonly #lookup: DerivationLookup;
  readonly #storeDir: StoreDir;
  /** Hex of the hash modulo, by .drv path. */
  readonly #modulo = new Map<string, string>();

  constructor(lookup: DerivationLookup, storeDir: StoreDir = DEFAULT_STORE_DIR) {
    this.#lookup = lookup;
    this.#storeDir = storeDir;
  }

  /**
   * The paths of a derivation's outputs, by output name, as they follow from what builds them: to be compared
   * with the paths that the derivation declares.
   *
   * @throws AirgapError DERIVATION_MISSING where an input is not at hand, DERIVATION_CYCLE,
   * DERIVATION_UNSUPPORTED where it or an input is content-addressed, impure or dynamic,
   * DERIVATION_INVALID and STORE_PATH_INVALID where its name, its variables, or the outputs used are wrong.
   */
  outputPaths(drvPath: string): Map<string, string> {
    const derivation = this.#get(drvPath);
    const name = derivationName(drvPath, derivation, this.#storeDir);
    const fixed = fixedOutput(drvPath, derivation);
    checkVariables(drvPath, derivation);
    if (fixed !== undefined) {
      return new Map([["out", makeFixedOutputPath(fixed.method, fixed.hash, name, this.#storeDir)]]);
    }
    this.#hashInputs(drvPath);
    const hash = hashOf("sha256", Buffer.from(this.#printModulo(derivation, true), "latin1"));
    const paths = new Map<string, string>();
    for (const output of derivation.outputs.keys()) {
      paths.set(output, makeOutputPath(output, hash, name, this.#storeDir));
    }
    return paths;
  }

  /** The hash modulo fixed outputs: what stands for this derivation in those that use it. Throws as `outputPaths`. */
  modulo(drvPath: string): string {
    this.#hashInputs(drvPath);
    const derivation = this.#get(drvPath);
    return this.#modulo.get(drvPath) ?? this.#hash(drvPath, derivation);
  }

  /** Hashes everything that `drvPath` depends on, inputs first. */
  #hashInputs(drvPath: string): void {
    const open = new Set([drvPath]);
    const stack = [this.#frame(drvPath)];
    for (let top = stack.at(-1); top !== undefined; top = stack.at(-1)) {
      const { value: input, done } = top.inputs.next();
      if (done) {
        stack.pop();
        open.delete(top.drvPath);
        if (stack.length > 0) this.#hash(top.drvPath, top.derivation);
      } else if (open.has(input)) {
        fail("DERIVATION_CYCLE", { subject: top.drvPath, actual: input });
      } else if (!this.#modulo.has(input)) {
        open.add(input);
        stack.push(this.#frame(input));
      }
    }
  }

  #frame(drvPath: string) {
    const derivation = this.#get(drvPath);
    // A fixed output's hash says nothing of its inputs.
    const inputs = fixedOutput(drvPath, derivation) === undefined ? [...derivation.inputDrvs.keys()] : [];
    return { drvPath, derivation, inputs: inputs.values() };
  }

  /** Of a derivation whose inputs are hashed. */
  #hash(drvPath: string, derivation: Derivation): string {
    const fixed = fixedOutput(drvPath, derivation);
    const text =
      fixed === undefined
        ? this.#printModulo(derivation, false)
        : `fixed:out:${fixed.method === "nar" ? "r:" : ""}${fixed.hash.algorithm}:${formatHex(fixed.hash)}:${fixed.path}`;
    const hex = formatHex(hashOf("sha256", Buffer.from(text, "latin1")));
    this.#modulo.set(drvPath, hex);
    return hex;
  }

  /** The ATerm with each input replaced by its hash; inputs with equal hashes are one, with the outputs of all. */
  #printModulo(derivation: Derivation, maskOutputs: boolean): string {
    const merged = new Map<string, Set<string>>();
    for (const [drvPath, outputs] of derivation.inputDrvs) {
      const hex = this.#modulo.get(drvPath)!;
      for (const output of outputs) {
        if (!this.#get(drvPath).outputs.has(output)) {
          fail("DERIVATION_INVALID", {
            subject: drvPath,
            expected: "an output that another uses",
            actual: excerpt(output),
          });
        }
        const names = merged.get(hex) ?? new Set();
        merged.set(hex, names.add(output));
      }
    }
    const inputs = new Map([...merged.keys()].sort().map((hex) => [hex, [...merged.get(hex)!].sort()]));
    return printDerivation(derivation, { inputs, maskOutputs });
  }

  #get(drvPath: string): Derivation {
    return this.#lookup(drvPath) ?? fail("DERIVATION_MISSING", { subject: drvPath });
  }
}

/**
 * The variables named like outputs are left out of the hash: one that held another path would send a builder
 * elsewhere under the same output path. Newer Nix checks the same.
 */
function checkVariables(drvPath: string, derivation: Derivation): void {
  for (const [output, path] of declaredOutputPaths(derivation)) {
    const value = derivation.env.get(output);
    if (value !== undefined && value !== path) {
      fail("DERIVATION_INVALID", { subject: drvPath, expected: `${output}=${path}`, actual: excerpt(value) });
    }
  }
}

/** The fixed output of a derivation that has one; undefined for an input-addressed one. Throws DERIVATION_UNSUPPORTED. */
function fixedOutput(
  drvPath: string,
  derivation: Derivation,
): { path: string; method: FileIngestionMethod; hash: Hash } | undefined {
  if (derivation.kind === "input-addressed") return undefined;
  const output = derivation.outputs.get("out");
  if (output?.kind !== "fixed") {
    return fail("DERIVATION_UNSUPPORTED", {
      subject: drvPath,
      actual: `a derivation of kind ${derivation.kind}`,
    });
  }
  const { path, method, hash } = output;
  if (method !== "flat" && method !== "nar") {
    return fail("DERIVATION_UNSUPPORTED", { subject: drvPath, actual: `an output hashed as ${method}` });
  }
  return { path, method, hash };
}

/**
 * The store path of a .drv: `bytes` are its contents, `name` that of the derivation (without ".drv").
 * Its references are all its inputs, derivations and sources.
 */
export function drvPathFromBytes(
  bytes: Uint8Array,
  name: string,
  derivation: Pick<Derivation, "inputDrvs" | "inputSrcs">,
  storeDir: StoreDir = DEFAULT_STORE_DIR,
): string {
  return makeTextPath(hashOf("sha256", bytes), `${name}.drv`, derivationReferences(derivation), storeDir);
}

/** What a .drv refers to: its input derivations and sources, sorted. */
export function derivationReferences({
  inputDrvs,
  inputSrcs,
}: Pick<Derivation, "inputDrvs" | "inputSrcs">): string[] {
  return [...new Set([...inputDrvs.keys(), ...inputSrcs])].sort();
}
