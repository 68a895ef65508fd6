/**
 * inspect: what a bundle says about itself, for people. Believes the document without checking it, tells as much as a
 * broken one still gives, and vouches for nothing.
 */

import { parseDocument } from "../bundle/document.js";
import { KINDS } from "../bundle/kinds.js";
import { classify, DOCUMENT_NAME, MAX_APPROVAL_SIZE, MAX_DOCUMENT_SIZE } from "../bundle/layout.js";
import { type Medium, openMedium } from "../bundle/medium.js";
import { AirgapError, EXIT, exitOf, type Finding, fail } from "../errors.js";
import type { BundleDocument, InspectedDocument, InspectReport, Path } from "../generated/types.js";
import { validateBundleDocument } from "../generated/validators.js";
import { closure } from "../nix/closure.js";
import { type LockAttributes, parseFlakeLock, resolveFlakeLock } from "../nix/flake-lock.js";
import { formatHex, hashOf } from "../nix/hash.js";
import { parseStrictJson } from "../strict-json.js";
import { bundleSubject, checkApprovals, keyHashOf } from "../trust/approval.js";
import { saysSigner } from "../trust/statement.js";
import { type BundleSource, withBundle } from "./bundle-source.js";
import type { Context } from "./context.js";
import { reportedFindings } from "./reports.js";

export interface InspectOptions {
  /** The closures of the roots' outputs as a tree. */
  readonly tree: boolean;
  /** Closure sizes of the largest paths. */
  readonly sizes: boolean;
  /** Other folders that hold parts of a bundle in parts. */
  readonly parts?: readonly string[];
}

const LARGEST = 20;
const LARGEST_SHORT = 5;
/** Deeper paths of a tree are named, not followed: a hostile graph is as deep as it has paths. */
const MAX_TREE_DEPTH = 100;
/** Paths and references that are followed for the sizes of closures: 3 s. */
const MAX_FOLLOWED = 4_000_000;

/**
 * Of the URL of a `serve`, document and approvals are all that is fetched.
 *
 * @throws AirgapError BUNDLE_NOT_FOUND, DISK; of a URL what `withBundle` throws. All else that is wrong is in `problems`.
 */
export function inspect(
  bundlePath: string,
  options: InspectOptions,
  context: Context,
): Promise<InspectReport> {
  return withBundle(bundlePath, context, (source) => inspectSource(source, options, context));
}

async function inspectSource(
  source: BundleSource,
  options: InspectOptions,
  context: Context,
): Promise<InspectReport> {
  const { medium, findings } = await openMedium(source.path, {
    allowExtra: true,
    parts: options.parts ?? [],
  });
  const problems: Finding[] = [...findings];
  const bytes = await attempt(problems, () => medium.read(DOCUMENT_NAME, MAX_DOCUMENT_SIZE));
  const document = bytes === null ? null : readLoosely(bytes, problems);
  const sha256 = bytes === null ? null : formatHex(hashOf("sha256", bytes));
  if (context.signal.aborted) fail("INTERRUPTED", { subject: source.path });
  const sizes = [...medium.files.values()].map(({ size }) => size);
  const { files, bytes: total } =
    source.url === null ? { files: sizes.length, bytes: sum(sizes) } : source.totals;
  return {
    format: "nix-airgap-inspect",
    exit: document === null ? exitOf(problems) : EXIT.yes,
    verified: false,
    medium: {
      path: source.url ?? medium.path,
      kind: medium.kind,
      files,
      bytes: Math.min(total, Number.MAX_SAFE_INTEGER),
    },
    sha256,
    document: document === null ? null : describe(document, options, problems),
    approvals: await listApprovals(medium, problems),
    problems: reportedFindings(problems),
  };
}

/** A document that has the schema's shape, whatever else is wrong with it. */
function readLoosely(bytes: Buffer, problems: Finding[]): BundleDocument | null {
  const { document, findings } = parseDocument(bytes);
  problems.push(...findings);
  if (document !== null) return document;
  try {
    const value: unknown = parseStrictJson(bytes, { maxBytes: MAX_DOCUMENT_SIZE });
    return validateBundleDocument(value) ? value : null;
  } catch (error) {
    // Said by parseDocument already.
    if (error instanceof AirgapError) return null;
    throw error;
  }
}

async function attempt<T>(problems: Finding[], work: () => Promise<T>): Promise<T | null> {
  try {
    return await work();
  } catch (error) {
    if (!(error instanceof AirgapError) || error.exit === EXIT.disk) throw error;
    problems.push({ ...error.details, code: error.code });
    return null;
  }
}

async function listApprovals(medium: Medium, problems: Finding[]): Promise<InspectReport["approvals"]> {
  const files = new Map<string, Buffer>();
  for (const name of [...medium.files.keys()].filter((file) => classify(file) === "approval").sort()) {
    const bytes = await attempt(problems, () => medium.read(name, MAX_APPROVAL_SIZE));
    if (bytes !== null) files.set(name, bytes);
  }
  // With no key to trust, only their form is judged; the other findings are that there is no key.
  const { approvals, findings } = checkApprovals(files, bundleSubject(""), []);
  problems.push(...findings.filter(({ code }) => code === "APPROVAL_MALFORMED"));
  return approvals.map((approval) => {
    const predicate = approval.state === "valid" ? null : (approval.unverifiedStatement?.predicate ?? null);
    const statement = approval.state === "valid" ? null : approval.unverifiedStatement;
    const { file, role } = approval;
    return {
      file,
      role: predicate?.role ?? role,
      signer: statement === null ? null : saysSigner(statement),
      keyHash: keyHashOf(approval),
      decision: predicate?.decision ?? null,
      signedAt: predicate?.signedAt ?? null,
    };
  });
}

function describe(document: BundleDocument, options: InspectOptions, problems: Finding[]): InspectedDocument {
  const byPath = new Map(document.paths.map((path) => [path.storePath, path]));
  const { url, dir, ref, rev, revCount, lastModified, storePath } = document.flake;
  return {
    version: document.version,
    product: document.product,
    release: document.release,
    sequence: document.sequence,
    previous: document.previous,
    created: document.created,
    tier: document.tier,
    systems: document.systems,
    tools: document.tools,
    minimumNix: document.minimumNix,
    env: document.evaluation.env,
    flake: { url, dir, ref, rev, revCount, lastModified, storePath },
    inputs: describeInputs(document, problems),
    roots: describeRoots(document, byPath),
    kinds: KINDS.map((kind) => {
      const paths = document.paths.filter(({ kinds }) => kinds.includes(kind));
      return { kind, paths: paths.length, narBytes: sum(paths.map(({ narSize }) => narSize)) };
    }).filter(({ paths }) => paths > 0),
    totals: document.totals,
    signatures: countSignatures(document.paths),
    unsigned: document.paths.filter(({ ca, signatures }) => ca === null && signatures.length === 0).length,
    knownIrreproducible: document.knownIrreproducible,
    docs: document.docs.map(({ name, mediaType, size }) => ({ name, mediaType, size })),
    largest: largest(byPath, options),
    tree: options.tree ? treeOf(document, byPath) : null,
  };
}

/**
 * With the sizes of their closures. Nobody vouches for this document, so that a thousand roots of a thousand paths each
 * must not take for ever: once so much has been followed, sizes are left out.
 */
function describeRoots(
  { roots }: BundleDocument,
  byPath: ReadonlyMap<string, Path>,
): InspectedDocument["roots"] {
  let followed = 0;
  return roots.map(({ attr, purpose, system, drvPath, outputs }) => {
    const root = { attr, purpose, system, drvPath, outputs };
    if (followed > MAX_FOLLOWED) return { ...root, closurePaths: null, closureBytes: null };
    const paths = closureOf(
      byPath,
      outputs.map(({ path }) => path),
    );
    followed += sum(paths.map(({ references }) => 1 + references.length));
    return { ...root, closurePaths: paths.length, closureBytes: sum(paths.map(({ narSize }) => narSize)) };
  });
}

/** With what flake.lock says of them. */
function describeInputs(document: BundleDocument, problems: Finding[]): InspectedDocument["inputs"] {
  const locked = new Map<string, LockAttributes>();
  try {
    const { lock } = document.flake;
    if (lock !== null)
      for (const node of resolveFlakeLock(parseFlakeLock(Buffer.from(lock))))
        locked.set(node.key, node.locked);
  } catch (error) {
    if (!(error instanceof AirgapError)) throw error;
    problems.push({ ...error.details, code: error.code });
  }
  return document.inputs.map(({ node, parent, storePath }) => {
    const attributes = locked.get(node) ?? {};
    const { rev, lastModified } = attributes;
    return {
      node,
      reference: referenceOf(attributes),
      rev: typeof rev === "string" ? rev : null,
      lastModified: typeof lastModified === "number" && lastModified >= 0 ? lastModified : null,
      parent,
      storePath,
    };
  });
}

/** As a flake reference is written, but for what is told apart from it. */
function referenceOf({ type, owner, repo, url, path, id }: LockAttributes): string | null {
  if (type === undefined) return null;
  const where = url ?? path ?? id ?? (owner === undefined ? undefined : `${owner}/${repo}`);
  return where === undefined ? String(type) : `${type}:${where}`;
}

function closureOf(byPath: ReadonlyMap<string, Path>, roots: readonly string[]): Path[] {
  return closure(byPath, roots).flatMap((path) => byPath.get(path) ?? []);
}

function countSignatures(paths: readonly Path[]): InspectedDocument["signatures"] {
  const counts = new Map<string, number>();
  for (const { signatures } of paths) {
    const names = new Set(signatures.map((signature) => signature.slice(0, signature.indexOf(":"))));
    for (const name of names) counts.set(name, (counts.get(name) ?? 0) + 1);
  }
  return [...counts].sort(([a], [b]) => (a < b ? -1 : 1)).map(([keyName, paths]) => ({ keyName, paths }));
}

function largest(byPath: ReadonlyMap<string, Path>, { sizes }: InspectOptions): InspectedDocument["largest"] {
  return [...byPath.values()]
    .sort((a, b) => b.narSize - a.narSize || (a.storePath < b.storePath ? -1 : 1))
    .slice(0, sizes ? LARGEST : LARGEST_SHORT)
    .map(({ storePath, narSize }) => ({
      storePath,
      narSize,
      closureBytes: sizes ? sum(closureOf(byPath, [storePath]).map((path) => path.narSize)) : null,
    }));
}

type TreeLine = NonNullable<InspectedDocument["tree"]>[number];

/** Depth first; what was shown before is named again, but not followed. Not recursive: see MAX_TREE_DEPTH. */
function treeOf(document: BundleDocument, byPath: ReadonlyMap<string, Path>): TreeLine[] {
  const lines: TreeLine[] = [];
  const shown = new Set<string>();
  const roots = new Set(document.roots.flatMap(({ outputs }) => outputs.map(({ path }) => path)));
  const waiting = [...roots].reverse().map((storePath) => ({ storePath, depth: 0 }));
  for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
    const { storePath, depth } = next;
    const path = byPath.get(storePath);
    const references = path?.references.filter((reference) => reference !== storePath) ?? [];
    const isLeaf = references.length === 0;
    const note =
      path === undefined
        ? "missing"
        : isLeaf
          ? null
          : shown.has(storePath)
            ? "repeated"
            : depth >= MAX_TREE_DEPTH
              ? "deep"
              : null;
    lines.push({ depth, storePath, narSize: path?.narSize ?? null, note });
    if (note !== null) continue;
    shown.add(storePath);
    for (const reference of [...references].reverse())
      waiting.push({ storePath: reference, depth: depth + 1 });
  }
  return lines;
}

/** At most what the report can say: a document that nobody checked may claim more. */
function sum(values: readonly number[]): number {
  const total = values.reduce((all, value) => all + value, 0);
  return Math.min(total, Number.MAX_SAFE_INTEGER);
}
