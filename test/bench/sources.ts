/** What the benchmark's flakes fetch, as NAR files and plain ones on disk: sizes, shapes and bytes follow from a seed. */
import { createHash } from "node:crypto";
import { closeSync, openSync, writeSync } from "node:fs";
import { formatSri, hashFromDigest } from "../../src/nix/hash.js";
import {
  narDirectoryClose,
  narDirectoryOpen,
  narEntryClose,
  narEntryOpen,
  narHeader,
  narRegularClose,
  narRegularOpen,
} from "../../src/nix/nar-writer.js";
import type { Random } from "../support/random.js";
import type { Content, ContentKind } from "./content.js";

export type Tree =
  | {
      readonly kind: "file";
      readonly content: ContentKind;
      readonly size: number;
      readonly executable: boolean;
    }
  /** Names in ascending order. */
  | { readonly kind: "folder"; readonly entries: readonly (readonly [name: string, tree: Tree])[] };

/**
 * `count` sizes in descending order, a few large ones with most of the bytes: the quantiles of a log-logistic
 * distribution, so that any number of them is of the same shape.
 */
export function spreadSizes(
  count: number,
  { median, spread, max }: { readonly median: number; readonly spread: number; readonly max: number },
): number[] {
  return Array.from({ length: count }, (_, i) => {
    const share = (count - i - 0.5) / count;
    return Math.round(Math.min(max, median * (share / (1 - share)) ** spread));
  });
}

/** The shapes of software, in turn: one file of code, a package, a tree of sources. */
export function treeOf(index: number, size: number, random: Random): Tree {
  const shape = SHAPES[index % SHAPES.length]!;
  if (shape === "file" || size < 4 * MEDIAN_FILE) {
    return { kind: "file", content: "code", size, executable: true };
  }
  if (shape === "sources") return folderOf(size, "text", random);
  const file = (share: number): Tree => ({
    kind: "file",
    content: "code",
    size: Math.round(size * share),
    executable: true,
  });
  return {
    kind: "folder",
    entries: [
      ["bin", { kind: "folder", entries: [["tool", file(0.2)]] }],
      ["images", folderOf(Math.round(size * 0.05), "noise", random)],
      ["lib", { kind: "folder", entries: [["libtool.so", file(0.45)]] }],
      ["share", folderOf(Math.round(size * 0.3), "text", random)],
    ],
  };
}

const SHAPES = ["file", "sources", "package"] as const;
const MEDIAN_FILE = 7 * 2 ** 10;
const MAX_FILE = 2 * 2 ** 20;
const FILES_IN_FOLDER = 40;

function folderOf(size: number, content: ContentKind, random: Random): Tree {
  const folders: [string, Tree][] = [];
  for (let left = size; left > 0; ) {
    const entries: [string, Tree][] = [];
    while (left > 0 && entries.length < FILES_IN_FOLDER) {
      const share = random.unit();
      const wanted = Math.round(Math.min(MAX_FILE, (MEDIAN_FILE * (share + 0.001)) / (1.001 - share)));
      const file: Tree = { kind: "file", content, size: Math.min(left, wanted), executable: false };
      entries.push([`file-${number(entries.length)}`, file]);
      left -= file.size;
    }
    folders.push([`part-${number(folders.length)}`, { kind: "folder", entries }]);
  }
  return { kind: "folder", entries: folders };
}

/** Names in the order of their numbers. */
function number(value: number): string {
  return String(value).padStart(5, "0");
}

/** Writes the NAR of a tree; its hash as SRI. */
export function writeNarFile(file: string, tree: Tree, content: Content, random: Random): string {
  return writeHashed(file, (put) => {
    put(narHeader());
    putTree(tree, put, content, random);
  });
}

type Put = (bytes: Uint8Array) => void;

function putTree(tree: Tree, put: Put, content: Content, random: Random): void {
  if (tree.kind === "file") {
    put(narRegularOpen(tree));
    for (const piece of content.pieces(tree.content, tree.size, random)) put(piece);
    put(narRegularClose(tree.size));
    return;
  }
  put(narDirectoryOpen());
  for (const [name, child] of tree.entries) {
    put(narEntryOpen(Buffer.from(name)));
    putTree(child, put, content, random);
    put(narEntryClose());
  }
  put(narDirectoryClose());
}

/** Writes a plain file; its hash as SRI. */
export function writePlainFile(
  file: string,
  kind: ContentKind,
  size: number,
  { content, random }: { readonly content: Content; readonly random: Random },
): string {
  return writeHashed(file, (put) => {
    for (const piece of content.pieces(kind, size, random)) put(piece);
  });
}

const BUFFER = 2 ** 20;

function writeHashed(file: string, produce: (put: Put) => void): string {
  const hasher = createHash("sha256");
  const fd = openSync(file, "w");
  let waiting: Uint8Array[] = [];
  let size = 0;
  const flush = () => {
    const bytes = Buffer.concat(waiting);
    hasher.update(bytes);
    for (let at = 0; at < bytes.length; ) at += writeSync(fd, bytes, at);
    waiting = [];
    size = 0;
  };
  try {
    produce((bytes) => {
      waiting.push(bytes);
      size += bytes.length;
      if (size >= BUFFER) flush();
    });
    flush();
  } finally {
    closeSync(fd);
  }
  return formatSri(hashFromDigest("sha256", hasher.digest()));
}
