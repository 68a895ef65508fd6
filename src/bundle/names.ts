/**
 * V7: names follow from contents. Content-addressed paths from their hash, .drv paths from their bytes, output
 * paths from their derivations. What only the bytes of a NAR can tell is handed out as demands.
 * The flake's pins are in pins.ts, signatures on paths in path-signatures.ts.
 */
import { AirgapError, type Details, type Finding } from "../errors.js";
import type { BundleDocument, Path } from "../generated/types.js";
import {
  type ContentAddress,
  formatContentAddress,
  parseContentAddress,
  pathFromContentAddress,
} from "../nix/content-address.js";
import { type Derivation, declaredOutputPaths, derivationName, parseDerivation } from "../nix/derivation.js";
import { DerivationHasher, derivationReferences, drvPathFromBytes } from "../nix/derivation-hash.js";
import { formatNix32, formatSri, type Hash } from "../nix/hash.js";
import { parseStorePath } from "../nix/store-path.js";
import type { PackedDerivations } from "./packed.js";

/**
 * A hash that the contents of a path must have, when its NAR's SHA-256 does not tell. `flat`: of the one file,
 * which is not executable; `nar`: of the NAR; `modulo`: of the NAR without the path's own hash part.
 */
export interface ContentDemand {
  readonly code: "CA_CONTENT";
  readonly method: "flat" | "nar" | "modulo";
  readonly hash: Hash;
}

/** V7, item 1, as far as the document tells: content-addressed names follow from their addresses. */
export function checkAddresses(document: BundleDocument): {
  readonly findings: readonly Finding[];
  /** What contents must have for that; by store path. */
  readonly demands: ReadonlyMap<string, readonly ContentDemand[]>;
} {
  const findings: Finding[] = [];
  const demands = new Map<string, ContentDemand[]>();
  for (const path of document.paths) {
    if (path.ca === null) continue;
    const wanted: ContentDemand[] = [];
    findings.push(...checkContentAddress(path, path.ca, wanted));
    if (wanted.length > 0) demands.set(path.storePath, wanted);
  }
  return { findings, demands };
}

export interface Names {
  readonly findings: readonly Finding[];
  /** Paths whose name nothing in the bundle proves, sorted: only the approval stands for them. */
  readonly unproven: readonly string[];
}

/**
 * V7, items 3 to 5. `complete`: all derivations of the tier are in `packed` (checkClosure tells).
 * Without them outputs are not proven, which is no finding of its own.
 */
export function checkNames(document: BundleDocument, packed: PackedDerivations, complete: boolean): Names {
  const findings: Finding[] = [];
  const unproven: string[] = [];
  const { findings: wrongOutputs, proven } = checkOutputPaths(packed.byPath);
  findings.push(
    ...wrongOutputs,
    ...checkRoots(document, packed),
    ...checkDerivers(document, packed, complete),
  );

  for (const path of document.paths) {
    const output = packed.outputs.get(path.storePath);
    if (output?.output.kind === "fixed") findings.push(...checkFixedOutput(path, output.output));
    if (path.ca !== null) continue;
    if (path.storePath.endsWith(".drv") || path.kinds.includes("flake")) {
      findings.push({ code: "CA_PATH", subject: path.storePath, expected: "a content address" });
    } else if (output !== undefined) {
      if (!proven.has(output.drvPath)) unproven.push(path.storePath);
    } else if (document.tier === "runtime" || !complete) {
      unproven.push(path.storePath);
    } else if (!path.kinds.includes("evaluation")) {
      // V6 has its own finding for what evaluation read.
      findings.push({ code: "OUTPUT_UNPROVEN", subject: path.storePath });
    }
  }
  return { findings, unproven };
}

/**
 * V7, item 2: the derivation in the bytes of a .drv, and whether its path and references follow from them.
 * `derivation` is undefined where they are no derivation.
 */
export function readDerivation(
  path: Path,
  bytes: Uint8Array,
): { readonly derivation: Derivation | undefined; readonly findings: readonly Finding[] } {
  const findings: Finding[] = [];
  const subject = path.storePath;
  let derivation: Derivation | undefined;
  try {
    derivation = parseDerivation(bytes, subject);
    const expected = drvPathFromBytes(bytes, derivationName(subject, derivation), derivation);
    if (expected !== subject) findings.push({ code: "DRV_PATH", subject, expected });
  } catch (error) {
    findings.push(findingOf(error, subject));
  }
  const expected = derivation === undefined ? path.references : derivationReferences(derivation);
  const difference = firstDifference(expected, path.references);
  if (difference !== undefined) findings.push({ code: "DRV_REFERENCES", subject, ...difference });
  return { derivation, findings };
}

/** The finding for contents that do not have a demanded hash; undefined where they do. */
export function checkContent(
  storePath: string,
  demand: ContentDemand,
  actual: Hash | string,
): Finding | undefined {
  const expected = formatNix32(demand.hash);
  const found = typeof actual === "string" ? actual : formatNix32(actual);
  return found === expected ? undefined : { code: demand.code, subject: storePath, expected, actual: found };
}

/** Item 1. What the NAR's own hash cannot tell goes to `wanted`. */
function checkContentAddress(path: Path, text: string, wanted: ContentDemand[]): Finding[] {
  const { storePath: subject, references } = path;
  let ca: ContentAddress;
  const self = references.includes(subject);
  try {
    ca = parseContentAddress(text);
    const others = references.filter((reference) => reference !== subject);
    const expected = pathFromContentAddress(ca, parseStorePath(subject).name, { references: others, self });
    if (expected !== subject) return [{ code: "CA_PATH", subject, expected, actual: text }];
  } catch (error) {
    if (!(error instanceof AirgapError)) throw error;
    return [{ ...error.details, code: "CA_PATH", subject }];
  }
  const method = ca.kind === "text" ? "flat" : self ? "modulo" : ca.method;
  return demandContent(path, { code: "CA_CONTENT", method, hash: ca.hash }, wanted);
}

/** Item 5, for a fixed output; its path is its derivation's already, by item 3. */
function checkFixedOutput(
  path: Path,
  output: Extract<Derivation["outputs"] extends ReadonlyMap<string, infer O> ? O : never, { kind: "fixed" }>,
): Finding[] {
  const { method, hash } = output;
  // Of other methods item 3 says that they are not supported.
  if (method !== "flat" && method !== "nar") return [];
  const expected = formatContentAddress({ kind: "fixed", method, hash });
  // With its content address, item 1 has asked for the content; without one it could refer to anything.
  if (path.ca === expected) return [];
  return [
    { code: "FIXED_OUTPUT_HASH", subject: path.storePath, expected, actual: path.ca ?? "no content address" },
  ];
}

function demandContent(path: Path, demand: ContentDemand, wanted: ContentDemand[]): Finding[] {
  if (demand.method !== "nar" || demand.hash.algorithm !== "sha256") {
    wanted.push(demand);
    return [];
  }
  const expected = formatSri(demand.hash);
  if (expected === path.narHash) return [];
  return [{ code: demand.code, subject: path.storePath, expected, actual: path.narHash }];
}

/** Item 3. `proven`: the derivations whose output paths are what they must be. */
function checkOutputPaths(derivations: ReadonlyMap<string, Derivation>): {
  findings: Finding[];
  proven: Set<string>;
} {
  const findings = new Map<string, Finding>();
  const add = (finding: Finding) => findings.set(`${finding.code} ${finding.subject}`, finding);
  const proven = new Set<string>();
  const { ready, circular } = hashable(derivations);
  const hasher = new DerivationHasher((drvPath) => derivations.get(drvPath));
  for (const drvPath of ready) {
    const derivation = derivations.get(drvPath)!;
    try {
      const declared = declaredOutputPaths(derivation);
      const wrong = [...hasher.outputPaths(drvPath)].filter(([name, path]) => declared.get(name) !== path);
      for (const [name, expected] of wrong) {
        const actual = declared.get(name) ?? "no path";
        add({ code: "OUTPUT_PATH", subject: `${drvPath}!${name}`, expected, actual });
      }
      if (wrong.length === 0) proven.add(drvPath);
    } catch (error) {
      add(findingOf(error, drvPath));
    }
  }
  for (const drvPath of circular) add({ code: "DERIVATION_CYCLE", subject: drvPath });
  return { findings: [...findings.values()], proven };
}

/**
 * The derivations whose inputs are all there, down to the last. The rest depend on one that is missing, which
 * V6 says, or else on each other in a circle: of such, the first is named.
 */
function hashable(derivations: ReadonlyMap<string, Derivation>): { ready: string[]; circular: string[] } {
  const waiting = new Map<string, number>();
  const users = new Map<string, string[]>();
  const ready: string[] = [];
  let missing = false;
  for (const [drvPath, { kind, inputDrvs }] of derivations) {
    // A fixed output's name does not depend on how it is fetched.
    if (kind === "fixed" || inputDrvs.size === 0) {
      ready.push(drvPath);
      continue;
    }
    waiting.set(drvPath, inputDrvs.size);
    for (const input of inputDrvs.keys()) {
      if (!derivations.has(input)) missing = true;
      const others = users.get(input);
      if (others === undefined) users.set(input, [drvPath]);
      else others.push(drvPath);
    }
  }
  // An array's iteration also visits what is pushed while it runs.
  for (const drvPath of ready) {
    for (const user of users.get(drvPath) ?? []) {
      const left = waiting.get(user)! - 1;
      waiting.set(user, left);
      if (left > 0) continue;
      waiting.delete(user);
      ready.push(user);
    }
  }
  return { ready, circular: missing ? [] : [...waiting.keys()].sort().slice(0, 1) };
}

/** Item 4, first half. */
function checkRoots({ roots }: BundleDocument, packed: PackedDerivations): Finding[] {
  const findings: Finding[] = [];
  for (const { attr, drvPath, outputs, purpose, system } of roots) {
    const derivation = packed.byPath.get(drvPath);
    if (derivation === undefined) continue;
    const declared = declaredOutputPaths(derivation);
    if (derivation.system !== system) {
      const difference = { expected: `system ${derivation.system}`, actual: system };
      findings.push({ code: "ROOT_OUTPUTS", subject: attr || drvPath, ...difference });
    }
    const differs = (name: string, expected: string, actual: string) =>
      findings.push({ code: "ROOT_OUTPUTS", subject: `${attr || drvPath}!${name}`, expected, actual });
    const listed = new Map(outputs.map(({ name, path }) => [name, path]));
    for (const [name, path] of listed) {
      if (declared.get(name) !== path) differs(name, declared.get(name) ?? "no such output", path);
    }
    // Of an import-from-derivation only what evaluation read is there.
    if (purpose === "evaluation") continue;
    for (const [name, path] of declared) if (!listed.has(name)) differs(name, path, "not listed");
  }
  return findings;
}

/** Item 4, second half. A deriver that is absent, or could not be read, is a finding elsewhere. */
function checkDerivers({ paths }: BundleDocument, packed: PackedDerivations, complete: boolean): Finding[] {
  const present = new Set(paths.map(({ storePath }) => storePath));
  const findings: Finding[] = [];
  for (const { storePath: subject, deriver } of paths) {
    if (deriver === null) continue;
    const derivation = packed.byPath.get(deriver);
    if (derivation === undefined && (present.has(deriver) || !complete)) continue;
    const outputs = derivation === undefined ? [] : [...declaredOutputPaths(derivation).values()];
    if (!outputs.includes(subject)) findings.push({ code: "DERIVER_OUTPUT", subject, actual: deriver });
  }
  return findings;
}

/** A parser's refusal as a finding. */
function findingOf(error: unknown, subject: string): Finding {
  if (!(error instanceof AirgapError)) throw error;
  const details: Details = { subject, ...error.details };
  return { ...details, code: error.code };
}

/** The first place where two sorted lists differ. */
function firstDifference(
  expected: readonly string[],
  actual: readonly string[],
): { expected: string; actual: string } | undefined {
  for (let i = 0; i < Math.max(expected.length, actual.length); i++) {
    if (expected[i] !== actual[i]) {
      return { expected: expected[i] ?? "no more", actual: actual[i] ?? "no more" };
    }
  }
  return undefined;
}
