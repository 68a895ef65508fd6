/**
 * V7, item 6: the flake is what its lock and the document pin: each input's NAR hash, the top flake's, the text
 * of flake.lock in its tree, and the wrapper that the document gives.
 */
import { AirgapError, type Finding } from "../errors.js";
import type { BundleDocument } from "../generated/types.js";
import { type LockedInput, parseFlakeLock, resolveFlakeLock } from "../nix/flake-lock.js";
import { formatSri, type Hash, parseSri } from "../nix/hash.js";
import { makeSourcePath } from "../nix/store-path.js";
import { wrapperOf } from "./wrapper.js";

/** All of item 6 that the document tells by itself. */
export function checkPins(document: BundleDocument): Finding[] {
  return [...checkInputs(document), ...checkFlake(document), ...checkWrapper(document)];
}

/** Name of flake.lock inside the top flake's tree. */
export function lockFileOf({ flake }: BundleDocument): string {
  return flake.dir === "" ? "flake.lock" : `${flake.dir}/flake.lock`;
}

/** `actual`: the file `lockFileOf` in the top flake's tree; undefined where there is none, null where it is too large. */
export function checkLockFile(document: BundleDocument, actual: Uint8Array | null | undefined): Finding[] {
  const { lock, storePath } = document.flake;
  const expected = lock === null ? undefined : Buffer.from(lock);
  const same = expected === undefined || !actual ? actual === expected : expected.equals(actual);
  if (same) return [];
  const bytes = `${actual?.length} bytes`;
  return [
    {
      code: "LOCK_DIFFERS",
      subject: `${storePath}/${lockFileOf(document)}`,
      expected: expected === undefined ? "no file" : `the ${expected.length} bytes in the document`,
      actual: actual === undefined ? "no file" : actual === null ? "more than a lock may have" : bytes,
    },
  ];
}

/** A node without a hash pins nothing, unless it lies in the tree of another. */
function checkInputs(document: BundleDocument): Finding[] {
  const findings: Finding[] = [];
  const listed = new Map(document.inputs.map((input) => [input.node, input]));
  const narHashes = new Map(document.paths.map(({ storePath, narHash }) => [storePath, narHash]));
  for (const { key, narHash, parent } of lockedInputs(document)) {
    const input = listed.get(key);
    // Absent inputs, and trees that are where the lock has none, are V6's.
    if (input === undefined || input.storePath === null || parent !== undefined) continue;
    const expected = narHash === undefined ? "a narHash in flake.lock" : formatSri(narHash);
    const actual = [input.narHash, narHashes.get(input.storePath)].find((hash) => hash !== expected);
    const about = { code: "INPUT_NAR_HASH", subject: input.storePath, neededBy: [`input ${key}`] } as const;
    if (actual !== undefined) findings.push({ ...about, expected, actual: actual ?? "none" });
    else if (narHash !== undefined && input.storePath !== sourcePath(narHash)) {
      findings.push({ ...about, expected: sourcePath(narHash), actual: input.storePath });
    }
  }
  return findings;
}

function lockedInputs({ flake: { lock } }: BundleDocument): LockedInput[] {
  if (lock === null) return [];
  return unlessLockInvalid(() => resolveFlakeLock(parseFlakeLock(Buffer.from(lock)))) ?? [];
}

function checkFlake({ flake, paths }: BundleDocument): Finding[] {
  const actual = paths.find(({ storePath }) => storePath === flake.storePath)?.narHash;
  const subject = flake.storePath;
  if (actual !== undefined && actual !== flake.narHash) {
    return [{ code: "FLAKE_NAR_HASH", subject, expected: flake.narHash, actual }];
  }
  const expected = sourcePath(parseSri(flake.narHash));
  return expected === subject ? [] : [{ code: "FLAKE_NAR_HASH", subject, expected, actual: subject }];
}

/** Where Nix looks for a tree of which it knows the hash: evaluation on site finds it nowhere else. */
function sourcePath(narHash: Hash): string {
  return makeSourcePath(narHash, "source");
}

/** A wrapper is a pure function of the document, so that its hash says what is in it. */
function checkWrapper(document: BundleDocument): Finding[] {
  const subject = document.evaluation.wrapper;
  if (subject === null) return [];
  const expected = unlessLockInvalid(() => wrapperOf(document.flake));
  if (expected === undefined) return [];
  if (expected.storePath !== subject) {
    return [{ code: "WRAPPER_DIFFERS", subject, expected: expected.storePath }];
  }
  const actual = document.paths.find(({ storePath }) => storePath === subject)?.narHash;
  if (actual === undefined || actual === expected.narHash) return [];
  return [{ code: "WRAPPER_DIFFERS", subject, expected: expected.narHash, actual }];
}

/** That the lock is none is V6's finding. */
function unlessLockInvalid<T>(work: () => T): T | undefined {
  try {
    return work();
  } catch (error) {
    if (error instanceof AirgapError && error.code === "FLAKE_LOCK_INVALID") return undefined;
    throw error;
  }
}
