/**
 * What a document that fits its schema must mean (docs/format.md, section 3): sorted, unique, totals, and that
 * no value contradicts another. Left to V6 and V7: that what is named is in `paths`, under the hash it is named with,
 * and what needs the contents of flake.lock or of derivations.
 */
import { AirgapError, type Code, type Finding } from "../errors.js";
import type { BundleDocument, Path } from "../generated/types.js";
import { parseContentAddress } from "../nix/content-address.js";
import { variableProblem } from "../nix/environment.js";
import { excerpt } from "../nix/excerpt.js";
import { parseSri } from "../nix/hash.js";
import { parseSignature } from "../nix/signature.js";
import { HASH_PART_LENGTH } from "../nix/store-path.js";
import { isTime } from "../time.js";
import { hasEnvironment } from "./document-features.js";

/** The oldest Nix that a bundle may name. */
const OLDEST_NIX = [2, 8] as const;

/** All findings; their subjects are JSON pointers. Linear in the size of the document. */
export function checkMeaning(document: BundleDocument): Finding[] {
  const check = new Checker();
  checkHead(document, check);
  checkFlake(document, check);
  checkEnvironment(document, check);
  checkInputs(document, check);
  checkRoots(document, check);
  checkPaths(document, check);
  checkTotals(document, check);
  check.sorted("/knownIrreproducible", document.knownIrreproducible, ({ drvPath }) => drvPath);
  check.sorted("/docs", document.docs, ({ name }) => name);
  return check.findings;
}

/** Collects findings. */
class Checker {
  readonly findings: Finding[] = [];

  /** A value that contradicts another. `actual` is shown as given: quote what is not from a closed set. */
  value(subject: string, expected: string, actual: string): void {
    this.add("DOCUMENT_VALUE", subject, expected, actual);
  }

  add(code: Code, subject: string, expected: string, actual: string): void {
    this.findings.push({ code, subject, expected, actual });
  }

  /** By code unit on the key, each key once. */
  sorted<T>(subject: string, list: readonly T[], keyOf: (element: T) => string): void {
    for (let i = 1; i < list.length; i++) {
      const before = keyOf(list[i - 1]!);
      const key = keyOf(list[i]!);
      if (before < key) continue;
      const code = before === key ? "DOCUMENT_DUPLICATE" : "DOCUMENT_ORDER";
      this.add(code, `${subject}/${i}`, `a key after ${excerpt(before)}`, excerpt(key));
    }
  }

  /** What a parser of text from nix/ refuses is a finding. */
  parses(subject: string, text: string, parse: (text: string) => unknown): void {
    try {
      parse(text);
    } catch (error) {
      if (!(error instanceof AirgapError)) throw error;
      this.value(subject, error.details.expected ?? error.message, excerpt(text));
    }
  }
}

function checkHead(document: BundleDocument, check: Checker): void {
  const { created, features, minimumNix, previous, sequence, systems, version } = document;
  // The schema lets `1.00` pass, which would be a second spelling of 1.0.
  if (!/^(0|[1-9]\d*)\.(0|[1-9]\d*)$/.test(version)) {
    check.value("/version", "numbers without leading zeros", version);
  }
  if (!isTime(created)) check.value("/created", "a time that exists", created);
  if (previous && previous.sequence >= sequence) {
    check.value("/previous/sequence", `less than /sequence, ${sequence}`, String(previous.sequence));
  }
  if (isOlderThanOldest(minimumNix)) {
    check.value("/minimumNix", `${OLDEST_NIX.join(".")} or newer`, minimumNix);
  }
  check.sorted("/systems", systems, (system) => system);
  check.sorted("/features", features, (feature) => feature);
  if (version === "1.0" && features.length > 0) check.value("/features", "none in version 1.0", features[0]!);
}

/** Text that does not begin with two numbers counts as older. */
function isOlderThanOldest(version: string): boolean {
  const [, major, minor] = /^(\d+)\.(\d+)(?!\d)/.exec(version) ?? [];
  if (major === undefined || minor === undefined) return true;
  const [oldestMajor, oldestMinor] = OLDEST_NIX;
  return Number(major) < oldestMajor || (Number(major) === oldestMajor && Number(minor) < oldestMinor);
}

function checkFlake({ flake, evaluation, inputs }: BundleDocument, check: Checker): void {
  if (flake.dir !== "" && flake.dir.split("/").some((part) => part === "" || part === "." || part === "..")) {
    check.value("/flake/dir", "a normalised path below the flake", excerpt(flake.dir));
  }
  if (flake.lock === null && inputs.length > 0) {
    check.value("/flake/lock", `a lock for ${inputs.length} inputs`, "null");
  }
  if ((evaluation.wrapper === null) !== (evaluation.method === "topq")) {
    const expected = evaluation.method === "topq" ? "null for method topq" : "a path for method wrapper";
    check.value("/evaluation/wrapper", expected, evaluation.wrapper ?? "null");
  }
}

/** Variables are named exactly where the feature is; and no document of a version without it has them. */
function checkEnvironment(document: BundleDocument, check: Checker): void {
  const { pure, env } = document.evaluation;
  if (pure === hasEnvironment(document)) {
    const expected = pure ? "false, for feature environment" : "true, without feature environment";
    check.value("/evaluation/pure", expected, String(pure));
  }
  if (pure !== (env.length === 0)) {
    check.value(
      "/evaluation/env",
      pure ? "none for a pure evaluation" : "a variable",
      `${env.length} variables`,
    );
  }
  if (hasEnvironment(document) && document.version === "1.1") {
    check.value("/features", "no environment in version 1.1", "environment");
  }
  check.sorted("/evaluation/env", env, ({ name }) => name);
  env.forEach((variable, i) => {
    const problem = variableProblem(variable);
    if (problem !== null) check.value(`/evaluation/env/${i}`, problem, excerpt(variable.name));
  });
}

/** That `parent` names a node, or the lock's root, is V6: it takes the lock. */
function checkInputs({ inputs }: BundleDocument, check: Checker): void {
  check.sorted("/inputs", inputs, ({ node }) => node);
  inputs.forEach(({ node, storePath, narHash, parent }, i) => {
    const subject = `/inputs/${i}`;
    checkLine(`${subject}/node`, node, check);
    if (parent !== null) checkLine(`${subject}/parent`, parent, check);
    if (parent === node) check.value(`${subject}/parent`, "another node", excerpt(parent));
    if (parent === null && (storePath === null || narHash === null)) {
      check.value(subject, "storePath and narHash, since it has no parent", "null");
    }
    if (parent !== null && (storePath !== null || narHash !== null)) {
      check.value(subject, "no storePath and no narHash, since it lies in its parent's tree", "one");
    }
  });
}

/** For text whose schema has no pattern. */
function checkLine(subject: string, text: string, check: Checker): void {
  if (/[\x00-\x1f\x7f]/.test(text)) {
    check.value(subject, "one line without control characters", excerpt(text));
  }
}

function checkRoots({ roots, systems }: BundleDocument, check: Checker): void {
  const known = new Set(systems);
  // No field holds a control character, so that joining keeps the order of the fields.
  check.sorted("/roots", roots, ({ purpose, attr, drvPath }) => [purpose, attr, drvPath].join("\0"));
  roots.forEach(({ attr, outputs, purpose, system }, i) => {
    const subject = `/roots/${i}`;
    if (!known.has(system)) check.value(`${subject}/system`, "one of /systems", excerpt(system));
    if ((purpose === "evaluation") !== (attr === "")) {
      const expected = purpose === "evaluation" ? "nothing, for purpose evaluation" : "an attribute";
      check.value(`${subject}/attr`, expected, excerpt(attr));
    }
    check.sorted(`${subject}/outputs`, outputs, ({ name }) => name);
  });
  const used = new Set(roots.map(({ system }) => system));
  systems.forEach((system, i) => {
    if (!used.has(system)) check.value(`/systems/${i}`, "the system of a root", system);
  });
}

function checkPaths({ paths }: BundleDocument, check: Checker): void {
  check.sorted("/paths", paths, ({ storePath }) => storePath);
  const narinfos = new Map<string, string>();
  const blobs = new Map<string, Path>();
  paths.forEach((path, i) => {
    const subject = `/paths/${i}`;
    const hashPart = path.storePath.slice("/nix/store/".length).slice(0, HASH_PART_LENGTH);
    const twin = narinfos.get(hashPart);
    // Both would be described by one narinfo.
    if (twin !== undefined && twin !== path.storePath) {
      check.add(
        "DOCUMENT_DUPLICATE",
        `${subject}/storePath`,
        `another hash part than ${twin}`,
        path.storePath,
      );
    }
    narinfos.set(hashPart, path.storePath);
    checkPath(path, subject, check);
    checkSharedBlob(blobs.get(path.blob) ?? path, path, subject, check);
    blobs.set(path.blob, path);
  });
}

function checkPath(path: Path, subject: string, check: Checker): void {
  check.parses(`${subject}/narHash`, path.narHash, parseSri);
  if (path.ca !== null) check.parses(`${subject}/ca`, path.ca, parseContentAddress);
  path.signatures.forEach((signature, i) => {
    check.parses(`${subject}/signatures/${i}`, signature, parseSignature);
  });
  check.sorted(`${subject}/references`, path.references, (reference) => reference);
  check.sorted(`${subject}/signatures`, path.signatures, (signature) => signature);
  check.sorted(`${subject}/kinds`, path.kinds, (kind) => kind);
  if (path.cause !== null && !path.kinds.includes("evaluation")) {
    check.value(`${subject}/cause`, "null, since its kinds do not include evaluation", path.cause);
  }
  // An empty file has a NAR of 112 bytes, and Nix refuses a narinfo whose NarSize is 0.
  if (path.narSize === 0) check.value(`${subject}/narSize`, "more than 0", "0");
  if (path.blobSize === 0) check.value(`${subject}/blobSize`, "more than 0", "0");
}

/** One blob is one NAR. */
function checkSharedBlob(other: Path, path: Path, subject: string, check: Checker): void {
  for (const field of ["blobSize", "narHash", "narSize"] as const) {
    if (path[field] !== other[field]) {
      check.value(`${subject}/${field}`, `${other[field]}, as for ${other.storePath}`, String(path[field]));
    }
  }
}

function checkTotals({ paths, totals }: BundleDocument, check: Checker): void {
  const blobs = new Map(paths.map(({ blob, blobSize }) => [blob, blobSize]));
  const actual: BundleDocument["totals"] = {
    paths: paths.length,
    // Sums over 2^53 are rounded, but then they are over what the schema lets a total be.
    narBytes: paths.reduce((sum, { narSize }) => sum + narSize, 0),
    blobs: blobs.size,
    blobBytes: [...blobs.values()].reduce((sum, size) => sum + size, 0),
  };
  for (const field of ["paths", "narBytes", "blobs", "blobBytes"] as const) {
    if (totals[field] !== actual[field]) {
      check.add("DOCUMENT_TOTALS", `/totals/${field}`, String(actual[field]), String(totals[field]));
    }
  }
}
