/**
 * V10: the store paths in an output's bytes are the references that it declares. Asked of input-addressed
 * outputs whose derivation is packed; sources, fixed outputs and .drv files name store paths honestly.
 */
import type { Finding } from "../errors.js";
import type { BundleDocument, Path } from "../generated/types.js";
import { type Derivation, structuredAttributes } from "../nix/derivation.js";
import { HASH_PART_LENGTH, isHashPart } from "../nix/store-path.js";
import type { PackedDerivations, PackedOutput } from "./packed.js";

/** A store path in contents that does not have to be declared, but that a reader may wonder about. */
export interface EmbeddedNote {
  readonly storePath: string;
  readonly names: readonly string[];
}

/** Hash parts to scan for: every path of the document, every output of a packed derivation. Sorted. */
export function knownHashParts(document: BundleDocument, packed: PackedDerivations): string[] {
  const paths = [...document.paths.map(({ storePath }) => storePath), ...packed.outputs.keys()];
  // The text of a derivation may be anything; what is no store path is V7's finding.
  return [...new Set(paths.map(hashPartOf))].filter(isHashPart).sort();
}

/** Whether V10 asks what store paths are in this path's bytes. The rest need no scan. */
export function isScanned(path: Path, packed: PackedDerivations): boolean {
  const output = packed.outputs.get(path.storePath);
  if (path.ca !== null || path.storePath.endsWith(".drv")) return false;
  return output === undefined || output.output.kind === "input-addressed";
}

export class EmbeddedPaths {
  readonly #packed: PackedDerivations;
  readonly #paths: ReadonlyMap<string, Path>;
  readonly #byHashPart = new Map<string, string>();
  /** What a builder could see, by .drv: kept for the derivation asked last, whose outputs come together. */
  #visible: { drvPath: string; paths: ReadonlySet<string> } | undefined;

  constructor(document: BundleDocument, packed: PackedDerivations) {
    this.#packed = packed;
    this.#paths = new Map(document.paths.map((path) => [path.storePath, path]));
    for (const path of packed.outputs.keys()) this.#byHashPart.set(hashPartOf(path), path);
    for (const path of this.#paths.keys()) this.#byHashPart.set(hashPartOf(path), path);
  }

  /** `found`: the known hash parts in the NAR of a path that `isScanned`. */
  check(path: Path, found: readonly string[]): { findings: Finding[]; note: EmbeddedNote | undefined } {
    const subject = path.storePath;
    const paths = found.flatMap((hashPart) => this.#byHashPart.get(hashPart) ?? []).sort();
    const declared = new Set(path.references);
    const undeclared = paths.filter((other) => !declared.has(other));
    const output = this.#packed.outputs.get(subject);
    if (output === undefined) {
      const note = undeclared.length > 0 ? { storePath: subject, names: undeclared } : undefined;
      return { findings: [], note };
    }
    const inside = new Set(paths);
    const findings: Finding[] = [];
    for (const actual of undeclared.length > 0 ? this.#hidden(output, undeclared) : []) {
      findings.push({ code: "REFERENCE_UNDECLARED", subject, actual });
    }
    for (const expected of path.references) {
      if (!inside.has(expected)) findings.push({ code: "REFERENCE_NOT_FOUND", subject, expected });
    }
    return { findings, note: undefined };
  }

  /** Those among `undeclared` that the output's builder could see, so that Nix would have declared them. */
  #hidden({ drvPath, name }: PackedOutput, undeclared: readonly string[]): string[] {
    if (discardsReferences(this.#packed.byPath.get(drvPath)!, name)) return [];
    if (this.#visible?.drvPath !== drvPath) {
      this.#visible = { drvPath, paths: this.#visibleTo(drvPath) };
    }
    const visible = this.#visible.paths;
    return undeclared.filter((path) => visible.has(path));
  }

  /** Its own outputs, its inputs and their closures. */
  #visibleTo(drvPath: string): Set<string> {
    const visible = new Set(this.#packed.inputsOf(drvPath));
    // A Set's iteration also visits what is added while it runs.
    for (const path of visible) {
      for (const reference of this.#paths.get(path)?.references ?? []) visible.add(reference);
    }
    for (const output of this.#packed.byPath.get(drvPath)!.outputs.values()) {
      if ("path" in output) visible.add(output.path);
    }
    return visible;
  }
}

function hashPartOf(storePath: string): string {
  const start = storePath.lastIndexOf("/") + 1;
  return storePath.slice(start, start + HASH_PART_LENGTH);
}

/** Newer Nix: `unsafeDiscardReferences.<output> = true` in structured attributes. */
function discardsReferences(derivation: Derivation, output: string): boolean {
  const json = structuredAttributes(derivation);
  if (json === undefined) return false;
  try {
    const attributes: unknown = JSON.parse(Buffer.from(json).toString("utf8"));
    const discarded = ownValue(attributes, "unsafeDiscardReferences");
    return ownValue(discarded, output) === true;
  } catch (error) {
    // Not JSON: Nix could not have built it with such a wish.
    if (error instanceof SyntaxError) return false;
    throw error;
  }
}

function ownValue(value: unknown, key: string): unknown {
  if (typeof value !== "object" || value === null || !Object.hasOwn(value, key)) return undefined;
  return Object.entries(value).find(([name]) => name === key)?.[1];
}
