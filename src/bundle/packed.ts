/**
 * The derivations of a bundle as one value: their outputs by path, and what a derivation's builder could see.
 * Where their bytes come from, and whether they are true, is for others.
 */
import type { Derivation, DerivationOutput } from "../nix/derivation.js";

/** The output of a derivation in the bundle. */
export interface PackedOutput {
  readonly drvPath: string;
  readonly name: string;
  readonly output: Extract<DerivationOutput, { path: string }>;
}

export class PackedDerivations {
  readonly byPath: ReadonlyMap<string, Derivation>;
  /**
   * By output path. Several derivations may give one path (fixed outputs fetched in different ways): the first
   * by .drv path stands here, since path and hash are the same.
   */
  readonly outputs: ReadonlyMap<string, PackedOutput>;

  constructor(derivations: ReadonlyMap<string, Derivation>) {
    this.byPath = derivations;
    const outputs = new Map<string, PackedOutput>();
    for (const drvPath of [...derivations.keys()].sort()) {
      for (const [name, output] of derivations.get(drvPath)!.outputs) {
        if (!("path" in output) || outputs.has(output.path)) continue;
        outputs.set(output.path, { drvPath, name, output });
      }
    }
    this.outputs = outputs;
  }

  /**
   * What a derivation's builder gets: its input sources, and the outputs it uses of its input derivations
   * (those that are packed). Their closures are visible to it too, but are not followed here.
   */
  inputsOf(drvPath: string): string[] {
    const derivation = this.byPath.get(drvPath);
    if (derivation === undefined) return [];
    const inputs = [...derivation.inputSrcs];
    for (const [inputDrv, names] of derivation.inputDrvs) {
      const input = this.byPath.get(inputDrv);
      for (const name of names) {
        const output = input?.outputs.get(name);
        if (output !== undefined && "path" in output) inputs.push(output.path);
      }
    }
    return inputs;
  }
}
